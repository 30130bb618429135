"""Figure 6A: learning time and best step size on MNIST against depth, from three kinds of weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import Metrics
from experiments.saxe2013 import learning_times

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("starts",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """By start: `growth` of the steps from the shallowest to the deepest network, and `slope` of the step sizes.

    `figure6a.<a>-over-<b>`: steps of the deepest network from start a over those from b, paired by seed.
    """
    stage = found["starts"]
    steps = {start: learning_times.steps(stage, start) for start in stage["starts"]}
    metrics: dict[str, Any] = {}
    for start, own in steps.items():
        metrics[f"figure6a.{start}.growth"] = learning_times.mean(own[:, -1] / own[:, 0])
        metrics[f"figure6a.{start}.first"] = learning_times.mean(own[:, 0])
        metrics[f"figure6a.{start}.last"] = learning_times.mean(own[:, -1])
        metrics[f"figure6a.{start}.slope"] = learning_times.mean(learning_times.slopes(stage, start))
        for other in steps.keys() - {start}:
            metrics[f"figure6a.{start}-over-{other}"] = learning_times.mean(own[:, -1] / steps[other][:, -1])
    return metrics


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left and middle panel of the paper."""
    return learning_times.draw(found["starts"])
