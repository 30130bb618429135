"""The page of several monitors: their verdicts and losses, where their layers differ, and those layers side by side."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from xinit.analysis import saved_monitors
from xinit.analysis.layer_marks import positive
from xinit.analysis.saved_monitors import Monitored
from xinit.report import charts, monitor
from xinit.report import page as html
from xinit.report.multiples import SMALL
from xinit.report.outcomes import coloured
from xinit.report.page import Markup
from xinit.report.probe_tables import broken
from xinit.report.probes import labels

MOST = len(charts.SERIES)  # monitors that are drawn
LAYERS, TOLD = 8, 3  # layers that have small figures; layers of a reading in the table of differences
DIFFER = (
    "Of each reading the layers that differ most, as they were at step {:,}, the last one that all have reached, or at "
    "the last point before it. The last column is the largest value over the smallest, of shares the difference."
)
SIDE_BY_SIDE = "A figure for each layer, with a line for each monitor, all on one axis."
Records = Mapping[str, Monitored]


def page(paths: Sequence[pathlib.Path]) -> str:
    """The page of the monitors that write, or wrote, into these folders.

    Raises:
      InputError: a folder cannot be read.
    """
    records = dict(zip(labels(paths), map(saved_monitors.load, paths), strict=True))
    measured = {label: record for label, record in records.items() if record.readings}
    shown = dict(list(measured.items())[:MOST])
    limited = [html.paragraph(f"Of {len(measured)} monitors {MOST} have figures.", "quiet")]
    content = [
        html.section("Verdicts", html.table([_row(label, record) for label, record in records.items()])),
        *[html.details(f"{label}: all findings", *monitor.verdict(record)) for label, record in measured.items()],
        *(limited if len(measured) > MOST else []),
        *(_compared(shown) if shown else []),
    ]
    return html.whole(f"{len(records)} monitors compared", content, "Made by xinit.report.")


def _row(label: str, record: Monitored) -> dict[str, Any]:
    facts = {"monitor": label, "training": "over" if record.state == "closed" else "goes on, or was killed"}
    if not record.readings:
        return facts | {"verdict": "-", "what was found": "Nothing was measured yet."}
    worst, loss = record.findings[0], record.readings["loss"]
    return facts | {
        "verdict": html.level(worst.level),
        "what was found": f"{worst.sentence}.",
        "loss": f"{loss[0]:.4g}",
        "loss, at last": f"{loss[-1]:.4g}",
        "at step": f"{record.steps[-1]:,}",
        "points": str(len(record.steps)),
        "layers": str(len(record.layers)),
    }


def _compared(records: Records) -> list[Markup]:
    """Losses, and the layers that all have, by name."""
    drawn = html.figure("Loss", _lines(records, {label: r.readings["loss"] for label, r in records.items()}, "loss"))
    words = "Each on the batch of its monitor: they can be compared where it is the same batch."
    shared = [name for name in next(iter(records.values())).layers if all(name in r.layers for r in records.values())]
    parts = [html.section("Loss", html.paragraph(words, "quiet"), html.figures(drawn))]
    if len(records) > 1 and shared:
        parts.append(_differences(records, shared))
    return [*parts, *_side_by_side(records, shared), *_not_shared(records, shared)]


def _differences(records: Records, layers: Sequence[str]) -> Markup:
    """A table of the readings of layers in which the monitors differ most."""
    end = min(int(record.steps[-1]) for record in records.values())
    rows = []
    for title, (name, *_) in monitor.FIGURES.items():
        values_ML = np.array([_at(record, name, layers, end) for record in records.values()])
        apart = _apart(values_ML, name in monitor.SHARES)
        for l in np.argsort(-apart, kind="stable")[:TOLD]:
            if apart[l] > 0:
                cells = [monitor.cell(value) for value in values_ML[:, l]]
                row = {"reading": title.lower(), "layer": broken(layers[l])} | dict(zip(records, cells, strict=True))
                times = f"{apart[l]:.0%}" if name in monitor.SHARES else f"x {np.exp(apart[l]):.3g}"
                rows.append(row | {"apart": times})
    shown = html.table(rows) if rows else html.paragraph("Nowhere: all values are the same.")
    return html.section("Where they differ", html.paragraph(DIFFER.format(end), "quiet"), shown)


def _at(record: Monitored, name: str, layers: Sequence[str], step: int) -> np.ndarray:
    """(layer,) a reading of these layers at the last point up to a step; nan where the first point is later."""
    i = np.searchsorted(record.steps, step, side="right") - 1
    at = [record.layers.index(layer) for layer in layers]
    values = monitor.values(record, name)[:, at]
    return values[i] if i >= 0 else np.full(len(at), np.nan)


def _apart(values_ML: np.ndarray, is_share: bool) -> np.ndarray:
    """(layer,) the logarithm of the largest over the smallest, of shares the difference; 0 where it is not known."""
    scaled = values_ML if is_share else np.log(values_ML)
    return np.nan_to_num(scaled.max(0) - scaled.min(0), nan=0.0)


def _side_by_side(records: Records, layers: Sequence[str]) -> list[Markup]:
    """A row of small figures for each reading, in each a layer with a line for each monitor."""
    chosen = [layers[l] for l in charts.chosen(len(layers), LAYERS)] if layers else []
    rows = []
    for title, (name, axis, _) in monitor.FIGURES.items():
        columns = {label: monitor.values(record, name) for label, record in records.items()}
        of = lambda layer: {l: v[:, records[l].layers.index(layer)] for l, v in columns.items()}  # noqa: B023
        every = [of(layer) for layer in chosen]
        seen = np.concatenate([own for one in every for own in one.values()]) if every else np.zeros(0)
        if not np.isfinite(seen).any():
            continue
        figures = [
            html.figure(layer, _lines(records, own, None, name in monitor.SHARES, seen, SMALL))
            for layer, own in zip(chosen, every, strict=True)
        ]
        heading = Markup("<h3>{}: {}</h3>").format(title, axis)
        rows.append(html.join([heading, html.figures(*figures, small=True)]))
    limited = [html.paragraph(f"Of {len(layers)} layers {LAYERS} are drawn.", "quiet")] if len(layers) > LAYERS else []
    words = html.paragraph(SIDE_BY_SIDE, "quiet")
    return [html.section("The same layers side by side", words, *limited, *rows)] if rows else []


def _lines(
    records: Records,
    values: Mapping[str, np.ndarray],
    title: str | None,
    is_share: bool = False,
    seen: np.ndarray | None = None,
    height: int = charts.HEIGHT,
) -> alt.TopLevelMixin:
    """Values (step,) of each monitor over the steps; `seen`: those that the axis spans, by default these."""
    at = {label: charts.chosen(len(own), monitor.POINTS) for label, own in values.items()}
    steps = {label: records[label].steps[at[label]] for label in values}
    shown = {label: own[at[label]] if is_share else positive(own[at[label]]) for label, own in values.items()}
    columns: dict[str, Any] = {
        "step": np.concatenate(list(steps.values())),
        "value": np.concatenate(list(shown.values())),
        "series": [label for label, own in shown.items() for _ in own],
    }
    spanned = columns["value"] if seen is None else seen
    y = monitor.share_axis(title) if is_share else charts.size_axis("value", title, spanned)
    tooltip = [
        "series:N",
        alt.Tooltip("step:Q", format=","),
        alt.Tooltip("value:Q", format=".1%" if is_share else ".3g"),
    ]
    drawn = charts.chart(columns).mark_line(point=alt.OverlayMarkDef(size=12), strokeWidth=1.5)
    x = charts.step_axis(np.unique(columns["step"]))
    return charts.framed(drawn.encode(x=x, y=y, color=coloured(list(values)), tooltip=tooltip), height)


def _not_shared(records: Records, shared: Sequence[str]) -> list[Markup]:
    """The layers that not all have."""
    others = {label: [name for name in record.layers if name not in shared] for label, record in records.items()}
    rows = [{"monitor": label, "layers": ", ".join(names[:LAYERS])} for label, names in others.items() if names]
    if not rows:
        return []
    words = "These layers have a name that another monitor lacks, and are not compared."
    return [html.section("Other layers", html.paragraph(words), html.table(rows))]
