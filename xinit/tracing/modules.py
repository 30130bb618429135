"""A Flax module that a user's function makes, as pure functions of parameters, state, x and a key."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.errors
import jax
import jax.numpy as jnp
from flax import linen, nnx
from jax import Array

from xinit.core.custom import calling, import_function
from xinit.core.errors import InputError
from xinit.core.factories import call_with_options
from xinit.networks.network import Frame, Params, State, completed
from xinit.tracing.kinds import kind_of
from xinit.tracing.models import refusals
from xinit.tracing.structure.kernels import unboxed

PATH = "network.fn"
KWARGS = "kwargs"  # the setting with arguments whose names are taken by settings of ours
# What a module's call says of whether it trains, by the names that Flax's own and most people's modules use.
SWITCHES = {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}
BATCH = 2  # examples, of the batch that a module is looked at with, in shapes alone

Make = Callable[[Array], Any]  # of the key of an nnx module's parameters


class Pure(NamedTuple):
    """A module as `call(params, state, x, key, train) -> (output, state)`, and how it starts.

    The state is what the module changes as it trains, beside its parameters: batch statistics and the like. `draws`: it
    needs a key while it trains. `activated`: it was told the activation of the run.
    """

    call: Callable[[Params, State, Array, Array, bool], tuple[Any, State]]
    start: Callable[[Array], tuple[Params, State]]
    draws: bool
    activated: bool = False


def pure_module(fn: str, options: Mapping[str, Any], frame: Frame) -> Pure:
    """The module that the user's function "module:function" makes with these options.

    Raises:
      InputError: there is no such function, it fails or takes other options, it makes no module, or one that cannot be
        called with a batch of such examples.
    """
    function = import_function(PATH, fn)
    asked = _asked(fn, function)
    if "activation" in asked and len({f.name for f in frame.activations}) > 1:
        named = ", ".join(f.name for f in frame.activations)
        raise InputError(f"{PATH} {fn!r} asks for one activation, but the run names {named}; name one.")
    arguments = _arguments(options)

    def make(key: Array) -> Any:
        told = {name: value for name, value in _told(frame, key).items() if name in asked} | arguments
        return calling(PATH, fn, call_with_options, function, told, "network", also=(KWARGS,))

    made: list[Any] = []
    jax.eval_shape(lambda key: made.append(make(key)), jax.random.key(0))
    module, x = made[0], jnp.zeros((BATCH, *frame.inputs))
    if not isinstance(module, nnx.Module | linen.Module):
        raise InputError(f"{PATH} {fn!r} returns {kind_of(module)}; it must return a flax.nnx or flax.linen module.")
    if isinstance(module, nnx.Module) and "rngs" not in asked:
        raise InputError(
            f"{PATH} {fn!r} returns a flax.nnx module and does not take rngs, so that every seed would start from the "
            "same parameters; it must take rngs, an nnx.Rngs, and make the module with them."
        )
    try:
        with refusals(x):
            pure = _of_nnx(make) if isinstance(module, nnx.Module) else _of_linen(module, x)
    except InputError as error:
        raise InputError(f"{PATH} {fn!r}: {error}") from error
    return pure._replace(activated="activation" in asked)


def _asked(fn: str, function: Callable[..., Any]) -> set[str]:
    return set(calling(PATH, fn, inspect.signature, function).parameters)


def _told(frame: Frame, key: Array) -> dict[str, Any]:
    """What a function is given if it has an argument of that name."""
    return {
        "n_outputs": frame.n_outputs,
        "input_shape": frame.inputs,
        "depth": len(frame.widths),
        "width": max(frame.widths),
        "widths": frame.widths,
        "activation": frame.activations[0].function,
        "rngs": nnx.Rngs(key),
    }


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the user's function, those in `kwargs` included."""
    options = dict(options)
    more = options.pop(KWARGS, None)
    if not isinstance(more, Mapping | None):
        raise InputError(f"network.{KWARGS} is {more!r}; it must be a mapping, such as network.{KWARGS}={{patch:4}}.")
    return {**options, **(more or {})}


