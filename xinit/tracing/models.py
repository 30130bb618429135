"""Any JAX model as one thing: a pure function of its parameters, whatever library wrote it."""

import contextlib
import inspect
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from flax.core import DenyList

from xinit.core.errors import InputError
from xinit.tracing.kernels import unboxed
from xinit.tracing.measure import LEVEL
from xinit.tracing.refused import refuse_other_kinds

Params = Any  # a tree of floating arrays
KEYS = "rngs is {!r}; it must be a key, or keys by name, as {{'dropout': jax.random.key(0)}}."


class Model(NamedTuple):
    """`call(params, others, inputs) -> output`, and the values it is looked at with.

    `inputs` are what it is called with: x, and what other arrays with an entry for each example the call was given.
    `others` are all other arrays: batch statistics, keys. Models of equal `identity` and equal shapes are the same
    program; None where that is not known.
    """

    call: Callable[[Params, Any, Any], Any]
    params: Params
    others: Any
    inputs: Any
    identity: Hashable | None
    library: str


class Call(NamedTuple):
    """How a model is called beside its parameters: x, keys by name, and what else by name.

    `batched` are arrays with an entry for each example, `arrays` other arrays, `static` what is none.
    """

    x: Any
    keys: dict[str, jax.Array]
    batched: dict[str, Any]
    arrays: dict[str, Any]
    static: dict[str, Any]

    @property
    def inputs(self) -> tuple[Any, dict[str, Any]]:
        """What depends on the examples."""
        return self.x, self.batched

    def named(self, inputs: Any, others: Any) -> dict[str, Any]:
        """What is given by name."""
        return {**self.static, **others["arrays"], **inputs[1]}

    @property
    def identity(self) -> Hashable:
        """What decides the program."""
        return tuple(sorted((name, _hashable(value)) for name, value in self.static.items()))


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
      InputError: it is none that is known, or something is missing that its kind needs.
    """
    refuse_other_kinds(model, variables)
    call = _call(x, rngs, dict(call_kwargs or {}))
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
        raise InputError(f"The model has no parameters: {_kind(model)} that computes with x alone; nothing is drawn.")
    if axis_name is not None and made.library != "equinox":
        made = made._replace(call=_mapped(made.call, axis_name))
    return made._replace(identity=_usable((made.library, axis_name, made.identity, call.identity)))


def is_haiku(model: Any) -> bool:
    """Whether it is what Haiku's `transform` returns."""
    return isinstance(model, tuple) and getattr(model, "_fields", None) == ("init", "apply")


def is_equinox(model: Any) -> bool:
    """Whether it is a module of Equinox."""
    return not inspect.isclass(model) and any(kind.__module__.startswith("equinox.") for kind in type(model).__mro__)


def _call(x: Any, rngs: Any, named: dict[str, Any]) -> Call:
    is_array = lambda value: (
        bool(jax.tree.leaves(value))
        and all(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(value))
    )
    n = len(jax.tree.leaves(x)[0])
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    per_example = lambda value: all(
        not is_key(leaf) and leaf.ndim > 0 and len(leaf) == n for leaf in jax.tree.leaves(value)
    )
    arrays = {name: value for name, value in named.items() if is_array(value)}
    batched = {name: value for name, value in arrays.items() if per_example(value)}
    return Call(
        x,
        _keys(rngs),
        batched,
        {name: value for name, value in arrays.items() if name not in batched},
        {name: value for name, value in named.items() if name not in arrays},
    )


def _keys(rngs: Any) -> dict[str, jax.Array]:
    """Keys by name; one alone is called default."""
    if rngs is None:
        return {}
    if isinstance(rngs, nnx.Rngs):
        return {name: rngs[name]() for name in rngs}
    keys = dict(rngs) if isinstance(rngs, Mapping) else {"default": rngs}
    for key in keys.values():
        if not isinstance(key, jax.Array | np.ndarray):
            raise InputError(KEYS.format(rngs))
    return {name: jnp.asarray(key) for name, key in keys.items()}


