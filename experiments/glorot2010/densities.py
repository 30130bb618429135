"""Densities at initialisation, a panel a scheme and a line a layer: Figures 6, 7 and 8."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics, exact, number, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "standard": "standard initialisation, eq. 1",
    "xavier": "normalised initialisation, eq. 16",
    "experiments.glorot2010.schemes:as_printed": "eq. 16 inside, eq. 1 on the first and last layer",
}


def ratios(
    part: str, initial: Mapping[str, Any], quantity: str, ratio: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Measured]:
    """A ratio of layers' standard deviations, (seed, layer): `<part>.ratio.<scheme>`; predicted, `<part>.theory.`."""
    found = {}
    for label, own in initial["schemes"].items():
        drawn_SL, predicted_L = (np.array(values[f"{quantity}_std"]) for values in (own, own["predicted"]))
        found[f"{part}.ratio.{label}"] = over_runs(mean_interval(ratio(drawn_SL)))
        found[f"{part}.theory.{label}"] = exact(float(ratio(predicted_L[None])[0]))
    return found


def title(own: Mapping[str, Any]) -> str:
    """The initialisation of a scheme's networks."""
    return TITLES.get(own["scheme"], own["scheme"])


def draw(initial: Mapping[str, Any], quantity: str, xlabel: str, notes: Mapping[str, str]) -> "Figure":
    """A panel for each scheme, with a note in its corner."""
    figure = drawing.figure(7.2, 2.4 * len(initial["schemes"]) + 0.5)
    panels = figure.subplots(len(initial["schemes"]), 1, squeeze=False)[:, 0]
    for axes, (label, own) in zip(panels, initial["schemes"].items(), strict=True):
        _panel(axes, np.array(own[f"{quantity}_edges"]), own[f"{quantity}_density"])
        axes.set(title=title(own), ylabel="density")
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
        f"{initial['depth']} layers of {initial['width']} {initial['activation']} units at initialisation, means over "
        f"{initial['seeds']} seeds; {initial['examples']} examples of {initial['data']}, pixels in [{low:g}, {high:g}]."
    )


def note(words_of_ratio: str, measured: Metrics, part: str, label: str) -> str:
    """A scheme's ratio with its interval, and what theory says of it."""
    theory = number(measured[f"{part}.theory.{label}"].value)
    return f"{words_of_ratio}\n{words(measured[f'{part}.ratio.{label}'])}, theory {theory}"


def words(found: Measured) -> str:
    """A measured value, with its interval where there is one."""
    if found.low == found.high:
        return number(found.value)
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"