def _switches(kind: type) -> Callable[[bool], dict[str, Any]]:
    """What the call of a module of this class is told, by whether it trains."""
    taken = inspect.signature(kind.__call__).parameters
    return lambda train: {name: train == on for name, on in SWITCHES.items() if name in taken}


def _of_nnx(make: Make) -> Pure:
    """nnx modules keep the streams of their keys: those get new keys at each call, and are no state."""

    def split(module: Any) -> tuple[Any, Any, Any, Any]:
        return nnx.split(module, nnx.Param, nnx.RngState, ...)  # type: ignore[return-value]  # as many as filters

    graph, params_like, streams_like, state_like = jax.eval_shape(lambda key: split(make(key)), jax.random.key(0))
    abstract = nnx.merge(graph, params_like, streams_like, state_like)
    streams_like = nnx.to_pure_dict(streams_like)
    switches, taken = _switches(type(abstract)), inspect.signature(type(abstract).__call__).parameters

    def start(key: Array) -> tuple[Params, State]:
        _, params, _, state = split(make(key))
        return nnx.to_pure_dict(params), nnx.to_pure_dict(state)

    def call(params: Params, state: State, x: Array, key: Array, train: bool) -> tuple[Any, State]:
        module = nnx.merge(graph, params, _streams(streams_like, key), state)
        (module.train if train else module.eval)()
        named: dict[str, Any] = {"rngs": nnx.Rngs(key)} if "rngs" in taken else {}
        output = module(x, **switches(train), **named)
        return output, completed(state, nnx.to_pure_dict(split(module)[3])) if train else state

    draws = "rngs" in taken or bool(jax.tree.leaves(streams_like))
    return Pure(call, start, draws)


def _streams(like: Any, key: Array) -> Any:
    """The streams of a module, each with a key of its own, none of which has been taken yet."""
    leaves, form = jax.tree.flatten(like)
    fresh = []
    for i, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            own = jax.random.fold_in(key, i)
            fresh.append(jax.random.split(own, math.prod(leaf.shape)).reshape(leaf.shape) if leaf.shape else own)
        else:
            fresh.append(jnp.zeros(leaf.shape, leaf.dtype))
    return jax.tree.unflatten(form, fresh)


def _of_linen(module: linen.Module, x: Array) -> Pure:
    """Of linen modules all collections but the parameters are state, unless they grow from call to call."""
    switches = _switches(type(module))

    def variables(key: Array) -> Any:
        return unboxed(module.init({"params": key}, x, **switches(False)))

    def apply(variables: Any, x: Array, key: Array | None, train: bool) -> tuple[Any, Any]:
        mutable = sorted(set(variables) - {"params"}) if train else False
        rngs = None if key is None else {"params": key}  # stands for every stream that is asked for
        output = module.apply(variables, x, rngs=rngs, mutable=mutable, **switches(train))
        return (output[0], unboxed(output[1])) if train else (output, {})

    like = jax.eval_shape(variables, jax.random.key(0))
    look = lambda key: jax.eval_shape(lambda v: apply(v, x, key, True)[1], like)
    try:
        draws, after = False, look(None)
    except flax.errors.InvalidRngError:
        draws, after = True, look(jax.random.key(0))
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    kept = {name for name, value in after.items() if shapes(value) == shapes(like[name])}

    def start(key: Array) -> tuple[Params, State]:
        drawn = variables(key)
        return drawn.get("params", {}), {name: drawn[name] for name in kept}

    def call(params: Params, state: State, x: Array, key: Array, train: bool) -> tuple[Any, State]:
        output, changed = apply({"params": params, **state}, x, key if draws else None, train)
        return output, {**state, **changed}

    return Pure(call, start, draws)
