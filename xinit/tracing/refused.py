"""Models that are none of JAX's, and what users give in place of one: each is told what to give instead."""

import inspect
from typing import Any

import jax

from xinit.core.errors import InputError

ALLOWED = (
    "it must be a flax.linen, flax.nnx or Equinox module, made and not its class, what Haiku's transform returns, or a "
    "function f(params, x) with its params as variables="
)
OTHERS = {"torch": "PyTorch", "keras": "Keras", "tensorflow": "TensorFlow", "sklearn": "scikit-learn"}


def refuse_other_kinds(model: Any, variables: Any) -> None:
    """InputError for what is no model of JAX, or holds one that is to be given instead; for shapes without arrays."""
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(variables)):
        raise InputError(
            "variables holds shapes, as jax.eval_shape gives them; it must hold arrays, as model.init returns them."
        )
    if inspect.isclass(model):
        raise InputError(f"model is the class {model.__name__}; {ALLOWED}.")
    for kind in type(model).__mro__:
        if (library := OTHERS.get(kind.__module__.partition(".")[0])) is not None:
            raise InputError(f"model is a {type(model).__name__} of {library}; {ALLOWED}.")
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
    is_pair = isinstance(model, tuple) and getattr(model, "_fields", None) == ("init", "apply")
    if not callable(model) and not is_pair:
        raise InputError(f"model is {model!r}; {ALLOWED}.")
