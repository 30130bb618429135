"""Figure 2: how the activations of a sigmoid network move while it learns, with four hidden layers and with five.

At first the network can do no better than to answer with the frequencies of the classes, whatever it is shown; its top
layer is pressed to 0, where sigmoid is flat, and the layer below it rises. In the paper four layers leave this state
late and suddenly, five never do. Seeds leave it at different times, which a mean over them would smear: one is drawn.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, exact
from experiments.glorot2010 import courses, learning, published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("sigmoid",)
MODELS = ("sigmoid4", "sigmoid")  # four and five hidden layers
DRAWS_SO_FAR = True
LEARNS = 80  # % of validation error: chance, 83.3, less three standard errors of 1,000 examples
OWN, OTHERS = {"color": "0.2", "ls": "--", "lw": 1}, {"color": "0.5", "ls": ":", "lw": 1}  # escapes


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Means over seeds of the activations, 0 to 1 of their range, and the test errors, `figure2.sigmoid.<model>`.

    With four hidden layers, when the top layer's mean is least, up to the escape from chance: `figure2.top`, that mean;
    `figure2.below`, the mean of the layer below; `figure2.bottom-top`, layer 1's less the top layer's; and
    `figure2.falls`, by how much the layer below is lower at the end. `figure2.least.<model>`: the least validation
    error of all rates.
    """
    own = found["sigmoid"]["models"][MODELS[0]]
    share_STL = shares(own)
    absorbed_SL = absorbed(share_STL, escapes(own))
    values = {
        "top": absorbed_SL[:, -1],
        "below": absorbed_SL[:, -2],
        "bottom-top": absorbed_SL[:, 0] - absorbed_SL[:, -1],
        "falls": absorbed_SL[:, -2] - share_STL[:, -1, -2],
    }
    measured = {f"figure2.{name}": learning.over_seeds(values_S) for name, values_S in values.items()}
    for label in MODELS:
        measured[f"figure2.least.{label}"] = exact(min(found["sigmoid"]["models"][label]["valid"].values()))
    return measured | learning.test_errors("figure2", STAGES, found)


def shares(own: Mapping[str, Any]) -> np.ndarray:
    """(S, T, L) mean activations, 0 and 1 being the ends of the activation's range."""
    low, high = courses.bounds(own)
    return (courses.course(own, "act_mean") - low) / (high - low)


def escapes(own: Mapping[str, Any]) -> np.ndarray:
    """(S,) the first probe point at which the network does better than chance; T where there is none."""
    learns_ST = np.array(own["valid_error"]) < LEARNS
    return np.where(learns_ST.any(1), learns_ST.argmax(1), learns_ST.shape[1])


def absorbed(share_STL: np.ndarray, escape_S: np.ndarray) -> np.ndarray:
    """(S, L) shares at the probe point, up to the escape, at which that of the top layer is least."""
    until = [share_TL[: escape + 1] for share_TL, escape in zip(share_STL, escape_S, strict=True)]
    return np.array([share_TL[share_TL[:, -1].argmin()] for share_TL in until])


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each depth; the printed values, their time scaled so that both escapes coincide."""
    stage, paper = found["sigmoid"], published.load("figure2")
    figure = drawing.figure(8.6, 6.4)
    above, below = figure.subplots(2, 1, sharex=True, sharey=True)
    shown = [stage["models"][label] for label in MODELS]
    for axes, own in zip((above, below), shown, strict=True):
        _panel(axes, own)
    until, words = _end_of_saturation(shown[0])
    courses.printed(above, paper["mean"], *_scale(stage, until, paper["escape"]))
    word = "printed" if courses.of_the_papers_width(stage) else f"printed, its escape\n{words}"
    escaping = any((escapes(own) < len(own["step"])).any() for own in shown)
    lines = {"leaves chance": OWN, "other seeds do": OTHERS} if escaping else {}
    courses.legend(above, shown, lines | {word: courses.OPEN})
    below.set_xlabel("updates, thousands")
    which = "one seed, that of the median escape" if stage["seeds"] > 1 else "one seed"
    text = f"Means of {which}; bars: standard deviation."
    courses.caption(figure, stage, MODELS, text)
    return figure


def _scale(stage: Mapping[str, Any], until: float, escape: float) -> tuple[float, float]:
    """Thousand updates to a printed epoch, and after how many thousand nothing is drawn."""
    if courses.of_the_papers_width(stage):
        return published.load("training")["epoch"] / 1000, stage["done"] / 1000
    return until / escape, math.inf


def _panel(axes: "Axes", own: Mapping[str, Any]) -> None:
    step_T, escape_S, seed = courses.thousands(own), escapes(own), median_seed(own)
    mean_LT, std_LT = (courses.course(own, reading)[seed].T for reading in ("act_mean", "act_std"))
    for l, (mean_T, std_T) in enumerate(zip(mean_LT, std_LT, strict=True)):
        look, places = drawing.layer_look(l), courses.places(len(step_T), l, len(mean_LT))
        axes.errorbar(step_T, mean_T, std_T, color=look.colour, marker=look.marker, ms=3.8, lw=1.2, elinewidth=0.8,
                      capsize=2, markevery=places, errorevery=places)  # fmt: skip
    escaped = [s for s, escape in enumerate(escape_S) if escape < len(step_T)]
    for s in escaped:
        axes.axvline(step_T[escape_S[s]], **(OWN if s == seed else OTHERS))
    left = f"{len(escaped)} of {len(escape_S)} seeds leave chance"
    if len(escape_S) == 1:
        left = "leaves chance" if escaped else "stays at chance"
    axes.set_title(f"{own['activation']}, {own['depth']} hidden layers: {left}")
    axes.set(ylabel="activation", ylim=(-0.04, 1.04))


def median_seed(own: Mapping[str, Any]) -> int:
    """The seed that escapes at the median time."""
    escape_S = escapes(own)
    return int(np.argsort(escape_S, stable=True)[len(escape_S) // 2])


def _end_of_saturation(own: Mapping[str, Any]) -> tuple[float, str]:
    """When the seed shown escapes, in thousands of updates, and where that is; the end of the run if it does not."""
    step_T, escape = courses.thousands(own), escapes(own)[median_seed(own)]
    return (step_T[escape], "drawn at ours") if escape < len(step_T) else (step_T[-1], "drawn at our end")
