"""Parameters of any model drawn anew, kernel by kernel: `xinit.initialize`."""

import contextlib
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax import Array
from jax.nn.initializers import Initializer

from xinit import initializers
from xinit.core.errors import InputError
from xinit.core.factories import call_factory
from xinit.initializers import law_of
from xinit.tracing import layout
from xinit.tracing.kernels import Axes, by_path, fans
from xinit.tracing.layout import Layout, Unclear
from xinit.tracing.networks import refusals
from xinit.tracing.patterns import matches, no_match

Choice = str | Initializer
Scheme = Choice | Mapping[str, Choice]
KERNELS = "**/kernel"


def initialize(
    variables: Any,
    /,
    scheme: Scheme,
    rng: Array | nnx.Rngs,
    *,
    model: linen.Module | None = None,
    batch: Any = None,
    **call_kwargs: Any,
) -> Any:
    """The model with its kernels drawn anew; what is given stays as it is.

        model = xinit.initialize(model, "he", jax.random.key(0))                               # flax.nnx
        variables = xinit.initialize(variables, "he", key, model=model, batch=x)               # flax.linen
        variables = xinit.initialize(variables, {"**/head": "xavier", "**/kernel": "he"}, key) # any tree of matrices

    Each parameter has the key fold_in(rng, crc32(path)): it depends on no other parameter. It keeps its shape, its
    precision and its sharding. Fans are those of one layer, as `xinit.probe` shows them: where layers are stacked, as
    by `nn.scan` or `nnx.vmap`, each has a key of its own; of a convolution the places of its window count, and the
    inputs of one group; of attention's kernels all heads. What the axes of a kernel are is read off the model: nnx
    modules are at hand; a linen model is run in shapes on the batch, which computes nothing. Without a model a kernel
    of two axes is (inputs, outputs), and one of more axes is refused.

    >>> weights = {"hidden": {"kernel": np.zeros((4, 3))}, "head": {"kernel": np.zeros((3, 2))}}
    >>> drawn = xinit.initialize(weights, {"hidden/*": "he"}, jax.random.key(0))
    >>> bool(drawn["hidden"]["kernel"].any()), bool(drawn["head"]["kernel"].any())
    (True, False)

    Args:
      variables: a flax.nnx module; what linen's `model.init` returns (only its params are drawn); a tree of arrays.
      scheme: for every parameter called `kernel`: the name of an initialiser of `xinit.initializers`, or a function
        (key, shape, dtype). Or a mapping from patterns to these, the first that fits deciding: patterns of parameters,
        or of modules for their kernels. Biases, scales and embeddings stay unless a pattern names them.
      rng: one jax key, typed or raw, of any implementation; or an `nnx.Rngs`, of which the next `params` key is taken.
      model: the linen module that the variables belong to.
      batch: what the linen model is called with, (x, y) or x, as in `xinit.probe`; only its shapes matter.
      call_kwargs: what else the linen model is called with, as train=True.

    Raises:
      InputError: an unknown name; a pattern without effect; a kernel whose axes are not certain, or a scheme that a
        parameter is too small for; a model without its batch, or that refuses it; no key, or several.
    """
    key = _one_key(rng)
    _check_forms(variables, model, batch, call_kwargs)
    if isinstance(variables, nnx.Module):
        graph, params, rest = nnx.split(variables, nnx.Param, ...)  # type: ignore[misc]  # as many parts as filters
        drawn = redrawn(nnx.to_pure_dict(params), scheme, key, layout.of_nnx(variables))
        return nnx.merge(graph, drawn, nnx.to_pure_dict(rest))
    has_params = isinstance(variables, Mapping) and "params" in variables
    params = variables["params"] if has_params else variables
    drawn = redrawn(params, scheme, key, _layout(variables, params, model, batch, call_kwargs))
    return type(variables)({**variables, "params": drawn}) if has_params else drawn


def _one_key(rng: Any) -> Array:
    """A typed key.

    Raises:
      InputError: it is none, or an array of several.
    """
    if isinstance(rng, nnx.Rngs):
        if not {"params", "default"} & set(rng):
            raise InputError(f"rng is an nnx.Rngs of {', '.join(rng) or 'no streams'}; it must have params or default.")
        return rng.params()
    key = rng
    if isinstance(rng, jax.Array) and jnp.issubdtype(rng.dtype, jnp.unsignedinteger):
        with contextlib.suppress(TypeError, ValueError):  # which jax raises for what is no raw key
            key = jax.random.wrap_key_data(rng)
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape:
        what = f"an array {rng.dtype}{list(rng.shape)}" if isinstance(rng, jax.Array) else repr(rng)
        raise InputError(f"rng is {what}; it must be one key, as jax.random.key(0), or an nnx.Rngs.")
    return key


def _check_forms(variables: Any, model: Any, batch: Any, call_kwargs: Mapping[str, Any]) -> None:
    """Refuse what does not go together."""
    if isinstance(variables, linen.Module):
        raise InputError("The first argument is a linen module, which holds no parameters; give what its init returns.")
    if model is None and (batch is not None or call_kwargs):
        raise InputError(f"{', '.join(['batch', *call_kwargs])} came without model=, the linen module to call with it.")
    if model is None:
        return
    if isinstance(variables, nnx.Module) or not isinstance(model, linen.Module):
        raise InputError(f"model is {model!r}; it must be the linen module whose variables are drawn, or be left out.")
    if batch is None:
        raise InputError("model came without batch=, what it is called with, which says what its kernels are.")


def _layout(variables: Any, params: Any, model: Any, batch: Any, call_kwargs: Mapping[str, Any]) -> Layout:
    """What the parameters are, by their linen module if it is given."""
    if model is None:
        return layout.of_tree(params)
    x = batch[0] if isinstance(batch, tuple) else batch
    with refusals(x):
        return layout.of_linen(model, {**variables, "params": params}, x, call_kwargs)


