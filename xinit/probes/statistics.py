"""Pure reductions of arrays to readings, of one layer or of all."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from xinit.core.readings import QUANTILES

T = TypeVar("T")

# Quantiles from a histogram this fine are off by at most 1/2048 of the range; sorting costs a hundred times as much.
FINE_BINS = 2048
SAME = 1e-5  # of a layer's largest value: float32 sums of equal terms in another order differ by a hundredth of it


def histogram(
    x: Float[Array, "..."], low: Float[Array, ""] | float, high: Float[Array, ""] | float, bins: int
) -> Float[Array, " bins"]:
    """Share of all values in each of `bins` equal bins of [low, high]; a sum below 1 says the rest lies outside."""
    place = jnp.floor((x.ravel() - low) / (high - low) * bins)
    place = jnp.where(x.ravel() == high, bins - 1, place)  # the last bin is closed
    inside = (place >= 0) & (place < bins)
    index = jnp.where(inside, place, bins).astype(jnp.int32)
    return jnp.zeros(bins).at[index].add(1.0, mode="drop") / x.size


def fine_quantiles(x: Float[Array, "..."], q: Sequence[float] = QUANTILES) -> Float[Array, " quantiles"]:
    """Quantiles (len(q),) by linear interpolation in a histogram of FINE_BINS bins over the range of x."""
    low, high = jnp.min(x), jnp.max(x)
    span = jnp.maximum(high - low, jnp.finfo(x.dtype).tiny)
    cumulative = jnp.cumsum(histogram(x, low, low + span, FINE_BINS))
    shares = jnp.concatenate([jnp.zeros(1), cumulative])
    return jnp.interp(jnp.array(q), shares, low + span * jnp.linspace(0, 1, FINE_BINS + 1))


def exact_quantiles(x: Float[Array, "..."], q: Sequence[float] = QUANTILES) -> Float[Array, " quantiles"]:
    """Quantiles (len(q),) by sorting."""
    return jnp.quantile(x.ravel(), jnp.array(q))


def cosines(h_NW: Float[Array, "batch units"]) -> Float[Array, " pairs"]:
    """Cosines between the activations of different examples, one for each of the N (N - 1) / 2 pairs."""
    _, exponents = jnp.frexp(jnp.max(jnp.abs(h_NW), axis=1, keepdims=True))
    h_NW = jnp.ldexp(h_NW, -exponents)  # exact; the squares of a signal that has vanished would be 0
    norms = jnp.linalg.norm(h_NW, axis=1, keepdims=True)
    unit_NW = h_NW / jnp.maximum(norms, jnp.finfo(h_NW.dtype).tiny)
    return jnp.matmul(unit_NW, unit_NW.T, precision="float32")[jnp.triu_indices(len(h_NW), k=1)]


def copies(h_NW: Float[Array, "batch units"], g_NW: Float[Array, "batch units"]) -> Float[Array, ""]:
    """How far the units of a layer are copies of each other: 1 - (different - 1) / (units - 1), 1 where all are one.

    Two units are copies if they have the same activation h and the same dL/dz on every example: their incoming weights
    then get the same gradient, so training cannot tell them apart. Units without any gradient, as dead ones, are left
    out. Units are compared by two random sums over the examples of h and of dL/dz each.
    """
    sums_2N = np.random.default_rng(0).standard_normal((2, len(h_NW))).astype(np.float32)
    marks = jnp.concatenate(
        [_unit_scale(jnp.matmul(sums_2N, _unit_scale(x), precision="float32")) for x in (h_NW, g_NW)]
    )
    heard = jnp.any(g_NW != 0, axis=0)
    marks = jnp.where(heard[None, :], marks, jnp.inf)  # those left out come last, as one that is not counted
    marks = marks[:, jnp.argsort(marks[0])]
    differs = jnp.any(jnp.abs(marks[:, 1:] - marks[:, :-1]) > SAME, axis=0)
    n_heard = jnp.sum(heard)
    n_steps = jnp.sum(differs & (jnp.arange(1, len(heard)) < n_heard))  # from one to a different one
    return jnp.where(n_heard > 1, 1 - n_steps / jnp.maximum(n_heard - 1, 1), 0.0)


def _unit_scale(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x over its largest absolute value."""
    return x / jnp.maximum(jnp.max(jnp.abs(x)), jnp.finfo(x.dtype).tiny)


def over_layers(function: Callable[..., T], *lists: Iterable[Array]) -> T:
    """`function` of each layer, its results stacked: the leading axis is the layer.

    Layers of equal shape share one compiled loop, so that fifty layers do not take ten times as long to compile as
    five.
    """
    layers = list(zip(*lists, strict=True))
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for l, layer in enumerate(layers):
        groups.setdefault(tuple(jnp.shape(part) for part in layer), []).append(l)
    stacks = [[jnp.stack(part) for part in zip(*(layers[l] for l in group), strict=True)] for group in groups.values()]
    results = [lax.map(lambda layer: function(*layer), stack) for stack in stacks]
    order = list(itertools.chain(*groups.values()))
    joined: T = jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)
    if order == sorted(order):
        return joined
    in_their_order: T = jax.tree.map(lambda a: a[np.argsort(order)], joined)
    return in_their_order
