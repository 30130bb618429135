"""What is meant to make deep networks trainable, in networks of 30 weight layers: a scheme, an activation, a skip.

LSUV (Mishkin & Matas 2016), SELU (Klambauer et al. 2017), looks-linear weights (Balduzzi et al. 2017) and orthogonal
ones under tanh (Saxe et al. 2013), beside batch normalisation and branches whose scale is learned.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Measured, Metrics, over_runs
from experiments.modern import trained
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("rescues",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`rescues.<model>`: test error at the best rate, percent."""
    own = found["rescues"]
    if cut := runs.unfinished(own):
        return {"rescues": cut}
    return {f"rescues.{label}": _error(model) for label, model in own["models"].items()}


def _error(model: Mapping[str, Any]) -> Measured:
    return over_runs(mean_interval(trained.only_row(model)["test"]))


def draw(found: Mapping[str, Any]) -> "Figure":
    """Test errors of every network, a line each."""
    own = found["rescues"]
    figure = drawing.figure(8, 0.4 * len(own["models"]) + 1.5)
    axes, look = figure.subplots(), drawing.look(0)
    for i, model in enumerate(own["models"].values()):
        tests_S = trained.only_row(model)["test"]
        axes.plot(tests_S, np.full(len(tests_S), i), look.marker, color=look.colour, ms=5)
        axes.axhline(i, color="0.9", lw=0.8, zorder=0)
    axes.axvline(trained.only_row(own["models"]["he"])["chance"], color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    drawing.logarithmic(axes.xaxis)
    axes.set_yticks(range(len(own["models"])), [model["title"] for model in own["models"].values()])
    axes.invert_yaxis()
    axes.set_xlabel("test error, %")
    drawing.caption(figure, f"One marker a seed; dotted: chance. 30 weight layers. {trained.scale(own)}")
    return figure


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each network: its test error and the rate."""
    models = found["rescues"]["models"].values()
    return [{"network": model["title"], **trained.cells(trained.only_row(model))} for model in models]
