"""Readings of the user's own, drawn by the axes that they have: of one run, or of several networks on common axes."""

from collections.abc import Iterator, Mapping, Sequence

import altair as alt
import numpy as np

from xinit.core.extra import BEYOND_DEPTH, Extra, first_place
from xinit.report import charts, layers, training
from xinit.report import page as html
from xinit.report.charts import chosen
from xinit.report.layers import LAYERS, Readings
from xinit.report.multiples import Network, measured
from xinit.report.outcomes import coloured, drawn, left_out
from xinit.report.page import Markup

TITLE = "Readings of your own"
FIGURES, CELLS = 24, 30  # at most so many are shown; places along each axis of a table
ROOM = alt.Scale(nice=False, zero=False, padding=8)
NAMES = {"weight": "weight matrix", "jacobian": "from layer to the next"}  # of axes; others by their own
ENDS = {"at the start": 0, "at the end": -1}
LINEAR = alt.Scale(zero=False)


def section(readings: Readings, extra: Extra) -> list[Markup]:
    """A figure for each reading of the user's that a run has; nothing where it has none."""
    names = [name for name in extra if np.isfinite(readings.get(name, np.nan)).any()]
    empty = [name for name in extra if name not in names]
    if not extra:
        return []
    kind = lambda i: "wide" if i == len(names[:FIGURES]) - 1 and i % 2 == 0 else ""  # the last of an odd number
    shown = [
        html.figure(name, *_drawn(readings, name, *extra[name]), kind=kind(i)) for i, name in enumerate(names[:FIGURES])
    ]
    notes = [f"No finite number at any step: {', '.join(empty[:FIGURES])}."] if empty else []
    notes += [f"Of {len(names)} readings {FIGURES} are shown; readings.nc has them all."] if names[FIGURES:] else []
    before = "What the functions gave that probe.extra names, on the fixed probe examples."
    return [html.section(TITLE, *(html.paragraph(text, "quiet") for text in [before, *notes]), html.figures(*shown))]


def _drawn(readings: Readings, name: str, axes: Sequence[str], words: str) -> tuple[alt.TopLevelMixin, str]:
    """The figure of one reading, and what it shows in words."""
    values = readings[name]
    if not axes:
        return charts.framed(_curve(readings["step"], values)), f"{words}."
    if len(axes) == 2:
        rows, columns = map(_spoken, axes)
        caption = f"{words}. At the slider's step; rows: {rows}, columns: {columns}."
        return charts.framed(_table(readings, name, axes)), caption
    each = "place" if axes[0].startswith(f"{name}_") else _spoken(axes[0])
    if axes[0] in BEYOND_DEPTH or values.shape[1] <= LAYERS:
        return charts.framed(_lines(readings["step"], values, axes[0])), f"{words}. A line for each {each}."
    return charts.framed(_heat(readings, name, axes[0])), f"{words}. A row for each {each}."


def _spoken(axis: str) -> str:
    return NAMES.get(axis, axis)


def _curve(steps: np.ndarray, values: np.ndarray) -> alt.Chart:
    mark = charts.chart({"step": steps, "value": values}).mark_line(**training.LINE, color=charts.SERIES[0])
    y = alt.Y("value:Q", title=None, scale=LINEAR)
    return mark.encode(x=charts.step_axis(steps), y=y, tooltip=_told())


def _told(*fields: str) -> list[alt.Tooltip]:
    return [
        *(alt.Tooltip(f"{field}:O") for field in fields),
        alt.Tooltip("step:Q", format=","),
        alt.Tooltip("value:Q", format=".3g"),
    ]


def _lines(steps: np.ndarray, values: np.ndarray, axis: str) -> alt.Chart:
    """A line for each place along an axis; of many places some."""
    shown = chosen(values.shape[1], LAYERS)
    columns = {
        "step": np.repeat(steps, len(shown)),
        "layer": np.tile(np.add(shown, first_place(axis)), len(steps)),
        "value": values[:, shown].ravel(),
    }
    return charts.chart(columns).mark_line(**training.LINE).encode(
        x=charts.step_axis(steps),
        y=alt.Y("value:Q", title=None, scale=LINEAR),
        color=charts.by_layer(len(shown), _spoken(axis)),
        tooltip=_told("layer"),
    )  # fmt: skip


def _heat(readings: Readings, name: str, axis: str) -> alt.Chart:
    """Values over training, a row for each place along an axis."""
    at, shown = layers.places(readings), chosen(readings[name].shape[1], layers.ROWS)
    values = readings[name][at][:, shown]
    columns = {
        "step": np.repeat(readings["step"][at], len(shown)),
        "place": np.tile(np.add(shown, first_place(axis)), len(at)),
        "value": values.ravel(),
    }
    return charts.chart(columns).mark_rect().encode(
        x=alt.X("step:O", title="training step", axis=alt.Axis(labelAngle=0, format=",d")),
        y=alt.Y("place:O", title=axis, sort="descending"),
        color=_shade(values),
        tooltip=_told("place"),
    )  # fmt: skip


