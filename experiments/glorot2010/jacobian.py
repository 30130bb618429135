"""The average singular value of the Jacobians between layers, eq. 17: what one layer does to a small change.

J_i = dz_{i+1} / dz_i, z the post-activation. A square matrix of independent entries has the mean singular value
8 / (3 pi) sqrt(n Var W), .849 under eq. 16 and .490 under eq. 1, times a factor near E f'.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, exact, over_runs
from experiments.glorot2010 import densities, published
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("initial",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`<scheme>`, the mean over all Jacobians of a network; `<scheme>.theory`, what was predicted of it."""
    measured = {}
    for label, own in found["initial"]["schemes"].items():
        measured[f"jacobian.{label}"] = over_runs(mean_interval(np.mean(own["jacobian_mean"], axis=1)))
        measured[f"jacobian.{label}.theory"] = exact(float(np.mean(own["predicted"]["jacobian_mean"])))
    return measured


def draw(found: Mapping[str, Any]) -> "Figure":
    """Every Jacobian's mean singular value with its interval, theory as lines, the printed averages dotted."""
    initial, printed = found["initial"], published.load("jacobian")
    figure = drawing.figure(7.2, 3.6)
    axes = figure.subplots()
    for i, (label, own) in enumerate(initial["schemes"].items()):
        look, interval = drawing.look(i), mean_interval(np.array(own["jacobian_mean"]))
        layers = np.arange(1, len(interval.mean) + 1)
        drawing.points(axes, layers, interval.mean, interval.low, interval.high, look, densities.title(own))
        axes.plot(layers, own["predicted"]["jacobian_mean"], color=look.colour, ls=look.dashes, lw=1.2)
        if label in printed:
            axes.axhline(printed[label], color=look.colour, ls=":", lw=1)
    axes.plot([], [], color="0.3", ls=":", label="printed average")
    axes.set(xlabel="Jacobian of layer i + 1 by layer i", ylabel="mean singular value", ylim=(0, 1))
    axes.set_xticks(layers)
    axes.legend(frameon=False, loc="lower right")
    text = f"Markers: measured at {initial['jacobian_examples']} examples. Lines: theory."
    drawing.caption(figure, f"{densities.caption(initial)} {text}")
    return figure
