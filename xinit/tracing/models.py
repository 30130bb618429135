"""Any JAX model as a pure function of its parameters, whatever library it is written in."""

import inspect
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from flax.core import DenyList

from xinit.core.errors import InputError
from xinit.tracing.calls import Call, call_of, calling, frozen, parameters_of
from xinit.tracing.kinds import is_equinox, is_haiku, kind_of
from xinit.tracing.measure import LEVEL
from xinit.tracing.refused import refusals, refuse_other_kinds
from xinit.tracing.structure.kernels import is_box, unboxed

__all__ = ["Model", "model_of", "refusals"]

Params = Any  # a tree of floating arrays
QUICK = {"xla_backend_optimization_level": LEVEL}  # what runs once is compiled in less time


class Model(NamedTuple):
    """`call(params, others, inputs) -> output`, and the values with which it is measured.

    `inputs` are x and those other arguments of the call that have an entry for each example. `others` are all other
    arrays, such as batch statistics and keys. Two models of equal `identity` and equal shapes are the same program;
    `identity` is None where that is not known.
    """

    call: Callable[[Params, Any, Any], Any]
    params: Params
    others: Any
    inputs: Any
    identity: Hashable | None
    library: str


def model_of(
    model: Any,
    x: Any,
    variables: Any = None,
    rngs: Any = None,
    call_kwargs: Mapping[str, Any] | None = None,
    axis_name: str | None = None,
) -> Model:
    """The model of a library, or a function of params and x, as a pure function.

    Raises:
      InputError: the model is of no known kind, or something is missing that its kind needs.
    """
    refuse_other_kinds(model, variables)
    call = call_of(x, rngs, call_kwargs or {})
    if isinstance(model, nnx.Module):
        made = _of_nnx(model, variables, call)
    elif isinstance(model, linen.Module):
        made = _of_linen(model, variables, call)
    elif is_haiku(model):
        made = _of_haiku(model, variables, call)
    elif is_equinox(model):
        made = _of_equinox(model, variables, call, axis_name)
    else:
        made = _of_function(model, variables, call)
    if not jax.tree.leaves(made.params):
        raise InputError(
            f"model is {kind_of(model)} and has no parameters; it must have some that are floating arrays."
        )
    if axis_name is not None and made.library != "equinox":
        made = made._replace(call=_mapped(made.call, axis_name))
    return made._replace(identity=_usable((made.library, axis_name, made.identity, call.identity)))


def _of_linen(model: linen.Module, variables: Any, call: Call) -> Model:
    """What a linen module would change, as batch statistics, is dropped."""
    keys = {("params" if name == "default" else name): key for name, key in call.keys.items()}
    if model.scope is not None:  # the module is bound to variables
        model, bound_variables = model.unbind()
        variables = bound_variables if variables is None else variables
    apply = calling(type(model).__call__)
    if variables is None:
        init = lambda keys, inputs, arrays: apply(
            lambda *args, **named: model.init(keys, *args, **named), inputs[0], call.named(inputs, {"arrays": arrays})
        )
        drawn = jax.jit(init, compiler_options=QUICK)({"params": jax.random.key(0)} | keys, call.inputs, call.arrays)
        variables = {"params": {}, **drawn}
    if not isinstance(variables, Mapping) or "params" not in variables:
        came = sorted(variables) if isinstance(variables, Mapping) else kind_of(variables)
        raise InputError(f"variables has {came}; it must have params, as what model.init returns.")
    variables = unboxed(variables)
    collections = {name: collection for name, collection in variables.items() if name != "params"}
    params, fixed = _floating(variables["params"])

    def run(params: Params, others: Any, inputs: Any) -> Any:
        every = {"params": _joined(params, others["fixed"]), **others["collections"]}
        bound = lambda *args, **named: model.apply(
            every, *args, rngs=others["keys"], mutable=DenyList("params"), **named
        )
        return apply(bound, inputs[0], call.named(inputs, others))[0]

    others = {"collections": collections, "fixed": fixed, "keys": keys, "arrays": call.arrays}
    return Model(run, params, others, call.inputs, model, "linen")


