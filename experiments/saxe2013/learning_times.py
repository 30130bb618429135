"""What Figures 4 and 6A share: learning times and best step sizes on MNIST against depth."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, over_runs
from experiments.saxe2013.depth import slope
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = {"decoupled": 1, "gaussian": 0.97, "orthogonal": 1, "pretrained": 1.03}  # so that bars stand side by side


def steps(stage: Mapping[str, Any], start: str) -> np.ndarray:
    """(seed, depth) steps until learnt; where a network never was, the most that it was given."""
    return np.array(stage["starts"][start]["steps"], float)


def rates(stage: Mapping[str, Any], start: str) -> np.ndarray:
    """(seed, depth) best step sizes; nan where none got there."""
    return np.array(stage["starts"][start]["rate"], float)


def mean(by_seed: np.ndarray) -> Measured:
    """A mean over seeds with Student's interval."""
    return over_runs(mean_interval(by_seed))


def slopes(stage: Mapping[str, Any], start: str) -> np.ndarray:
    """By seed, the slope of ln best step size in ln (N_l - 1)."""
    return np.array([slope(np.array(stage["layers"]), own) for own in rates(stage, start)])


def draw(stage: Mapping[str, Any]) -> "Figure":
    """Left, steps until learnt; right, the step size of fewest steps. Bars: all seeds."""
    figure = drawing.figure(9.5, 3.9)
    times, sizes = figure.subplots(1, 2)
    for i, start in enumerate(stage["starts"]):
        look = drawing.look(i)
        _curve(times, stage, steps(stage, start), start, look)
        _curve(sizes, stage, rates(stage, start), start, look)
        lost = steps(stage, start) >= stage["most"]
        at = np.array(stage["layers"])[lost.any(0)] * SIDE[start]
        times.plot(at, [stage["most"]] * len(at), "^", color=look.colour, ms=8, mfc="white", zorder=4)
    layers = np.array(stage["layers"])
    deepest = [np.mean(rates(stage, start)[:, -1]) for start in stage["starts"]]
    if np.isfinite(deepest).any():
        falling = np.nanmin(deepest) * (layers[-1] - 1) / (layers - 1)
        sizes.plot(layers, falling, color="0.5", lw=1, ls="--", label="as one over the matrices")
    sizes.set(yscale="log", ylabel="step size (error summed over images)", title="best step size")
    times.set(ylabel="steps", title="steps until learnt", ylim=(0, None))
    for axes in (times, sizes):
        axes.set(xlabel="layers $N_l$")
    sizes.set(xscale="log", xticks=layers, xticklabels=layers)
    sizes.minorticks_off()
    times.set_xlim(0, None)
    drawing.legend(figure, sizes)
    seeds = f", means and extremes of {stage['seeds']} seeds" if stage["seeds"] > 1 else ""
    lost = any((steps(stage, start) >= stage["most"]).any() for start in stage["starts"])
    triangles = f" Open triangles: some or all did not learn within {stage['most']} steps." if lost else ""
    drawing.caption(figure, f"MNIST, width {stage['width']}{seeds}.{triangles}")
    return figure


def _curve(axes: "Axes", stage: Mapping[str, Any], by_seed: np.ndarray, start: str, look: drawing.Look) -> None:
    shown = np.isfinite(by_seed).any(0)
    layers, own = SIDE[start] * np.array(stage["layers"])[shown], by_seed[:, shown]
    axes.plot(layers, np.nanmean(own, 0), color=look.colour, ls=look.dashes, lw=1.2)
    drawing.points(axes, layers, np.nanmean(own, 0), np.nanmin(own, 0), np.nanmax(own, 0), look, start)
