"""What the axes of a kernel are, and its fans: how many weights feed a unit, and how many units an input feeds."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from flax import nnx
from flax.core import meta

# What the libraries call the kernel of a layer, and a table of embeddings.
KERNEL_NAMES, TABLE_NAMES = ("kernel", "weight", "w"), ("embedding", "embeddings")


class Axes(NamedTuple):
    """What each axis of a kernel is, counted from the first.

    One layer's kernel has the axes of a convolution's window, of inputs and of outputs. The `stacked` ones count such
    kernels, where one array holds those of several layers. `groups` are those of a grouped convolution. In a `lookup`
    table the inputs are rows, of which an example reads one. `stride`: a convolution gives one place of so many, hence
    an input feeds fewer units. `spread`: a transposed one gives so many places for one, hence fewer inputs feed a unit.
    """

    window: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    stacked: tuple[int, ...] = ()
    groups: int = 1
    lookup: bool = False
    stride: int = 1
    spread: int = 1

    @property
    def rank(self) -> int:
        """The number of axes."""
        return sum(map(len, (self.window, self.inputs, self.outputs, self.stacked)))


class Unclear(NamedTuple):
    """Stands for the axes of what may be a kernel, but of no certain meaning; the reason ends a sentence about it."""

    reason: str


def dense() -> Axes:
    """A matrix (inputs, outputs)."""
    return Axes((), (0,), (1,))


def lookup() -> Axes:
    """The table of an embedding, (rows, features)."""
    return dense()._replace(lookup=True)


def fans(shape: Sequence[int], axes: Axes) -> tuple[float, float]:
    """(fan-in, fan-out) of one layer: how many inputs feed a unit, and how many units an input feeds.

    With a window of R places R I / spread and R O / (groups x stride); else I and O. The rows of a lookup table have
    fan-in 1: an example reads one of them.
    """
    size = lambda which: math.prod(shape[axis] for axis in which)
    window = size(axes.window)
    fan_in = 1 if axes.lookup else _whole(window * size(axes.inputs) / axes.spread)
    return fan_in, _whole(window * size(axes.outputs) / (axes.groups * axes.stride))


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def by_path(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their slash paths, as in block_0/Dense_1/kernel; boxes are taken off."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(unboxed(tree))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def is_box(node: Any) -> bool:
    """Whether a node is a box around one array: linen's boxes, as `Partitioned`, and nnx's variables."""
    return isinstance(node, meta.AxisMetadata | nnx.Variable)


def unboxed(tree: Any) -> Any:
    """The tree with each box replaced by the array in it as it is."""
    return jax.tree.map(lambda node: jax.tree.leaves(node)[0] if is_box(node) else node, tree, is_leaf=is_box)
