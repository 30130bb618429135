"""The origin of a value: whether it depends on the batch, on which parameters, and what each of its axes is.

An axis is a list of factors, from the slowest to the fastest, since a reshape may join axes or split one. Each factor
has marks. They say which axis of which parameter it comes from, whether it counts examples, and whether it counts the
units of a layer.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

Parameter = int  # the place of a parameter among the leaves
Mark = tuple[int, int]  # a parameter and its axis, or one of these:
EXAMPLES: Mark = (-1, 0)
UNITS: Mark = (-2, 0)


class Factor(NamedTuple):
    """A part of an axis: its size and its marks."""

    size: int
    marks: frozenset[Mark] = frozenset()


Axis = tuple[Factor, ...]


class Index(NamedTuple):
    """An axis of a parameter of which one place was taken: a fixed one, or another in each iteration of a loop."""

    mark: Mark
    place: int | None


class Origin(NamedTuple):
    """Whether a value depends on the batch, on which parameters, and what its axes are.

    `indexed`: the axes of parameters of which an index has taken one place. `varies`: the loops in which a value made
    of parameters alone differs from iteration to iteration. `layers`: the nearest layers on the way back, by their
    places in the list of layers.
    """

    axes: tuple[Axis, ...]
    batch: bool = False
    params: frozenset[Parameter] = frozenset()
    indexed: frozenset[Index] = frozenset()
    varies: frozenset[int] = frozenset()
    layers: frozenset[int] = frozenset()

    @property
    def is_kernel(self) -> bool:
        """Whether it depends on parameters alone."""
        return bool(self.params) and not self.batch

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return tuple(size(axis) for axis in self.axes)


def size(axis: Axis) -> int:
    """The size of an axis."""
    return math.prod(factor.size for factor in axis)


def plain_axes(shape: Sequence[int]) -> tuple[Axis, ...]:
    """Axes of which nothing is known but their sizes."""
    return tuple((Factor(n),) for n in shape)


def of_parameter(number: Parameter, shape: Sequence[int]) -> Origin:
    """The origin of a parameter itself."""
    axes = tuple((Factor(n, frozenset({(number, axis)})),) for axis, n in enumerate(shape))
    return Origin(axes, params=frozenset({number}))


def of_batch(shape: Sequence[int], examples: int | None = 0) -> Origin:
    """The origin of a batch, whose axis `examples` is that of the examples."""
    axes = tuple((Factor(n, frozenset({EXAMPLES} if axis == examples else ())),) for axis, n in enumerate(shape))
    return Origin(axes, batch=True)


def marked(axis: Axis, mark: Mark) -> bool:
    """Whether any factor of an axis has a mark."""
    return any(mark in factor.marks for factor in axis)


def with_mark(axis: Axis, mark: Mark, on: bool) -> Axis:
    """The axis with a mark on all factors, or on none."""
    return tuple(Factor(n, marks | {mark} if on else marks - {mark}) for n, marks in axis)


def without_marks(axis: Axis) -> Axis:
    """The axis as one factor, of which nothing is known."""
    return (Factor(size(axis)),)


def joined(first: Axis, second: Axis) -> Axis:
    """What two axes of the same size have in common, factor by factor where both are made alike."""
    if first == second:
        return first
    if [factor.size for factor in first] == [factor.size for factor in second]:
        return tuple(Factor(n, a | b) for (n, a), (_, b) in zip(first, second, strict=True))
    finer, other = (first, second) if len(first) >= len(second) else (second, first)
    parts = regrouped(list(finer), [factor.size for factor in other])
    if parts is not None:
        return tuple(Factor(n, marks | of.marks) for of, part in zip(other, parts, strict=True) for n, marks in part)
    marks = frozenset().union(*(factor.marks for factor in (*first, *second)))
    return (Factor(size(first), marks),)


def regrouped(factors: list[Factor], sizes: Sequence[int]) -> list[Axis] | None:
    """The factors as axes of these sizes; a factor that spans two axes is split, and both parts keep its marks.

    None where the sizes do not divide each other.
    """
    rest = list(factors)
    axes: list[Axis] = []
    for wanted in sizes:
        axis: list[Factor] = []
        while (lacking := wanted // max(size(tuple(axis)), 1)) > 1 or (not axis and rest and rest[0].size == 1):
            if not rest:
                return None
            factor = rest.pop(0)
            if factor.size > lacking and lacking > 0:
                if factor.size % lacking:
                    return None
                rest.insert(0, factor._replace(size=factor.size // lacking))
                factor = factor._replace(size=lacking)
            elif lacking % factor.size:
                return None
            axis.append(factor)
        axes.append(tuple(axis) or (Factor(1),))
    return axes if math.prod(factor.size for factor in rest) == 1 else None


def reshaped(axes: Sequence[Axis], shape: Sequence[int]) -> tuple[Axis, ...]:
    """The axes of the same array in another shape."""
    if 0 in shape:
        return plain_axes(shape)
    regroup = regrouped([factor for axis in axes for factor in axis], shape)
    return plain_axes(shape) if regroup is None else tuple(regroup)


def merged(shape: Sequence[int], origins: Sequence[Origin], axes: Sequence[Axis] | None = None) -> Origin:
    """The origin of what is computed entry by entry from several values: it depends on all that they depend on.

    Its axes have the marks of theirs, unless `axes` are given.
    """
    if axes is None:
        own: list[Axis] = list(plain_axes(shape))
        for origin in origins:
            if len(origin.axes) == len(shape):
                same = [size(a) == size(b) for a, b in zip(own, origin.axes, strict=True)]
                pairs = zip(own, origin.axes, same, strict=True)
                own = [joined(a, b) if equal else a for a, b, equal in pairs]
        axes = own
    union = lambda name: frozenset().union(*(getattr(origin, name) for origin in origins))
    if any(origin.batch for origin in origins):  # then it does not matter what else went into it
        axes = [tuple(Factor(n, marks & {EXAMPLES, UNITS}) for n, marks in axis) for axis in axes]
        return Origin(tuple(axes), batch=True, layers=union("layers"))
    return Origin(tuple(axes), False, union("params"), union("indexed"), union("varies"))


def shape_of(kind: Any) -> tuple[int, ...]:
    """The shape of a value; () of what is no array."""
    return tuple(kind.shape) if isinstance(kind, jax.ShapeDtypeStruct) else ()
