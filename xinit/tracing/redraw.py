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

from xinit.core.errors import InputError
from xinit.initializers import Kernel, law_of, on
from xinit.tracing import layout
from xinit.tracing.batches import batch_of
from xinit.tracing.choices import Scheme, chosen, needs_fans
from xinit.tracing.containers import Contents, contents_of, listed
from xinit.tracing.kinds import is_equinox, is_haiku
from xinit.tracing.layout import Layout, Stored
from xinit.tracing.models import model_of, refusals
from xinit.tracing.structure.kernels import Axes, Unclear, fans


def initialize(
    variables: Any,
    /,
    scheme: Scheme,
    rng: Array | nnx.Rngs,
    *,
    model: Any = None,
    batch: Any = None,
    axis_name: str | None = None,
    **call_kwargs: Any,
) -> Any:
    """The model with its kernels drawn anew; what is given stays as it is.

        model = xinit.initialize(model, "he", jax.random.key(0))                              # flax.nnx
        variables = xinit.initialize(variables, "he", key, model=model, batch=x)              # flax.linen, Haiku
        model = xinit.initialize(model, "he", key, batch=x)                                   # Equinox
        params = xinit.initialize(params, "he", key, model=f, batch=x)                        # a function f(params, x)
        state = xinit.initialize(state, {"**/attention/**": "xavier", "**": "he"}, key, ...)  # a train state

    Each parameter has the key fold_in(rng, crc32(path)): it depends on no other parameter. It keeps its shape, its
    precision, its sharding and the box that it is in. Fans are those of one layer, as `xinit.probe` shows them: where
    layers are stacked, as by `nn.scan` or `nnx.vmap`, each has a key of its own; of a convolution the places of its
    window count, and the inputs of one group; of attention's kernels all heads. The model is traced on the batch, which
    computes nothing and says what each parameter is. An nnx module of Flax's own layers says it without a batch. Of a
    tree alone a matrix is (inputs, outputs), and a kernel of more axes is refused.

    A scheme means kernels, whatever the library calls them. Biases, scales, positions and tables stay, even a table
    that is also read as a matrix. So do kernels that are 0 on purpose: all their entries are 0, and other kernels' are
    not. A pattern that names one by the last part of its path, as `**/bias`, draws it; of a kernel of zeros also a
    pattern that names its module, as `**/head`. In a container, as a `TrainState`, only params are drawn.

    >>> weights = {"hidden": {"kernel": np.zeros((4, 3))}, "head": {"kernel": np.zeros((3, 2))}}
    >>> drawn = xinit.initialize(weights, {"hidden/*": "he"}, jax.random.key(0))
    >>> bool(drawn["hidden"]["kernel"].any()), bool(drawn["head"]["kernel"].any())
    (True, False)

    Args:
      variables: a flax.nnx or Equinox module; what the init of a linen module or Haiku pair returns; a tree of arrays,
        or of shapes, as `jax.eval_shape` returns it, where the scheme draws all of them; a container of `params`.
      scheme: the name of an initialiser of `xinit.initializers`, or a function (key, shape, dtype). Or a mapping from
        patterns to these, the first that fits deciding: patterns of parameters, or of modules for their kernels.
      rng: one jax key, typed or raw, of any implementation; or an `nnx.Rngs`, of which the next `params` key is taken.
      model: the linen module, the Haiku pair or the function that the variables belong to.
      batch: what the model is called with, (x, y) or x, as in `xinit.probe`; only its shapes matter.
      axis_name: of a mapped axis that the model sums over.
      call_kwargs: what else the model is called with, as train=True.

    Raises:
      InputError: an unknown name; a pattern without effect; a kernel whose axes are not certain, or a scheme that a
        parameter is too small for; a model without its batch, or that refuses it; no key, or several; the state of an
        optimizer without params; shapes that the scheme does not draw.
    """
    key = _one_key(rng)
    _check_forms(variables, model, batch, call_kwargs)
    meanings = _meanings(variables, model, batch, axis_name, call_kwargs)
    if isinstance(variables, nnx.Module):
        graph, params, rest = nnx.split(variables, nnx.Param, ...)  # type: ignore[misc]  # as many parts as filters
        drawn = redrawn(nnx.to_pure_dict(params), scheme, key, meanings)
        return nnx.merge(graph, drawn, nnx.to_pure_dict(rest))
    if is_haiku(model) and type(variables) is tuple and len(variables) == 2:
        params, state = variables
        return redrawn(params, scheme, key, meanings), state
    return redrawn(variables, scheme, key, meanings)


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
    is_module = isinstance(variables, nnx.Module) or is_equinox(variables)
    if isinstance(variables, nnx.Module) and model is not None:
        raise InputError("model came with an nnx module, which is a model itself; leave model= out.")
    if model is None and not is_module and (batch is not None or call_kwargs):
        given = ", ".join([*(["batch"] if batch is not None else []), *call_kwargs])
        raise InputError(f"{given} came without model=, the module or the function f(params, x) to call with it.")
    if batch is None and (model is not None or is_equinox(variables) or call_kwargs):
        given = "An Equinox module" if is_equinox(variables) else ", ".join(call_kwargs)
        what = given if model is None else "model"
        raise InputError(f"{what} came without batch=, what the model is called with, which says what its kernels are.")