@contextlib.contextmanager
def refusals(x: Any) -> Iterator[None]:
    """Turn whatever a model raises when it is called into an InputError of one sentence."""
    try:
        yield
    except InputError:
        raise
    except jax.errors.JAXTypeError as error:
        kind = type(error).__name__
        raise InputError(
            f"The model cannot be traced: it looks at the values of arrays in Python, as by `if`, `float` or NumPy "
            f"({kind}); it must be one that jax.jit can compile."
        ) from error
    except Exception as error:
        shapes = ", ".join(f"{leaf.shape} {leaf.dtype}" for leaf in jax.tree.leaves(x))
        first = re.sub(r"\s*\(https?://\S+\)", "", str(error).strip().partition("\n")[0]).rstrip(".")
        message = f"The model cannot be called with x of {shapes}: {type(error).__name__}: {first}."
        if isinstance(error, flax.errors.InvalidRngError) or "rng" in first.lower():
            message += " Keys are given as rngs={'dropout': jax.random.key(0)}."
        raise InputError(message) from error


def _of_linen(model: linen.Module, variables: Any, call: Call) -> Model:
    """What a linen module would change, as batch statistics, is dropped."""
    keys = {("params" if name == "default" else name): key for name, key in call.keys.items()}
    apply = _calling(type(model).__call__)
    if variables is None:
        init = lambda keys, inputs, arrays: apply(
            lambda *args, **named: model.init(keys, *args, **named), inputs[0], call.named(inputs, {"arrays": arrays})
        )
        quick = {"xla_backend_optimization_level": LEVEL}
        draw = jax.jit(init, compiler_options=quick)
        variables = draw({"params": jax.random.key(0)} | keys, call.inputs, call.arrays)
    if not isinstance(variables, Mapping) or "params" not in variables:
        came = sorted(variables) if isinstance(variables, Mapping) else f"a {type(variables).__name__}"
        raise InputError(f"variables has {came}; it must have params, as what model.init returns.")
    variables = unboxed(variables)
    collections = {name: collection for name, collection in variables.items() if name != "params"}

    def run(params: Params, others: Any, inputs: Any) -> Any:
        every = {"params": params, **others["collections"]}
        bound = lambda *args, **named: model.apply(
            every, *args, rngs=others["keys"], mutable=DenyList("params"), **named
        )
        return apply(bound, inputs[0], call.named(inputs, others))[0]

    others = {"collections": collections, "keys": keys, "arrays": call.arrays}
    return Model(run, variables["params"], others, call.inputs, model, "linen")


def _of_nnx(model: nnx.Module, state: Any, call: Call) -> Model:
    """nnx modules are merged anew for every call, so that the user's stays as it is."""
    copy = nnx.clone(model)
    if state is not None:
        nnx.update(copy, state)
    takes_rngs = "rngs" in inspect.signature(type(model).__call__).parameters
    if call.keys and not takes_rngs:
        _reseed(copy, call.keys)
    graph, params, rest = nnx.split(copy, nnx.Param, ...)  # type: ignore[misc]  # as many parts as filters
    apply = _calling(type(model).__call__)

    def run(params: Params, others: Any, inputs: Any) -> Any:
        merged = nnx.merge(graph, params, others["state"])
        named = call.named(inputs, others)
        if others["keys"]:
            named["rngs"] = nnx.Rngs(**others["keys"])
        return apply(merged, inputs[0], named)

    keys = call.keys if takes_rngs else {}
    others = {"state": nnx.to_pure_dict(rest), "keys": keys, "arrays": call.arrays}
    return Model(run, nnx.to_pure_dict(params), others, call.inputs, graph, "nnx")


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
        variables = jax.jit(lambda key, inputs, arrays: _spread(
            lambda *args, **named: model.init(key, *args, **named), inputs[0], call.named(inputs, {"arrays": arrays})
        ))(key, call.inputs, call.arrays)  # fmt: skip
    pair = has_state and isinstance(variables, tuple) and len(variables) == 2
    if has_state and not pair:
        raise InputError("variables of a Haiku pair with state must be (params, state), as its init returns.")
    params, state = variables if pair else (variables, {})

    def run(params: Params, others: Any, inputs: Any) -> Any:
        before = [params, *([others["state"]] if has_state else []), *([others["key"]] if takes_key else [])]
        bound = lambda *args, **named: model.apply(*before, *args, **named)
        output = _spread(bound, inputs[0], call.named(inputs, others))
        return output[0] if has_state else output

    others = {"state": state, "key": key, "arrays": call.arrays}
    return Model(run, params, others, call.inputs, model, "haiku")


