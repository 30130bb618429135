"""The origins of the results of an operation, from those of its operands: how each primitive moves axes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xinit.tracing.structure.operands import Pair, dimensions
from xinit.tracing.structure.origins import (
    UNITS,
    Axis,
    Index,
    Origin,
    marked,
    merged,
    plain_axes,
    reshaped,
    shape_of,
    size,
    without_marks,
)
from xinit.tracing.structure.program import Operation, Program

Axes = Sequence[Axis]
Params = Mapping[str, Any]


def transferred(operation: Operation, origins: Sequence[Origin], program: Program) -> list[Origin]:
    """The origins of the results of an operation without a program in it, or with one that is not entered."""
    name, params = str(operation.primitive), operation.params
    results = []
    for value in operation.gives:
        shape = shape_of(program.types[value])
        if name in KEEPS_AXES and origins:
            result = merged(shape, origins, KEEPS_AXES[name](origins[0].axes, params, shape))
        elif name in ("dot_general", "ragged_dot_general"):
            result = merged(shape, origins, dot_axes(origins, *dimensions(operation)))
        elif name == "conv_general_dilated":
            result = merged(shape, origins, convolution_axes(origins, params, shape))
        elif name == "gather":
            result = merged(shape, origins, gather_axes(origins, params, shape))
        elif name == "concatenate":
            result = merged(shape, origins, _concatenated(origins, params, shape))
        else:
            result = merged(shape, origins)
        result = _indexed(name, operation, origins, result)
        results.append(result)
    return results


def _indexed(name: str, operation: Operation, origins: Sequence[Origin], result: Origin) -> Origin:
    """With the axes of parameters of which this operation takes one place."""
    if result.batch or not result.params:
        return result
    places: dict[int, int | None]  # by the axis that is taken apart
    axes = origins[0].axes
    if name == "slice":
        starts, ends = operation.params["start_indices"], operation.params["limit_indices"]
        places = {axis: start for axis, (start, end) in enumerate(zip(starts, ends, strict=True)) if end - start == 1}
    elif name == "dynamic_slice":
        places = {axis: None for axis, n in enumerate(operation.params["slice_sizes"]) if n == 1}
    elif name == "gather":
        numbers = operation.params["dimension_numbers"]
        places = dict.fromkeys(numbers.collapsed_slice_dims, None)
    else:
        return result
    taken = {
        Index(mark, place)
        for axis, place in places.items()
        if size(axes[axis]) > 1
        for factor in axes[axis]
        for mark in factor.marks
    }
    return result._replace(indexed=result.indexed | taken)


def _transpose(axes: Axes, params: Params, shape: Sequence[int]) -> Axes:
    return [axes[axis] for axis in params["permutation"]]


def _reshape(axes: Axes, params: Params, shape: Sequence[int]) -> Axes:
    return reshaped(axes, shape)


def _squeeze(axes: Axes, params: Params, shape: Sequence[int]) -> Axes:
    return [axis for place, axis in enumerate(axes) if place not in params["dimensions"]]


def _broadcast(axes: Axes, params: Params, shape: Sequence[int]) -> Axes:
    result = list(plain_axes(shape))
    for axis, place in zip(axes, params["broadcast_dimensions"], strict=True):
        if size(axis) == shape[place]:
            result[place] = axis
    return result


def _reduced(axes: Axes, params: Params, shape: Sequence[int]) -> Axes:
    return [axis for place, axis in enumerate(axes) if place not in params["axes"]]


def _resized(axes: Axes, params: Params, shape: Sequence[int]) -> Axes:
    """Of the same rank, entry by entry where an axis keeps its size; one of another size keeps what it is of."""
    if len(axes) != len(shape):
        return plain_axes(shape)
    return [_of_size(axis, n) for axis, n in zip(axes, shape, strict=True)]


def _of_size(axis: Axis, n: int) -> Axis:
    """A part of an axis, or more than it: of the parameter's axis it still is, unless it is one place of many."""
    if size(axis) == n:
        return axis
    marks = frozenset().union(*(factor.marks for factor in axis)) if n > 1 else frozenset()
    return (without_marks(axis)[0]._replace(size=n, marks=marks),)


KEEPS_AXES: dict[str, Callable[[Axes, Params, Sequence[int]], Axes]] = {
    "transpose": _transpose,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    **dict.fromkeys(
        ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"),
        _reduced,
    ),
    **dict.fromkeys(
        ("slice", "dynamic_slice", "pad", "rev", "cumsum", "cumprod", "cummax", "cumlogsumexp", "split", "sort",
         "reduce_window", "reduce_window_max", "reduce_window_min", "reduce_window_sum", "reduce_window_add", "top_k"),
        _resized,
    ),
}  # fmt: skip


def dot_axes(origins: Sequence[Origin], contracted: Pair, batch: Pair, groups: Sequence[int]) -> list[Axis]:
    """The axes of a product of matrices: the shared ones, then the rest of the first operand, then of the second."""
    left, right = origins[0].axes, origins[1].axes
    shared = [merged_axis(left[a], right[b]) for a, b in zip(*batch, strict=True)]
    gone = lambda side: (*contracted[side], *batch[side], *(groups if side else ()))
    free = lambda axes, side: [axis for place, axis in enumerate(axes) if place not in gone(side)]
    return [*shared, *free(left, 0), *free(right, 1)]


def merged_axis(first: Axis, second: Axis) -> Axis:
    """An axis that two operands share."""
    one = merged((size(first),), [Origin((first,)), Origin((second,))])
    return one.axes[0]


def convolution_axes(origins: Sequence[Origin], params: Params, shape: Sequence[int]) -> list[Axis]:
    """The axes of a convolution's result: the examples of the images, the outputs of the kernel, and the positions."""
    numbers = params["dimension_numbers"]
    result = list(plain_axes(shape))
    examples, outputs = origins[0].axes[numbers.lhs_spec[0]], origins[1].axes[numbers.rhs_spec[0]]
    for place, axis in ((numbers.out_spec[0], examples), (numbers.out_spec[1], outputs)):
        if size(axis) == shape[place]:
            result[place] = axis
    return result


def gather_axes(origins: Sequence[Origin], params: Params, shape: Sequence[int]) -> list[Axis]:
    """The axes of a lookup's result: those of the indices, and those of the table that are read whole."""
    numbers, table, indices = params["dimension_numbers"], origins[0].axes, origins[1].axes
    offsets = numbers.offset_dims
    lost = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    kept = [axis for place, axis in enumerate(table) if place not in lost]
    places = iter(indices[:-1])
    rows = iter(zip(kept, (params["slice_sizes"][p] for p in range(len(table)) if p not in lost), strict=True))
    result = []
    for place in range(len(shape)):
        if place in offsets:
            axis, n = next(rows)
            result.append(_of_size(axis, n))
        else:
            result.append(next(places))
    return result


def _concatenated(origins: Sequence[Origin], params: Params, shape: Sequence[int]) -> list[Axis]:
    along = params["dimension"]
    resized = [origin._replace(axes=tuple(_resized(origin.axes, params, shape))) for origin in origins]
    axes = list(merged(shape, resized).axes)
    marks = frozenset().union(*(factor.marks for origin in origins for factor in origin.axes[along]))
    axes[along] = (without_marks(axes[along])[0]._replace(size=shape[along], marks=marks),)
    return axes


def unit_places(axes: Sequence[Axis]) -> tuple[int, ...]:
    """Which axes count units."""
    return tuple(place for place, axis in enumerate(axes) if marked(axis, UNITS))
