"""How a model is called: with x as one argument, as several or by name; with random keys and other arguments."""

import inspect
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from xinit.core.errors import InputError


class Call(NamedTuple):
    """What a model is called with beside its parameters: x, random keys by name, and other arguments by name.

    `batched` are arguments that are arrays with an entry for each example, `arrays` are other arrays, and `static` are
    arguments that are no arrays.
    """

    x: Any
    keys: dict[str, jax.Array]
    batched: dict[str, Any]
    arrays: dict[str, Any]
    static: dict[str, Any]

    @property
    def inputs(self) -> tuple[Any, dict[str, Any]]:
        """The arguments that depend on the examples."""
        return self.x, self.batched

    def named(self, inputs: Any, others: Any) -> dict[str, Any]:
        """The arguments that are given by name."""
        return {**self.static, **others["arrays"], **inputs[1]}

    @property
    def identity(self) -> Hashable:
        """What the program depends on beside shapes; it is hashable only if every value in it is."""
        return frozen(self.static)


def call_of(x: Any, rngs: Any, named: Mapping[str, Any]) -> Call:
    """The call with x, with random keys as the user gives them, and with other arguments by name.

    Raises:
      InputError: rngs is no key, or holds something that is none.
    """
    n = len(jax.tree.leaves(x)[0])
    arrays = {name: value for name, value in named.items() if _is_array(value)}
    batched = {name: value for name, value in arrays.items() if _is_per_example(value, n)}
    return Call(
        x,
        _keys(rngs),
        batched,
        {name: value for name, value in arrays.items() if name not in batched},
        {name: value for name, value in named.items() if name not in arrays},
    )


def _is_array(value: Any) -> bool:
    leaves = jax.tree.leaves(value)
    return bool(leaves) and all(isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves)


def _is_per_example(value: Any, n: int) -> bool:
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return all(not is_key(leaf) and leaf.ndim > 0 and len(leaf) == n for leaf in jax.tree.leaves(value))


def _keys(rngs: Any) -> dict[str, jax.Array]:
    """Keys by name; one alone is called default."""
    if rngs is None:
        return {}
    if isinstance(rngs, nnx.Rngs):
        streams = nnx.clone(rngs)  # a key that is drawn changes the streams, and the user's stay as they are
        return {name: streams[name]() for name in streams}
    keys = dict(rngs) if isinstance(rngs, Mapping) else {"default": rngs}
    for key in keys.values():
        if not isinstance(key, jax.Array | np.ndarray):
            raise InputError(
                f"rngs is {rngs!r}; it must be a key, or keys by name, as {{'dropout': jax.random.key(0)}}."
            )
    return {name: jnp.asarray(key) for name, key in keys.items()}


def calling(function: Callable[..., Any], skip: int = 1) -> Callable[[Any, Any, dict[str, Any]], Any]:
    """How a function takes x, after its first `skip` parameters: as one argument, as several, or by name."""
    parameters = list(parameters_of(function).values())[skip:]
    kinds = inspect.Parameter
    places = [one for one in parameters if one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    has_more = any(one.kind is kinds.VAR_POSITIONAL for one in parameters)
    by_name = {one.name for one in parameters if one.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    keywords = [one.name for one in parameters if one.kind is kinds.KEYWORD_ONLY and one.default is kinds.empty]

    def apply(call: Any, x: Any, named: dict[str, Any]) -> Any:
        needed = [one.name for one in places if one.default is kinds.empty and one.name not in named]
        if isinstance(x, Mapping) and set(needed) <= set(x) <= by_name:
            return call(**x, **named)
        if isinstance(x, tuple | list) and not hasattr(x, "_fields") and len(needed) == len(x) > 1:
            return call(*x, **named)
        if not places and not has_more and len(keywords) == 1:
            return call(**{keywords[0]: x}, **named)
        return call(x, **named)

    return apply


def parameters_of(function: Any) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function; none where it does not tell them, as some written in C."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def frozen(value: Any) -> Hashable:
    """A value in a form that can be compared: containers become tuples, and types are kept, since 1 equals True."""
    if isinstance(value, Mapping):
        return dict, tuple(
            (name, frozen(entry)) for name, entry in sorted(value.items(), key=lambda item: str(item[0]))
        )
    if isinstance(value, list | tuple):
        return type(value), tuple(map(frozen, value))
    return type(value), value
