"""Mean square behind the last layer of networks as wide as deep, for several variances (Hanin & Rolnick, Figure 1a)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, number, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("lengths",)
LABELS = {"he": "He normal", "he_uniform": "He uniform", "he_truncated": "He normal, truncated",
          "lecun": "variance 1/n", "twice": "variance 4/n"}  # fmt: skip
CRITICAL = ("he", "he_uniform")  # of variance 2/n; all others are off it


def look(weights: str) -> drawing.Look:
    """The look of a kind of weights in every figure."""
    return drawing.look(list(LABELS).index(weights) if weights in LABELS else len(LABELS))


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`growth.<weights>`, by how much a layer multiplies the typical mean square; `growth.off`, the least |log| of it.

    The slope of the mean log over depth: where width and depth are equal, sum 1/n_l = 1 takes the same -B/2 from the
    log at every depth. `off` is over all weights whose variance is not 2/n.
    """
    own = found["lengths"]["growth"]
    slopes = {weights: _slopes(own, weights) for weights in own["weights"]}
    metrics = {f"growth.{weights}": over_runs(mean_interval(np.exp(slope_S))) for weights, slope_S in slopes.items()}
    off = [over_runs(mean_interval(np.sign(slope_S.mean()) * slope_S))
           for weights, slope_S in slopes.items() if weights not in CRITICAL]  # fmt: skip
    return metrics | {"growth.off": min(off, key=lambda one: one.low)}


def _slopes(own: Mapping[str, Any], weights: str) -> np.ndarray:
    """Of each seed: the slope of the mean log over depth."""
    mean_DS = np.array(own["weights"][weights]["mean"]).T
    return np.polyfit(own["depths"], mean_DS, 1)[0]


def draw(found: Mapping[str, Any]) -> "Figure":
    """Medians with the middle half of the networks; dashed: (n Var W / 2)^depth, the mean, and below it the median."""
    own, measured = found["lengths"]["growth"], metrics(found)
    depths = np.array(own["depths"])
    figure = drawing.figure(7.2, 4.2)
    axes = figure.subplots()
    for i, (weights, kind) in enumerate(own["weights"].items()):
        style, at = look(weights), depths + 0.6 * (i - (len(own["weights"]) - 1) / 2)
        label = f"{LABELS.get(weights, weights)}, {number(measured[f'growth.{weights}'].value)}"
        drawing.points(axes, at, *(np.exp(kind[part]) for part in ("median", "low", "high")), style, label)
        axes.plot(depths, (kind["scale"] / 2) ** depths, color=style.colour, lw=1, ls=style.dashes, zorder=1)
    axes.set(yscale="log", xlabel="depth = width", ylabel="mean square behind the last layer, input 1",
             xlim=(depths[0] - 4, depths[-1] + 4))  # fmt: skip
    axes.set_xticks(depths)
    figure.legend(loc="outside right upper", frameon=False, handlelength=3)
    n = own["networks"] * len(own["weights"]["he"]["mean"])
    words = (
        f"{n} networks of each kind and depth: medians and quartiles; behind each kind the measured factor of a "
        "layer. Lines are the expected mean square, (n Var W / 2)^depth: the median of a log-normal of variance B "
        "= 5 lies a factor e^(5/2) = 12 below, at every depth."
    )
    drawing.caption(figure, words)
    return figure
