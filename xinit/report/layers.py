"""What each layer of a run shows, drawn from its readings: histograms, flatness, theory beside measurement.

`readings` are the arrays of one run by name, or means over runs that share steps, layers and edges. Layer 1 is next to
the input. What follows the page's slider "at" shows the probe point `places(readings)[at]`; its axes span all of them.
"""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from xinit.analysis.layout import axis_title, numbers
from xinit.report import charts
from xinit.report.charts import chosen

Readings = Mapping[str, np.ndarray]

PLACES, LAYERS, BINS, ROWS = 24, 12, 50, 50  # at most so many are shown; rows of a heat map
FAINTEST = 1e-4  # of a layer's highest density: its root, a hundredth of a ridge's height, can hardly be seen
THIN = {"strokeWidth": 0.75}  # a line, lest a ridge that is thinner than a pixel be lost
WORDS = {
    "act": "activation", "pre": "pre-activation", "grad_pre": "dL/dz", "grad_w": "dL/dW", "act_slope": "mean slope",
    "act_cosine": "mean cosine", "jacobian_sv_mean": "mean singular value",
}  # fmt: skip
AXES = {"grad_w": "weight matrix", "jacobian_sv_mean": "from layer to the next"}  # of the others: that of layers
SIZES = ("act", "pre", "grad_pre", "grad_w")  # compared by root mean squares
SHARES = ("act_slope", "act_cosine")  # at most 1
MEASURED = {"act_cosine": "act_cosine_mean"}  # of the others: the name itself
SHADES = ["rgba(232, 116, 59, 0.04)", "rgba(232, 116, 59, 1)"]  # of a heat map, from 0 to 1: on any paper
BESIDE = {"theory": charts.SERIES[0], "measured": charts.SERIES[1]}
ENDS = {"predicted": "", "low": "_low", "high": "_high"}


def places(readings: Readings) -> list[int]:
    """The probe points, as indices, that the slider "at" has: at most PLACES, the first and the last among them."""
    return chosen(len(readings["step"]), PLACES)


def histograms(readings: Readings, name: str, height: int = charts.HEIGHT) -> alt.TopLevelMixin:
    """A ridge for each layer, layer 1 at the bottom, at the slider's place; `name`: act, grad_pre or grad_w.

    Heights are square roots of densities, each layer's scaled to its own largest: beside a spike all the rest would be
    flat.
    """
    shown = chosen(readings[f"{name}_hist"].shape[1], LAYERS)
    columns, tops = _ridges(readings, name, shown)
    scale = alt.Scale(domain=[-0.1, len(shown)], nice=False, zero=False)
    places = _places(readings, name)
    axis = alt.Axis(values=list(range(len(shown))), labelExpr=f"{[places[l] for l in shown]}[datum.value]")
    colour = alt.Color("row:O", scale=alt.Scale(range=charts.layer_colours(len(shown))), legend=None)
    drawn = charts.chart_at(columns, {"top": tops}).mark_area(interpolate="step", opacity=0.6, line=THIN)
    drawn = drawn.encode(
        x=alt.X("x:Q", title=WORDS[name]),
        y=alt.Y("top:Q", title=_title(readings, name), scale=scale, axis=axis),
        y2="row:Q",
        color=colour,
        order=alt.Order("row:Q", sort="descending"),
    )
    return charts.framed(drawn, height)


def _places(readings: Readings, name: str) -> list[int]:
    """The numbers along the axis of a reading: of layers, of weight matrices, or of the steps between layers."""
    n = {"grad_w": "grad_w_std", "jacobian_sv_mean": "jacobian_sv_mean"}.get(name)
    return numbers(readings) if n is None else list(range(1, readings[n].shape[-1] + 1))


def _title(readings: Readings, name: str) -> str:
    return AXES.get(name) or axis_title(readings)


