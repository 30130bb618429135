"""The gains of the normalised initialisation where widths grow or shrink with depth, which the paper asserts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import drawing
from experiments.claims import Metrics
from experiments.glorot2010 import learning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("growing", "shrinking")
DRAWS_SO_FAR = True


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`widths.<stage>.<model>`, test error in percent, and `widths.<stage>.<a>-<b>`, paired by seed."""
    return learning.test_errors("widths", STAGES, found)


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each profile."""
    figure = drawing.figure(9, 3.6)
    panels = figure.subplots(1, len(STAGES), sharey=True)
    for axes, stage in zip(panels, STAGES, strict=True):
        for model in found[stage]["models"]:
            learning.curve(axes, found[stage], model)
        axes.set_title(f"widths {stage} with depth")
    panels[0].set_ylabel("error, %")
    drawing.legend(figure, panels[0])
    drawing.caption(figure, f"{learning.seeds(found[STAGES[0]])} {learning.scale(found[s] for s in STAGES)}")
    return figure
