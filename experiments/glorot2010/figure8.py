"""Figure 8: densities of the weight gradients at initialisation, for every layer.

dC/dW summed over a mini-batch. By eq. 14 they do not depend on the layer, under either initialisation: what the signal
loses on the way up the gradient has not lost yet on its way down.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import Metrics
from experiments.glorot2010 import densities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("initial",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`ratio.<scheme>`: the largest std of a layer's weight gradients over the smallest."""
    spread = lambda std_SL: std_SL.max(1) / std_SL.min(1)
    return densities.ratios("figure8", found["initial"], "weight_gradient", spread)


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each scheme."""
    measured, initial = metrics(found), found["initial"]
    ratio = "largest std over smallest"
    notes = {label: densities.note(ratio, measured, "figure8", label) for label in initial["schemes"]}
    xlabel = f"weight gradient, dC/dW summed over a mini-batch of {initial['batch_size']}"
    return densities.draw(initial, "weight_gradient", xlabel, notes)
