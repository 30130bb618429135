"""Figure 4: learning time and best step size on MNIST against depth, from small decoupled starts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import Metrics, exact
from experiments.saxe2013 import learning_times

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("decoupled",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`growth` of the steps from the last depth but one to the last, nan if one never learnt; `slope` of step sizes."""
    stage = found["decoupled"]
    (start,) = stage["starts"]
    steps, layers = learning_times.steps(stage, start)[0], np.array(stage["layers"], float)
    learnt = np.isfinite(learning_times.rates(stage, start)[0])
    return {
        "figure4.growth": exact(float(steps[-1] / steps[-2]) if learnt[-2:].all() else np.nan),
        "figure4.deeper": exact(float(layers[-1] / layers[-2])),
        "figure4.slope": exact(float(learning_times.slopes(stage, start)[0])),
        "figure4.first": exact(float(steps[0])),
        "figure4.last": exact(float(steps[-1])),
        "figure4.least": exact(stage["least"]),
    }


def draw(found: Mapping[str, Any]) -> "Figure":
    """Both panels of the paper."""
    return learning_times.draw(found["decoupled"])