def _ridges(readings: Readings, name: str, shown: Sequence[int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """For each bin that is shown, its ridge's row and its place x; (place, bin) the ridges' tops."""
    shares, edges = readings[f"{name}_hist"][places(readings)], readings[f"{name}_edges"]
    thin = [thinned(shares[:, l], edges[l]) for l in shown]
    row = np.repeat(np.arange(len(shown)), [len(own) - 1 for _, own in thin])
    x = np.concatenate([(own[1:] + own[:-1]) / 2 for _, own in thin])
    heights = np.concatenate([_scaled(*own) for own in thin], axis=1)
    return {"row": row, "x": x}, (row + 0.95 * heights).round(2)


def thinned(shares: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(point, bin) shares and their edges without the empty bins at both ends, neighbours summed to at most BINS."""
    peak = shares.max(axis=1, keepdims=True)
    seen = np.flatnonzero((shares > FAINTEST * peak).any(axis=0))
    low, high = (seen[0], seen[-1] + 1) if len(seen) else (0, shares.shape[1])
    starts = np.arange(low, high, -(-(high - low) // BINS))
    return np.add.reduceat(shares[:, :high], starts, axis=1), edges[[*starts, high]]


def _scaled(shares: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(point, bin) roots of densities over the largest of each point; 0 where all lies outside the edges."""
    density = np.sqrt(shares / np.diff(edges))
    return density / np.maximum(density.max(axis=1, keepdims=True), np.finfo(float).tiny)


def heat(readings: Readings, name: str, height: int = charts.HEIGHT, slider: bool = False) -> alt.TopLevelMixin:
    """A share over layers and training, the stronger the colour the larger.

    `name`: act_saturated, act_inactive, act_dead. act_slope is shown as flatness, 1 minus the mean slope over its
    maximum.
    """
    at, shown = places(readings), chosen(readings[name].shape[1], ROWS)
    values = readings[name][at][:, shown]
    values = 1 - values if name == "act_slope" else values
    columns = {
        "step": np.repeat(readings["step"][at], len(shown)),
        "layer": np.tile(np.array(numbers(readings))[shown], len(at)),
        "share": values.ravel(),
    }
    shades = alt.Scale(domain=[0, 1], range=SHADES)
    legend = alt.Legend(title="share", format=".0%", values=[0, 0.25, 0.5, 0.75, 1], gradientLength=160)
    drawn = charts.chart(columns).mark_rect()
    drawn = drawn.encode(
        x=alt.X("step:O", title="training step", axis=alt.Axis(labelAngle=0, format=",d")),
        y=alt.Y("layer:O", title=axis_title(readings), sort="descending"),
        color=alt.Color("share:Q", scale=shades, legend=legend),
        tooltip=["layer:O", alt.Tooltip("step:Q", format=","), alt.Tooltip("share:Q", format=".1%")],
    )
    return charts.framed(drawn + marker(readings, "O") if slider else drawn, height)


def marker(readings: Readings, kind: str = "Q") -> alt.Chart:
    """A line at the step where the slider stands, in a chart over training whose steps are of this `kind`."""
    steps = readings["step"][places(readings)]
    line = charts.chart_at({"here": [0]}, {"step": steps[:, None]}).mark_rule(color=charts.INK, opacity=0.5)
    return line.encode(x=f"step:{kind}", tooltip=alt.value(None))


def prediction(readings: Readings, name: str, height: int = charts.HEIGHT) -> alt.TopLevelMixin:
    """Each layer at step 0: what was measured over what theory predicts, where it does, with its 95 % band.

    `name`: the root mean squares of act, pre, grad_pre or grad_w; act_slope, act_cosine or jacobian_sv_mean.
    """
    columns = beside_theory(readings, name)
    base = charts.chart({"layer": _places(readings, name), **columns})
    base = base.encode(x=charts.layer_axis(_title(readings, name)))
    marks = {
        "low": ("theory", base.mark_bar(opacity=0.25).encode(y2="high:Q")),
        "predicted": ("theory", base.mark_tick(thickness=2)),
        "measured": ("measured", base.mark_point(filled=True, size=35, opacity=1, clip=True)),
    }
    shown = {field: mark for field, mark in marks.items() if field in columns}
    colours = {series: BESIDE[series] for series, _ in shown.values()}
    drawn = [charts.named(mark.encode(y=f"{field}:Q"), series, colours) for field, (series, mark) in shown.items()]
    drawn[0] = drawn[0].encode(y=_size(name, next(iter(shown)), columns))  # whose axis is that of all
    return charts.framed(alt.layer(*drawn), height)


def _size(name: str, field: str, columns: Mapping[str, np.ndarray]) -> alt.Y:
    values = np.concatenate(list(columns.values()))
    if name in SIZES:
        return charts.size_axis(field, f"{WORDS[name]}, root mean square", values)
    top = 1.0 if name in SHARES else float(np.max(values, initial=1.0, where=np.isfinite(values)))
    scale = alt.Scale(domain=[-0.03 * top, 1.03 * top], nice=False)
    return alt.Y(f"{field}:Q", title=WORDS[name], scale=scale)


def beside_theory(readings: Readings, name: str) -> dict[str, np.ndarray]:
    """By layer at step 0: `measured`, and where theory has them `predicted`, `low` and `high`; sizes of 0 as nan."""
    stem = f"{name}_rms_predicted" if name in SIZES else f"{name}_predicted"
    found = {"measured": _measured(readings, name)}
    found |= {part: readings[stem + end] for part, end in ENDS.items() if stem + end in readings}
    return {part: np.where(own > 0, own, np.nan) if name in SIZES else own for part, own in found.items()}


def _measured(readings: Readings, name: str) -> np.ndarray:
    """(layer,) at step 0; a root mean square from mean and standard deviation."""
    if name not in SIZES:
        return readings[MEASURED.get(name, name)][0]
    mean = _mean_of_bins(readings) if name == "grad_w" else readings[f"{name}_mean"][0]
    return np.hypot(mean, readings[f"{name}_std"][0])


def _mean_of_bins(readings: Readings) -> np.ndarray:
    """(weight,) the mean of dL/dW at step 0, which was not stored; 0 where its bins are too wide to tell it."""
    edges = readings["grad_w_edges"]
    means = (readings["grad_w_hist"][0] * (edges[:, 1:] + edges[:, :-1]) / 2).sum(axis=1)
    return np.where(edges[:, 1] - edges[:, 0] < readings["grad_w_std"][0], means, 0)
