"""The units of a layer in the limit of wide layers: groups of them, each with one law, on all examples at once.

Behind a weight all units are Gaussian, and their products between examples say everything. A residual sum may have two
groups of units: where the main path was filled up with zeros only the branch has a signal. And where a branch adds to
what is not Gaussian, as behind a nonlinearity, some units are drawn, and followed one by one.

The same describes gradients, dL/dh of each unit.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from xinit.networks.activations import Activation
from xinit.networks.stack import EPSILON
from xinit.theory.moments import in_range, kernels, values_and_slopes

DRAWN = 2000  # units of a group, where they are drawn: a mean square is good to 3 %
MOST_GROUPS = 6  # of Gaussian units; each costs what a layer does
JITTER = 1e-6  # of the mean square, added to what is drawn: kernels of equal examples are that far from positive


class Units(NamedTuple):
    """Units of one law: how many, the mean products <h h'> between examples, and values of some where they are drawn.

    Without values they are Gaussian of mean 0, or nothing more than products is asked of them.
    """

    number: int
    gram: Float[np.ndarray, "batch batch"]
    values: Float[np.ndarray, "drawn batch"] | None = None


Signal = tuple[Units, ...]  # of one layer


def mean_gram(signal: Signal) -> Float[np.ndarray, "batch batch"]:
    """<h h'> over all units of a layer.

    >>> mean_gram((Units(3, np.eye(2)), Units(1, np.zeros((2, 2)))))
    array([[0.75, 0.  ],
           [0.  , 0.75]])
    """
    if len(signal) == 1:
        return signal[0].gram
    return np.average([units.gram for units in signal], axis=0, weights=[units.number for units in signal])


def fitted(signal: Signal, count: int) -> Signal:
    """So many units: the last ones are cut off, or units without a signal are added, as `stack.fitted` does.

    >>> [units.number for units in fitted((Units(3, np.eye(2)), Units(2, np.eye(2))), 4)]
    [3, 1]
    """
    kept = []
    for units in signal:
        if count > 0:
            kept.append(units._replace(number=min(units.number, count)))
        count -= units.number
    if count > 0:
        first = signal[0]
        values = None if first.values is None else np.zeros_like(first.values)
        kept.append(Units(count, np.zeros_like(first.gram), values))
    return tuple(kept)


def merged(signal: Signal) -> Signal:
    """At most MOST_GROUPS of Gaussian units: neighbours of about the same size are taken as of one law.

    >>> [units.number for units in merged(tuple(Units(1, np.eye(1) * size) for size in (1, 2, 3, 4, 5, 6, 6.1)))]
    [1, 1, 1, 1, 1, 2]
    """
    groups = list(signal)
    while len(groups) > MOST_GROUPS and all(units.values is None for units in groups):
        sizes = np.log([np.mean(np.diag(units.gram)) for units in groups])
        place = int(np.argmin(np.abs(np.diff(sizes))))
        pair = tuple(groups[place : place + 2])
        groups[place : place + 2] = [Units(sum(units.number for units in pair), mean_gram(pair))]
    return tuple(groups)


def aligned(one: Signal, other: Signal) -> Iterator[tuple[Units, Units]]:
    """The units of two signals of the same layer side by side, in groups that have one law in both.

    >>> a, b = (Units(3, np.eye(1)), Units(1, np.eye(1))), (Units(2, np.eye(1)), Units(2, np.eye(1)))
    >>> [units.number for units, _ in aligned(a, b)]
    [2, 1, 1]
    """
    left, right = list(one), list(other)
    while left and right:
        count = min(left[0].number, right[0].number)
        yield left[0]._replace(number=count), right[0]._replace(number=count)
        for side in (left, right):
            units = side.pop(0)
            if units.number > count:
                side.insert(0, units._replace(number=units.number - count))


def scaled(signal: Signal, factor: float) -> Signal:
    """Their second moments times a factor.

    >>> scaled((Units(3, np.eye(1)),), 4.0)[0].gram
    array([[4.]])
    """
    return tuple(
        Units(units.number, units.gram * factor, None if units.values is None else units.values * np.sqrt(factor))
        for units in signal
    )


def with_values(units: Units, rng: np.random.Generator) -> Float[np.ndarray, "drawn batch"]:
    """Values of some of these units, those that they have or Gaussian ones.

    >>> with_values(Units(3, np.eye(2)), np.random.default_rng(0)).shape
    (2000, 2)
    """
    if units.values is not None:
        return units.values
    if not units.gram.any():
        return np.zeros((DRAWN, len(units.gram)))
    half = rng.standard_normal((DRAWN // 2, len(units.gram))) @ root(units.gram, JITTER).T
    return _of_size(np.concatenate([half, -half]), units.gram)


def added(main: Signal, branch: Signal, rng: np.random.Generator, skip: float = 1.0, scale: float = 1.0) -> Signal:
    """skip x main + scale x branch, which know nothing of each other: the weights between them have mean 0.

    >>> added((Units(3, np.eye(1)),), (Units(3, np.eye(1)),), np.random.default_rng(0), scale=0.5)[0].gram
    array([[1.25]])
    """
    joined = []
    for one, other in aligned(main, branch):
        gram, values = skip**2 * one.gram + scale**2 * other.gram, None
        if one.values is not None or other.values is not None:
            values = _of_size(skip * with_values(one, rng) + scale * with_values(other, rng), gram)
        joined.append(Units(one.number, gram, values))
    return tuple(joined)


def normalised(signal: Signal, kind: str) -> tuple[Signal, Float[np.ndarray, " batch"]]:
    """A "layer" or "rms" normalisation over the units of each example, and the sizes that it divides by.

    >>> signal, sizes = normalised((Units(3, 4 * np.eye(1)),), "rms")
    >>> sizes.round(3), mean_gram(signal).round(3)
    (array([2.]), array([[1.]]))
    """
    total = sum(units.number for units in signal)
    means = [0.0 if units.values is None else np.mean(units.values, axis=0) for units in signal]
    mean = sum(units.number * one for units, one in zip(signal, means, strict=True)) / total * (kind == "layer")
    centred = []
    for units, own in zip(signal, means, strict=True):
        cross = np.multiply.outer(own, mean) if units.values is not None else 0.0
        gram = units.gram - cross - np.transpose(cross) + np.multiply.outer(mean, mean)
        centred.append(Units(units.number, gram, None if units.values is None else units.values - mean))
    sizes = np.sqrt(np.maximum(np.diag(mean_gram(tuple(centred))), 0) + EPSILON)
    return divided(tuple(centred), sizes), sizes


def divided(signal: Signal, sizes: Float[np.ndarray, " batch"]) -> Signal:
    """Each example over its own size.

    >>> divided((Units(3, np.eye(1)),), np.array([2.0]))[0].gram
    array([[0.25]])
    """
    return tuple(
        Units(units.number, units.gram / np.outer(sizes, sizes), None if units.values is None else units.values / sizes)
        for units in signal
    )


def activated(activation: Activation, signal: Signal) -> tuple[Signal, Signal]:
    """f and f' of the units.

    >>> after, slopes = activated(xinit.activations.relu(), (Units(3, np.eye(1)),))
    >>> mean_gram(after).round(3), mean_gram(slopes).round(3)
    (array([[0.5]]), array([[0.5]]))
    """
    after, slopes = [], []
    for units in signal:
        if units.values is None:
            both = [Units(units.number, gram) for gram in kernels(activation, units.gram)]
        else:
            passed = values_and_slopes(activation, units.values)
            both = [Units(units.number, _product(values), values) for values in passed]
        after.append(both[0])
        slopes.append(both[1])
    return tuple(after), tuple(slopes)


def backwards(grads: Signal, slopes: Signal, again: np.ndarray, rng: np.random.Generator) -> Signal:
    """dL/dz = dL/dh f'(z). `again`: which examples the gradients are of.

    >>> backwards((Units(3, np.eye(1)),), (Units(3, 0.5 * np.eye(1)),), np.arange(1), np.random.default_rng(0))[0].gram
    array([[0.5]])
    """
    passed = []
    for grad, slope in aligned(grads, slopes):
        if slope.values is None:
            passed.append(Units(grad.number, grad.gram * slope.gram[np.ix_(again, again)]))
        else:
            values = with_values(grad, rng) * slope.values[:, again]
            passed.append(Units(grad.number, _product(values), values))
    return tuple(passed)


def ranged(signal: Signal) -> Signal:
    """The signal, or one of the least or largest size that is followed, of independent examples where it is 0.

    >>> ranged((Units(3, np.zeros((1, 1))),))[0].gram
    array([[1.e-60]])
    """
    size = float(np.mean(np.diag(mean_gram(signal))))
    if size > 0:
        return scaled(signal, in_range(size) / size)
    return tuple(units._replace(gram=in_range(size) * np.eye(len(units.gram))) for units in signal)


def _product(values: Float[np.ndarray, "drawn batch"]) -> Float[np.ndarray, "batch batch"]:
    return values.T @ values / len(values)


def _of_size(values: Float[np.ndarray, "drawn batch"], gram: Float[np.ndarray, "batch batch"]) -> np.ndarray:
    """The values, each example's of the mean square that is known of it."""
    size = np.mean(values**2, axis=0)
    return values * np.sqrt(np.divide(np.diag(gram), size, out=np.zeros_like(size), where=size > 0))


@functools.cache
def normals(*shape: int) -> Float[np.ndarray, "..."]:
    """Standard normal numbers, the same at every call.

    >>> normals(2, 3).shape
    (2, 3)
    """
    return np.random.default_rng(0).standard_normal(shape)


def root(gram: Float[np.ndarray, "batch batch"], jitter: float = 1e-9) -> Float[np.ndarray, "batch batch"]:
    """R with R R^T = gram, up to a share of its diagonal: examples may be equal, or more than there are inputs.

    >>> gram = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> (root(gram) @ root(gram).T).round(6)
    array([[2., 1.],
           [1., 2.]])
    """
    return np.linalg.cholesky(gram + jitter * np.mean(np.diag(gram)) * np.eye(len(gram)))