def _of_nnx(model: nnx.Module, state: Any, call: Call) -> Model:
    """nnx modules are merged anew for every call, so that the user's stays as it is."""
    copy = nnx.clone(model)
    if state is not None:
        nnx.update(copy, state)
    takes_rngs = "rngs" in inspect.signature(type(model).__call__).parameters
    if call.keys and not takes_rngs:
        _reseed(copy, call.keys)
    graph, trained, rest = nnx.split(copy, nnx.Param, ...)  # type: ignore[misc]  # as many parts as filters
    params, fixed = _floating(nnx.to_pure_dict(trained))
    is_bridge = isinstance(model, nnx.bridge.ToNNX)  # whose linen module must be told what it may change
    called: Any = vars(model)["to_nnx__module"] if is_bridge else model
    apply = calling(type(called).__call__)
    options = {"mutable": DenyList("params")} if is_bridge else {}

    def run(params: Params, others: Any, inputs: Any) -> Any:
        merged = nnx.merge(graph, _joined(params, others["fixed"]), others["state"])
        named = options | call.named(inputs, others)
        if others["keys"]:
            named["rngs"] = nnx.Rngs(**others["keys"])
        return apply(merged, inputs[0], named)

    keys = call.keys if takes_rngs else {}
    others = {"state": nnx.to_pure_dict(rest), "fixed": fixed, "keys": keys, "arrays": call.arrays}
    return Model(run, params, others, call.inputs, graph, "nnx")


def _reseed(module: nnx.Module, keys: Mapping[str, jax.Array]) -> None:
    """New keys for the streams inside a module; as nnx has it, `default` stands for all that are not named."""
    tags = sorted({node.tag for _, node in nnx.iter_graph(module) if isinstance(node, nnx.RngStream)})
    unknown = sorted(set(keys) - {*tags, "default"} if tags else keys)
    if unknown:
        raise InputError(f"rngs has {', '.join(unknown)}; the model has streams of: {', '.join(tags) or 'none'}.")
    streams = nnx.Rngs(**keys)
    nnx.reseed(module, **{tag: streams[tag]() for tag in tags if tag in keys or "default" in keys})


def _of_haiku(model: Any, variables: Any, call: Call) -> Model:
    """A pair of `transform` or `transform_with_state`, with or without `without_apply_rng`."""
    parameters = list(inspect.signature(model.apply).parameters)
    has_state, takes_key = "state" in parameters[:2], "rng" in parameters
    key = next(iter(call.keys.values()), jax.random.key(0))
    if variables is None:
        take = calling(model.init)
        init = lambda key, inputs, arrays: take(
            lambda *args, **named: model.init(key, *args, **named), inputs[0], call.named(inputs, {"arrays": arrays})
        )
        variables = jax.jit(init, compiler_options=QUICK)(key, call.inputs, call.arrays)
    pair = has_state and isinstance(variables, tuple) and len(variables) == 2
    if has_state and not pair:
        raise InputError("variables of a Haiku pair with state must be (params, state), as its init returns.")
    given, state = variables if pair else (variables, {})
    params, fixed = _floating(given)
    take_x = calling(model.apply, skip=1 + has_state + takes_key)

    def run(params: Params, others: Any, inputs: Any) -> Any:
        joined = _joined(params, others["fixed"])
        before = [joined, *([others["state"]] if has_state else []), *([others["key"]] if takes_key else [])]
        bound = lambda *args, **named: model.apply(*before, *args, **named)
        output = take_x(bound, inputs[0], call.named(inputs, others))
        return output[0] if has_state else output

    others = {"state": state, "fixed": fixed, "key": key, "arrays": call.arrays}
    return Model(run, params, others, call.inputs, model, "haiku")


def _of_equinox(model: Any, variables: Any, call: Call, axis_name: str | None) -> Model:
    """A module of Equinox takes one example, so that the call is mapped over the batch."""
    params, arrays, rebuilt, form = _parted(model if variables is None else variables)
    taken = inspect.signature(type(model).__call__).parameters
    needs_key = "key" in taken and (bool(call.keys) or taken["key"].default is inspect.Parameter.empty)
    apply = calling(type(model).__call__)

    def run(params: Params, others: Any, inputs: Any) -> Any:
        module = rebuilt(params, others["leaves"])

        def one(inputs: Any, key: Any) -> Any:
            named = call.named(inputs, others) | ({} if key is None else {"key": key})
            return apply(module, inputs[0], named)

        keys = None
        if needs_key:
            keys = jax.random.split(others["key"], len(jax.tree.leaves(inputs)[0]))
        return jax.vmap(one, in_axes=(0, None if keys is None else 0), axis_name=axis_name)(inputs, keys)

    key = next(iter(call.keys.values()), jax.random.key(0))
    others = {"leaves": arrays, "key": key, "arrays": call.arrays}
    return Model(run, params, others, call.inputs, form, "equinox")


