"""Figure 9: standard deviation of every layer's weight gradients while a tanh network learns, for both initialisations.

At the start they are alike in layers of equal widths (eq. 14). In the paper they drift apart during training under the
standard initialisation and stay together under the normalised one. Ours are of the mean cost over the probe examples,
the paper's of the cost summed over a mini-batch: they compare between layers, not in size.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics
from experiments.glorot2010 import courses, densities, learning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("shapeset",)
MODELS = ("tanh", "tanh_n")  # standard and normalised initialisation
DRAWS_SO_FAR = True


def metrics(found: Mapping[str, Any]) -> Metrics:
    """How many times the smallest of the layers' standard deviations the largest is, over seeds.

    `figure9.start.<model>`, at the start; `figure9.apart.<model>`, geometric mean over the second half of training;
    `figure9.growth.<model>`, the second over the first. And of `apart` and `growth` the `ratio`, standard over
    normalised initialisation, paired by seed.
    """
    models = found["shapeset"]["models"]
    of_models = {label: _readings(models[label]) for label in MODELS}
    values = {f"{name}.{label}": own_S for label, own in of_models.items() for name, own_S in own.items()}
    for name in ("apart", "growth"):
        values[f"{name}.ratio"] = np.divide(*(of_models[label][name] for label in MODELS))
    return {f"figure9.{name}": learning.over_seeds(values_S) for name, values_S in values.items()}


def _readings(own: Mapping[str, Any]) -> dict[str, np.ndarray]:
    start_S, apart_S = courses.spread(own)[:, 0], courses.apart(own)
    return {"start": start_S, "apart": apart_S, "growth": apart_S / start_S}


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each initialisation, with how far apart the layers are."""
    stage, measured = found["shapeset"], metrics(found)
    figure = drawing.figure(8, 6.4)
    for axes, label in zip(figure.subplots(2, 1, sharex=True, sharey=True), MODELS, strict=True):
        own = stage["models"][label]
        courses.lines(axes, courses.thousands(own), courses.hidden_gradients(own))
        start, apart = (densities.words(measured[f"figure9.{name}.{label}"]) for name in ("start", "apart"))
        note = f"largest over smallest layer: {start} at the start, {apart} in the second half"
        axes.set_title(f"{courses.title(own)}\n{note}", fontsize=8.5)
        axes.set(ylabel="std of the weight gradients", yscale="log")
    courses.legend(figure.axes[0], [stage["models"][label] for label in MODELS], {})
    axes.set_xlabel("updates, thousands")
    text = f"Gradients of the mean cost over the probe examples. {learning.seeds(stage)}"
    courses.caption(figure, stage, MODELS, text)
    return figure
