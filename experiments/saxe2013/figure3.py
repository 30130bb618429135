"""Figure 3: how strongly a network of three layers holds each mode of its task, while it learns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, exact, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("hierarchy",)
COURSES = {
    "closed": ("eq. 12", "#D55E00", "--"),
    "linear": ("linear", "#0072B2", "-"),
    "tanh": ("tanh", "#009E73", "-"),
}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`deviation` from eq. 12 on a decoupled start, as a share of s; delays of half learning from random starts."""
    stage = found["hierarchy"]
    delays = {name: mean_interval(_delays(stage, name).mean(1)) for name in ("linear", "tanh")}
    return {
        "figure3.deviation": exact(max(stage["deviation"])),
        "figure3.first": exact(stage["half"][0]),
        "figure3.last": exact(stage["half"][-1]),
        **{f"figure3.delay.{name}": over_runs(interval) for name, interval in delays.items()},
    }


def _delays(stage: Mapping[str, Any], name: str) -> np.ndarray:
    """(seed, mode) time of half learning over that of eq. 11, less 1."""
    return np.array(stage[f"half_{name}"]) / np.array(stage["half"]) - 1


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left, the strength of seven modes; right, by how much random starts are later than the closed form."""
    stage = found["hierarchy"]
    figure = drawing.figure(9.5, 3.9)
    curves, delays = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for name in ("linear", "tanh", "closed"):
        label, colour, dashes = COURSES[name]
        lines = curves.plot(stage["step"], stage[name], color=colour, ls=dashes, lw=1.4)
        lines[0].set_label(label)
    _name_modes(curves, stage)
    curves.set(title="strength of each mode", xlabel="steps", ylabel="strength u", xlim=(0, stage["step"][-1]))
    for name in ("linear", "tanh"):
        _panel(delays, 100 * _delays(stage, name), *COURSES[name])
    delays.axhline(0, color="0.6", lw=0.8)
    delays.set(title="half learnt later than eq. 11 says", xlabel="mode", ylabel="delay, %")
    drawing.legend(figure, curves)
    seeds = f"Bars: one standard deviation over {stage['seeds']} random starts; curves: the first of them."
    drawing.caption(
        figure, f"{stage['things']} things of {stage['features']} features, {stage['things']} hidden units. {seeds}"
    )
    return figure


def _name_modes(axes: "Axes", stage: Mapping[str, Any]) -> None:
    """The number of each mode at the end of its curve."""
    ends = [stage["s"][mode - 1] for mode in stage["modes"]]
    gap = 0.045 * max(ends)  # numbers that would overlap share a line
    groups: list[tuple[float, list[int]]] = []
    for mode, end in zip(stage["modes"], ends, strict=True):
        if groups and groups[-1][0] - end < gap:
            groups[-1][1].append(mode)
        else:
            groups.append((end, [mode]))
    for end, modes in groups:
        axes.annotate(", ".join(map(str, modes)), (1, end), (3, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center", fontsize=7.5)  # fmt: skip


def _panel(axes: "Axes", delay_SM: np.ndarray, label: str, colour: str, dashes: str) -> None:
    modes = np.arange(1, delay_SM.shape[1] + 1)
    axes.errorbar(modes, delay_SM.mean(0), delay_SM.std(0, ddof=1), color=colour, ls=dashes, lw=1, elinewidth=0.8)
