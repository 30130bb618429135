"""log |J v|^2 of single networks against N(-B/2, B), and its variance against sum 1/n_l (Hanin & Nica 2018)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from experiments.hanin2018 import law, products
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("products",)
LABELS = {"relu": "relu, He normal", "linear": "linear", "uniform": "relu, He uniform"}
SHOWN = "32x32"  # the shape whose histogram stands on the left


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`<row>.variance`, Var log |J v|^2 over sum 1/n_l; `.mean`, the mean over that variance; `.inside`, in the band.

    Each is a mean over shapes within a seed, with its interval over seeds.
    """
    own = found["products"]
    return {
        f"lognormal.{row}.{name}": over_runs(mean_interval(values_S))
        for row in own["rows"]
        for name, values_S in _by_seed(own, row).items()
    }


def _by_seed(own: Mapping[str, Any], row: str) -> dict[str, np.ndarray]:
    shapes = own["rows"][row]["shapes"]
    over = {name: np.mean([np.array(shapes[shape][name]) / own["sums"][shape] for shape in shapes], axis=0)
            for name in ("variance", "mean")}  # fmt: skip
    inside = np.mean([shape["inside"] for shape in shapes.values()], axis=0)
    return {"variance": over["variance"], "mean": over["mean"] / over["variance"].mean(), "inside": inside}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left: one shape's networks and the normal density. Right: variance against sum 1/n_l, every row and shape."""
    own = found["products"]
    figure = drawing.figure(9.5, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _histogram(left, own)
    _variances(right, own)
    networks = ", ".join(f"{row['networks'] * own['seeds']:,} ({LABELS[name]})" for name, row in own["rows"].items())
    words = (
        f"Networks of each shape: {networks}. Points are means over {own['seeds']} seeds with 95 % intervals; "
        "crosses the exact variance of Gaussian networks of these widths."
    )
    drawing.caption(figure, words)
    return figure


def _histogram(axes: "Axes", own: Mapping[str, Any]) -> None:
    edges = np.linspace(-products.REACH, products.REACH, products.BINS + 1)
    counts = np.array(own["rows"]["relu"]["shapes"][SHOWN]["counts"])
    axes.stairs(counts / counts.sum() / np.diff(edges), edges, fill=True, color="0.8", label="drawn")
    x = np.linspace(-products.REACH, products.REACH, 200)
    axes.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color=drawing.look(0).colour, label="N(-B/2, B)")
    b = law.PER_LAYER["relu"] * own["sums"][SHOWN]
    depth, width = own["shapes"][SHOWN]["depth"], own["shapes"][SHOWN]["widths"][0]
    axes.set(title=f"relu, {depth} layers of {width}: B = {b:g}", xlabel="(log |Jv|² + B/2) / √B", ylabel="density")
    axes.set_xlim(-4.5, 4.5)
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.legend(frameon=False, loc="upper left")


def _variances(axes: "Axes", own: Mapping[str, Any]) -> None:
    sums = np.array(list(own["sums"].values()))
    line = np.array([0.8 * sums.min(), 1.25 * sums.max()])
    for i, (name, row) in enumerate(own["rows"].items()):
        look = drawing.look(i)
        shapes = row["shapes"].values()
        interval = mean_interval(np.array([shape["variance"] for shape in shapes]).T)
        at = sums * (1 + 0.05 * (i - 1))  # rows stand beside one another
        drawing.points(axes, at, interval.mean, interval.low, interval.high, look, LABELS[name])
        axes.plot(at, [shape["exact"]["variance"] for shape in shapes], "x", color=look.colour, ms=6, mew=1, zorder=4)
    for factor in (5, 2):
        axes.plot(line, factor * line, color="0.4", lw=0.9, ls=(0, (4, 2)), zorder=1)
        axes.annotate(f"{factor} Σ 1/n", (line[1], factor * line[1]), xytext=(3, 0), textcoords="offset points",
                      va="center", fontsize=7.5, color="0.3")  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        drawing.logarithmic(axis)
    axes.set(title="seven shapes", xlabel="Σ 1/n", ylabel="variance of log |Jv|²", xlim=(line[0], 1.35 * line[1]))
    axes.legend(frameon=False, loc="upper left")
