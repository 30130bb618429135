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

from xinit.core.readings import FLAT
from xinit.networks.activations import Activation
from xinit.networks.stack import EPSILON
from xinit.theory.moments import in_range, kernels, mean_slope, values_and_slopes

DRAWN = 2000  # units of a group, where they are drawn: a mean square is good to 3 %
DRAWS_OF_A_UNIT = 2000  # of its pre-activations on all examples: a share is good to .01
JITTER = 1e-6  # of the mean square, added to what is drawn: kernels of equal examples are that far from positive


class Units(NamedTuple):
    """Units of one law: how many, the mean products <h h'> between examples, and values of some where they are drawn.

    Without values they are Gaussian of mean 0, or nothing more than products is asked of them.
    """

    count: int
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
    gram: np.ndarray = sum(units.count * units.gram for units in signal) / sum(units.count for units in signal)
    return gram


def fitted(signal: Signal, count: int) -> Signal:
    """So many units: the last ones are cut off, or units without a signal are added, as `stack.fitted` does.

    >>> [units.count for units in fitted((Units(3, np.eye(2)), Units(2, np.eye(2))), 4)]
    [3, 1]
    """
    kept = []
    for units in signal:
        if count > 0:
            kept.append(units._replace(count=min(units.count, count)))
        count -= units.count
    if count > 0:
        first = signal[0]
        values = None if first.values is None else np.zeros_like(first.values)
        kept.append(Units(count, np.zeros_like(first.gram), values))
    return tuple(kept)


def aligned(one: Signal, other: Signal) -> Iterator[tuple[Units, Units]]:
    """The units of two signals of the same layer side by side, in groups that have one law in both.

    >>> a, b = (Units(3, np.eye(1)), Units(1, np.eye(1))), (Units(2, np.eye(1)), Units(2, np.eye(1)))
    >>> [units.count for units, _ in aligned(a, b)]
    [2, 1, 1]
    """
    left, right = list(one), list(other)
    while left and right:
        count = min(left[0].count, right[0].count)
        yield left[0]._replace(count=count), right[0]._replace(count=count)
        for side in (left, right):
            units = side.pop(0)
            if units.count > count:
                side.insert(0, units._replace(count=units.count - count))


def scaled(signal: Signal, factor: float) -> Signal:
    """Their second moments times a factor.

    >>> scaled((Units(3, np.eye(1)),), 4.0)[0].gram
    array([[4.]])
    """
    return tuple(
        Units(units.count, units.gram * factor, None if units.values is None else units.values * np.sqrt(factor))
        for units in signal
    )


def with_values(units: Units, rng: np.random.Generator) -> Float[np.ndarray, "drawn batch"]:
    """Values of some of these units, those that they have or Gaussian ones.

    >>> with_values(Units(3, np.eye(2)), np.random.default_rng(0)).shape
    (2000, 2)
    """
    if units.values is not None:
        return units.values
    normal = rng.standard_normal((DRAWN, len(units.gram)))
    return normal @ root(units.gram, JITTER).T if units.gram.any() else np.zeros_like(normal)


def added(main: Signal, branch: Signal, rng: np.random.Generator, skip: float = 1.0, scale: float = 1.0) -> Signal:
    """skip x main + scale x branch, which know nothing of each other: the weights between them have mean 0.

    >>> added((Units(3, np.eye(1)),), (Units(3, np.eye(1)),), np.random.default_rng(0), scale=0.5)[0].gram
    array([[1.25]])
    """
    joined = []
    for one, other in aligned(main, branch):
        gram, values = skip**2 * one.gram + scale**2 * other.gram, None
        if one.values is not None or other.values is not None:
            values = skip * with_values(one, rng) + scale * with_values(other, rng)
            values *= _ratio(np.sqrt(np.diag(gram)), np.sqrt(np.mean(values**2, axis=0)))
        joined.append(Units(one.count, gram, values))
    return tuple(joined)


