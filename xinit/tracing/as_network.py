"""A Flax module of the user's as a `Network`: its layers are found in the traced program, as `xinit.probe` finds them.

Its weights are the kernels that a signal is multiplied with, in the order in which it meets them. Schemes draw these.
Everything else, such as biases, norms and the tables of embeddings, stays as the module draws it. A kernel that stacks
those of several layers, as the blocks of a module that loops over them, is one weight, and each of its layers is a
layer of the network.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import jaxpr_as_fun
from jaxtyping import Float

from xinit.core.errors import InputError
from xinit.initializers.kernel import Kernel
from xinit.networks import activations
from xinit.networks.contract import Activation
from xinit.networks.network import (
    FIRST,
    HIDDEN,
    LAST,
    Apply,
    Frame,
    Layer,
    Network,
    Outputs,
    Params,
    Site,
    State,
    Tap,
    Weight,
)
from xinit.tracing.models import refusals
from xinit.tracing.modules import BATCH, PATH, Pure, pure_module
from xinit.tracing.sites import Passing, Sites, activation_of, kernels_of, passed, sites_of
from xinit.tracing.structure.kernels import by_path
from xinit.tracing.structure.layers import Structure, structure_of
from xinit.tracing.structure.products import Use

KERNEL = "kernel"
MOST_NAMED = 5  # of the parameters that an error lists


class Call(NamedTuple):
    """The module's own call on the leaves of (params, (state, key), x), and the shapes of (output, state)."""

    function: Callable[..., list[Array]]
    gives: Any


class Calls(NamedTuple):
    """By the number of examples and whether it trains: the module's call, and the layers in it; each is found once."""

    own: Callable[[int, bool], Call]
    structure: Callable[[int, bool], Structure]


def as_network(fn: str, options: Mapping[str, Any], frame: Frame) -> Network:
    """The network of the module that the user's function "module:function" makes.

    Each weight but the first is said to read the activation of the run where the function asks for it, else one that is
    linear. Theory predicts nothing of it.

    Raises:
      InputError: as `pure_module`; it gives no logits; no layer of it can be seen, or not all kernels of it.
    """
    pure = pure_module(fn, options, frame)
    params, state = jax.eval_shape(pure.start, jax.random.key(0))
    _check_types(fn, params)
    calls = _calls(pure, params, state, frame)
    structure = _checked(fn, calls, frame)
    kernels = kernels_of(structure.found)
    _check_kernels(fn, structure, list(kernels))
    reads = frame.activations[0] if pure.activated else activations.linear()
    weights = _weights(structure, kernels, params, reads)
    by_parameter = dict(zip(kernels, weights, strict=True))
    sites = sites_of(structure, by_parameter)
    # The layer of the logits is followed by no nonlinearity, and so no entry, unless there is no other.
    entries = [site for site in sites if weights[site.number].role != LAST] or list(sites)
    named = [(site, sites[site]) for site in entries]
    return Network(
        name="custom",
        n_inputs=math.prod(frame.inputs),
        n_outputs=frame.n_outputs,
        weights=weights,
        layers=tuple(Layer(layer.name, layer.width, activation_of(layer), site.number, site) for site, layer in named),
        apply=_apply(calls, by_parameter, entries, frame),
        start=jax.jit(pure.start),  # so that its shapes are found once
        draws=pure.draws,
    )


def _check_types(fn: str, params: Params) -> None:
    for path, leaf in by_path(params).items():
        if leaf.dtype != jnp.float32:
            raise InputError(
                f"{PATH} {fn!r} makes the parameter {path} of type {leaf.dtype}; parameters must be float32 (a layer "
                "may compute in another type, which Flax calls dtype)."
            )


def _calls(pure: Pure, params: Params, state: State, frame: Frame) -> Calls:
    key = jax.eval_shape(lambda: jax.random.key(0))

    def arguments(n: int) -> tuple[Params, tuple[State, Any], Any]:
        return params, (state, key), jax.ShapeDtypeStruct((n, *frame.inputs), jnp.float32)

    @functools.cache
    def own(n: int, train: bool) -> Call:
        def call(params: Params, others: tuple[State, Array], x: Array) -> tuple[Any, State]:
            return pure.call(params, others[0], x, others[1], train)

        with jax.default_matmul_precision(frame.precision):
            closed, gives = jax.make_jaxpr(call, return_shape=True)(*arguments(n))
        return Call(jax.jit(jaxpr_as_fun(closed)), gives)

    @functools.cache
    def structure(n: int, train: bool) -> Structure:
        function, gives = own(n, train)
        call = lambda *trees: jax.tree.unflatten(jax.tree.structure(gives), function(*jax.tree.leaves(trees)))
        return structure_of(call, *arguments(n))

    return Calls(own, structure)


