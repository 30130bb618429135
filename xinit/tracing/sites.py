"""The sites of a traced module, at which its signals are measured and changed.

Each kernel has a site, and in a stack of kernels each has its own. It lies at the first output of the kernel, in front
of the elementwise function that is applied next, where one is recognised.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from xinit.networks import activations
from xinit.networks.contract import INF, Activation
from xinit.networks.network import Weight
from xinit.networks.sites import Added, Site, Tap
from xinit.tracing.structure.kernels import Axes
from xinit.tracing.structure.layers import Layer, Structure
from xinit.tracing.structure.operands import LOOKUP
from xinit.tracing.structure.products import Found, Product, Use
from xinit.tracing.structure.program import Program, Taps, Value, run
from xinit.tracing.structure.transfer import unit_places

Sites = dict[Site, Layer]
Places = dict[tuple[int | None, ...], tuple[Site, Product]]  # of one value of a program, by the iterations


NOT_SEEN = activations.linear()._replace(name="not seen", slope_max=INF)  # so that no slope is reported
KNOWN: dict[str, Callable[[], Activation]] = {
    "tanh": activations.tanh, "sigmoid": activations.sigmoid, "relu": activations.relu, "gelu": activations.gelu,
    "silu": activations.silu, "softplus": activations.softplus, "elu": activations.elu, "selu": activations.selu,
    "softsign": activations.softsign, "hard tanh": activations.hard_tanh, "mish": activations.mish,
    "hard sigmoid": activations.hard_sigmoid, "hard swish": activations.hard_swish, "erf": activations.erf,
    "squared relu": activations.squared_relu, "lecun tanh": activations.lecun_tanh, "sin": activations.sin,
}  # fmt: skip


class Passing(NamedTuple):
    """The signals of one layer: its output z, the input u of the function f behind it, and f(u)."""

    pre: Array
    into: Array
    post: Array


def kernels_of(found: Found) -> dict[int, Use]:
    """The parameters that are kernels, in the order in which a signal meets them, with the first use of each.

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


def sites_of(structure: Structure, weights: Mapping[int, Weight]) -> Sites:
    """The first layer at each site; `weights` by the number of the parameter that is the kernel.

    Layers keep only a function of u that has a name here, u being an array like z with the same units.
    """
    sites: Sites = {}
    for layer in structure.layers:
        product, use = layer.product, layer.product.uses[0]
        weight = weights.get(use.parameter)
        if weight is not None and product.kind != LOOKUP and weight.stack == tuple(axis for axis, _ in use.taken):
            sizes = [weight.shape[axis] for axis in weight.stack]
            part = int(np.ravel_multi_index([place for _, place in use.taken], sizes)) if sizes else 0
            kept = layer if _is_known(layer, structure) else layer._replace(function=None)
            sites.setdefault(Site("weight", weight.place, part), kept)
    return sites


def _is_known(layer: Layer, structure: Structure) -> bool:
    function, product, types = layer.function, layer.product, structure.program.types
    if function is None or function.name not in KNOWN:
        return False
    units = unit_places(structure.found.origins[function.reads].axes)
    return units == product.unit_axes and types[function.reads] == types[function.gives] == types[product.gives]


def activation_of(layer: Layer) -> Activation:
    """The function behind a layer; where none is recognised, one whose slope has no bound, so that none is reported."""
    return NOT_SEEN if layer.function is None else KNOWN[layer.function.name]()


def passed(
    program: Program, inputs: Sequence[Any], sites: Sites, n: int, tap: Tap | None = None
) -> tuple[list[Any], dict[Site, Passing]]:
    """The outputs of the program for a batch of n examples, and the signals at the sites after the tap."""
    taps = {} if tap is None else _taps(tap, sites, program, n)
    values = {site: _values(layer) for site, layer in sites.items()}
    outputs, records = run(program, inputs, taps, set(itertools.chain(*values.values())))

    def seen(layer: Layer, value: Value) -> Array:
        return _signal(layer.product, records[value][_of_stack(layer.product)], n)

    return outputs, {site: Passing(*(seen(sites[site], value) for value in values[site])) for site in sites}


def _values(layer: Layer) -> tuple[Value, Value, Value]:
    z, function = layer.product.gives, layer.function
    return (z, z, z) if function is None else (z, function.reads, function.gives)


def _taps(tap: Tap, sites: Sites, program: Program, n: int) -> Taps:
    """The tap as arrays, or as functions where its results must go on one after the other.

    Of a loop that shares its kernels, and in a branch, a tap is what it adds to zeros.
    """
    by_value: dict[Value, Places] = {}
    for site, layer in sites.items():
        by_value.setdefault(layer.product.gives, {})[layer.product.iteration] = site, layer.product
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
