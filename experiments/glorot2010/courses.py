"""How the layers of a network change while it is trained: what Figures 2, 3, 4, 9 and 10 measure and how they draw it.

A course is one reading of a model at every probe point of every seed, (S, T, L).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.glorot2010 import learning, published, training
from xinit.core.factories import call_factory
from xinit.networks import activations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COURSES = ("valid_error", "act_marker", *training.CURVES)  # what a model has of every probe point
ASYMPTOTE = 0.975  # as a share of it: from there on tanh has less than 5 % of its slope and counts as saturated
BINS = 16  # of activations between the middle of their range and its end
MARKERS = 8  # on a line, at places that differ between layers
# Schemes, as the paper names them, and what its printed figures seem to show.
INITIALISATIONS = {
    "standard": "standard initialisation",
    "xavier": "normalised initialisation",
    "experiments.glorot2010.schemes:as_printed": "eq. 16 inside, eq. 1 on the first and last layer",
}
OPEN = {"ls": "", "marker": "o", "mfc": "white"}  # printed values, in the legend
READINGS = {"standard deviation": {"ls": "-", "marker": "o"}, "98-percentile": {"ls": "", "marker": "o"}}


def course(own: Mapping[str, Any], reading: str) -> np.ndarray:
    """(S, T, L) of a model."""
    return np.array(own[reading], float)


def until(update: int, own: Mapping[str, Any]) -> dict[str, Any]:
    """A model with its courses cut after an update; its densities, which are of the end, stay if nothing is cut off."""
    n = int(np.searchsorted(own["step"], update, side="right"))
    if n == len(own["step"]):
        return dict(own)
    kept = {name: values for name, values in own.items() if name not in ("act_hist", "act_edges")}
    return (
        kept
        | {name: [course[:n] for course in own[name]] for name in COURSES if name in own}
        | {"step": own["step"][:n]}
    )


def bounds(own: Mapping[str, Any]) -> tuple[float, float]:
    """The range of a model's activation."""
    activation = call_factory(activations, own["activation"], {}, "activation")
    return activation.low, activation.high


def markers(own: Mapping[str, Any]) -> np.ndarray:
    """(S, T, L) larger end of the central 98 % of the activations; 1 is where the activation ends."""
    return course(own, "act_marker") / bounds(own)[1]


def from_the_bottom(marker_STL: np.ndarray) -> np.ndarray:
    """(S,) Kendall's tau-a of the layer and the first probe point with its marker at the asymptote.

    tau = (sum over pairs k < l of sign(t_l - t_k)) / (L (L - 1) / 2)

    1 if the layers get there one by one from the bottom, -1 if from the top, 0 if all together or none, for never
    counts as later than the end.
    """
    there_STL = marker_STL > ASYMPTOTE
    first_SL = np.where(there_STL.any(1), there_STL.argmax(1), there_STL.shape[1])
    lower, upper = np.triu_indices(first_SL.shape[1], 1)
    return np.sign(first_SL[:, upper] - first_SL[:, lower]).mean(1)


def half_way(own: Mapping[str, Any]) -> np.ndarray:
    """(S, L) the first probe point at which half of a layer's change in standard deviation is done, 1 being the end."""
    std_STL = course(own, "act_std")
    change_STL = (std_STL - std_STL[:, :1]) / (std_STL[:, -1:] - std_STL[:, :1])
    return np.array(own["step"])[(change_STL >= 0.5).argmax(1)] / own["step"][-1]


def densities(own: Mapping[str, Any]) -> np.ndarray:
    """(S, L, B) of the activations at the last probe point, in the bins they were counted in."""
    return np.array(own["act_hist"]) / np.diff(own["act_edges"], axis=1)


def folded(own: Mapping[str, Any]) -> np.ndarray:
    """(S, L, BINS) density over the distance from the middle of the activation's range, the mean of both sides."""
    density_SLB = densities(own)
    middle = density_SLB.shape[2] // 2
    sides_SLB = (density_SLB + density_SLB[..., ::-1])[..., middle:] / 2
    return sides_SLB.reshape(*sides_SLB.shape[:2], BINS, -1).mean(3)


def modes(own: Mapping[str, Any]) -> np.ndarray:
    """(S, L) where the density of the lower layers, up to the middle one, is highest, 1 being the asymptote."""
    density_SLB = folded(own)
    lower = (density_SLB.shape[1] + 1) // 2
    return (density_SLB[:, :lower].argmax(2) + 0.5) / BINS


