"""The variance of the Jacobian's squared singular values: it grows with depth, by an amount a layer that is known.

On the edge of chaos the eigenvalues of J J^T have the mean 1 at every depth and the variance L (mu_2 / mu_1^2 - 1 -
s_1). In networks of finite width the mean itself scatters; the variance is that of the eigenvalues over their mean.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from experiments.pennington2017 import looks
from xinit.analysis.intervals import bootstrap_interval, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("spectra",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`<row>`, measured variance over theory's, the mean over all depths."""
    spectra = found["spectra"]
    ratios = {label: variances(row) / _theory(spectra, row) for label, row in spectra["rows"].items()}
    return {f"spectrum.{label}": over_runs(mean_interval(ratio_SL.mean(1))) for label, ratio_SL in ratios.items()}


def variances(row: Mapping[str, Any]) -> np.ndarray:
    """(S, L) variance of the eigenvalues of J J^T over their squared mean; nan where a network lets nothing through."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array(row["variance"]) / np.array(row["mean"]) ** 2


def _theory(spectra: Mapping[str, Any], row: Mapping[str, Any]) -> np.ndarray:
    return np.array(spectra["depths"]) * row["variance_a_layer"]


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left the variance over depth, networks as markers and theory as lines; right densities of singular values."""
    spectra = found["spectra"]
    figure = drawing.figure(10, 4.4)
    left, right = figure.subplots(1, 2)
    for label, row in spectra["rows"].items():
        look, interval = looks.look(label), bootstrap_interval(variances(row))
        left.plot(spectra["depths"], _theory(spectra, row), color=look.colour, ls=look.dashes, lw=1.2)
        drawing.points(left, spectra["depths"], interval.mean, interval.low, interval.high, look, looks.words(label))
    left.set(xlabel="layers L", ylabel="variance of squared singular values", xscale="log", yscale="log")
    left.set_xticks(spectra["depths"], [str(depth) for depth in spectra["depths"]])
    left.minorticks_off()
    _densities(right, spectra)
    looks.legend(figure, left)
    text = (
        f"{spectra['seeds']} networks of width {spectra['width']} of each kind, on the edge of chaos. Lines: theory. "
        "Left: means with 95 % intervals; tanh with Gaussian and relu with orthogonal weights lie on each other. "
        "Right: the bar at 0 is cut off, and so is what lies beyond 3."
    )
    drawing.caption(figure, text)
    return figure


def _densities(axes: "Axes", spectra: Mapping[str, Any]) -> None:
    edges = np.array(spectra["edges"])
    for label, row in spectra["rows"].items():
        look = looks.look(label)
        axes.stairs(row["density"][-1], edges, color=look.colour, ls=look.dashes, lw=1.2)
    axes.axvline(1, color="0.85", lw=0.8, zorder=0)
    axes.set(title=f"after {spectra['depths'][-1]} layers", xlabel="singular value of J", ylabel="density", xlim=(0, 3))
    axes.set_ylim(0, 2.5)
