"""Any model as one thing: a pure function of its parameters, called with a recorder around its layers."""

import contextlib
import contextvars
import functools
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
from flax import linen, nnx
from flax.core import DenyList

from xinit.core.errors import InputError
from xinit.tracing import layout
from xinit.tracing.kernels import unboxed
from xinit.tracing.layout import Layout
from xinit.tracing.taps import Layer, Recorder, Visit, is_floating

Params = Any  # a tree of arrays
# A probe runs once: a program that is compiled in a third of the time beats one that runs faster.
ONCE = {"xla_backend_optimization_level": 0}
CALLS = ("__call__", "attend")  # the methods that make a module a layer; the other is of a tied embedding


class Network(NamedTuple):
    """`call(params, x, recorder) -> output`, the parameters it is looked at with, and what their axes are.

    A function is no network of modules: what lies between its layers is part of them. Its layers are tapped if it
    takes taps.
    """

    call: Callable[[Params, Any, Recorder], Any]
    params: Params
    layout: Layout
    has_modules: bool = True
    is_tapped: bool = True


@contextlib.contextmanager
def refusals(x: Any) -> Iterator[None]:
    """Turn whatever a model raises when it is called into an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        shapes = ", ".join(f"{leaf.shape} {leaf.dtype}" for leaf in jax.tree.leaves(x))
        first = re.sub(r"\s*\(https?://\S+\)", "", str(error).strip().partition("\n")[0]).rstrip(".")
        words = f"The model cannot be called with x of {shapes}: {type(error).__name__}: {first}."
        if "rng" in first.lower():
            words += " Keys are given as rngs={'dropout': jax.random.key(0)}."
        raise InputError(words) from error


def network(model: Any, x: Any, variables: Any, rngs: Any, call_kwargs: Mapping[str, Any]) -> Network:
    """The network of a Flax module or of a function.

    Raises:
      InputError: the model is neither, or something is missing that its kind needs.
    """
    if not isinstance(rngs, jax.Array | Mapping | None):
        raise InputError(f"rngs is {rngs!r}; it must be a key, or keys by name, as {{'dropout': jax.random.key(0)}}.")
    if isinstance(model, nnx.Module):
        return _of_nnx(model, variables, rngs, call_kwargs)
    if isinstance(model, linen.Module):
        return _of_linen(model, x, variables, rngs, call_kwargs)
    if callable(model) and not inspect.isclass(model):
        return _of_function(model, variables, call_kwargs)
    raise InputError(
        f"model is {model!r}; it must be a flax.linen or flax.nnx module, made and not its class, or a function that "
        "returns (output, intermediates)."
    )


def _of_linen(model, x, variables, rngs, call_kwargs) -> Network:
    """Linen modules are reached by its method interception; what they would change, as batch statistics, is dropped."""
    keys = {"params": rngs} if isinstance(rngs, jax.Array) else dict(rngs or {})
    if variables is None:
        draw = jax.jit(lambda keys, x: model.init(keys, x, **call_kwargs), compiler_options=ONCE)
        variables = draw({"params": jax.random.key(0)} | keys, x)
    if "params" not in variables:
        raise InputError(f"variables has {sorted(variables)}; it must have params, as what model.init returns.")
    variables = unboxed(variables)
    others = {name: collection for name, collection in variables.items() if name != "params"}

    def call(params, x, recorder):
        with linen_recording(recorder):
            all_variables = {"params": params, **others}
            return model.apply(all_variables, x, rngs=keys, mutable=DenyList("params"), **call_kwargs)[0]

    return Network(call, variables["params"], layout.of_linen(model, variables, x, call_kwargs))


def linen_recording(recorder: Recorder) -> contextlib.AbstractContextManager[None]:
    """While it lasts, the recorder stands around all linen modules that are called."""

    def intercept(method, arguments, named, context):
        module = context.module
        if context.method_name not in CALLS:
            return method(*arguments, **named)
        path = "/".join(module.path)
        return recorder.around(path, module, lambda: method(*arguments, **named), (*arguments, *named.values()))

    recording: contextlib.AbstractContextManager[None] = linen.intercept_methods(intercept)
    return recording


_recorder: contextvars.ContextVar[Recorder] = contextvars.ContextVar("recorder")


def _of_nnx(model, state, rngs, call_kwargs) -> Network:
    """nnx modules are merged anew for every call, and every module of this copy becomes one that is recorded."""
    copy = nnx.clone(model)
    if state is not None:
        nnx.update(copy, state)
    keys = {"default": rngs} if isinstance(rngs, jax.Array) else dict(rngs or {})
    takes_rngs = "rngs" in inspect.signature(type(model).__call__).parameters
    if keys and not takes_rngs:
        _reseed(copy, keys)
    graph, params, rest = nnx.split(copy, nnx.Param, ...)  # type: ignore[misc]  # as many parts as filters
    others = nnx.to_pure_dict(rest)

    def call(params, x, recorder):
        merged = nnx.merge(graph, params, others)
        named = {"rngs": nnx.Rngs(**keys)} if keys and takes_rngs else {}
        with nnx_recording(merged, recorder):
            return merged(x, **named, **call_kwargs)

    return Network(call, nnx.to_pure_dict(params), layout.of_nnx(copy))


@contextlib.contextmanager
def nnx_recording(module: nnx.Module, recorder: Recorder) -> Iterator[None]:
    """While it lasts, the recorder stands around the calls of this nnx module and of those in it; it must be a copy."""
    for path, part in nnx.iter_modules(module):
        part._xinit_path = "/".join(map(str, path))  # type: ignore[attr-defined]  # of ours, on a copy
        part.__class__ = _recorded(type(part))
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def _reseed(module: nnx.Module, keys: Mapping[str, jax.Array]) -> None:
    """New keys for the streams inside a module; as nnx has it, `default` stands for all that are not named."""
    tags = sorted({node.tag for _, node in nnx.iter_graph(module) if isinstance(node, nnx.RngStream)})
    unknown = sorted(set(keys) - {*tags, "default"} if tags else keys)
    if unknown:
        raise InputError(f"rngs has {', '.join(unknown)}; the model has streams of: {', '.join(tags) or 'none'}.")
    streams = nnx.Rngs(**keys)
    nnx.reseed(module, **{tag: streams[tag]() for tag in tags if tag in keys or "default" in keys})


@functools.cache
def _recorded(kind: type) -> type:
    """The class itself in all but this: its calls go through the recorder. So attributes and isinstance still hold."""

    def through_the_recorder(method):
        def call(self, *arguments, **named):
            run = lambda: method(self, *arguments, **named)
            return _recorder.get().around(self._xinit_path, self, run, (*arguments, *named.values()))

        return functools.wraps(method)(call)

    methods = {name: through_the_recorder(getattr(kind, name)) for name in CALLS if hasattr(kind, name)}
    return type(kind.__name__, (kind,), methods)


def _of_function(function, variables, call_kwargs) -> Network:
    """A function names its intermediates itself, and adds the taps itself if it takes them."""
    takes_taps = "taps" in inspect.signature(function).parameters

    def call(params, x, recorder):
        taps = {"taps": defaultdict(float, recorder.taps)} if takes_taps else {}
        output, intermediates = _pair(function(*([] if params is None else [params]), x, **taps, **call_kwargs))
        for name, value in intermediates.items():
            if recorder.wanted(name):
                recorder.see(Layer(name, name, "function"), Visit(value, value))
        return output

    return Network(call, variables, layout.of_tree(variables), has_modules=False, is_tapped=takes_taps)


def _pair(returned: Any) -> tuple[Any, Mapping[str, jax.Array]]:
    pair = isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping)
    if pair and all(is_floating(value) for value in returned[1].values()):
        return returned
    words = "(output, {name: intermediate}), the intermediates arrays of floating numbers"
    raise InputError(f"The function returns {jax.tree.map(jax.typeof, returned)}; it must return {words}.")
