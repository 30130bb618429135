"""What the axes of a kernel are, and the fans that follow: the one place where they are counted."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Inexact, Num

from xinit.core.errors import InputError

__all__ = ["Axis", "Kernel", "KernelAxes"]

Axis = int | Sequence[int]


class KernelAxes(TypedDict, total=False):
    """What the axes of a kernel are, as `jax.nn.initializers.variance_scaling` has them; all others are a window.

    Keys:
      in_axis: the inputs, by default -2.
      out_axis: the outputs, by default -1. (Flax draws its embeddings with out_axis=0: their fan-in is their features.)
      batch_axis: what stacks kernels of separate layers, by default none.
      groups: a grouped convolution's `feature_group_count`, by default 1. Its shape does not tell: without it the
        fan-out counts the outputs of all groups, as jax's does, and an orthogonal kernel is one matrix instead of one a
        group.
    """

    in_axis: Axis
    out_axis: Axis
    batch_axis: Axis
    groups: int


class Kernel(NamedTuple):
    """A kernel's shape and `KernelAxes`. Whatever asks for a fan raises InputError where the shape lacks the axes."""

    shape: tuple[int, ...]
    in_axis: Axis = -2
    out_axis: Axis = -1
    batch_axis: Axis = ()
    groups: int = 1

    @property
    def inputs(self) -> tuple[int, ...]:
        """The axes of the inputs, counted from 0."""
        return self._resolved("in_axis")

    @property
    def outputs(self) -> tuple[int, ...]:
        """The axes of the outputs."""
        return self._resolved("out_axis")

    @property
    def batch(self) -> tuple[int, ...]:
        """The axes that stack kernels."""
        batch = self._resolved("batch_axis")
        if set(batch) & {*self.inputs, *self.outputs}:
            raise InputError(
                f"batch_axis is {self.batch_axis}, of which a part is in in_axis {self.in_axis} or out_axis "
                f"{self.out_axis} of the shape {self.shape}; it must name other axes."
            )
        return batch

    @property
    def window(self) -> tuple[int, ...]:
        """All other axes: the places of a convolution's window."""
        named = {*self.inputs, *self.outputs, *self.batch}
        return tuple(axis for axis in range(len(self.shape)) if axis not in named)

    @property
    def fan_in(self) -> int:
        """The number of weights into a unit: the inputs times the places of the window."""
        return self.size([axis for axis in range(len(self.shape)) if axis not in (*self.outputs, *self.batch)])

    @property
    def fan_out(self) -> int:
        """The number of weights that an input is multiplied with: the outputs of a group times the window's places."""
        size = self.size([axis for axis in range(len(self.shape)) if axis not in (*self.inputs, *self.batch)])
        return self._of_a_group(size)

    @property
    def units(self) -> int:
        """The number of outputs of a group."""
        return self._of_a_group(self.size(self.outputs))

    def check(self) -> None:
        """Raise InputError where the shape lacks the axes, or they are in each other's way."""
        _ = self.batch, self.units, self._matrix_order()

    def size(self, axes: Sequence[int]) -> int:
        """The number of entries along axes."""
        return math.prod(self.shape[axis] for axis in axes)

    def centred(self, matrix: Inexact[Array, "*kernels inputs units"]) -> Inexact[Array, "..."]:
        """The kernel that is `matrix` (inputs, units) in the middle of the window, and 0 elsewhere.

        It may be one matrix, or one for each of the stacked kernels and groups, (batch, groups, inputs, units).
        With an even window the middle is the place that SAME padding lays over the output's own.
        """
        places = [self.shape[axis] for axis in self.window]
        middle = 0
        for n in places:
            middle = middle * n + (n - 1) // 2
        stack = self.size(self.batch), self.groups, math.prod(places), *matrix.shape[-2:]
        return self.assembled(jnp.zeros(stack, matrix.dtype).at[:, :, middle].set(matrix))

    def assembled(self, matrices: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
        """The kernel of its matrices (batch, groups, fan-in, units), whose rows are window x inputs."""
        order = self._matrix_order()
        matrices = matrices.reshape(self.size(self.batch), self.groups, self.fan_in, self.units)
        sorted_axes = jnp.moveaxis(matrices, 1, 2).reshape([self.shape[axis] for axis in order])
        return sorted_axes.transpose(np.argsort(order))

    def matrices(self, kernel: Num[np.ndarray, "..."]) -> Num[np.ndarray, "kernels fan_in units"]:
        """The inverse of `assembled`, (batch x groups, fan-in, units)."""
        rows = np.transpose(kernel, self._matrix_order()).reshape(-1, self.fan_in, self.groups, self.units)
        return np.moveaxis(rows, 2, 1).reshape(-1, self.fan_in, self.units)

    def _matrix_order(self) -> tuple[int, ...]:
        if set(self.inputs) & set(self.outputs):
            raise InputError(
                f"in_axis {self.in_axis} and out_axis {self.out_axis} share an axis of the shape {self.shape}; where "
                "the weights of a unit hang together, they must be different axes."
            )
        return (*self.batch, *self.window, *self.inputs, *self.outputs)

    def _resolved(self, name: str) -> tuple[int, ...]:
        axes, rank = as_tuple(getattr(self, name)), len(self.shape)
        resolved = tuple(axis % rank for axis in axes if -rank <= axis < rank)
        if len(set(resolved)) < len(axes):
            raise InputError(
                f"{name} is {getattr(self, name)} and the shape is {self.shape}; it must name axes that the shape has, "
                "each once (a bias has no inputs: start it with an initialiser without fans, such as constant)."
            )
        return resolved

    def _of_a_group(self, size: int) -> int:
        outputs = self.size(self.outputs)
        if self.groups == 1:  # also of a matrix that stands for fans alone, which may be fractions
            return size
        if outputs % self.groups:
            raise InputError(
                f"groups is {self.groups}; it must divide the {outputs} outputs of the shape {self.shape}."
            )
        return size // self.groups


def as_tuple(axes: object) -> tuple[Any, ...]:
    """One axis or several as a tuple.

    >>> as_tuple(-2), as_tuple([0, 1])
    ((-2,), (0, 1))
    """
    return tuple(axes) if isinstance(axes, Sequence) else (axes,)


def check_axes(axes: KernelAxes) -> None:
    """InputError unless the axes are whole numbers, and groups one above 0.

    >>> check_axes({"groups": 0})
    Traceback (most recent call last):
        ...
    xinit.core.errors.InputError: groups is 0; it must be a whole number above 0.
    """
    asked = Kernel((), **axes)
    for name in ("in_axis", "out_axis", "batch_axis"):
        if not all(isinstance(axis, int | np.integer) for axis in as_tuple(getattr(asked, name))):
            raise InputError(f"{name} is {getattr(asked, name)!r}; it must be a whole number or several.")
    if not isinstance(asked.groups, int | np.integer) or asked.groups < 1:
        raise InputError(f"groups is {asked.groups!r}; it must be a whole number above 0.")
