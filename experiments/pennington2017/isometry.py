"""Which networks keep all directions alike: orthogonal weights and a small q*, and never relu.

What a layer adds to the variance is the scatter of f'^2 over units, and 1 more if the weights are Gaussian. tanh has
8 q*^2 for small q*, so that L layers are isometric up to q* of about 1 / L; relu has 1 at any q*.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, exact, over_runs
from experiments.pennington2017 import looks
from experiments.pennington2017.spectrum import variances
from xinit.analysis.intervals import bootstrap_interval, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("spectra",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Of each row at the greatest depth `<row>.largest`, the largest singular value, and `<row>.variance`.

    `small_q`, what theory has a layer of tanh_orthogonal add over 8 q^2; `relu`, the least of what a layer of relu adds
    with orthogonal weights over all q.
    """
    spectra, measured = found["spectra"], {}
    for label, row in spectra["rows"].items():
        measured[f"isometry.{label}.largest"] = over_runs(mean_interval(np.array(row["largest"])[:, -1]))
        measured[f"isometry.{label}.variance"] = over_runs(mean_interval(variances(row)[:, -1]))
    small = spectra["rows"].get("tanh_orthogonal")
    if small:
        measured["isometry.small_q"] = exact(small["variance_a_layer"] / (8 * small["edge"]["q"] ** 2))
    if line := spectra["theory"]["lines"].get("relu_orthogonal"):
        measured["isometry.relu"] = exact(min(line))
    return measured


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left what a layer adds over q*, theory as lines and networks as markers; right the largest singular value."""
    spectra = found["spectra"]
    figure = drawing.figure(10, 4.4)
    left, right = figure.subplots(1, 2)
    _added(left, spectra)
    for label, row in spectra["rows"].items():
        look, interval = looks.look(label), bootstrap_interval(np.array(row["largest"]))
        right.plot(spectra["depths"], interval.mean, color=look.colour, ls=look.dashes, lw=1)
        drawing.points(right, spectra["depths"], interval.mean, interval.low, interval.high, look, looks.words(label))
    right.set(title="largest singular value", xlabel="layers L", xscale="log", yscale="log")
    right.set_xticks(spectra["depths"], [str(depth) for depth in spectra["depths"]])
    right.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    right.minorticks_off()
    looks.legend(figure, right)
    text = (
        f"Markers: {spectra['seeds']} networks of width {spectra['width']} of each kind, with 95 % intervals. Left: "
        "lines are theory's."
    )
    drawing.caption(figure, text)
    return figure


def _added(axes: "Axes", spectra: Mapping[str, Any]) -> None:
    q, depth = np.array(spectra["theory"]["q"]), spectra["depths"][-1]
    for label, line in spectra["theory"]["lines"].items():
        look = looks.look(label)
        axes.plot(q, line, color=look.colour, ls=look.dashes, lw=1.2)
    axes.plot(q, 8 * q**2, color="0.6", lw=1, ls=":", label="8 q*²")
    for label, row in spectra["rows"].items():
        look, interval = looks.look(label), bootstrap_interval(variances(row)[:, -1] / depth)
        drawing.points(axes, [row["edge"]["q"]], [interval.mean], [interval.low], [interval.high], look)
    axes.set(title="what a layer adds to the variance", xlabel="q*", xscale="log", yscale="log")
    axes.legend(frameon=False, fontsize=7.5, loc="lower right")