def hidden_gradients(own: Mapping[str, Any]) -> np.ndarray:
    """(S, T, L) standard deviations of the weight gradients without those of the output layer."""
    return course(own, "grad_w_std")[..., :-1]


def spread(own: Mapping[str, Any]) -> np.ndarray:
    """(S, T) largest over smallest standard deviation of the weight gradients of hidden layers."""
    std_STL = hidden_gradients(own)
    return std_STL.max(2) / std_STL.min(2)


def apart(own: Mapping[str, Any]) -> np.ndarray:
    """(S,) the same in the second half of training, the geometric mean over its probe points."""
    spread_ST = spread(own)
    return np.exp(np.log(spread_ST[:, spread_ST.shape[1] // 2 :]).mean(1))


def thousands(own: Mapping[str, Any]) -> np.ndarray:
    """(T,) updates up to each probe point, in thousands."""
    return np.array(own["step"]) / 1000


def points(axes: "Axes", x: Sequence[float], y: Sequence[float], l: int, **style: Any) -> None:
    """Markers in the look of a layer."""
    look = drawing.layer_look(l)
    axes.plot(x, y, **{"color": look.colour, "marker": look.marker, "ls": "", "ms": 3.8, "lw": 1.2, **style})


def lines(axes: "Axes", step_T: np.ndarray, course_STL: np.ndarray) -> None:
    """A line with a few markers for each layer, the mean over seeds, and a band of all seeds."""
    course_LST = np.moveaxis(course_STL, 2, 0)
    for l, course_ST in enumerate(course_LST):
        points(axes, step_T, course_ST.mean(0), l, ls="-", markevery=places(len(step_T), l, len(course_LST)))
        colour = drawing.layer_look(l).colour
        axes.fill_between(step_T, course_ST.min(0), course_ST.max(0), color=colour, alpha=0.15, lw=0)


def places(n: int, l: int, layers: int, markers: int = MARKERS) -> tuple[int, int]:
    """The first of n points that layer l is marked at, and the step to the next."""
    step = max(1, n // markers)
    return l * step // layers, step


def saturation(axes: "Axes", own: Mapping[str, Any]) -> None:
    """Standard deviations as lines with markers and 98-percentiles as markers alone, as in the paper."""
    step_T, marker_LT = thousands(own), course(own, "act_marker").mean(0).T
    lines(axes, step_T, course(own, "act_std"))
    for l, marker_T in enumerate(marker_LT):
        points(axes, step_T, marker_T, l, markevery=places(len(step_T), l, len(marker_LT), 2 * MARKERS))
    axes.set(ylabel="activation", ylim=(0, 1.06))


def of_the_papers_width(stage: Mapping[str, Any]) -> bool:
    """Whether the networks are as wide as the paper's, so that its epochs are ours."""
    return stage["width"] == published.load("training")["width"]


def printed(axes: "Axes", values: Mapping[float, Sequence[float | None]], scale: float, end: float) -> None:
    """Printed values by epoch, one a layer or none: small open markers, `scale` thousand updates to the epoch.

    Those after `end` thousand updates are left out.
    """
    for epoch, value_L in values.items():
        if epoch * scale > end * (1 + 1e-6):
            continue
        for l, value in enumerate(value_L):
            if value is not None:
                points(axes, [epoch * scale], [value], l, ms=5, mfc="white", mew=1.1, zorder=4, clip_on=False)


def title(own: Mapping[str, Any]) -> str:
    """A model's activation and initialisation."""
    return f"{own['activation']}, {INITIALISATIONS.get(own['scheme'], own['scheme'])}"


def legend(axes: "Axes", shown: Sequence[Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]]) -> None:
    """The looks of the layers of these models and, in grey, what else is drawn, beside a panel."""
    for l in range(max((own["depth"] for own in shown), default=0)):
        points(axes, [], [], l, ls="-", label=f"Layer {l + 1}")
    for label, style in others.items():
        axes.plot([], [], **{"color": "0.35", "lw": 1.2, "ms": 3.8, **style}, label=label)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1.03), frameon=False)


def caption(figure: "Figure", stage: Mapping[str, Any], labels: Sequence[str], text: str) -> None:
    """The caption: the text, how our networks were scaled, and the paper's beside it."""
    shown, paper = {**stage, "models": {label: stage["models"][label] for label in labels}}, published.load("training")
    beside = f"The paper: layers of {paper['width']:,} units, epochs of {paper['epoch']:,} updates."
    drawing.caption(figure, f"{text} {learning.scale([shown])} {beside}")
