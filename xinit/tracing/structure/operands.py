"""Products of a signal with a kernel (matrices, convolutions, tables), and what each axis of the kernel is in them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from xinit.tracing.structure.kernels import Axes, Unclear
from xinit.tracing.structure.origins import Origin
from xinit.tracing.structure.program import Operation

Pair = tuple[tuple[int, ...], tuple[int, ...]]
DENSE, CONVOLUTION, LOOKUP = "dense", "convolution", "lookup"


class Operand(NamedTuple):
    """Which operand is the signal and which is the kernel, and what the axes of the kernel are.

    `stride`: places of the input to one of the output, so that an input feeds fewer units. `spread`: of a transposed
    convolution with a stride the places of the output to one of the input, so that fewer inputs feed a unit.
    """

    kind: str
    signal: int
    kernel: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    window: tuple[int, ...] = ()
    stacked: tuple[int, ...] = ()
    groups: int = 1
    stride: int = 1
    spread: int = 1

    @property
    def unit_axes(self) -> tuple[int, ...]:
        """The axes of the kernel that count units: its outputs, and those that stack kernels side by side."""
        return (*self.outputs, *self.stacked)


def operand_of(operation: Operation, origins: Sequence[Origin]) -> Operand | None:
    """What an operation is as a product of a signal with a kernel; None if it is none."""
    name, params = str(operation.primitive), operation.params
    if name not in ("dot_general", "ragged_dot_general", "conv_general_dilated", "gather"):
        return None
    first, second = origins[:2]
    if name == "gather":
        return _lookup(operation) if first.is_kernel and second.batch else None
    if first.batch == second.batch or not (first.is_kernel or second.is_kernel):
        return None
    kernel = 0 if first.is_kernel else 1
    if name == "conv_general_dilated":
        return _convolution(params) if kernel == 1 else None
    contracted, batch, groups = dimensions(operation)
    inputs, stacked = contracted[kernel], (*batch[kernel], *groups)
    outputs = tuple(axis for axis in range(len(origins[kernel].axes)) if axis not in (*inputs, *stacked))
    return Operand(DENSE, 1 - kernel, kernel, tuple(inputs), outputs, stacked=stacked)


def dimensions(operation: Operation) -> tuple[Pair, Pair, tuple[int, ...]]:
    """The axes of a product of matrices: those that are summed and those that are shared, of both operands.

    The third part are axes of the second operand that count kernels, one for each group of rows of the first operand.
    """
    if str(operation.primitive) == "dot_general":
        return (*operation.params["dimension_numbers"], ())
    numbers = operation.params["ragged_dot_dimension_numbers"]
    return (*numbers.dot_dimension_numbers, tuple(numbers.rhs_group_dimensions))


def _convolution(params: object) -> Operand:
    numbers = params["dimension_numbers"]  # type: ignore[index]
    outputs, inputs, *window = numbers.rhs_spec
    at = lambda name: math.prod(params[name])  # type: ignore[index]
    return Operand(
        CONVOLUTION, 0, 1, (inputs,), (outputs,), tuple(window),
        groups=params["feature_group_count"], stride=at("window_strides"), spread=at("lhs_dilation"),  # type: ignore[index]
    )  # fmt: skip


def _lookup(operation: Operation) -> Operand | None:
    numbers = operation.params["dimension_numbers"]
    rows = tuple(numbers.collapsed_slice_dims)
    table = range(len(operation.params["slice_sizes"]))
    outputs = tuple(axis for axis in table if axis not in (*rows, *numbers.operand_batching_dims))
    if sum(operation.params["slice_sizes"][axis] > 1 for axis in outputs) > 1:
        return None  # not rows but matrices, as of experts that are chosen for each example
    return Operand(LOOKUP, 1, 0, rows, outputs, stacked=tuple(numbers.operand_batching_dims))


def kernel_axes(operand: Operand, kernel: Origin, parameter: int, rank: int) -> Axes | Unclear:
    """What the `rank` axes of a stored parameter are, by where they lie in the kernel's operand."""
    roles: dict[int, set[str]] = {}
    for name in ("inputs", "outputs", "window", "stacked"):
        for place in getattr(operand, name):
            for factor in kernel.axes[place]:
                for owner, axis in factor.marks:
                    if owner == parameter:
                        roles.setdefault(axis, set()).add(name)
    for index in kernel.indexed:
        owner, axis = index.mark
        if owner == parameter:
            roles.setdefault(axis, set()).add("stacked")
    if any(len(roles.get(axis, ())) != 1 for axis in range(rank)):
        return Unclear("it is combined with other numbers, or parted, before a product with the signal")
    of = lambda name: tuple(axis for axis in range(rank) if name in roles[axis])
    return operand_axes(operand)._replace(
        window=of("window"), inputs=of("inputs"), outputs=of("outputs"), stacked=of("stacked")
    )


def operand_axes(operand: Operand) -> Axes:
    """What the axes of the kernel's operand are."""
    return Axes(
        operand.window, operand.inputs, operand.outputs, operand.stacked, operand.groups, operand.kind == LOOKUP,
        operand.stride, operand.spread,
    )  # fmt: skip
