"""Densities at initialisation, a panel a scheme and a line a layer: Figures 6, 7 and 8."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, number, over_runs
from xinit.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "standard": "standard initialisation, eq. 1",
    "normalised": "normalised initialisation, eq. 16",
    "printed": "eq. 16 inside, eq. 1 on the first and last layer",
}


def ratios(
    part: str, initial: Mapping[str, Any], quantity: str, ratio: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Measured]:
    """`<part>.ratio.<scheme>`: a ratio of layers' standard deviations (seed, layer), with its interval over seeds."""
    found = {label: np.array(own[f"{quantity}_std"]) for label, own in initial["schemes"].items()}
    return {f"{part}.ratio.{label}": over_runs(mean_interval(ratio(std_SL))) for label, std_SL in found.items()}


def draw(initial: Mapping[str, Any], quantity: str, xlabel: str, notes: Mapping[str, str]) -> "Figure":
    """A panel for each scheme, with a note in its corner."""
    figure = drawing.figure(7.2, 2.4 * len(initial["schemes"]) + 0.5)
    panels = figure.subplots(len(initial["schemes"]), 1, squeeze=False)[:, 0]
    for axes, (label, own) in zip(panels, initial["schemes"].items(), strict=True):
        _panel(axes, np.array(own[f"{quantity}_edges"]), own[f"{quantity}_density"])
        axes.set(title=TITLES.get(label, label), ylabel="density")
        axes.text(0.015, 0.95, notes[label], transform=axes.transAxes, va="top", fontsize=7.5)
    panels[-1].set_xlabel(xlabel)
    panels[0].legend(frameon=False, loc="upper right")
    drawing.caption(figure, caption(initial))
    return figure


def _panel(axes: "Axes", edges: np.ndarray, densities: Sequence[Sequence[float]]) -> None:
    centres = (edges[1:] + edges[:-1]) / 2
    for l, density in enumerate(densities):
        look, places = drawing.layer_look(l), slice(4 * l, None, 22)  # markers of different layers stand apart
        axes.plot(centres, density, color=look.colour, marker=look.marker, markevery=places, ms=3.5, lw=1.2,
                  label=f"Layer {l + 1}")  # fmt: skip
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)


def caption(initial: Mapping[str, Any]) -> str:
    """What was drawn and measured."""
    low, high = initial["pixel_range"]
    return (
        f"{initial['depth']} layers of {initial['width']} {initial['activation']} units at initialisation, as in the "
        f"paper; means over {initial['seeds']} seeds, {initial['examples']} Shapeset examples with pixels in "
        f"[{low:g}, {high:g}]."
    )


def words(found: Measured) -> str:
    """A measured value with its interval."""
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"
