"""Depth that trains is not depth that helps: from He's start the 30-layer net ends worse than the 14-layer one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import Metrics
from experiments.he2015 import trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("mlp",)
MODELS = ("he14", "he22", "he30")
LOOKS = {"he14": (3, "14 layers"), "he22": (0, "22 layers"), "he30": (4, "30 layers")}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`deeper.he30-he14`, in points of the test error, and its like."""
    return trained.metrics("deeper", found["mlp"], [("he30", "he14"), ("he22", "he14")])


def draw(found: Mapping[str, Any]) -> "Figure":
    """Validation error over updates from He's start, a line for each depth."""
    return trained.draw(found["mlp"], {"He's start, three depths": tuple(LOOKS)}, LOOKS)
