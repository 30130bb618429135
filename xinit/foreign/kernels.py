"""The fans of any kernel: how many weights feed a unit of its layer, and how many units a weight's input feeds."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen, nnx

ATTENTION = ("query", "key", "value", "out")


class Axes(NamedTuple):
    """Which axes of a kernel, counted from its end, are a convolution's window, inputs, and outputs.

    Axes in none of them stack the kernels of several layers. `groups` are those of a grouped convolution. In a `lookup`
    table the inputs are rows, of which an example reads one.
    """

    window: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    groups: int = 1
    lookup: bool = False


def dense(n_inputs: int = 1, n_outputs: int = 1) -> Axes:
    """A matrix whose input and output may have several axes each, as the heads of attention."""
    return Axes((), tuple(range(-n_outputs - n_inputs, -n_outputs)), tuple(range(-n_outputs, 0)))


def convolution(n_window: int, groups: int = 1, transposed: bool = False) -> Axes:
    """(window, I / groups, O), the window of `n_window` axes; (window, O, I) if it is stored transposed."""
    inputs, outputs = ((-1,), (-2,)) if transposed else ((-2,), (-1,))
    return Axes(tuple(range(-n_window - 2, -2)), inputs, outputs, groups)


def lookup() -> Axes:
    """The table of an embedding, (rows, features)."""
    return dense()._replace(lookup=True)


def einsum(equation: str) -> Axes:
    """The kernel is the second operand: what it shares with the first and the result lacks is summed, an input."""
    operands, result = equation.replace(" ", "").split("->")
    read, kernel = operands.split(",")
    places = {letter: place - len(kernel) for place, letter in enumerate(kernel)}
    inputs = tuple(place for letter, place in places.items() if letter in read and letter not in result)
    outputs = tuple(place for letter, place in places.items() if letter in result and letter not in read)
    return Axes((), inputs, outputs)


def axes_of(module: Any) -> Axes | None:
    """The axes of a Flax layer's kernel or embedding; None for a module that is no layer of Flax's own."""
    match module:
        case linen.Dense() | nnx.Linear():
            return dense()
        case linen.DenseGeneral():
            return dense(_count(module.axis), _count(module.features))
        case nnx.LinearGeneral():
            return dense(len(module.in_features), len(module.out_features))
        case linen.Einsum() | nnx.Einsum() if module.einsum_str:
            return einsum(module.einsum_str)
        case linen.Conv() | nnx.Conv():
            return convolution(_count(module.kernel_size), module.feature_group_count)
        case linen.ConvTranspose() | nnx.ConvTranspose():
            return convolution(_count(module.kernel_size), transposed=module.transpose_kernel)
        case linen.Embed() | nnx.Embed():
            return lookup()
    return None


def _count(axes: int | Sequence[int]) -> int:
    return 1 if isinstance(axes, int) else len(axes)


def axes_of_parameter(path: str, shape: Sequence[int], paths: Collection[str], module: Any = None) -> Axes | None:
    """The axes of any parameter; None where it is no kernel, as biases and scales are not.

    Without the module, names and shape decide: `embedding` is a table; a kernel below query, key, value or out, where
    all four are, is attention's; any other kernel with more than two axes is a convolution's; two axes are a matrix.
    """
    parent, _, name = path.rpartition("/")
    if name in ("kernel", "embedding") and (known := axes_of(module)):
        return known
    if name == "embedding":
        return lookup()
    if name == "kernel" and len(shape) > 2:
        above, _, role = parent.rpartition("/")
        if all(f"{above}/{other}/kernel".lstrip("/") in paths for other in ATTENTION) and role in ATTENTION:
            return dense(2, 1) if role == "out" else dense(1, 2)
        return convolution(len(shape) - 2)
    return dense() if len(shape) == 2 and name not in ("bias", "scale") else None


def fans(shape: Sequence[int], axes: Axes) -> tuple[int, int]:
    """(fan-in, fan-out): with a window of R places R I / groups and R O / groups, of dense kernels I and O.

    The rows of a lookup table have fan-in 1: an example reads one of them.
    """
    size = lambda which: math.prod(shape[axis] for axis in which)
    window = size(axes.window)
    return 1 if axes.lookup else window * size(axes.inputs), window * size(axes.outputs) // axes.groups


class Parameter(NamedTuple):
    """One parameter: fans and n Var W where it is a kernel, with Var W = E W^2, and the norm of dL/dW."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    mean: float
    std: float
    fan_in: int | None
    fan_out: int | None
    in_variance: float | None
    out_variance: float | None
    grad_norm: float


def parameter_table(
    params: Mapping[str, jax.Array], gradients: Mapping[str, jax.Array], modules: Mapping[str, Any]
) -> tuple[Parameter, ...]:
    """A row for each parameter, all three arguments by slash path."""
    rows = []
    for path, value in params.items():
        axes = axes_of_parameter(path, value.shape, params, modules.get(path.rpartition("/")[0]))
        n_in, n_out = fans(value.shape, axes) if axes else (None, None)
        w, g = np.asarray(value, np.float64), np.asarray(gradients[path], np.float64)
        second = float(np.mean(w**2))
        about = (path, value.shape, str(value.dtype), float(w.mean()), float(w.std()), n_in, n_out)
        rows.append(Parameter(*about, n_in and n_in * second, n_out and n_out * second, float(np.linalg.norm(g))))
    return tuple(rows)


def kernel_of_module(rows: Sequence[Parameter]) -> dict[str, Parameter]:
    """The largest kernel or table of each module that has one, by the module's path."""
    by_size = sorted((row for row in rows if row.fan_in), key=lambda row: math.prod(row.shape))
    return {row.path.rpartition("/")[0]: row for row in by_size}


def by_path(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """The leaves of a tree by their slash paths, as in block_0/Dense_1/kernel."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