def _meanings(variables: Any, model: Any, batch: Any, axis_name: str | None, call_kwargs: Mapping[str, Any]) -> Layout:
    """What each parameter is, by the model where it can be called."""
    is_nnx = isinstance(variables, nnx.Module)
    declared = layout.of_nnx(variables) if is_nnx else {}
    if batch is None:
        return declared if is_nnx else layout.of_tree(contents_of(variables).params)
    given = variables if is_nnx else jax.tree.map(_stand_in, variables)
    called, belonging = (given, None) if model is None else (model, _belonging(model, given))
    with jax.ensure_compile_time_eval():  # in a program of jit's too
        x = batch_of(jax.tree.map(_blank, batch)).x
        keys = jax.random.key(0) if isinstance(model, linen.Module) else None  # stands for those of dropout too
    with refusals(x):
        traced = layout.of_model(model_of(called, x, belonging, keys, call_kwargs, axis_name))
    return layout.completed(traced, declared)


def _stand_in(leaf: Any) -> Any:
    """For what is a shape alone an array that takes no memory; a model may be traced on it."""
    return _blank(leaf) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf


def _blank(leaf: Any) -> Any:
    """Zeros for an array of numbers, of which only the shape matters."""
    dtype = getattr(leaf, "dtype", None)
    is_numbers = dtype is not None and not jnp.issubdtype(dtype, jax.dtypes.extended)
    return np.broadcast_to(np.zeros((), dtype), leaf.shape) if is_numbers else leaf


def _belonging(model: Any, container: Any) -> Any:
    """What a model is called with, of a train state its params: of linen modules all collections, as init returns."""
    is_tree = isinstance(container, Mapping | list | tuple | nnx.State) and not hasattr(container, "_fields")
    is_state = not is_tree and not is_equinox(container) and hasattr(container, "params")
    own = container.params if is_state else container
    if not isinstance(model, linen.Module) or (isinstance(own, Mapping) and "params" in own):
        return own
    return {"params": own, **({"batch_stats": container.batch_stats} if hasattr(container, "batch_stats") else {})}


def redrawn(container: Any, scheme: Scheme, key: Array, meanings: Layout) -> Any:
    """The parameters in a container drawn anew as `initialize` says; `meanings` tell what each of them is."""
    contents = contents_of(container)
    params = contents.params
    known = {path: _found(meanings, path) for path in params}
    choice = chosen(scheme, known, lambda path: _is_zero(params[path]))
    _check_shapes(contents, set(choice))
    new = {}
    for path, initializer in choice.items():
        own_key = jax.random.fold_in(key, zlib.crc32(path.encode()))
        new[path] = _drawn(initializer, own_key, path, params[path], known[path])
    return contents.with_params(new)


def _found(meanings: Layout, path: str) -> Stored:
    """By the path of a parameter; a function's may begin with params, which counts as no part of it here."""
    return meanings.get(path) or meanings.get(f"params/{path}".rstrip("/")) or layout.NEITHER


