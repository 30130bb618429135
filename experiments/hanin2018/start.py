"""Epochs until a network as wide as deep leaves chance on MNIST, for several variances (Hanin & Rolnick, Figure 1b)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Measured, Metrics, NotRun, number, over_runs
from experiments.hanin2018 import growth
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("equal",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`start.<weights>`, epochs until accuracy passes 20 % in the deepest networks; `start.<a>-<b>`, paired by seed.

    `start.<weights>.deeper`: the same epochs in the deepest networks less those in the shallowest.
    """
    own = found["equal"]
    if reason := runs.unfinished(own):
        return {"start": reason}
    first, last = next(iter(own["shapes"])), next(reversed(own["shapes"]))
    epochs = {weights: epochs_of(own, weights, last) for weights in own["weights"]}
    metrics: dict[str, Measured | NotRun] = {}
    for weights, values in epochs.items():
        metrics[f"start.{weights}"] = over_runs(mean_interval(values))
        metrics[f"start.{weights}.deeper"] = over_runs(mean_interval(values - epochs_of(own, weights, first)))
        for other in epochs.keys() - {weights}:
            metrics[f"start.{weights}-{other}"] = over_runs(mean_interval(values - epochs[other]))
    return metrics


def epochs_of(own: Mapping[str, Any], weights: str, shape: str) -> np.ndarray:
    """Epochs until accuracy passes 20 %, by seed; the whole budget where it did not."""
    return np.array(own["models"][f"{weights}-{shape}"]["accuracy20"])


def draw(found: Mapping[str, Any]) -> "Figure":
    """Epochs until accuracy passes 20 %, and the validation error when the budget ends, against depth."""
    own = found["equal"]
    figure = drawing.figure(9.5, 4)
    left, right = figure.subplots(1, 2)
    _panel(left, own, "accuracy20")
    left.axhline(own["epochs"], color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    left.set(ylabel="epochs until accuracy passes 20 %", ylim=(0, 1.08 * own["epochs"]))
    _panel(right, own, "valid")
    right.set(ylabel="validation error at the end, %", ylim=(0, 100))
    drawing.legend(figure, left)
    drawing.caption(figure, f"Means over seeds, and all seeds as bars. {caption(own)}")
    return figure


def _panel(axes: "Axes", own: Mapping[str, Any], name: str) -> None:
    depths = np.array([shape["depth"] for shape in own["shapes"].values()])
    for i, weights in enumerate(own["weights"]):
        look = growth.look(weights)
        at = depths * 1.03 ** (i - (len(own["weights"]) - 1) / 2)  # kinds stand beside one another
        values_SD = np.array([own["models"][f"{weights}-{shape}"][name] for shape in own["shapes"]]).T
        mean_D, low_D, high_D = values_SD.mean(0), values_SD.min(0), values_SD.max(0)
        drawing.points(axes, at, mean_D, low_D, high_D, look, growth.LABELS.get(weights, weights))
        axes.plot(at, mean_D, color=look.colour, ls=look.dashes, lw=1.2)
    axes.set(xlabel="depth = width", xscale="log")
    axes.set_xticks(depths, [str(depth) for depth in depths])
    axes.minorticks_off()


def caption(own: Mapping[str, Any]) -> str:
    """How the training was scaled."""
    rates = ", ".join(map(number, own["rates"]))
    rate = f"learning rate {rates}" if len(own["rates"]) == 1 else f"each at its best of the rates {rates}"
    return (
        f"MNIST, {own['steps']:,} updates of {own['batch_size']}, {rate}, {own['seeds']} seeds. "
        "Dotted: the budget, which a network that never got there counts with."
    )