def _checked(fn: str, calls: Calls, frame: Frame) -> Structure:
    """The layers of the module as it trains; its logits are checked as it trains and as it does not."""
    x = jax.ShapeDtypeStruct((BATCH, *frame.inputs), jnp.float32)
    try:
        for train in (True, False):
            with refusals(x):
                output, _ = calls.own(BATCH, train).gives
            shape, wanted_shape = getattr(output, "shape", None), (BATCH, frame.n_outputs)
            if shape != wanted_shape or output.dtype != jnp.float32:
                came = f"a {type(output).__name__}" if shape is None else f"shape {shape} and type {output.dtype}"
                raise InputError(
                    f"it makes a module that gives {came} for x of shape {x.shape}; it must give logits of shape "
                    f"{wanted_shape} and type float32."
                )
        return calls.structure(BATCH, True)
    except InputError as error:
        raise InputError(f"{PATH} {fn!r}: {error}") from error


def _check_kernels(fn: str, structure: Structure, kernels: Sequence[int]) -> None:
    """Refuse a module without kernels, or one with kernels that no scheme could draw."""
    paths = list(structure.axes)
    drawn = {paths[number] for number in kernels}
    tables = {path for path, axes in structure.axes.items() if getattr(axes, "lookup", False)}
    hidden = {paths[number] for one in structure.found.hidden for number in one.parameters}
    missing = sorted(({path for path in paths if path.rpartition("/")[2] == KERNEL} | hidden) - drawn - tables)
    if missing:
        raise InputError(
            f"{PATH} {fn!r} makes a module whose layers cannot all be seen, so that no scheme could draw "
            f"{', '.join(missing[:MOST_NAMED])}{' and others' if len(missing) > MOST_NAMED else ''}: a signal is "
            "multiplied with such a kernel nowhere, or in a function that cannot be entered, or after the kernel was "
            "combined with other numbers or parted; multiply with each kernel as it is stored."
        )
    if not kernels:
        raise InputError(
            f"{PATH} {fn!r} makes a module without a layer that can be seen: no matrix among its parameters is "
            f"multiplied with a signal; there are: {', '.join(paths[:MOST_NAMED]) or 'none'}."
        )


def _weights(structure: Structure, kernels: Mapping[int, Use], params: Params, reads: Activation) -> tuple[Weight, ...]:
    """The weights, in the order of `kernels`; biases are the module's own."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    found, numbers = structure.found, list(kernels)
    giving = found.origins[structure.program.outputs[0]].layers  # the layers nearest to the logits
    last = [found.products[layer].uses[0].parameter for layer in sorted(giving)]
    end = next((numbers.index(number) for number in reversed(last) if number in kernels), len(numbers) - 1)
    weights = []
    for place, (number, use) in enumerate(kernels.items()):
        keys, leaf = leaves[number]
        axes: Any = use.axes
        kernel = Kernel(leaf.shape, axes.inputs, axes.outputs, axes.stacked, axes.groups)
        role = LAST if place == end else FIRST if place == 0 else HIDDEN
        path, stack = tuple(key.key for key in keys), tuple(axis for axis, _ in use.taken)
        weights.append(Weight(path, kernel, reads if place else None, role, place, stack=stack))
    return tuple(weights)


def _apply(calls: Calls, weights: Mapping[int, Weight], entries: Sequence[Site], frame: Frame) -> Apply:
    """The module's own call where there is no tap: what is not read of `Outputs`, the compiler removes."""

    @functools.cache
    def sites(n: int, train: bool) -> Sites:
        return sites_of(calls.structure(n, train), weights)

    @functools.cache
    def passing(n: int, train: bool) -> Callable[..., dict[Site, Passing]]:
        program = calls.structure(n, train).program
        return jax.jit(lambda *leaves: passed(program, leaves, sites(n, train), n)[1])

    def apply(
        params: Params,
        state: State,
        x: Float[Array, "batch inputs"],
        tap: Tap | None = None,
        key: Array | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, "batch outputs"], Outputs, State]:
        key, n = jax.random.key(0) if key is None else key, len(x)
        leaves = jax.tree.leaves((params, (state, key), x.astype(jnp.float32).reshape(n, *frame.inputs)))
        call = calls.own(n, train)
        if tap is None:
            results, at_sites = call.function(*leaves), passing(n, train)(*leaves)
        else:
            program = calls.structure(n, train).program
            results, at_sites = passed(program, leaves, sites(n, train), n, tap)
        logits, state = jax.tree.unflatten(jax.tree.structure(call.gives), results)
        pre, into, post = zip(*(at_sites[site] for site in entries), strict=True)
        return logits, Outputs(pre=pre, post=post, into=into), state

    return apply
