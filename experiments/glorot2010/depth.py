"""Depth chosen on validation error, as the paper chose it: five hidden layers, but four for sigmoid."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import drawing
from experiments.claims import Metrics, exact
from experiments.glorot2010 import learning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("depths",)
DRAWS_SO_FAR = True


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`depth.<model>`: the depth of least validation error, each depth at its own best rate."""
    return {f"depth.{model}": exact(float(own["depth"])) for model, own in found["depths"]["models"].items()}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Validation error against depth, each depth at its own best rate; the chosen depth is filled."""
    campaign = found["depths"]
    figure = drawing.figure(5.6, 3.8)
    axes = figure.subplots()
    for i, own in enumerate(campaign["models"].values()):
        look, errors = drawing.look(i), best_by_depth(own["valid"])
        line = {"color": look.colour, "ls": look.dashes, "marker": look.marker}
        axes.plot(list(errors), list(errors.values()), mfc="white", label=own["label"], **line)
        axes.plot(own["depth"], errors[own["depth"]], color=look.colour, marker=look.marker)
    axes.set_xticks(sorted(errors))
    axes.set(xlabel="hidden layers", ylabel="validation error, %")
    axes.legend(frameon=False)
    drawing.caption(figure, learning.scale([campaign]))
    return figure


def best_by_depth(valid: Mapping[str, float]) -> dict[int, float]:
    """Least validation error of each depth, over the rates."""
    cells = [(int(cell.split()[0]), error) for cell, error in valid.items()]
    return {depth: min(error for other, error in cells if other == depth) for depth, _ in cells}
