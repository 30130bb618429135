"""Residual networks h' = h + eta_l relu(W h): safe where the scales eta_l have a finite sum (Hanin & Rolnick)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("lengths",)
LABELS = {"one": "η = 1", "root": "η = 1/√L", "inverse": "η = 1/L", "geometric": "η = 0.9^l", "plain": "no skip"}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`residual.<branches>.doubling`, typical factor from half the depth to all; `.variance`, of the log at all."""
    branches = found["lengths"]["residual"]["branches"]
    metrics = {}
    for label, own in branches.items():
        mean_SD, variance_SD = np.array(own["mean"]), np.array(own["variance"])
        doubling_S = np.exp(mean_SD[:, -1] - mean_SD[:, -2])
        metrics[f"residual.{label}.doubling"] = over_runs(mean_interval(doubling_S))
        metrics[f"residual.{label}.variance"] = over_runs(mean_interval(variance_SD[:, -1]))
    return metrics


def draw(found: Mapping[str, Any]) -> "Figure":
    """The typical mean square, and the variance of its log between networks, against depth."""
    own = found["lengths"]["residual"]
    figure = drawing.figure(9, 3.8)
    left, right = figure.subplots(1, 2)
    for i, (label, branches) in enumerate(own["branches"].items()):
        for axes, name in ((left, "mean"), (right, "variance")):
            _curve(axes, own["depths"], np.array(branches[name]), drawing.look(i), LABELS.get(label, label))
    left.set(xscale="log", yscale="symlog", ylabel="mean of log M, input 0", xlabel="depth L")
    right.set(xscale="log", yscale="log", ylabel="variance of log M", xlabel="depth L")
    for axes in (left, right):
        axes.set_xticks(own["depths"], [str(depth) for depth in own["depths"]])
        axes.minorticks_off()
    drawing.legend(figure, left)
    seeds = len(next(iter(own["branches"].values()))["mean"])
    words = (
        f"L blocks of width {own['width']}, He-Gaussian weights; {seeds} seeds of {own['networks']} networks, 95 % "
        "intervals over seeds. M is the mean square behind the last block."
    )
    drawing.caption(figure, words)
    return figure


def _curve(axes: "Axes", depths: list[int], values_SD: np.ndarray, look: drawing.Look, label: str) -> None:
    interval = mean_interval(values_SD)
    drawing.points(axes, depths, interval.mean, interval.low, interval.high, look, label)
    axes.plot(depths, interval.mean, color=look.colour, ls=look.dashes, lw=1.2)
