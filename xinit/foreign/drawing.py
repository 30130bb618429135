"""Parameters of any model drawn anew, kernel by kernel: `xinit.initialize`."""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from flax.core import meta
from jax import Array
from jax.nn.initializers import Initializer

from xinit import initializers
from xinit.errors import InputError
from xinit.factories import call_factory
from xinit.foreign.kernels import Axes, axes_of_parameter, by_path, fans
from xinit.foreign.patterns import matches, no_match

Choice = str | Initializer
Scheme = Choice | Mapping[str, Choice]
KERNELS = "**/kernel"


def initialize(model: Any, scheme: Scheme, rng: Array) -> Any:
    """The model with its kernels drawn anew; the one that is given stays as it is.

        model = xinit.initialize(model, "he", jax.random.key(0))            # flax.nnx
        variables = xinit.initialize(variables, "he", jax.random.key(0))    # flax.linen, or any tree of arrays
        variables = xinit.initialize(variables, {"**/head": "xavier", "**/kernel": "he"}, key)

    Each parameter has the key fold_in(rng, crc32(path)): it depends on no other parameter. It keeps its shape and its
    precision. Fans are those of `kernels.fans`: of a convolution they count the places of its window, of attention's
    kernels all heads. Where no module says what a kernel is, as in a tree, see `kernels.axes_of_parameter`.

    Args:
      model: a flax.nnx module, what linen's `model.init` returns (only its params are drawn), or a tree of arrays.
      scheme: for every parameter called `kernel`: the name of an initialiser of `xinit.initializers`, or a function
        (key, shape, dtype). Or a mapping from patterns to these, the first that fits deciding: patterns of parameters,
        or of modules for their kernels. Biases, scales and embeddings stay unless a pattern names them.
      rng: a jax key.

    Raises:
      InputError: an unknown name; a pattern without effect; a scheme that a parameter is too small for; no key.
    """
    if not isinstance(rng, jax.Array):
        raise InputError(f"rng is {rng!r}; it must be a key, as jax.random.key(0).")
    if isinstance(model, linen.Module):
        raise InputError("model is a linen module, which holds no parameters; give what its init returns.")
    if isinstance(model, nnx.Module):
        graph, params, rest = nnx.split(model, nnx.Param, ...)
        modules = {"/".join(map(str, path)): module for path, module in nnx.iter_modules(model)}
        drawn = redrawn(nnx.to_pure_dict(params), scheme, rng, modules)
        return nnx.merge(graph, drawn, nnx.to_pure_dict(rest))
    if isinstance(model, Mapping) and "params" in model:
        return type(model)({**model, "params": redrawn(model["params"], scheme, rng)})
    return redrawn(model, scheme, rng)


def redrawn(tree: Any, scheme: Scheme, rng: Array, modules: Mapping[str, Any] | None = None) -> Any:
    """A tree of parameters drawn anew as `initialize` says; `modules`, by path, tell what its kernels are."""
    boxed = lambda leaf: isinstance(leaf, meta.AxisMetadata)  # linen's partitioned parameters stay so
    boxes = by_path(tree, boxed)
    params = {path: box.unbox() if boxed(box) else box for path, box in boxes.items()}
    new = dict(params)
    for path, initializer in _chosen(scheme, params).items():
        value = jnp.asarray(params[path])
        axes = axes_of_parameter(path, value.shape, params, (modules or {}).get(path.rpartition("/")[0]))
        key = jax.random.fold_in(rng, zlib.crc32(path.encode()))
        new[path] = _drawn(initializer, key, path, value, axes)
    leaves = [box.replace_boxed(new[path]) if boxed(box) else new[path] for path, box in boxes.items()]
    return jax.tree.unflatten(jax.tree.structure(tree, boxed), leaves)


def _chosen(scheme: Scheme, params: Mapping[str, Array]) -> dict[str, Initializer]:
    """The initialiser of each parameter that has one."""
    chosen: dict[str, Initializer] = {}
    for pattern, choice in (scheme if isinstance(scheme, Mapping) else {KERNELS: scheme}).items():
        initializer = _initializer(choice)
        fitting = [path for path in params if path not in chosen and _fits(pattern, path)]
        if not fitting:
            raise no_match(pattern, "parameter that no earlier pattern has", params)
        chosen |= dict.fromkeys(fitting, initializer)
    return chosen


def _fits(pattern: str, path: str) -> bool:
    module, _, name = path.rpartition("/")
    return matches(pattern, path) or (name == "kernel" and matches(pattern, module))


def _initializer(choice: Choice) -> Initializer:
    if isinstance(choice, str):
        return call_factory(initializers, choice, {}, "scheme")
    if not callable(choice):
        raise InputError(
            f"scheme is {choice!r}; it must be a name, a function (key, shape, dtype) or a mapping to them."
        )
    return choice


def _drawn(initializer: Initializer, key: Array, path: str, value: Array, axes: Axes | None) -> Array:
    """A parameter of the shape and precision of `value`; drawn in float32 at least, for those that need a QR."""
    dtype = jnp.promote_types(value.dtype, jnp.float32)
    if axes is None:
        if hasattr(initializer, "law") and value.ndim < 2:
            raise InputError(f"{path} has shape {value.shape}; a scheme by name needs a kernel, so give a function.")
        return initializer(key, value.shape, dtype).astype(value.dtype)
    own = (*axes.window, *axes.inputs, *axes.outputs)
    order = [*(axis for axis in range(-value.ndim, 0) if axis not in own), *own]  # stacked kernels come first
    shape = [value.shape[axis] for axis in order]
    stacked, kernel = shape[: len(shape) - len(own)], shape[len(shape) - len(own) :]
    keys = jax.random.split(key, math.prod(stacked)) if stacked else [key]
    kernels = [_kernel(initializer, one, kernel, axes, fans(value.shape, axes), dtype) for one in keys]
    drawn = jnp.stack(kernels).reshape(shape)
    return drawn.transpose(np.argsort([axis % value.ndim for axis in order])).astype(value.dtype)


def _kernel(
    initializer: Initializer, key: Array, shape: Sequence[int], axes: Axes, fans: tuple[int, int], dtype: Any
) -> Array:
    """A kernel (window, inputs, outputs), drawn as a matrix whose columns are units.

    Where a law says what an initialiser promises of independent weights, they are scaled to what it promises for the
    true fans; orthogonal columns stay orthogonal. Other initialisers read a window off the shape themselves.
    """
    if axes.window and not hasattr(initializer, "law"):
        return initializer(key, tuple(shape), dtype)
    n_out = math.prod(shape[len(shape) - len(axes.outputs) :])
    matrix = (math.prod(shape) // n_out, n_out)
    drawn = initializer(key, matrix, dtype)
    if not hasattr(initializer, "law") or initializer.law(*matrix).structure != "independent":
        return drawn
    return drawn * math.sqrt(initializer.law(*fans).variance / initializer.law(*matrix).variance)
