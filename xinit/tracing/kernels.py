"""What the axes of a kernel are, and its fans: how many weights feed a unit, and how many units an input feeds."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from flax import linen, nnx
from flax.core import meta


class Axes(NamedTuple):
    """What each axis of a kernel is, counted from the first.

    One layer's kernel has the axes of a convolution's window, of inputs and of outputs. The `stacked` ones count such
    kernels, where one array holds those of several layers. `groups` are those of a grouped convolution. In a `lookup`
    table the inputs are rows, of which an example reads one. `stack_is_known` is False where another axis of the same
    size may be the stacked one: the fans are then known all the same, but not which weights belong to one layer.
    """

    window: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    stacked: tuple[int, ...] = ()
    groups: int = 1
    lookup: bool = False
    stack_is_known: bool = True

    @property
    def rank(self) -> int:
        """The number of axes."""
        return sum(map(len, (self.window, self.inputs, self.outputs, self.stacked)))

    def placed(self, places: Sequence[int], rank: int) -> "Axes":
        """The same axes in an array of `rank` axes that holds the kernel at `places`; its other axes are stacked."""
        at = lambda axes: tuple(places[axis] for axis in axes)
        others = tuple(axis for axis in range(rank) if axis not in places)
        return self._replace(
            window=at(self.window), inputs=at(self.inputs), outputs=at(self.outputs), stacked=others + at(self.stacked)
        )


def dense(n_inputs: int = 1, n_outputs: int = 1, n_stacked: int = 0) -> Axes:
    """A matrix whose input and output may have several axes each, as the heads of attention; stacked axes first."""
    outputs = n_stacked + n_inputs
    return Axes(
        (), tuple(range(n_stacked, outputs)), tuple(range(outputs, outputs + n_outputs)), tuple(range(n_stacked))
    )


def convolution(n_window: int, groups: int = 1, transposed: bool = False) -> Axes:
    """(window, I / groups, O), the window of `n_window` axes; (window, O, I) if it is stored transposed."""
    before, last = (n_window,), (n_window + 1,)
    inputs, outputs = (last, before) if transposed else (before, last)
    return Axes(tuple(range(n_window)), inputs, outputs, groups=groups)


def lookup() -> Axes:
    """The table of an embedding, (rows, features)."""
    return dense()._replace(lookup=True)


def einsum(equation: str) -> Axes | None:
    """The axes of the second operand, which is the kernel; None if it has an ellipsis, or an axis twice.

    Axes that the result lacks are summed, hence inputs; those that only the result shares are outputs; of what all
    three have, each index has a kernel of its own.
    """
    operands, result = equation.replace(" ", "").split("->")
    read, kernel = operands.split(",")
    if len(set(kernel)) < len(kernel):
        return None
    chosen = lambda of: tuple(axis for axis, letter in enumerate(kernel) if of(letter))
    return Axes(
        window=(),
        inputs=chosen(lambda letter: letter not in result),
        outputs=chosen(lambda letter: letter in result and letter not in read),
        stacked=chosen(lambda letter: letter in result and letter in read),
    )


def axes_of(module: Any) -> Axes | None:
    """The axes of a Flax layer's own kernel or embedding; None for a module that is no layer of Flax's own."""
    match module:
        case linen.Dense() | nnx.Linear():
            return dense()
        case linen.DenseGeneral():
            return dense(_count(module.axis), _count(module.features), _count(module.batch_dims))
        case nnx.LinearGeneral():
            return dense(len(module.in_features), len(module.out_features), len(module.batch_axis))
        case linen.Einsum() | nnx.Einsum() if module.einsum_str:
            return einsum(module.einsum_str)
        case linen.Conv() | nnx.Conv():
            return convolution(_count(module.kernel_size), module.feature_group_count)
        case linen.ConvTranspose() | nnx.ConvTranspose():
            return convolution(_count(module.kernel_size), transposed=module.transpose_kernel)
        case linen.Embed() | nnx.Embed():
            return lookup()
    return None


def declared_shape(module: Any) -> tuple[int, ...] | None:
    """The shape of one kernel or embedding of an nnx layer, as it was made; None for any other module.

    `nnx.vmap` makes a stack of layers as one module, whose array then has more axes than this.
    """
    match module:
        case nnx.Linear():
            return module.in_features, module.out_features
        case nnx.LinearGeneral():
            return *module.batch_axis.values(), *module.in_features, *module.out_features
        case nnx.Einsum() | nnx.Conv() | nnx.ConvTranspose():
            return tuple(module.kernel_shape)
        case nnx.Embed():
            return module.num_embeddings, module.features
    return None


def _count(axes: int | Sequence[int]) -> int:
    return 1 if isinstance(axes, int) else len(axes)


def fans(shape: Sequence[int], axes: Axes) -> tuple[int, int]:
    """(fan-in, fan-out) of one layer: R I / groups and R O / groups with a window of R places, else I and O.

    The rows of a lookup table have fan-in 1: an example reads one of them.
    """
    size = lambda which: math.prod(shape[axis] for axis in which)
    window = size(axes.window)
    return 1 if axes.lookup else window * size(axes.inputs), window * size(axes.outputs) // axes.groups


def by_path(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their slash paths, as in block_0/Dense_1/kernel; boxes are taken off."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(unboxed(tree))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def unboxed(tree: Any) -> Any:
    """The tree with linen's boxes, as `Partitioned`, and nnx's variables replaced by the arrays in them as they are."""
    boxed = lambda node: isinstance(node, meta.AxisMetadata | nnx.Variable)
    return jax.tree.map(lambda node: jax.tree.leaves(node)[0] if boxed(node) else node, tree, is_leaf=boxed)