def _of_function(function: Any, variables: Any, call: Call) -> Model:
    """A function of params and x; of params that hold more than floating arrays the rest is not differentiated.

    A callable that is a tree with floating arrays in it, as jax.tree_util.Partial, is a function of itself and x.
    """
    holds_params = variables is None
    params, arrays, rebuilt, form = _parted(function if holds_params else variables)
    if holds_params and not params:
        raise InputError(
            f"model is {kind_of(function)} and comes without parameters; give a function f(params, x) its params as "
            "variables=."
        )
    takes_rngs = "rngs" in parameters_of(function)
    if call.keys and not takes_rngs:
        raise InputError("rngs is given, and the function takes no rngs; close over the key, or take it as rngs.")
    take_x = calling(function, skip=0 if holds_params else 1)

    def run(params: Params, others: Any, inputs: Any) -> Any:
        named = call.named(inputs, others) | ({"rngs": others["keys"]} if others["keys"] else {})
        first = rebuilt(params, others["leaves"])
        bound = first if holds_params else lambda *args, **named: function(first, *args, **named)
        return take_x(bound, inputs[0], named)

    others = {"leaves": arrays, "keys": call.keys, "arrays": call.arrays}
    return Model(run, params, others, call.inputs, (None if holds_params else function, form), "function")


def _floating(tree: Any) -> tuple[Any, Any]:
    """The tree with None in place of all that is not floating, as quantised weights, and the tree of those alone."""
    is_floating = lambda leaf: jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    pick = lambda wanted: jax.tree.map(lambda leaf: leaf if is_floating(leaf) == wanted else None, tree)
    return pick(True), pick(False)


def _joined(params: Any, fixed: Any) -> Any:
    """The tree that `_floating` took apart."""
    if not jax.tree.leaves(fixed):
        return params
    return jax.tree.map(lambda one, other: other if one is None else one, params, fixed, is_leaf=lambda x: x is None)


def _parted(tree: Any) -> tuple[dict[str, Any], dict[str, Any], Callable[[Any, Any], Any], Hashable]:
    """The floating arrays of a tree by their paths, its other arrays, how it is put together, and its form."""
    leaves, form = jax.tree.flatten(tree)
    names = _names(tree)
    is_array = lambda leaf: isinstance(leaf, jax.Array | np.ndarray)
    is_floating = lambda leaf: is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
    pairs = list(zip(names, leaves, strict=True))
    params = {name: jnp.asarray(leaf) for name, leaf in pairs if is_floating(leaf)}
    arrays = {name: jnp.asarray(leaf) for name, leaf in pairs if is_array(leaf) and name not in params}
    fixed = {name: leaf for name, leaf in pairs if not is_array(leaf)}

    def rebuilt(params: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
        every = {**fixed, **arrays, **params}
        return jax.tree.unflatten(form, [every[name] for name in names])

    return params, arrays, rebuilt, (form, frozen(fixed))


def _names(tree: Any) -> list[str]:
    """The path of every leaf; boxes around arrays, as nnx's variables, are no part of it."""
    names = []
    for path, node in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_box)[0]:
        inside = jax.tree_util.tree_flatten_with_path(node)[0]
        full = [path] if len(inside) == 1 else [(*path, *rest) for rest, _ in inside]
        names += [jax.tree_util.keystr(one, simple=True, separator="/") or "params" for one in full]
    return names


def _mapped(call: Callable[[Params, Any, Any], Any], axis_name: str) -> Callable[[Params, Any, Any], Any]:
    """The call on an axis of this name that has one place."""

    def mapped(params: Params, others: Any, inputs: Any) -> Any:
        one = lambda inputs: call(params, others, inputs)
        outputs = jax.vmap(one, axis_name=axis_name)(jax.tree.map(lambda array: array[None], inputs))
        return jax.tree.map(lambda array: array[0], outputs)

    return mapped


def _usable(identity: Hashable) -> Hashable | None:
    try:
        hash(identity)
    except TypeError:
        return None
    return identity
