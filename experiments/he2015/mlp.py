"""Figures 2 and 3 with multilayer perceptrons: at 22 layers both starts train, He's sooner; at 30 only He's.

Fan-out, with which the paper itself trains, is beside fan-in: at equal widths they differ in the first and the last
layer alone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import Metrics
from experiments.he2015 import trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("mlp",)
MODELS = ("he22", "xavier22", "he30", "xavier30", "out30")
PANELS = {
    "22 layers, as in Figure 2": ("he22", "xavier22"),
    "30 layers, as in Figure 3": ("he30", "xavier30", "out30"),
}
LOOKS = {
    **dict.fromkeys(("he22", "he30"), (0, "He, N(0, 2/n)")),
    **dict.fromkeys(("xavier22", "xavier30"), (1, "N(0, 1/n)")),
    "out30": (2, "He, fan-out"),
}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """As `trained.metrics` has them; `he22`: the model from He's start with 22 layers."""
    return trained.metrics("mlp", found["mlp"], [("xavier22", "he22"), ("xavier30", "he30"), ("out30", "he30")])


def draw(found: Mapping[str, Any]) -> "Figure":
    """Validation error over updates, 22 layers left and 30 right."""
    return trained.draw(found["mlp"], PANELS, LOOKS)


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each model."""
    return trained.table(found["mlp"])