def _is_zero(value: Any) -> bool:
    if isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct) or not math.prod(value.shape):
        return False
    on_host = not isinstance(value, jax.Array) or all(device.platform == "cpu" for device in value.devices())
    is_whole = not isinstance(value, jax.Array) or value.is_fully_addressable
    return not (np.any(np.asarray(value)) if on_host and is_whole else jnp.any(value))  # the first compiles nothing


def _check_shapes(contents: Contents, drawn: set[str]) -> None:
    """Refuse to return what only stands for an array."""
    own = {contents.places[path] for path in drawn}
    left = contents.shapes(own)
    if left:
        raise InputError(
            f"The scheme draws nothing for {listed(left)}, of which only the shape is given; give arrays, as init "
            "returns, or patterns that name all, as {'**/bias': jax.nn.initializers.zeros}."
        )


def _drawn(initializer: Initializer, key: Array, path: str, value: Any, stored: Stored) -> Array:
    """A parameter of the shape, precision and sharding of `value`; drawn in float32 at least, as a QR needs."""
    _check_meaning(initializer, path, value.shape, stored)
    own = jax.dtypes.canonicalize_dtype(value.dtype)  # of NumPy's float64 float32, unless jax has it enabled
    dtype = jnp.promote_types(own, jnp.float32)
    if isinstance(stored.axes, Axes):
        drawn = _layers(initializer, key, value.shape, stored.axes, dtype).astype(own)
    else:
        drawn = jnp.asarray(initializer(key, value.shape, dtype)).astype(own)
    if isinstance(value, jax.ShapeDtypeStruct):
        return drawn if value.sharding is None else jax.device_put(drawn, value.sharding)
    is_placed = isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer) and value.committed
    return jax.device_put(drawn, value.sharding) if is_placed else drawn


def _check_meaning(initializer: Initializer, path: str, shape: Sequence[int], stored: Stored) -> None:
    """Refuse to guess."""
    of = f"{path} has shape {tuple(shape)}"
    if isinstance(stored.axes, Unclear) and (stored.is_kernel or needs_fans(initializer)):
        raise InputError(f"{of}, and {stored.axes.reason}.")
    if stored.axes is None and needs_fans(initializer):
        raise InputError(f"{of} and is no kernel, which a scheme by name needs; give a function (key, shape, dtype).")
    law = law_of(initializer)
    if not stored.stack_is_known and (law is None or law.at(Kernel((1, 1))).structure != "independent"):
        raise InputError(
            f"{of}, and which of its axes of equal size stacks the layers is not certain; give batch=, or weights that "
            "are independent of each other, as of 'he' or 'xavier'."
        )


def _layers(initializer: Initializer, key: Array, shape: Sequence[int], axes: Axes, dtype: Any) -> Array:
    """The kernels of all layers in an array of this shape, each drawn with a key of its own."""
    own = [axis for axis in range(len(shape)) if axis not in axes.stacked]
    place = lambda axes: tuple(own.index(axis) for axis in axes)
    kernel = Kernel(tuple(shape[axis] for axis in own), place(axes.inputs), place(axes.outputs), groups=axes.groups)
    draw, scale = on(initializer, kernel), _scale(initializer, kernel, fans(shape, axes))
    stack = [shape[axis] for axis in axes.stacked]
    keys = jax.random.split(key, math.prod(stack)) if stack else [key]
    drawn = [jnp.asarray(draw(one, kernel.shape, dtype)) for one in keys]
    drawn = [weights * scale for weights in drawn] if scale != 1 else drawn
    if not stack:
        return drawn[0]
    return jnp.stack(drawn).reshape(*stack, *kernel.shape).transpose(np.argsort([*axes.stacked, *own]))


def _scale(initializer: Initializer, kernel: Kernel, true: tuple[float, float]) -> float:
    """What makes the variance of independent weights that of their law at the fans that a layer has in its model.

    They are not those of the kernel alone where a convolution has a stride, and in tables, of which a row is read.
    """
    law = law_of(initializer)
    if law is None or not needs_fans(initializer) or (kernel.fan_in, kernel.fan_out) == true:
        return 1.0
    drawn = law.at(kernel)
    if drawn.structure != "independent" or not drawn.variance:
        return 1.0
    return math.sqrt(law(*true).variance / drawn.variance)
