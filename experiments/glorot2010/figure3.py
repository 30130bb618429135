"""Figure 3: how activations saturate while a network learns, tanh above and softsign below, standard initialisation.

Of each layer the standard deviation and the 98-percentile of the activations, here the larger end of their central
98 %. In the paper tanh saturates one layer after another from the bottom; softsign's layers move together, fast at
first and then slowly.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics
from experiments.glorot2010 import courses, learning, published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("shapeset",)
MODELS = ("tanh", "softsign")
DRAWS_SO_FAR = True
EARLY = 0.1  # of the run
PRINTED = {True: "printed", False: "printed, run drawn\nover the length of ours"}
BAR = {"color": "0.7", "lw": 4, "solid_capstyle": "butt"}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Means over seeds, `figure3.<reading>.<model>`.

    `order`, 1 if the markers reach the asymptote layer by layer from the bottom, 0 if all at once or never; `early`,
    the share of its change in standard deviation that lies in the first tenth of the run, of the layer with the least
    of it; `furthest`, the marker at the end, 1 being the asymptote, of the layer that is nearest to it; `falls`, the
    top layer's standard deviation at the end over that of layer 1. `figure3.together`: by how much less the layers of
    softsign differ than those of tanh in when half of their change is done, in shares of the run, paired by seed.
    """
    models = found["shapeset"]["models"]
    tanh_S, softsign_S = (np.ptp(courses.half_way(models[label]), axis=1) for label in MODELS)
    return {"figure3.together": learning.over_seeds(tanh_S - softsign_S)} | {
        f"figure3.{reading}.{label}": measured
        for label in MODELS
        for reading, measured in _readings(models[label]).items()
    }


def _readings(own: Mapping[str, Any]) -> dict[str, Measured]:
    std_STL, marker_STL = courses.course(own, "act_std"), courses.markers(own)
    values = {
        "order": courses.from_the_bottom(marker_STL),
        "early": early(np.array(own["step"]), std_STL).min(1),
        "furthest": marker_STL[:, -1].max(1),
        "falls": std_STL[:, -1, -1] / std_STL[:, -1, 0],
    }
    return {reading: learning.over_seeds(values_S) for reading, values_S in values.items()}


def early(step_T: np.ndarray, course_STL: np.ndarray) -> np.ndarray:
    """(S, L) share of a course's whole change that lies in the first tenth of the run; linear between probe points."""
    at = np.interp(EARLY * step_T[-1], step_T, np.arange(len(step_T)))
    before_SL, after_SL = course_STL[:, int(at)], course_STL[:, int(np.ceil(at))]
    change_SL = before_SL + at % 1 * (after_SL - before_SL) - course_STL[:, 0]
    return change_SL / (course_STL[:, -1] - course_STL[:, 0])


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each activation; the printed values, their run drawn over the length of ours if ours is narrower."""
    stage, paper = found["shapeset"], published.load("figure3")
    figure, looks = drawing.figure(8, 6.4), {PRINTED[courses.of_the_papers_width(stage)]: courses.OPEN}
    for axes, label in zip(figure.subplots(2, 1, sharex=True), MODELS, strict=True):
        own = stage["models"][label]
        courses.saturation(axes, own)
        _printed(axes, stage, paper[label], courses.thousands(own)[-1])
        axes.set_title(courses.title(own))
    courses.legend(figure.axes[0], [stage["models"][label] for label in MODELS], courses.READINGS | looks)
    courses.legend(axes, [], {"printed 98-percentiles\nof all layers": BAR})
    axes.set_xlabel("updates, thousands")
    courses.caption(figure, stage, MODELS, learning.seeds(stage))
    return figure


def _printed(axes: "Axes", stage: Mapping[str, Any], paper: Mapping[str, Any], end: float) -> None:
    last = max(paper["std"])
    scale = published.load("training")["epoch"] / 1000 if courses.of_the_papers_width(stage) else end / last
    for values in (paper["std"], paper.get("marker", {})):
        courses.printed(axes, values, scale, end)
    if "marker_last" in paper and scale * last <= end:
        axes.plot([scale * last, scale * last], paper["marker_last"], **BAR)
