"""Figure 7: densities of the back-propagated gradients at initialisation, for every layer.

dC/ds of single examples, s the pre-activation. Under eq. 1 each layer on the way down takes two thirds of their
variance (eqs. 6, 15); under eq. 16 it keeps it, but for what tanh takes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import Metrics
from experiments.glorot2010 import densities, published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("initial",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`ratio.<scheme>`: std of the top layer's gradients over the bottom one's."""
    return densities.ratios("figure7", found["initial"], "gradient", lambda std_SL: std_SL[:, -1] / std_SL[:, 0])


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each scheme."""
    measured, printed = metrics(found), published.load("figure7")
    notes = {}
    for label in found["initial"]["schemes"]:
        beside = f"\nprinted: about {printed[label]:g}" if label in printed else ""
        ratio = "std of the top layer over the bottom one's"
        notes[label] = densities.note(ratio, measured, "figure7", label) + beside
    return densities.draw(found["initial"], "gradient", "back-propagated gradient, dC/ds", notes)
