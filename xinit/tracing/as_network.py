"""A Flax module of the user's as a `Network`: its layers are found as `xinit.probe` finds them.

Its weights are the kernels of the layers that are called, in the order of their first calls: what a layer calls
`kernel`, or the only matrix of a layer of the user's own. Schemes draw these. Everything else, such as biases, norms
and the tables of embeddings, stays as the module draws it.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from xinit.core.errors import InputError
from xinit.initializers.kernel import Kernel
from xinit.networks import activations
from xinit.networks.contract import INF, Activation
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
    Path,
    Site,
    State,
    Tap,
    Weight,
)
from xinit.tracing import taps
from xinit.tracing.kernels import Axes, by_path
from xinit.tracing.layout import Layout
from xinit.tracing.modules import BATCH, PATH, Pure, pure_module
from xinit.tracing.networks import refusals
from xinit.tracing.probing import lowest_modules
from xinit.tracing.taps import Recorder

KERNEL = "kernel"
MOST_NAMED = 5  # of the kernels that an error lists
NOT_SEEN = activations.linear()._replace(name="not seen", slope_max=INF)  # so that no slope is reported


Kernels = dict[taps.Layer, tuple[str, Axes]]  # the path of a layer's kernel, and its axes


class Seen(NamedTuple):
    """The layers that a call meets, in the order of their first calls, which of them gives the logits, all modules."""

    layers: tuple[taps.Layer, ...]
    last: taps.Layer | None
    modules: tuple[str, ...]


def as_network(fn: str, options: Mapping[str, Any], frame: Frame) -> Network:
    """The network of the module that the user's function "module:function" makes.

    Each weight but the first is said to read the activation of the run where the function asks for it, else one that is
    linear: what lies between the layers of a module cannot be seen. So theory predicts nothing of it.

    Raises:
      InputError: as `pure_module`; it gives no logits; no layer of it can be seen, or not all kernels of it.
    """
    pure = pure_module(fn, options, frame)
    params, state = jax.eval_shape(pure.start, jax.random.key(0))
    _check_types(fn, params)
    seen = _seen(fn, pure, params, state, frame)
    kernels = _kernels(fn, pure.layout, seen)
    reads = frame.activations[0] if pure.activated else activations.linear()
    weights = _weights(kernels, seen.last, params, reads)
    # The layer of the logits is followed by no nonlinearity, and so no entry, unless there is no other.
    entries = [weight for weight in weights if weight.role != LAST] or weights
    named = list(kernels)
    return Network(
        name="custom",
        n_inputs=math.prod(frame.inputs),
        n_outputs=frame.n_outputs,
        weights=weights,
        layers=tuple(Layer(named[w.place].name, w.units, NOT_SEEN, w.place, Site("weight", w.place)) for w in entries),
        apply=_apply(pure, {layer.name: place for place, layer in enumerate(named)}, [w.place for w in entries], frame),
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


def _seen(fn: str, pure: Pure, params: Params, state: State, frame: Frame) -> Seen:
    """What a call meets as it trains, in shapes alone; the logits are checked as it trains and as it does not."""
    x = jax.ShapeDtypeStruct((BATCH, *frame.inputs), jnp.float32)
    wanted = lowest_modules(params).__contains__
    looks = []

    def look(params: Params, state: State, x: Array, train: bool) -> Any:
        recorder = Recorder(wanted, {})
        output, _ = pure.call(params, state, x, recorder, jax.random.key(0), train)
        firsts = {layer.path: layer for layer in reversed(recorder.layers.values())}
        layers = tuple(layer for layer in recorder.layers.values() if firsts[layer.path] is layer)
        gives_logits = (layer for layer in layers if recorder.visits[layer.name].gives is output)
        looks.append(Seen(layers, next(gives_logits, None), tuple(recorder.modules)))
        return output

    for train in (True, False):
        try:
            with refusals(x):
                output = jax.eval_shape(functools.partial(look, train=train), params, state, x)
        except InputError as error:
            raise InputError(f"{PATH} {fn!r}: {error}") from error
        shape, wanted_shape = getattr(output, "shape", None), (BATCH, frame.n_outputs)
        if shape != wanted_shape or output.dtype != jnp.float32:
            came = f"a {type(output).__name__}" if shape is None else f"shape {shape} and type {output.dtype}"
            raise InputError(
                f"{PATH} {fn!r} makes a module that gives {came} for x of shape {x.shape}; it must give logits of "
                f"shape {wanted_shape} and type float32."
            )
    return looks[0]


def _kernels(fn: str, layout: Layout, seen: Seen) -> Kernels:
    """The kernel of each layer that has one.

    Raises:
      InputError: no layer has; or there is a kernel that belongs to none of them, so that no scheme could draw it.
    """
    kernels: Kernels = {}
    for layer in seen.layers:
        of_layer = [path for path in layout if path.rpartition("/")[0] == layer.path and layout[path] is not None]
        called_so = [path for path in of_layer if path.rpartition("/")[2] == KERNEL]
        chosen = called_so or (of_layer if len(of_layer) == 1 else [])
        axes = layout[chosen[0]] if chosen else None
        if isinstance(axes, Axes) and axes.stack_is_known and not axes.lookup:
            kernels[layer] = chosen[0], axes
    others = [path for path in layout if path.rpartition("/")[2] == KERNEL and layout[path] is not None]
    missing = sorted(set(others) - {path for path, _ in kernels.values()})
    if missing:
        raise InputError(
            f"{PATH} {fn!r} makes a module whose layers cannot all be seen, so that no scheme could draw "
            f"{', '.join(missing[:MOST_NAMED])}{' and others' if len(missing) > MOST_NAMED else ''}: such layers lie "
            "inside a jax transform (scan, remat, vmap, jit) of the module's own, are not called, or have a kernel "
            "whose axes are not known; make it of layers of Flax's, called one by one."
        )
    if not kernels:
        raise InputError(
            f"{PATH} {fn!r} makes a module without a layer that can be seen: none of its submodules has a kernel and "
            f"returns an array of floating numbers; there are: {', '.join(filter(None, seen.modules)) or 'none'}."
        )
    return kernels


def _weights(kernels: Kernels, last: taps.Layer | None, params: Params, reads: Activation) -> tuple[Weight, ...]:
    """The weights, in the order of `kernels`; biases are the module's own."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    found = {jax.tree_util.keystr(keys, simple=True, separator="/"): (keys, leaf.shape) for keys, leaf in leaves}
    layers = list(kernels)
    end = layers.index(last) if last is not None and last in kernels else len(layers) - 1
    weights = []
    for place, (path, axes) in enumerate(kernels.values()):
        keys, shape = found[path]
        kernel = Kernel(shape, axes.inputs, axes.outputs, axes.stacked, axes.groups)
        role = LAST if place == end else FIRST if place == 0 else HIDDEN
        names: Path = tuple(key.key for key in keys)
        weights.append(Weight(names, kernel, reads if place else None, role, place))
    return tuple(weights)


def _apply(pure: Pure, places: Mapping[str, int], entries: Sequence[int], frame: Frame) -> Apply:
    """The module's call, with a site at the first output of each layer; several axes of units are one axis there."""

    def apply(
        params: Params,
        state: State,
        x: Float[Array, "batch inputs"],
        tap: Tap | None = None,
        key: Array | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, "batch outputs"], Outputs, State]:
        passed: dict[int, Array] = {}

        def through(layer: taps.Layer, z: Array) -> Array:
            if (place := places.get(layer.name)) is None:  # a later call, or a layer without a kernel
                return z
            z_units = z.reshape(*z.shape[: z.ndim - layer.unit_axes], -1).astype(jnp.float32)
            passed[place] = tap(Site("weight", place), z_units) if tap else z_units
            return passed[place].astype(z.dtype).reshape(z.shape)

        recorder = Recorder(lambda path: True, {}, through=through)
        key = jax.random.key(0) if key is None else key
        with jax.default_matmul_precision(frame.precision):
            logits, state = pure.call(params, state, x.reshape(len(x), *frame.inputs), recorder, key, train)
        seen = tuple(passed[place] for place in entries)
        return logits, Outputs(seen, seen, seen), state

    return apply