def _of_equinox(model: Any, variables: Any, call: Call, axis_name: str | None) -> Model:
    """A module of Equinox takes one example, so that the call is mapped over the batch."""
    params, arrays, rebuilt, form = _parted(model if variables is None else variables)
    taken = inspect.signature(type(model).__call__).parameters
    needs_key = "key" in taken and (bool(call.keys) or taken["key"].default is inspect.Parameter.empty)
    apply = _calling(type(model).__call__)

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
    """A function of params and x; of params that hold more than floating arrays the rest is not differentiated."""
    if variables is None:
        raise InputError(
            f"model is {_kind(function)} and comes without parameters; give a function f(params, x) its params as "
            "variables=."
        )
    if isinstance(variables, nnx.State):
        variables = nnx.to_pure_dict(variables)
    params, arrays, rebuilt, form = _parted(unboxed(variables))
    takes_rngs = "rngs" in _parameters(function)

    def run(params: Params, others: Any, inputs: Any) -> Any:
        named = call.named(inputs, others)
        if takes_rngs and others["keys"]:
            named["rngs"] = others["keys"]
        bound = lambda *args, **named: function(rebuilt(params, others["leaves"]), *args, **named)
        return _calling(function, skip=1)(bound, inputs[0], named)

    if call.keys and not takes_rngs:
        raise InputError("rngs is given, and the function takes no rngs; close over the key, or take it as rngs.")
    others = {"leaves": arrays, "keys": call.keys, "arrays": call.arrays}
    return Model(run, params, others, call.inputs, (function, form), "function")


def _parted(tree: Any) -> tuple[dict[str, Any], dict[str, Any], Callable[[Any, Any], Any], Hashable]:
    """The floating arrays of a tree by their paths, its other arrays, how it is put together, and its form."""
    leaves, form = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") or "params" for path, _ in leaves]
    is_array = lambda leaf: isinstance(leaf, jax.Array | np.ndarray)
    is_floating = lambda leaf: is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
    params = {name: jnp.asarray(leaf) for name, (_, leaf) in zip(names, leaves, strict=True) if is_floating(leaf)}
    pairs = [(name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True) if name not in params]
    arrays = {name: jnp.asarray(leaf) for name, leaf in pairs if is_array(leaf)}
    fixed = {name: leaf for name, leaf in pairs if name not in arrays}

    def rebuilt(params: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
        every = {**fixed, **arrays, **params}
        return jax.tree.unflatten(form, [every[name] for name in names])

    return params, arrays, rebuilt, (form, tuple((name, _hashable(leaf)) for name, leaf in fixed.items()))


def _calling(function: Callable[..., Any], skip: int = 1) -> Callable[[Any, Any, dict[str, Any]], Any]:
    """How a function takes x, after its first `skip` parameters: as one argument, as several, or by name."""
    parameters = list(_parameters(function).values())[skip:]
    kinds = inspect.Parameter
    places = [one for one in parameters if one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    has_more = any(one.kind is kinds.VAR_POSITIONAL for one in parameters)
    by_name = {one.name for one in parameters if one.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    keywords = [one.name for one in parameters if one.kind is kinds.KEYWORD_ONLY and one.default is kinds.empty]

    def apply(call: Any, x: Any, named: dict[str, Any]) -> Any:
        needed = [one.name for one in places if one.default is kinds.empty and one.name not in named]
        if isinstance(x, Mapping) and set(x) <= by_name and (len(x) > 1 or not places):
            return call(**x, **named)
        if isinstance(x, tuple | list) and not hasattr(x, "_fields") and len(needed) == len(x) > 1:
            return call(*x, **named)
        if not places and not has_more and len(keywords) == 1:
            return call(**{keywords[0]: x}, **named)
        return call(x, **named)

    return apply


def _spread(call: Callable[..., Any], x: Any, named: dict[str, Any]) -> Any:
    """Of a function whose parameters are not known, x is one argument."""
    return call(x, **named)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # of some functions written in C
        return {}


def _mapped(call: Callable[[Params, Any, Any], Any], axis_name: str) -> Callable[[Params, Any, Any], Any]:
    """The call on an axis of this name that has one place."""

    def mapped(params: Params, others: Any, inputs: Any) -> Any:
        one = lambda inputs: call(params, others, inputs)
        outputs = jax.vmap(one, axis_name=axis_name)(jax.tree.map(lambda array: array[None], inputs))
        return jax.tree.map(lambda array: array[0], outputs)

    return mapped


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _usable(identity: Hashable) -> Hashable | None:
    try:
        hash(identity)
    except TypeError:
        return None
    return identity


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if inspect.isclass(value) else f"a {type(value).__name__}"
