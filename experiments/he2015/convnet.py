"""Figures 2 and 3 with convolutions, which is what the paper trains: 22 and 30 layers from both starts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import Metrics
from experiments.he2015 import mlp, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("convnet",)
MODELS = ("he22", "xavier22", "he30", "xavier30")
PANELS = {title: models[:2] for title, models in mlp.PANELS.items()}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """As `trained.metrics` has them."""
    return trained.metrics("convnet", found["convnet"], [("xavier22", "he22"), ("xavier30", "he30")])


def draw(found: Mapping[str, Any]) -> "Figure":
    """Validation error over updates, 22 layers left and 30 right."""
    return trained.draw(found["convnet"], PANELS, mlp.LOOKS)


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each model."""
    return trained.table(found["convnet"])