def redrawn(tree: Any, scheme: Scheme, key: Array, axes: Layout) -> Any:
    """A tree of parameters drawn anew as `initialize` says; `axes` tell what each of them is."""
    params = by_path(tree)
    new = dict(params)
    for path, initializer in _chosen(scheme, params).items():
        own_key = jax.random.fold_in(key, zlib.crc32(path.encode()))
        new[path] = _drawn(initializer, own_key, path, params[path], axes[path])
    return jax.tree.unflatten(jax.tree.structure(tree), list(new.values()))


def _chosen(scheme: Scheme, params: Mapping[str, Array]) -> dict[str, Initializer]:
    """The initialiser of each parameter that has one."""
    chosen: dict[str, Initializer] = {}
    for pattern, choice in (scheme if isinstance(scheme, Mapping) else {KERNELS: scheme}).items():
        initializer = initializer_of(choice)
        fitting = [path for path in params if path not in chosen and _fits(pattern, path)]
        if not fitting:
            raise no_match(pattern, "parameter that no earlier pattern has", params)
        chosen |= dict.fromkeys(fitting, initializer)
    return chosen


def _fits(pattern: str, path: str) -> bool:
    module, _, name = path.rpartition("/")
    return matches(pattern, path) or (name == "kernel" and matches(pattern, module))


def initializer_of(choice: Choice) -> Initializer:
    """The initialiser that a name of `xinit.initializers` stands for; a function as it is."""
    if isinstance(choice, str):
        return call_factory(initializers, choice, {}, "scheme")
    if not callable(choice):
        raise InputError(
            f"scheme is {choice!r}; it must be a name, a function (key, shape, dtype) or a mapping to them."
        )
    return choice


def _drawn(initializer: Initializer, key: Array, path: str, value: Any, axes: Axes | Unclear | None) -> Array:
    """A parameter of the shape, precision and sharding of `value`; drawn in float32 at least, as a QR needs."""
    _check_meaning(initializer, path, np.shape(value), axes)
    try:
        value = jnp.asarray(value)
    except TypeError:
        raise InputError(f"{path} is {value!r}; it must be an array.") from None
    dtype = jnp.promote_types(value.dtype, jnp.float32)
    if isinstance(axes, Axes):
        drawn = _layers(initializer, key, value.shape, axes, dtype).astype(value.dtype)
    else:
        drawn = initializer(key, value.shape, dtype).astype(value.dtype)
    is_placed = not isinstance(value, jax.core.Tracer) and value.committed
    return jax.device_put(drawn, value.sharding) if is_placed else drawn


def _check_meaning(initializer: Initializer, path: str, shape: Sequence[int], axes: Axes | Unclear | None) -> None:
    """Refuse to guess."""
    states_law = law_of(initializer) is not None
    of, name = f"{path} has shape {tuple(shape)}", path.rpartition("/")[2]
    if isinstance(axes, Unclear) and (name in layout.KERNELS or states_law):
        raise InputError(f"{of}, and {axes.reason}.")
    if axes is None and states_law:
        raise InputError(f"{of} and is no kernel, which a scheme by name needs; give a function (key, shape, dtype).")
    if isinstance(axes, Axes) and not axes.stack_is_known and _structure(initializer, (1, 1)) != "independent":
        raise InputError(
            f"{of}, and which of its axes of equal size stacks the layers is not certain; only weights that are "
            "independent of each other can be drawn, as by 'he' or 'xavier'."
        )


def _structure(initializer: Initializer, matrix: tuple[int, int]) -> str | None:
    """How the entries hang together; None where no law says it."""
    law = law_of(initializer)
    return law(*matrix).structure if law else None


def _layers(initializer: Initializer, key: Array, shape: Sequence[int], axes: Axes, dtype: Any) -> Array:
    """The kernels of all layers in an array of this shape.

    The groups of a convolution divide its outputs. Each is drawn for itself where a law says that weights depend
    on each other.
    """
    own = (*axes.window, *axes.inputs, *axes.outputs)
    stacked, kernel = [shape[axis] for axis in axes.stacked], [shape[axis] for axis in own]
    groups = 1 if _structure(initializer, (1, 1)) in ("independent", None) else axes.groups
    group = [*kernel[:-1], kernel[-1] // groups] if groups > 1 else kernel
    keys = jax.random.split(key, math.prod(stacked) * groups) if stacked or groups > 1 else [key]
    drawn = jnp.stack([_kernel(initializer, one, group, axes, fans(shape, axes), dtype) for one in keys])
    joined = jnp.moveaxis(drawn.reshape(-1, groups, *group), 1, -2).reshape(*stacked, *kernel)
    return joined.transpose(np.argsort([*axes.stacked, *own]))


def _kernel(
    initializer: Initializer, key: Array, shape: Sequence[int], axes: Axes, fans: tuple[int, int], dtype: Any
) -> Array:
    """A kernel (window, inputs, outputs), drawn as a matrix whose columns are units.

    Where a law says what an initialiser promises of independent weights, they are scaled to what it promises for the
    true fans; orthogonal columns stay orthogonal. Other initialisers read a window off the shape themselves.
    """
    law = law_of(initializer)
    if axes.window and law is None:
        return initializer(key, tuple(shape), dtype)
    n_out = math.prod(shape[len(shape) - len(axes.outputs) :])
    matrix = (math.prod(shape) // n_out, n_out)
    drawn = initializer(key, matrix, dtype)
    if law is None or law(*matrix).structure != "independent":
        return drawn
    return drawn * math.sqrt(law(*fans).variance / law(*matrix).variance)
