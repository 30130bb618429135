"""The page of a monitor: what was found while a model was trained, and what every layer of it did."""

import pathlib
from typing import Any

import altair as alt
import numpy as np

from xinit.analysis import saved_monitors
from xinit.analysis.layer_marks import positive
from xinit.analysis.saved_monitors import Monitored
from xinit.report import charts
from xinit.report import page as html
from xinit.report.page import Markup
from xinit.report.probe import ADVICE
from xinit.report.probe_tables import broken

LAYERS, POINTS, ROWS = 12, 200, 300  # at most so many are drawn; rows of the table
LAYER = "A line for each layer. Point at one for its name."
FIGURES = {  # title: reading, title of its axis, how to read it
    "Signal": ("pre", "z, root mean square", "Bad signs are lines that drift apart, or come to nothing."),
    "Gradient": ("grad_pre", "dL/dz, root mean square", "Bad signs are lines that are decades apart and stay so."),
    "Update over weights": (
        "update_ratio", "norm of the step over the kernel's",
        "About 0.001 is usual. Much more: lower the learning rate; much less in one layer than in others: it hardly "
        "learns.",
    ),
    "Saturated": ("act_saturated", "share of values", "There the function is flat. It is bad near 100 %."),
    "Units without gradient": ("grad_pre_zero_units", "share of units", "No example reaches them. Bad if they rise."),
}  # fmt: skip
SHARES = ("act_saturated", "grad_pre_zero_units")


def page(path: pathlib.Path) -> str:
    """The page of the monitor that writes, or wrote, into this folder.

    Raises:
      InputError: the folder cannot be read.
    """
    record = saved_monitors.load(path)
    name = path.resolve().name
    content = [*verdict(record), html.card(_facts(record))]
    if record.readings:
        content += [_history(record), _figures(record), _table(record)]
        words = {name: saved_monitors.described(name)[1] for name in record.readings}
        content.append(html.details("What the readings are", html.card(words)))
    return html.whole(f"Monitor of {name}", content, f"Made by xinit.report from {name}.")


def verdict(record: Monitored) -> list[Markup]:
    """What was found at the last step, worst first, each with what to do."""
    if not record.readings:
        return [html.paragraph("Nothing was measured yet.")]
    sentences = [(one.level, f"{one.sentence[:1].upper()}{one.sentence[1:]}.") for one in record.findings]
    rules = dict.fromkeys(one.rule for one in record.findings if one.level != "OK")
    items = Markup("").join(Markup("<li>{}</li>").format(ADVICE[rule]) for rule in rules if rule in ADVICE)
    todo = [Markup("<h3>What to do</h3><ul>{}</ul>").format(items)] if items else []
    return [html.paragraph(f"At step {record.steps[-1]:,}:"), html.findings(sentences), *todo]


def _facts(record: Monitored) -> dict[str, Any]:
    steps = record.steps
    measured = f"{len(steps)}, from {steps[0]:,} to {steps[-1]:,}" if len(steps) else "none"
    loss = f"{record.readings['loss'][0]:.4g}, at last {record.readings['loss'][-1]:.4g}" if len(steps) else "-"
    return {
        "state": "over" if record.state == "closed" else "the training goes on, or was killed",
        "steps that were measured": measured,
        "loss on the monitor's batch": loss,
        "layers": str(len(record.layers)),
    }


def _history(record: Monitored) -> Markup:
    """The steps at which the findings changed."""
    rows = []
    for step, findings in record.history[-ROWS:]:
        worst = findings[0]
        others = ", ".join(dict.fromkeys(one.rule for one in findings[1:] if one.level != "OK"))
        row = {"from step": f"{step:,}", "verdict": html.level(worst.level), "what was found": f"{worst.sentence}."}
        rows.append(row | {"and": others})
    return html.section("What was found, and when", html.table(rows))


