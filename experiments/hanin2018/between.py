"""How far the mean squares of one network's layers differ, against sum 1/n_l (Hanin & Rolnick, second failure mode)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("lengths",)
NARROW, WIDE, SAME = "16x16", "64x4", ("16x16", "32x32")  # sum 1/n_l = 1, 1/16, and 1 at two depths


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`between.<shape>`, the median over networks of std over mean of M_l; `.exact`, E Var over what is exact.

    `between.same`: by what part the spread at the deeper of two shapes of equal sum differs from the other's.
    """
    shapes = found["lengths"]["between"]["shapes"]
    spread = {shape: np.array(own["spread"]) for shape, own in shapes.items()}
    metrics = {f"between.{shape}": over_runs(mean_interval(values)) for shape, values in spread.items()}
    metrics |= {f"between.{shape}.exact": over_runs(mean_interval(np.array(own["variance"]) / own["exact"]))
                for shape, own in shapes.items()}  # fmt: skip
    less, more = (spread[shape] for shape in SAME)
    return metrics | {"between.same": over_runs(mean_interval((more - less) / less.mean()))}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Layer by layer in a few narrow and wide networks, and the fluctuation against sum 1/n_l."""
    own = found["lengths"]["between"]
    figure = drawing.figure(10, 3.8)
    narrow, wide, fluctuation = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    for axes, shape in ((narrow, "32x32"), (wide, "64x16")):
        _layers(axes, own["shapes"][shape])
    wide.sharey(narrow)
    narrow.set_ylabel("mean square $M_l$")
    _against_sum(fluctuation, own)
    seeds = len(next(iter(own["shapes"].values()))["spread"])
    words = (
        f"Left: six networks each. Right: {seeds} seeds of {own['networks']} He-Gaussian networks, inputs of mean "
        "square 1; 95 % intervals over seeds. Where sum 1/n is large the mean of the variance is carried by rare "
        "networks, and a sample mostly falls short of it."
    )
    drawing.caption(figure, words)
    return figure


def _layers(axes: "Axes", shape: Mapping[str, Any]) -> None:
    for i, squares in enumerate(shape["example"]):
        style = drawing.layer_look(i)
        axes.plot(range(1, len(squares) + 1), squares, color=style.colour, lw=1.1)
    axes.axhline(1, color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    title = f"{shape['depth']} layers of {shape['widths'][0]}: Σ 1/n = {shape['sum']:g}"
    axes.set(yscale="log", xlabel="layer $l$", title=title)


def _against_sum(axes: "Axes", own: Mapping[str, Any]) -> None:
    order = sorted(own["shapes"].values(), key=lambda shape: shape["sum"])
    for i, (name, label) in enumerate((("variance", "mean of the variance"), ("spread", "median of std / mean"))):
        interval = mean_interval(np.array([shape[name] for shape in order]).T)
        at = np.array([shape["sum"] for shape in order])
        drawing.points(axes, at, interval.mean, np.maximum(interval.low, interval.mean / 10), interval.high,
                       drawing.look(i), label)  # fmt: skip
    sums, exact = ([shape[name] for shape in order] for name in ("sum", "exact"))
    axes.plot(sums, exact, "x", color=drawing.look(0).colour, ms=7, label="its exact mean")
    for axis in (axes.xaxis, axes.yaxis):
        drawing.logarithmic(axis)
    axes.set_yscale("log")
    axes.set(xlabel="Σ 1/n", title="over the layers of a network")
    axes.legend(frameon=False, loc="upper left")
