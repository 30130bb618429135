"""Figure 12: error on MNIST and CIFAR-10 while the models learn, against examples seen."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import drawing
from experiments.claims import Metrics
from experiments.glorot2010 import learning, published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("mnist", "cifar10")
DRAWS_SO_FAR = True
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`figure12.<stage>.<model>`, test error in percent, and `figure12.<stage>.<a>-<b>`, paired by seed."""
    return learning.test_errors("figure12", STAGES, found)


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each data set; crosses at the right edge are the printed errors of Table 1."""
    shown = [stage for stage in STAGES if stage in found]
    figure = drawing.figure(4.8 * len(shown), 4.4)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, stage in zip(panels, shown, strict=True):
        _panel(axes, stage, found[stage])
    panels[0].set_ylabel("error, %")
    panels[0].plot([], [], "x", color="0.3", label="printed, Table 1")
    drawing.legend(figure, panels[0])
    drawing.caption(figure, f"{learning.seeds(found[shown[0]])} {learning.scale(found[s] for s in shown)}")
    return figure


def _panel(axes: "Axes", stage: str, campaign: Mapping[str, Any]) -> None:
    for model in campaign["models"]:
        learning.curve(axes, campaign, model)
    right = axes.get_xlim()[1]
    for model, error in published.load("table1")[stage].items():
        axes.plot(right, error, "x", color=learning.look(model).colour, ms=6, clip_on=False, zorder=4)
    axes.set_xlim(0, right)
    axes.set_title(TITLES[stage])
    drawing.logarithmic(axes.yaxis)
