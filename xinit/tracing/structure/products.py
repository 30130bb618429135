"""What the layers of a traced model are: products of something that depends on the batch with parameters alone."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from xinit.tracing.structure.kernels import Axes, Unclear
from xinit.tracing.structure.origins import Origin
from xinit.tracing.structure.program import Value

WITH_A_RULE = "a function with a derivative of its own, which is kept whole"
WHILE = "a while loop, whose length is known only as it runs"


class Use(NamedTuple):
    """A parameter behind a layer: its place among the leaves, and what its axes are in that layer.

    `taken`: where the layer has one kernel of a stack, each stacked axis with the place on it.
    """

    parameter: int
    axes: Axes | Unclear
    taken: tuple[tuple[int, int], ...] = ()


class Product(NamedTuple):
    """One layer: its input h, its output z, the parameters behind it, its fans, and which layers feed it.

    `site` is the result of the product itself, and `gives` is z, which includes the bias if one is added next. `reads`
    is h, and None for a lookup. `kernel` is the operand that depends on parameters alone. `iteration` has an entry for
    every loop around the layer: the number of the iteration if each has parameters of its own; None if all share them,
    so that iterations are positions. Axes of h and z are counted within one iteration; that of the examples is None
    where examples have no axis of their own. `recurrent`: the layer feeds itself, or one before it, in the next
    iteration. `branch`: it lies in a branch, which may not be taken.
    """

    site: Value
    kind: str
    reads: Value | None
    kernel: Value
    gives: Value
    uses: tuple[Use, ...]
    fan_in: float
    fan_out: float
    iteration: tuple[int | None, ...]
    unit_axes: tuple[int, ...]
    reads_examples: int | None
    gives_examples: int | None
    fed_by: frozenset[int]
    recurrent: bool
    branch: bool


def kernel_uses(product: Product, shapes: Sequence[Sequence[int]]) -> list[Use]:
    """The parameters that are the kernel of a layer, several of one rank where they are joined or multiplied to it.

    Scales and shifts of a kernel have fewer axes than it. `shapes` are those of all parameters.
    """

    def rank(use: Use) -> int:
        shape = shapes[use.parameter]
        if isinstance(use.axes, Axes):
            return len(shape) - len(use.axes.stacked)
        return len(shape) if math.prod(shape) > max(shape, default=0) else 1

    largest = max(map(rank, product.uses), default=0)
    is_clear = lambda use: isinstance(use.axes, Axes)
    reads = lambda use: bool(use.axes.inputs or use.axes.window) if is_clear(use) else rank(use) > 1
    return [use for use in product.uses if rank(use) == largest and reads(use)]


class Hidden(NamedTuple):
    """Parameters whose product lies in an operation that is not entered, and why it is not."""

    parameters: frozenset[int]
    reason: str


class Found(NamedTuple):
    """The layers of a program, and what else the walk through it found.

    `hidden`: parameters whose products could not be entered. `roles`: the ways in which each parameter meets the signal
    (product, added, scaled, joined as one more token, other); one that never does is not listed. `feeds_output`: the
    layers nearest to the output. `origins`: of every value.
    """

    products: tuple[Product, ...]
    hidden: tuple[Hidden, ...]
    roles: dict[int, frozenset[str]]
    feeds_output: frozenset[int]
    origins: dict[Value, Origin]
