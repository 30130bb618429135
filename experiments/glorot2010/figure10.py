"""Figure 10: how tanh saturates while it learns, as in Figure 3, under the normalised initialisation.

In the paper it saturates there too, and yet no network learns better: how far activations saturate does not tell by
itself how well a network trains.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import drawing
from experiments.claims import Measured, Metrics
from experiments.glorot2010 import courses, densities, learning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("shapeset",)
MODELS = ("tanh_n", "tanh")  # normalised and standard initialisation
DRAWS_SO_FAR = True


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Means over seeds, at the end of training, and the test errors of the stage, `figure10.shapeset.<a>-<b>`.

    Under the normalised initialisation: `figure10.marker`, the 98-percentile of the layer that is furthest from the
    asymptote, 1; `figure10.saturated`, the share of saturated activations less that under the standard initialisation,
    paired by seed.
    """
    models = found["shapeset"]["models"]
    normalised_S, standard_S = (courses.course(models[label], "act_saturated")[:, -1].mean(1) for label in MODELS)
    return {
        "figure10.marker": learning.over_seeds(courses.markers(models[MODELS[0]])[:, -1].min(1)),
        "figure10.saturated": learning.over_seeds(normalised_S - standard_S),
        **learning.test_errors("figure10", STAGES, found),
    }


def draw(found: Mapping[str, Any]) -> "Figure":
    """As a panel of Figure 3, with the test errors of both initialisations."""
    stage, measured = found["shapeset"], metrics(found)
    figure = drawing.figure(8, 3.8)
    axes, own = figure.subplots(), stage["models"][MODELS[0]]
    courses.saturation(axes, own)
    axes.set_title(courses.title(own))
    courses.legend(axes, [own], courses.READINGS)
    axes.set_xlabel("updates, thousands")
    courses.caption(figure, stage, MODELS, f"{learning.seeds(stage)}{_errors(measured)}")
    return figure


def _errors(measured: Metrics) -> str:
    """Test errors where the networks are trained to their end."""
    found = [measured.get(f"figure10.shapeset.{label}") for label in MODELS]
    if not all(isinstance(own, Measured) for own in found):
        return ""
    normalised, standard = map(densities.words, found)
    return f" Test error {normalised} %, under the standard initialisation {standard} %."