def normalised(signal: Signal, kind: str) -> tuple[Signal, Float[np.ndarray, " batch"]]:
    """A "layer" or "rms" normalisation over the units of each example, and the sizes that it divides by.

    >>> signal, sizes = normalised((Units(3, 4 * np.eye(1)),), "rms")
    >>> sizes.round(3), mean_gram(signal).round(3)
    (array([2.]), array([[1.]]))
    """
    total = sum(units.count for units in signal)
    means = [0.0 if units.values is None else np.mean(units.values, axis=0) for units in signal]
    mean = sum(units.count * one for units, one in zip(signal, means, strict=True)) / total * (kind == "layer")
    centred = []
    for units, own in zip(signal, means, strict=True):
        cross = np.multiply.outer(own, mean) if units.values is not None else 0.0
        gram = units.gram - cross - np.transpose(cross) + np.multiply.outer(mean, mean)
        centred.append(Units(units.count, gram, None if units.values is None else units.values - mean))
    sizes = np.sqrt(np.maximum(np.diag(mean_gram(tuple(centred))), 0) + EPSILON)
    return divided(tuple(centred), sizes), sizes


def divided(signal: Signal, sizes: Float[np.ndarray, " batch"]) -> Signal:
    """Each example over its own size.

    >>> divided((Units(3, np.eye(1)),), np.array([2.0]))[0].gram
    array([[0.25]])
    """
    return tuple(
        Units(units.count, units.gram / np.outer(sizes, sizes), None if units.values is None else units.values / sizes)
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
            parts = [(gram, None) for gram in kernels(activation, units.gram)]
        else:
            parts = [(_product(values), values) for values in values_and_slopes(activation, units.values)]
        after.append(Units(units.count, *parts[0]))
        slopes.append(Units(units.count, *parts[1]))
    return tuple(after), tuple(slopes)


def backwards(grads: Signal, slopes: Signal, again: np.ndarray, rng: np.random.Generator) -> Signal:
    """dL/dz = dL/dh f'(z). `again`: which examples the gradients are of.

    >>> backwards((Units(3, np.eye(1)),), (Units(3, 0.5 * np.eye(1)),), np.arange(1), np.random.default_rng(0))[0].gram
    array([[0.5]])
    """
    passed = []
    for grad, slope in aligned(grads, slopes):
        if slope.values is None:
            passed.append(Units(grad.count, grad.gram * slope.gram[np.ix_(again, again)]))
        else:
            values = with_values(grad, rng) * slope.values[:, again]
            passed.append(Units(grad.count, _product(values), values))
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


def slope_share(activation: Activation, signal: Signal) -> float:
    """The mean of |f'| / max |f'|; nan where f' has no bound.

    >>> round(slope_share(xinit.activations.relu(), (Units(3, np.eye(2)),)), 3)
    0.5
    """
    shares = [
        mean_slope(activation, np.diag(units.gram))
        if units.values is None
        else float(np.mean(np.abs(values_and_slopes(activation, units.values)[1]))) / activation.slope_max
        for units in signal
    ]
    return _over_units(signal, shares) if activation.slope_max < np.inf else np.nan


def dead_share(activation: Activation, signal: Signal) -> float:
    """Share of a rectifier's units with z <= 0 on all examples, by Monte Carlo with a fixed seed; nan for others.

    >>> signal = (Units(10, np.eye(3)),)
    >>> dead_share(xinit.activations.tanh(), signal), round(dead_share(xinit.activations.relu(), signal), 1)
    (nan, 0.1)
    """
    if not activation.rectifies or activation.negative_slope is None:
        return np.nan
    if activation.negative_slope >= FLAT:
        return 0.0
    every = [
        normals(DRAWS_OF_A_UNIT, len(units.gram)) @ root(units.gram).T if units.values is None else units.values
        for units in signal
    ]
    return _over_units(signal, [float(np.mean(np.all(values <= 0, axis=1))) for values in every])


def _over_units(signal: Signal, shares: list[float]) -> float:
    if len(shares) == 1:
        return shares[0]
    return float(np.average(shares, weights=[units.count for units in signal]))


def _product(values: Float[np.ndarray, "drawn batch"]) -> Float[np.ndarray, "batch batch"]:
    return values.T @ values / len(values)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


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
