"""Figure 8: the variance that deep orthogonal tanh networks settle at, by gain."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from experiments.saxe2013.figure7 import label
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("jacobians",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`<gain>`, the variance at depth; `<gain>.ratio`, over the fixed point of eq. 49, where that is not 0."""
    stage, metrics = found["jacobians"], dict[str, Any]()
    for gain, values in stage["settled"].items():
        metrics[f"figure8.{label(gain)}"] = over_runs(mean_interval(values))
        if stage["fixed_point"][gain] > 0:
            metrics[f"figure8.{label(gain)}.ratio"] = over_runs(
                mean_interval(np.array(values) / stage["fixed_point"][gain])
            )
    return metrics


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left, the map of eq. 48 at gain 1; right, fixed points of eq. 49 and the networks' variances."""
    from xinit.networks import activations
    from xinit.theory import mean_field

    stage = found["jacobians"]
    figure = drawing.figure(8.5, 3.6)
    maps, settled = figure.subplots(1, 2)
    q = np.linspace(0, 2, 60)
    maps.plot(q, mean_field.q_map(activations.tanh(), 1.0, 0.0, q), color="#D55E00", lw=1.3, label="eq. 48, gain 1")
    maps.plot(q, q, color="0.5", lw=0.8, ls="--", label="unchanged")
    maps.set(title="one layer", xlabel="variance in", ylabel="variance out")
    gains = np.linspace(0.8, max(stage["gains"]) + 0.05, 60)
    fixed = [mean_field.q_star(activations.tanh(), gain**2, 0.0) for gain in gains]
    settled.plot(gains, fixed, color="#D55E00", lw=1.3, label="eq. 49")
    own = np.array([stage["settled"][f"{gain:g}"] for gain in stage["gains"]])
    look = drawing.look(0)._replace(colour="#0072B2")
    drawing.points(settled, np.array(stage["gains"]), own.mean(1), own.min(1), own.max(1), look, "networks")
    settled.set(title=f"after {stage['variance_layers']} layers", xlabel="gain g", ylabel="variance q")
    for axes in (maps, settled):
        axes.legend(frameon=False)
    drawing.caption(
        figure, f"Width {stage['width']}, mean and extremes of {stage['seeds']} networks, inputs of variance 1."
    )
    return figure
