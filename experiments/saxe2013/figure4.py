"""Figure 4: learning time and best step size on MNIST against depth, from small decoupled starts."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import Measured, Metrics, exact
from experiments.saxe2013 import learning_times
from experiments.saxe2013.depth import DEEP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("decoupled",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`growth` of the steps from the last depth but one to the last, nan if one never learnt; `slope` of step sizes.

    The interval of the slope is what the grid of step sizes leaves open: the best of them at either end of the range of
    depths may be off by half a step of the grid.
    """
    stage = found["decoupled"]
    (start,) = stage["starts"]
    steps, layers = learning_times.steps(stage, start)[0], np.array(stage["layers"], float)
    learnt = np.isfinite(learning_times.rates(stage, start)[0])
    return {
        "figure4.growth": exact(float(steps[-1] / steps[-2]) if learnt[-2:].all() else np.nan),
        "figure4.deeper": exact(float(layers[-1] / layers[-2])),
        "figure4.slope": _slope(stage, start),
        "figure4.first": exact(float(steps[0])),
        "figure4.last": exact(float(steps[-1])),
        "figure4.least": exact(stage["least"]),
    }


def _slope(stage: Mapping[str, Any], start: str) -> Measured:
    deep = [layers - 1 for layers in stage["layers"] if layers >= DEEP]
    grid = stage["rates"]
    step = math.log(grid["largest"] / grid["smallest"]) / (grid["count"] - 1)
    slope, off = float(learning_times.slopes(stage, start)[0]), step / math.log(deep[-1] / deep[0])
    return Measured(slope, slope - off, slope + off)


def draw(found: Mapping[str, Any]) -> "Figure":
    """Both panels of the paper."""
    return learning_times.draw(found["decoupled"])
