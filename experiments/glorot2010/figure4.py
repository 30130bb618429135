"""Figure 4: densities of the activations at the end of training, for every layer; tanh above, softsign below.

In the paper tanh piles up at both asymptotes and at 0, the more so at 0 the higher the layer; softsign's lower layers
have their modes around its knees, where it is curved but not flat.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics, number
from experiments.glorot2010 import courses, learning, published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("shapeset",)
MODELS = ("tanh", "softsign")
DRAWS_SO_FAR = True
INNER = 0.95  # of the range: what lies within fits the panels, higher spikes at the ends are cut


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Means over seeds, of the activations in 16 bins between 0 and the asymptote, `figure4.<reading>.<model>`.

    `lowest_spike` and `highest_spike`, over layers: the density in the last bin over that in the last but one, 0 where
    there is none; `growth`, the least step of the density at 0 from a layer to the next; `lowest_mode` and
    `highest_mode`, over the lower layers up to the middle one, where the density is highest, 1 being the asymptote.
    """
    return {
        f"figure4.{reading}.{label}": measured
        for label in MODELS
        for reading, measured in _readings(found["shapeset"]["models"][label]).items()
    }


def _readings(own: Mapping[str, Any]) -> dict[str, Measured]:
    density_SLB, mode_SL = courses.folded(own), courses.modes(own)
    last_SL, before_SL = density_SLB[..., -1], density_SLB[..., -2]
    spike_SL = np.divide(last_SL, before_SL, out=np.zeros_like(last_SL), where=before_SL > 0)
    values = {
        "lowest_spike": spike_SL.min(1),
        "highest_spike": spike_SL.max(1),
        "growth": np.diff(density_SLB[..., 0], axis=1).min(1),
        "lowest_mode": mode_SL.min(1),
        "highest_mode": mode_SL.max(1),
    }
    return {reading: learning.over_seeds(values_S) for reading, values_S in values.items()}


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each activation; crosses are printed densities at 0, grey is where the printed modes lie."""
    stage, paper = found["shapeset"], published.load("figure4")
    figure = drawing.figure(8, 6.4)
    above, below = figure.subplots(2, 1, sharex=True, sharey=True)
    shown = [stage["models"][label] for label in MODELS]
    heights = [_panel(axes, own) for axes, own in zip((above, below), shown, strict=True)]
    peaks = {l: peak for l, peak in enumerate(paper["tanh_peak"]) if peak is not None}
    for l, peak in peaks.items():
        courses.points(above, [0], [peak], l, marker="x", ms=8, mew=1.6, zorder=4)
    for side in (-1, 1):
        below.axvspan(*(side * end for end in paper["softsign_modes"]), color="0.9", zorder=0)
    below.set(xlabel="activation value", ylim=(0, 1.1 * max(*heights, *peaks.values())))
    courses.legend(above, shown, {"printed density at 0": {"marker": "x", "ls": ""}})
    courses.legend(below, [], {"printed modes of\nthe lower layers": {"color": "0.9", "lw": 8}})
    courses.caption(figure, stage, MODELS, f"After {stage['done']:,} updates. {learning.seeds(stage)}")
    return figure


def _panel(axes: "Axes", own: Mapping[str, Any]) -> float:
    """Draw the densities; the height that all but the spikes at the ends need."""
    edges, density_LB = np.array(own["act_edges"][0]), courses.densities(own).mean(0)
    centres = (edges[1:] + edges[:-1]) / 2
    for l, density_B in enumerate(density_LB):
        at = courses.places(len(centres), l, len(density_LB), markers=16)
        courses.points(axes, centres, density_B, l, ls="-", markevery=at)
    height, highest = density_LB[:, np.abs(centres) < INNER * edges[-1]].max(), density_LB.max()
    reach = f"; at the ends up to {number(highest)}" if highest > height else ""
    axes.set(title=f"{courses.title(own)}{reach}", ylabel="density", xlim=edges[[0, -1]])
    return float(height)