def _figures(record: Monitored) -> Markup:
    drawn = [html.figure("Loss", _loss(record), "On the monitor's batch, which is the same at every step.")]
    for title, (name, axis, how) in FIGURES.items():
        own = values(record, name)
        if np.isfinite(own).any():
            drawn.append(html.figure(title, _lines(record, own, axis, name in SHARES), f"{LAYER} {how}"))
    return html.section("While it was trained", html.figures(*drawn))


def values(record: Monitored, name: str) -> np.ndarray:
    """(step, layer) of a reading of FIGURES; of what has a logarithmic axis nan where it is not above 0."""
    if name in ("pre", "grad_pre"):
        return positive(np.hypot(record.readings[f"{name}_mean"], record.readings[f"{name}_std"]))
    own = record.readings.get(name, np.full((len(record.steps), len(record.layers)), np.nan))
    return own if name in SHARES else positive(own)


def _loss(record: Monitored) -> alt.TopLevelMixin:
    at = charts.chosen(len(record.steps), POINTS)
    values = positive(record.readings["loss"][at])
    drawn = charts.chart({"step": record.steps[at], "value": values}).mark_line(point=True, strokeWidth=1.5)
    y = charts.size_axis("value", "loss", values)
    tooltip = [alt.Tooltip("step:Q", format=","), alt.Tooltip("value:Q", format=".4g")]
    x = charts.step_axis(record.steps)
    return charts.framed(drawn.encode(x=x, y=y, color=alt.value(charts.SERIES[0]), tooltip=tooltip))


def _lines(record: Monitored, values: np.ndarray, title: str, is_share: bool) -> alt.TopLevelMixin:
    at, shown = charts.chosen(len(record.steps), POINTS), charts.chosen(len(record.layers), LAYERS)
    cells = values[at][:, shown]
    columns: dict[str, Any] = {
        "step": np.repeat(record.steps[at], len(shown)),
        "layer": np.tile(np.array(shown) + 1, len(at)),
        "name": [record.layers[l] for l in shown] * len(at),
        "value": cells.ravel(),
    }
    form = ".1%" if is_share else ".3g"
    drawn = charts.chart(columns).mark_line(point=alt.OverlayMarkDef(size=12), strokeWidth=1.3)
    drawn = drawn.encode(
        x=charts.step_axis(record.steps),
        y=share_axis(title) if is_share else charts.size_axis("value", title, cells),
        color=charts.by_layer(len(shown), "layer"),
        tooltip=["name:N", alt.Tooltip("step:Q", format=","), alt.Tooltip("value:Q", format=form)],
    )
    return charts.framed(drawn)


def share_axis(title: str | None) -> alt.Y:
    """Shares from 0 to 1, as percentages."""
    return alt.Y("value:Q", title=title, scale=alt.Scale(domain=[-0.03, 1.03]), axis=alt.Axis(format=".0%"))


def _table(record: Monitored) -> Markup:
    """The layers in numbers, at the first and at the last step that has them."""
    columns = {
        "z": "pre", "dL/dz": "grad_pre", "update": "update_ratio", "saturated": "act_saturated",
        "no gradient": "grad_pre_zero_units",
    }  # fmt: skip
    cells = {heading: values(record, name) for heading, name in columns.items()}
    ends = {
        heading: np.flatnonzero(np.isfinite(own).any(1))[[0, -1]] for heading, own in cells.items() if _is_known(own)
    }
    rows = [
        {"layer": broken(name), "function": record.functions[l] or ""}
        | {
            f"{heading}, {when}": cell(cells[heading][i, l])
            for heading, at in ends.items()
            for when, i in zip(("first", "last"), at, strict=True)
        }
        for l, name in enumerate(record.layers[:ROWS])
    ]
    words = (
        "z and dL/dz: root mean squares; update: norm of a step over that of the kernel, at the first and the last "
        "point that has one; saturated: share of values; no gradient: share of units."
    )
    return html.section("The layers in numbers", html.paragraph(words, "quiet"), html.table(rows))


def _is_known(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any())


def cell(value: float) -> str:
    """A number of a table; nothing where it is not finite."""
    return f"{value:.3g}" if np.isfinite(value) else ""
