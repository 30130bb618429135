"""Readings of the user's: functions `(params, batch, outputs) -> {name: array}` that probe.extra names.

`batch` is (x_BI, y_B), the fixed probe examples; `outputs` are the `Signals` of the network on them. A function is part
of the compiled probe, called for each replica at each probe point, so it computes with jax.numpy. What it returns is
checked when it is traced: before any work, and whenever it is measured.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped

from xinit.core import custom, extra
from xinit.core.errors import InputError
from xinit.networks.network import Params

PATH = "probe.extra"
Batch = tuple[Float[Array, "batch inputs"], Shaped[Array, "batch ..."]]


class Signals(NamedTuple):
    """What passes through the network on the probe examples; `pre`, `post` and `grad_pre` have an entry a hidden layer.

    The outputs (B, O), pre-activations z and activations f(z) (B, width), of a convolution (B, height, width,
    channels); dL/dz likewise, per example, and dL/dW and dL/db of the mean loss, in the tree of the parameters: of a
    network of ours params["layers"][l]["kernel"] is (I, O).
    """

    logits: Float[Array, "batch outputs"]
    pre: tuple[Float[Array, "batch ..."], ...]
    post: tuple[Float[Array, "batch ..."], ...]
    grad_pre: tuple[Float[Array, "batch ..."], ...]
    grad_params: Params


class ExtraReading(NamedTuple):
    """A function of the user's by its name, "module:function"."""

    fn: str
    function: Callable[[Params, Batch, Signals], Any]

    @property
    def words(self) -> str:
        """What it measures: the first line of its docstring, and its name."""
        first = next(iter((getattr(self.function, "__doc__", None) or "").strip().splitlines()), "").rstrip(".")
        return extra.plain(f"{first} ({self.fn})" if first else self.fn)


def import_extra(names: Sequence[str]) -> tuple[ExtraReading, ...]:
    """The functions that probe.extra names.

    Raises:
      InputError: a module cannot be imported, or has no such function.
    """
    return tuple(ExtraReading(fn, custom.import_function(PATH, fn)) for fn in dict.fromkeys(names))


def measure_extra(
    readings: Sequence[ExtraReading], params: Params, batch: Batch, signals: Signals
) -> list[dict[str, Float[Array, "..."]]]:
    """What each of the functions gives, as float32.

    Raises:
      InputError: a function fails, or does not give named arrays of numbers.
    """
    return [_checked(one.fn, _call(one, params, batch, signals)) for one in readings]


def _call(one: ExtraReading, params: Params, batch: Batch, signals: Signals) -> Any:
    try:
        return custom.calling(PATH, one.fn, one.function, params, batch, signals)
    except InputError as error:
        if isinstance(error.__cause__, jax.errors.JAXTypeError | jax.errors.JAXIndexError):
            raise InputError(f"{error}; it is part of a compiled program and must compute with jax.numpy.") from error
        raise


def _checked(fn: str, arrays: Any) -> dict[str, Array]:
    if not isinstance(arrays, Mapping) or not arrays or not all(isinstance(name, str) for name in arrays):
        came = f"{dict(arrays)!r}" if isinstance(arrays, Mapping) else f"a {type(arrays).__name__}"
        raise InputError(f"{PATH} {fn!r} gives {came:.200}; it must give a mapping from names to arrays.")
    return {name: _as_float(fn, name, array) for name, array in arrays.items()}


def _as_float(fn: str, name: str, array: Any) -> Array:
    try:
        values = jnp.asarray(array)
    except (TypeError, ValueError):
        raise InputError(f"{PATH} {fn!r} gives {name!r} as {array!r:.200}; it must be an array of numbers.") from None
    real = any(jnp.issubdtype(values.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_))
    if not real or values.ndim > extra.MOST_AXES or not 0 < values.size <= extra.MOST_NUMBERS:
        raise InputError(
            f"{PATH} {fn!r} gives {name!r} of shape {values.shape} and type {values.dtype}; it must be real numbers, "
            f"1 to {extra.MOST_NUMBERS:,} of them over at most {extra.MOST_AXES} axes."
        )
    return values.astype(jnp.float32)


def describe(
    readings: Sequence[ExtraReading],
    look: Callable[[Params, Batch], Signals],
    params: Any,
    batch: Any,
    depth: int,
    lengths: Mapping[str, int] | None = None,
) -> tuple[extra.Extra, int]:
    """The axes and definitions of the readings of a network, and how many numbers they are; nothing is compiled.

    Axes are told from shapes, see `core.extra.axes_of`, unless the function says them: `function.axes = {name: axes}`.
    `params` and `batch` are shapes and types, as `jax.eval_shape` takes them; `depth` counts the hidden layers,
    and `lengths` are those of our axes, by default a plain network's of that depth.

    Raises:
      InputError: as `measure_extra`, or a name or an axis cannot be one of a reading of the user's.
    """
    measure = lambda params, batch: measure_extra(readings, params, batch, look(params, batch))
    shapes = jax.eval_shape(measure, params, batch)
    described: dict[str, tuple[extra.Axes, str]] = {}
    known = dict(lengths or {axis: depth + more for axis, more in extra.BEYOND_DEPTH.items()})
    for one, arrays in zip(readings, shapes, strict=True):
        for name, array in arrays.items():
            if name in described:
                raise InputError(f"{PATH} {one.fn!r} gives {name!r}, which another function of it gives too.")
            described[name] = _axes(one, name, array.shape, depth, known["weight"]), one.words
            if fault := extra.fault_of(described):
                raise InputError(f"{PATH} {one.fn!r} gives {name!r} over {described[name][0]!r}; {fault}.")
            _check_lengths(one.fn, name, described[name][0], array.shape, known)
    return described, sum(array.size for arrays in shapes for array in arrays.values())


def _axes(one: ExtraReading, name: str, shape: Sequence[int], depth: int, weights: int) -> extra.Axes:
    stated = getattr(one.function, "axes", {})
    if not isinstance(stated, Mapping):
        raise InputError(f"{PATH} {one.fn!r} has axes {stated!r:.200}; they must be a mapping from names to axes.")
    axes = stated.get(name)
    if axes is None:
        return extra.axes_of(name, shape, depth, weights)
    axes = (axes,) if isinstance(axes, str) else axes
    if not isinstance(axes, tuple | list) or len(axes) != len(shape) or not all(isinstance(a, str) for a in axes):
        raise InputError(
            f"{PATH} {one.fn!r} says that the axes of {name!r} are {axes!r:.200}; they must be {len(shape)} "
            f"names, since its shape is {tuple(shape)}."
        )
    return tuple(axes)


def _check_lengths(fn: str, name: str, axes: extra.Axes, shape: Sequence[int], lengths: dict[str, int]) -> None:
    for axis, n in zip(axes, shape, strict=True):
        if lengths.setdefault(axis, n) != n:
            raise InputError(
                f"{PATH} {fn!r} gives {name!r} with {n} numbers along {axis}, which has {lengths[axis]} of them."
            )
