"""Figure 6: densities of the activations at initialisation, for every layer.

Under eq. 1 every layer multiplies the variance by n Var W = 1/3 and the activations shrink layer by layer; under eq. 16
n Var W = 1 and they keep their size, but for what tanh takes from it (eq. 5).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics, exact
from experiments.glorot2010 import densities, published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("initial",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`ratio.<scheme>`, std of the top layer over the bottom one's; `peaks`, the furthest of the printed ones."""
    initial = found["initial"]
    ratios = densities.ratios("figure6", initial, "activation", lambda std_SL: std_SL[:, -1] / std_SL[:, 0])
    return ratios | {"figure6.peaks": _from_printed(initial)}


def _from_printed(initial: Mapping[str, Any]) -> Measured:
    """Largest relative distance of the standard initialisation's peaks from the printed ones."""
    ours, printed = peaks(initial["schemes"]["standard"]), np.array(published.load("figure6")["standard"])
    n = min(len(ours), len(printed))
    return exact(float(np.abs(ours[:n] / printed[:n] - 1).max()))


def peaks(own: Mapping[str, Any]) -> np.ndarray:
    """Density at 0, by layer."""
    density_LB = np.array(own["activation_density"])
    middle = density_LB.shape[1] // 2
    return density_LB[:, middle - 1 : middle + 1].mean(1)


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each scheme; crosses are the printed peaks, the band where the printed normalised ones lie."""
    measured, printed = metrics(found), published.load("figure6")
    schemes = found["initial"]["schemes"]
    ratio = "std of the top layer over the bottom one's"
    notes = {label: densities.note(ratio, measured, "figure6", label) for label in schemes}
    figure = densities.draw(found["initial"], "activation", "activation value", notes)
    panels = dict(zip(schemes, figure.axes, strict=True))
    for l, peak in enumerate(printed["standard"]):
        panels["standard"].plot(0, peak, "x", color=drawing.layer_look(l).colour, ms=8, mew=1.6, zorder=4)
    for label in set(schemes) - {"standard"}:
        panels[label].axhspan(*printed["normalised"], color="0.88", zorder=0)
        panels[label].set_ylim(top=1.2 * panels[label].get_ylim()[1])  # room for the note above the band
    panels["standard"].plot([], [], "x", color="0.3", label="printed peak")
    panels["standard"].fill_between([], [], color="0.88", label="printed peaks (below)")
    panels["standard"].legend(frameon=False, loc="upper right")
    return figure
