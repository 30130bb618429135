"""Figure 1: what Shapeset shows, and how often each of its nine classes comes.

One or two objects are equally likely, and so are the three kinds of each. Hence the prior of a single object is 1/6, of
two different ones 1/9 and of two alike 1/18, and who always names a single object errs in 5/6 of the scenes.
"""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, exact, over_runs
from experiments.study import Place
from xinit.analysis.intervals import mean_interval
from xinit.core.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

STAGES = ("samples",)
CLASSES = (  # by label
    "triangle",
    "parallelogram",
    "ellipse",
    "triangle,\nparallelogram",
    "parallelogram,\nellipse",
    "triangle,\nellipse",
    "two triangles",
    "two\nparallelograms",
    "two ellipses",
)


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What draws the scenes.

    Raises:
      InputError: images of fewer than 10 pixels, or fewer scenes than places.
    """
    from xinit.data import scenes as shapeset

    own = settings[name]
    size, scenes, places = own["size"], own["scenes"], own["rows"] * own["columns"]
    if scenes < places:
        raise InputError(f"samples.scenes is {scenes}; it must be at least rows times columns, here {places}.")
    if size < shapeset.MIN_SIZE:
        raise InputError(f"samples.size is {size}; it must be at least {shapeset.MIN_SIZE} pixels.")
    return functools.partial(measure, own, places)


def measure(settings: Mapping[str, Any], places: int) -> dict[str, Any]:
    """Counts of the classes for every seed, and the first scenes of the first, as many as the mosaic has places."""
    import jax

    from xinit.data import scenes as shapeset

    size, scenes = settings["size"], settings["scenes"]
    sample = jax.jit(shapeset.sample, static_argnums=(1, 2))
    drawn = [sample(jax.random.key(seed), scenes, size) for seed in range(settings["seeds"])]
    shown = jax.tree.map(lambda of_scenes: of_scenes[:places], drawn[0])
    return {
        **settings,
        "images": shapeset.rasterise(*shown[:4], size).tolist(),
        "labels": shown.labels.tolist(),
        "counts": [np.bincount(one.labels, minlength=len(CLASSES)).tolist() for one in drawn],
        "prior": list(shapeset.PRIOR),
    }


def metrics(found: Mapping[str, Any]) -> Metrics:
    """How far the counts of all scenes lie from the prior, and the error of naming one class always.

    `figure1.distance` is the largest of |n_c - n p_c| / sqrt(n p_c (1 - p_c)) over the classes c, n_c of n scenes.
    `figure1.chance` names, in the scenes of a seed, the class that is the most frequent in those of all others.
    """
    counts_SC, prior_C = np.array(found["samples"]["counts"]), np.array(found["samples"]["prior"])
    n = counts_SC.sum()
    distances_C = (counts_SC.sum(0) - n * prior_C) / np.sqrt(n * prior_C * (1 - prior_C))
    return {
        "figure1.distance": exact(float(np.abs(distances_C).max())),
        "figure1.chance": over_runs(mean_interval(_chance_errors(counts_SC)), 100),
    }


def _chance_errors(counts_SC: np.ndarray) -> np.ndarray:
    """(S,) of each seed; a class chosen in the same scenes would come out too frequent."""
    named_S = np.argmax(counts_SC.sum(0) - counts_SC, axis=1)
    return 1 - counts_SC[np.arange(len(counts_SC)), named_S] / counts_SC.sum(1)


def draw(found: Mapping[str, Any]) -> "Figure":
    """The samples with their classes, and beside them how often each class comes."""
    results = found["samples"]
    figure = drawing.figure(11, 1.2 * results["rows"] + 0.5)
    left, right = figure.subfigures(1, 2, width_ratios=(2.6, 1))
    _mosaic(left, results)
    _shares(right.add_subplot(), results)
    right.legend(loc="outside upper center", ncols=2, frameon=False)
    drawing.caption(figure, _scaling(results, metrics(found)))
    return figure


def _mosaic(figure: "SubFigure", results: Mapping[str, Any]) -> None:
    panels = figure.subplots(results["rows"], results["columns"], squeeze=False).flat
    for axes, image, label in zip(panels, results["images"], results["labels"], strict=True):
        axes.imshow(np.transpose(image), cmap="gray", vmin=0, vmax=255)  # stored as [x, y]
        axes.set_title(CLASSES[label], fontsize=7, pad=2)
        axes.set(xticks=(), yticks=())


def _shares(axes: "Axes", results: Mapping[str, Any]) -> None:
    counts_SC, at = np.array(results["counts"]), np.arange(len(CLASSES))
    own = mean_interval(counts_SC / counts_SC.sum(1, keepdims=True))
    axes.barh(at, results["prior"], color="0.85", label="the authors' prior")
    axes.errorbar(
        own.mean, at, xerr=own.high - own.mean, fmt="o", color="black", ms=3.5, capsize=2.5, lw=1, label="ours"
    )
    axes.set_yticks(at, CLASSES)
    axes.invert_yaxis()
    axes.set(xlabel="share of the scenes", xticks=(0, 0.05, 0.1, 0.15))


def _scaling(results: Mapping[str, Any], measured: Metrics) -> str:
    value, low, high, seeds = measured["figure1.chance"]
    size, prior = results["size"], 100 * (1 - max(results["prior"]))
    return (
        f"{size} x {size} pixels. Shares over {seeds} seeds of {results['scenes']:,} scenes, with 95 % intervals. "
        f"Naming one class always errs in {value:.2f} [{low:.2f}, {high:.2f}] % of them, by the prior in {prior:.2f} %."
    )
