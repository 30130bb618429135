"""What passes the sites of a traced module: the first output of each kernel, and of each one in a stack of kernels."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from xinit.networks.network import Weight
from xinit.networks.sites import Added, Site, Tap
from xinit.tracing.kernels import Axes
from xinit.tracing.operands import LOOKUP
from xinit.tracing.products import Found, Product, Use
from xinit.tracing.program import Program, Taps, Value, run

Sites = dict[Site, Product]
Places = dict[tuple[int | None, ...], tuple[Site, Product]]  # of one value of a program, by the iterations


def kernels_of(found: Found) -> dict[int, Use]:
    """By parameter the first use of each that is a kernel, in the order in which a signal meets them.

    The tables of embeddings are none, and nothing without axes of inputs and of outputs.
    """
    tables = {use.parameter for product in found.products if product.kind == LOOKUP for use in product.uses}
    kernels: dict[int, Use] = {}
    for product in found.products:
        use = product.uses[0]
        is_matrix = isinstance(use.axes, Axes) and use.axes.inputs and use.axes.outputs
        if is_matrix and use.parameter not in tables:
            kernels.setdefault(use.parameter, use)
    return kernels


def sites_of(found: Found, weights: Mapping[int, Weight]) -> Sites:
    """The first product at each site; `weights` by the number of the parameter that is the kernel."""
    sites: Sites = {}
    for product in found.products:
        use = product.uses[0]
        weight = weights.get(use.parameter)
        if weight is not None and product.kind != LOOKUP and weight.stack == tuple(axis for axis, _ in use.index):
            sizes = [weight.shape[axis] for axis in weight.stack]
            index = int(np.ravel_multi_index([place for _, place in use.index], sizes)) if sizes else 0
            sites.setdefault(Site("weight", weight.place, index), product)
    return sites


def passed(
    program: Program, inputs: Sequence[Any], sites: Sites, n: int, tap: Tap | None = None
) -> tuple[list[Any], dict[Site, Array]]:
    """The outputs of the program for a batch of n examples, and what passes the sites, after the tap."""
    taps = {} if tap is None else _taps(tap, sites, program, n)
    outputs, records = run(program, inputs, taps, {product.gives for product in sites.values()})
    seen = {site: _signal(product, records[product.gives][_of_stack(product)], n) for site, product in sites.items()}
    return outputs, seen


def _taps(tap: Tap, sites: Sites, program: Program, n: int) -> Taps:
    """The tap as arrays, or as functions where its results must go on one after the other.

    Of a loop that shares its kernels, and in a branch, a tap is what it adds to zeros.
    """
    by_value: dict[Value, Places] = {}
    for site, product in sites.items():
        by_value.setdefault(product.gives, {})[product.iteration] = site, product
    taps: dict[Value, Array | Callable[..., Array]] = {}
    for value, places in by_value.items():
        in_order = all(None not in iteration and not product.branch for iteration, (_, product) in places.items())
        is_function = in_order and not isinstance(tap, Added)
        taps[value] = _function(tap, places, n) if is_function else _added(tap, places, program.types[value], n)
    return taps


def _added(tap: Tap, places: Places, kind: Any, n: int) -> Array:
    added = jnp.zeros(kind.shape, kind.dtype)
    for site, product in places.values():
        like = added[_of_stack(product)]
        added = added.at[_of_stack(product)].set(_restored(product, tap(site, _signal(product, like, n)), like))
    return added


def _function(tap: Tap, places: Places, n: int) -> Callable[..., Array]:
    def tapped(z: Array, *iterations: int) -> Array:
        if iterations not in places:
            return z
        site, product = places[iterations]
        return _restored(product, tap(site, _signal(product, z, n)), z)

    return tapped


def _of_stack(product: Product) -> tuple[Any, ...]:
    """Where in an array of all iterations those of this layer lie."""
    return tuple(slice(None) if iteration is None else iteration for iteration in product.iteration)


def _signal(product: Product, z: Array, n: int) -> Array:
    """z as (examples, positions ..., units), in single precision; shared iterations are positions."""
    order, n_units = _order(product, z.ndim)
    ordered = z.transpose(order).astype(jnp.float32)
    first, *positions = ordered.shape[: z.ndim - n_units] or (1,)
    parted = (n, first // n) if first % n == 0 and first > n else (first,)
    return ordered.reshape(*parted, *positions, math.prod(ordered.shape[z.ndim - n_units :]))


def _restored(product: Product, signal: Array, like: Array) -> Array:
    order, _ = _order(product, like.ndim)
    ordered = signal.reshape([like.shape[axis] for axis in order])
    return ordered.transpose(np.argsort(order)).astype(like.dtype)


def _order(product: Product, rank: int) -> tuple[list[int], int]:
    """The axes as examples, positions, units, and the number of the last."""
    shared = sum(iteration is None for iteration in product.iteration)
    first = [] if product.gives_examples is None else [shared + product.gives_examples]
    units = [shared + axis for axis in product.unit_axes if shared + axis not in first]
    positions = [axis for axis in range(rank) if axis not in (*first, *units)]
    return [*first, *positions, *units], len(units)