def _table(readings: Readings, name: str, axes: Sequence[str]) -> alt.Chart:
    """Values over two axes, the first one downwards, at the place of the page's slider."""
    values = readings[name][layers.places(readings)]
    rows, columns = (chosen(n, CELLS) for n in values.shape[1:])
    cells = values[:, rows][:, :, columns].reshape(len(values), -1)
    first, second = map(first_place, axes)
    fixed = {
        "row": np.repeat(np.add(rows, first), len(columns)),
        "column": np.tile(np.add(columns, second), len(rows)),
    }
    down, along = (_spoken(axis) for axis in axes)
    return charts.chart_at(fixed, {"value": cells}).mark_rect().encode(
        x=alt.X("column:O", title=along, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("row:O", title=down),
        color=_shade(cells),
        tooltip=[
            alt.Tooltip("row:O", title=down),
            alt.Tooltip("column:O", title=along),
            alt.Tooltip("value:Q", format=".3g"),
        ],
    )  # fmt: skip


def _shade(values: np.ndarray) -> alt.Color:
    """Colours for all of the values, wherever a slider stands."""
    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    domain = [low, high] if low < high else [low - 0.5, low + 0.5]
    return alt.Color("value:Q", title=None, scale=alt.Scale(scheme="viridis", domain=domain))


def beside(networks: Sequence[Network], extra: Extra) -> list[Markup]:
    """Of several networks the readings of the user's that are one number, or one for each layer, on common axes."""
    if not extra:
        return []
    curves = [figure for name in [*extra][:FIGURES] for figure in _over_training(networks, name, *extra[name])]
    ends = [figure for name in [*extra][:FIGURES] for figure in _at_ends(networks, name, *extra[name])]
    words = "What the functions gave that probe.extra names: each line is one network, or the mean over its seeds."
    rest = [name for name, (axes, _) in extra.items() if axes and (len(axes) > 1 or axes[0] not in BEYOND_DEPTH)]
    more = f" The page of each run has its {', '.join(rest[:FIGURES])} too." if rest else ""
    before = html.paragraph(words + more + left_out(len(networks)), "quiet")
    return [html.section(TITLE, before, html.figures(*curves), html.figures(*ends))]


def _over_training(networks: Sequence[Network], name: str, axes: Sequence[str], words: str) -> Iterator[Markup]:
    """One number's course over training."""
    shown = {} if axes else _shown(networks, name, 0)
    if shown:
        parts = {label: (readings["step"], readings[name]) for label, readings in shown.items()}
        steps = np.unique(np.concatenate([at for at, _ in parts.values()]))
        yield html.figure(name, _series(parts, charts.step_axis(steps), LINEAR), f"{words}.")


def _at_ends(networks: Sequence[Network], name: str, axes: Sequence[str], words: str) -> Iterator[Markup]:
    """A reading of each layer before and after training, on one scale."""
    shown = _shown(networks, name, 1) if len(axes) == 1 and axes[0] in BEYOND_DEPTH else {}
    ends = {when: {label: readings[name][i] for label, readings in shown.items()} for when, i in ENDS.items()}
    known = {when: own for when, own in ends.items() if any(np.isfinite(values).any() for values in own.values())}
    whole = alt.Axis(tickMinStep=1, format="d", grid=False)
    x = alt.X("step:Q", title=_spoken(axes[0]) if axes else "", axis=whole, scale=ROOM)
    for when, own in known.items():
        parts = {label: (np.arange(1, len(values) + 1), values) for label, values in own.items()}
        scale = charts.spanning(np.concatenate([values for both in known.values() for values in both.values()]))
        yield html.figure(f"{name} {when}", _series(parts, x, scale), f"{words}.")


def _shown(networks: Sequence[Network], name: str, n_axes: int) -> dict[str, Readings]:
    """The networks that have a reading over so many axes, as many as there are colours."""
    having = [network for network in measured(networks, name) if network.readings[name].ndim == 1 + n_axes]
    own = {network.label: network.readings for network in having}
    return {label: own[label] for label in drawn(own)}


def _series(parts: Mapping[str, tuple[np.ndarray, np.ndarray]], x: alt.X, scale: alt.Scale) -> alt.TopLevelMixin:
    """A line for each name, of places along the field `step` and values."""
    columns: charts.Columns = {
        "step": np.concatenate([at for at, _ in parts.values()]),
        "value": np.concatenate([values for _, values in parts.values()]),
        "series": [label for label, (at, _) in parts.items() for _ in at],
    }
    mark = charts.chart(columns).mark_line(**training.LINE)
    return charts.framed(mark.encode(x=x, y=alt.Y("value:Q", title=None, scale=scale), color=coloured(list(parts))))
