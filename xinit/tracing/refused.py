"""Errors for models of other frameworks, for objects that are no model, and for models that fail in their call."""

import contextlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import flax.errors
import jax
from flax import linen, nnx

from xinit.core.errors import InputError
from xinit.tracing.kinds import is_haiku, kind_of

ALLOWED = (
    "it must be a flax.linen, flax.nnx or Equinox module, made and not its class, what Haiku's transform returns, or a "
    "function f(params, x) with its params as variables="
)
OTHERS = {"torch": "PyTorch", "keras": "Keras", "tensorflow": "TensorFlow", "sklearn": "scikit-learn"}
UNTRACEABLE = {  # what a model does that jax cannot trace; the first that fits, as some are special cases of the last
    jax.errors.TracerBoolConversionError: "it decides by the values of an array in Python, as with `if` or `while`",
    jax.errors.TracerIntegerConversionError: "it takes a whole number of Python from an array, as an index or a size",
    jax.errors.TracerArrayConversionError: "it gives an array to NumPy, as with `np.asarray`",
    jax.errors.NonConcreteBooleanIndexError: "it selects with a mask, so that a shape depends on the values",
    jax.errors.ConcretizationTypeError: "it takes a number of Python from an array, as with `float` or `int`",
}


@contextlib.contextmanager
def refusals(x: Any) -> Iterator[None]:
    """Turn whatever a model raises when it is called with x into an InputError of one sentence."""
    try:
        yield
    except InputError:
        raise
    except tuple(UNTRACEABLE) as error:
        reason = next(words for kind, words in UNTRACEABLE.items() if isinstance(error, kind))
        raise InputError(
            f"The model cannot be traced: {reason} ({type(error).__name__}); it must be one that jax.jit can compile."
        ) from error
    except Exception as error:
        shapes = ", ".join(f"{leaf.shape} {leaf.dtype}" for leaf in jax.tree.leaves(x))
        first = re.sub(r"\s*\(https?://\S+\)", "", str(error).strip().partition("\n")[0]).rstrip(".")
        message = f"The model cannot be called with x of {shapes}: {type(error).__name__}: {first}."
        if isinstance(error, flax.errors.InvalidRngError) or "rng" in first.lower():
            message += " Keys are given as rngs={'dropout': jax.random.key(0)}."
        raise InputError(message) from error


def refuse_other_kinds(model: Any, variables: Any) -> None:
    """Raise an InputError for what is no model of JAX, or holds one that should be given instead; for shapes alone."""
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(variables)):
        raise InputError(
            "variables holds shapes, as jax.eval_shape gives them; it must hold arrays, as model.init returns them."
        )
    if inspect.isclass(model):
        raise InputError(f"model is {kind_of(model)}; {ALLOWED}.")
    for kind in type(model).__mro__:
        if (library := OTHERS.get(kind.__module__.partition(".")[0])) is not None:
            raise InputError(f"model is a {type(model).__name__} of {library}; {ALLOWED}.")
    if isinstance(model, linen.Module | nnx.Module) and callable(model):
        return
    if hasattr(model, "module") and hasattr(model, "params") and callable(model):
        raise InputError(
            f"model is a {type(model).__name__}, which wraps a module; give model.module with "
            "variables={'params': model.params}."
        )
    if hasattr(model, "apply_fn") and hasattr(model, "params"):
        raise InputError(
            f"model is a {type(model).__name__}, which holds the state of a training; give the module itself, with "
            "variables={'params': state.params}."
        )
    if not callable(model) and not is_haiku(model):
        raise InputError(f"model is {repr(model) if isinstance(model, str) else kind_of(model)}; {ALLOWED}.")
