"""Stages of Figures 4 and 6A: how many steps deep linear networks need for MNIST, each start at its best step size.

As in Appendix C: batch gradient descent by the correlations of 50,000 images, pixels in [0, 1], one-hot targets, until
the squared error of all of them, halved, is 13,000, "nearly complete learning". Affordable is a width of a hundred,
with the inputs' leading principal components in place of the pixels.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from experiments import runs
from experiments.saxe2013 import linear, starts
from xinit.core.errors import InputError
from xinit.data import tfds

if TYPE_CHECKING:
    from experiments.claims import NotRun
    from experiments.study import Place

IMAGES, THRESHOLD = 50_000, 13_000  # Appendix C
SLOWER = 7  # step sizes, from the largest stable one down, that are tried: over a decade of them


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> "Callable[[], dict[str, Any]] | NotRun":
    """What measures the learning times; NotRun without data.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    own = settings[name]
    starts.check_layers(f"{name}.layers", own["layers"])
    for kind in own["starts"].values():
        starts.check(kind)
    if own["width"] > 784:
        raise InputError(f"{name}.width is {own['width']}; it must be at most 784, the number of pixels.")
    if lacking := runs.lacks_data("mnist", place):
        return lacking
    images = tfds.load("mnist", place.data_dir, valid=10_000)
    return lambda: measure(own, images.train_x, images.train_y)


def correlations(images: np.ndarray, labels: np.ndarray, width: int) -> linear.Task:
    """Means over the images of t x^T and x x^T, x the leading principal components of pixels in [0, 1]."""
    x_NI = images.reshape(len(images), -1).astype(np.float32) / 255
    t_NC = np.eye(10, dtype=np.float32)[labels]
    variance_I, axes_II = np.linalg.eigh((x_NI.T @ x_NI).astype(float) / len(images))
    leading = np.argsort(variance_I)[::-1][:width]
    cross_CI = (t_NC.T @ x_NI).astype(float) / len(images) @ axes_II[:, leading]
    return linear.Task(jnp.asarray(cross_CI, jnp.float32), jnp.asarray(variance_I[leading], jnp.float32), 1.0)


def measure(own: Mapping[str, Any], images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Steps to the threshold, and the step size of fewest steps, of every start at every depth, by seed."""
    task = correlations(images, labels, own["width"])
    kept = ("width", "layers", "seeds", "most", "strength")
    return {
        **{name: own[name] for name in kept},
        "rates": own["rates"],
        "least": _least_error(task),
        "starts": {label: _start(kind, own, task) for label, kind in own["starts"].items()},
    }


def _least_error(task: linear.Task) -> float:
    """The error of the best linear network, halved and summed as the threshold is."""
    cross_CI, variance_I = np.asarray(task.cross, float), np.asarray(task.variance, float)
    return float(IMAGES * (task.target - np.sum(cross_CI**2 / variance_I)) / 2)


def _start(kind: str, own: Mapping[str, Any], task: linear.Task) -> dict[str, Any]:
    pairs = itertools.product(range(own["seeds"]), own["layers"])
    best = [fastest(_network(kind, own, task, layers - 1, seed), task, own) for seed, layers in pairs]
    by_seed = lambda values: np.reshape(values, (own["seeds"], -1)).tolist()
    return {"kind": kind, "steps": by_seed([n for n, _ in best]), "rate": by_seed([rate for _, rate in best])}


def _network(kind: str, own: Mapping[str, Any], task: linear.Task, count: int, seed: int) -> linear.Weights:
    if kind == starts.DECOUPLED:
        return starts.decoupled(task, own["strength"], count, seed)
    if kind == starts.PRETRAINED:
        return starts.pretrained(task, own["pretraining"], count, seed)
    return starts.drawn(kind, own["width"], task.cross.shape[0], count, seed)


def rate_grid(own: Mapping[str, Any]) -> np.ndarray:
    """Step sizes, the largest first, for an error that is a mean over images; the paper's are for a sum."""
    return np.geomspace(own["rates"]["largest"], own["rates"]["smallest"], own["rates"]["count"]) * IMAGES


def fastest(network: linear.Weights, task: linear.Task, own: Mapping[str, Any]) -> tuple[int, float]:
    """Fewest steps to the threshold, and the step size that takes them, for a sum over images.

    Where no step size gets there within `most` steps: `most`, and nan. A step size is given up where it is slower than
    one before, and none is tried that is far smaller than the largest stable one.
    """
    best, best_rate, stable = own["most"], np.nan, 0
    for rate in rate_grid(own):
        steps, error = linear.learning_time(network, task, float(rate), THRESHOLD / IMAGES, best)
        if float(error) <= THRESHOLD / IMAGES and int(steps) < best:
            best, best_rate = int(steps), float(rate) / IMAGES
        stable += float(error) < linear.DIVERGED * task.target / 2
        if stable == SLOWER:
            break
    return best, best_rate
