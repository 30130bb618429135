"""What the layers of a traced model are: products of something that depends on the batch with parameters alone."""

from typing import NamedTuple

from xinit.tracing.structure.kernels import Axes, Unclear
from xinit.tracing.structure.origins import Origin
from xinit.tracing.structure.program import Value

WITH_A_RULE = "a function with a derivative of its own, which is kept whole"
WHILE = "a while loop, whose length is known only as it runs"


class Use(NamedTuple):
    """A parameter behind a layer: its place among the leaves and its axes.

    `taken`: of stacked kernels the axis along which one was taken, and which.
    """

    parameter: int
    axes: Axes | Unclear
    taken: tuple[tuple[int, int], ...] = ()


class Product(NamedTuple):
    """One layer: what it reads and gives, the parameters behind it, its fans, and which layers feed it.

    `reads` is None of a lookup. `kernel` is the operand that depends on parameters. `gives` includes the bias, where
    one is added next. `iteration` has an entry for every loop around it: which one this is, where the parameters are
    others in each; else None, and the iterations are positions. The axes of h and z are counted within one iteration;
    the axis of the examples is None where they have none of their own. `recurrent`: it feeds itself or one before it in
    the next iteration. `branch`: it lies in a branch, which may not be taken.
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


class Hidden(NamedTuple):
    """Parameters whose product lies in an operation that is not entered, and why it is not."""

    parameters: frozenset[int]
    reason: str


class Found(NamedTuple):
    """What a model is made of.

    `feeds_output`: the layers nearest to the output. `roles`: by parameter in which ways it meets the signal: product,
    added, scaled, joined (as one more token), other; a parameter that never does is not in it.
    """

    products: tuple[Product, ...]
    hidden: tuple[Hidden, ...]
    roles: dict[int, frozenset[str]]
    feeds_output: frozenset[int]
    origins: dict[Value, Origin]
