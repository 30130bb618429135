"""The elementwise function that a model applies to what each layer gives: tanh, relu, gelu and others.

From a layer's z the walk goes on through whatever is linear in it (added residuals, normalisation, dropout, pooling,
parts of it) to the first value u that only elementwise operations read, as f(u). It ends at the next product and at
a product of two signals.
"""

import functools
import heapq
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from xinit.tracing.structure import scalar
from xinit.tracing.structure.products import Found
from xinit.tracing.structure.program import Operation, Program, Value
from xinit.tracing.structure.scalar import Shape
from xinit.tracing.structure.scopes import Closure, Scope, closure_of, scopes

STRUCTURAL = {
    "transpose", "reshape", "squeeze", "broadcast_in_dim", "slice", "split", "concatenate", "pad", "rev", "copy",
    "name", "convert_element_type", "dynamic_slice", "gather", "reduce_precision", "sharding_constraint", "psum",
    "expand_dims", "psum_invariant", "pvary", "optimization_barrier", "reduce_window_sum", "reduce_window_max",
    "reduce_window_min", "reduce_window_add",
}  # fmt: skip
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin", "reduce_and", "reduce_or"}
MOST_STEPS = 6  # from a value to the reduction of it


class Function(NamedTuple):
    """A function f of one number that is applied after a layer: `gives` = f(`reads`), entry by entry.

    `shape` is None where a parameter is in f, as in PReLU.
    """

    name: str
    reads: Value
    gives: Value
    shape: Shape | None

    def slope(self, u: np.ndarray) -> np.ndarray:
        """abs f' at some values; nan where it is not known."""
        return np.full(np.shape(u), np.nan) if self.shape is None else scalar.slope_at(self.shape, u)

    @property
    def bounded(self) -> bool:
        """Whether abs f' has a maximum."""
        return self.shape is not None and self.shape.bounded

    @property
    def is_rectifier(self) -> bool:
        """Whether f' is 0 on a whole side of zero, where a unit is called inactive and not saturated."""
        return self.shape is not None and self.shape.is_rectifier

    @property
    def crossing(self) -> bool:
        """Whether f' changes its sign, so that where it is small says nothing of saturation."""
        return self.shape is not None and self.shape.crossing

    @property
    def saturates(self) -> bool:
        """Whether abs f' far below its maximum means that a unit is saturated."""
        return self.shape is not None and self.shape.saturates


class Way(NamedTuple):
    """The function behind a layer, or None, and the values up to there that are linear in the output z of the layer."""

    function: Function | None
    linear: tuple[Value, ...]


def ways_of(program: Program, found: Found) -> list[Way]:
    """For each product the function behind it and the values in between."""
    homes = {value: scope for scope in scopes(program, found) for op in scope.program.operations for value in op.gives}
    ways: dict[Value, Way] = {}
    for product in found.products:
        if product.gives not in ways:
            ways[product.gives] = _Walk(homes[product.gives], product.gives).way()
    return [ways[product.gives] for product in found.products]


class Kind(Enum):
    """How a value depends on z: linearly, with statistics taken as constants; as a statistic of it; or otherwise."""

    LINEAR, STATISTIC, OTHER = range(3)


class _Walk:
    """From what one layer gives on to the function that is applied to it."""

    def __init__(self, scope: Scope, start: Value) -> None:
        self.scope = scope
        self.kinds: dict[Value, Kind] = {start: Kind.LINEAR}
        self.waiting: list[int] = []
        self.last = -1  # the last operation that reads something linear in z
        self.start = start

    def way(self) -> Way:
        """The function that is met first, if any is met before nothing linear in z is left."""
        function = self._met(self.start)
        while function is None and self.waiting and self.waiting[0] <= self.last:
            operation = self.scope.program.operations[heapq.heappop(self.waiting)]
            while self.waiting and self.scope.program.operations[self.waiting[0]] is operation:
                heapq.heappop(self.waiting)
            function = self._learned(operation)
            for value in operation.gives:
                self.kinds.setdefault(value, self._kind(operation))
                function = function or self._met(value)
        linear = tuple(value for value, kind in self.kinds.items() if kind is Kind.LINEAR)
        return Way(function, linear)

    def _met(self, value: Value) -> Function | None:
        """The function of a value, if it is linear in z and has one; else its readers are next."""
        for place in self.scope.readers[value]:
            heapq.heappush(self.waiting, place)
        if self.kinds[value] is not Kind.LINEAR or not self.scope.is_floating(value):
            return None
        self.last = max(self.last, *self.scope.readers[value], -1)
        closure = closure_of(self.scope, value)
        for given in closure.exits:
            values = closure.values[given]
            numbers = values[np.isfinite(values)]
            if given in self.kinds or not self.scope.is_floating(given) or not numbers.size or not np.ptp(numbers):
                continue
            if scalar.is_affine(values, closure.values[value]):
                self.kinds[given] = Kind.LINEAR
            elif self._has_no_gradient(given):
                self.kinds[given] = Kind.OTHER
            elif self._is_part_of_statistic(values, given):
                self.kinds[given] = Kind.STATISTIC if _is_even(values) else Kind.OTHER
            else:
                learned = self._gate(value, given) or self._sum(value, given, closure.exits)
                return learned or _named(self.scope, closure, value, given)
        return None

    def _has_no_gradient(self, value: Value) -> bool:
        readers = [self.scope.program.operations[place] for place in self.scope.readers[value]]
        return bool(readers) and all(str(operation.primitive) == "stop_gradient" for operation in readers)

    def _gate(self, value: Value, given: Value) -> Function | None:
        """u times a function of u times a parameter, as a swish whose rate is learned."""
        for operation in (self.scope.program.operations[place] for place in self.scope.readers[given]):
            if str(operation.primitive) == "mul":
                (other, *_) = [read for read in operation.reads if read != given] or [given]
                maker = self.scope.makers.get(value)
                if maker is not None and str(maker.primitive) == "mul" and other in maker.reads:
                    return Function(scalar.UNKNOWN, other, operation.gives[0], None)
        return None

    def _sum(self, value: Value, given: Value, exits: Sequence[Value]) -> Function | None:
        """One function of u plus a parameter times another, as max(u, 0) + a min(u, 0)."""
        others = set(exits) - {given}
        for operation in (self.scope.program.operations[place] for place in self.scope.readers[given]):
            if str(operation.primitive) in ("add", "sub") and others:
                makers = [self.scope.makers.get(read) for read in operation.reads if read != given]
                if any(
                    maker is not None and str(maker.primitive) == "mul" and others & {*maker.reads} for maker in makers
                ):
                    return Function(scalar.UNKNOWN, value, operation.gives[0], None)
        return None

    def _is_part_of_statistic(self, values: np.ndarray, given: Value) -> bool:
        """Whether this is the square in a variance, or the exponential in a softmax."""
        if _is_even(values):
            return self._reductions(given, MOST_STEPS) is True
        finite = np.abs(scalar.grid()) < scalar.NEAR
        with np.errstate(all="ignore"):
            is_exponential = scalar.is_affine(np.log(values), scalar.grid()) and np.all(values[finite] > 0)
        return bool(is_exponential) and self._reductions(given, MOST_STEPS) is not None

    def _reductions(self, value: Value, steps: int) -> bool | None:
        """True where a value is read by reductions alone, False where by others too, None where by no reduction."""
        answers: list[bool | None] = [None] * (value in self.scope.program.outputs)
        for place in self.scope.readers[value]:
            operation = self.scope.program.operations[place]
            name = str(operation.primitive)
            if name in REDUCTIONS or name.startswith("cumlogsumexp"):
                answers.append(True)
            elif steps and (name in STRUCTURAL or name in ("mul", "select_n", "div", "add")) and operation.gives:
                answers.append(self._reductions(operation.gives[0], steps - 1))
            else:
                answers.append(None)
        if all(answer is None for answer in answers):
            return None
        return all(answer is True for answer in answers)

    def _learned(self, operation: Operation) -> Function | None:
        """A function with a parameter in it that chooses by the sign of u, as PReLU does."""
        if str(operation.primitive) != "select_n":
            return None
        which, *cases = operation.reads
        maker = self.scope.makers.get(which)
        if maker is None or str(maker.primitive) not in ("ge", "gt", "le", "lt"):
            return None
        linear = [value for value in maker.reads if self.kinds.get(value) is Kind.LINEAR]
        others = [value for value in maker.reads if value not in linear]
        if len(linear) != 1 or not all(value in self.scope.numbers for value in others) or linear[0] not in cases:
            return None
        if not all(self.kinds.get(case) is Kind.LINEAR for case in cases):
            return None
        return Function(scalar.UNKNOWN, linear[0], operation.gives[0], None)

    def _kind(self, operation: Operation) -> Kind:
        """How what an operation gives depends on z."""
        name = str(operation.primitive)
        kinds = [self.kinds.get(value) for value in operation.reads]
        if Kind.OTHER in kinds:
            return Kind.OTHER
        if Kind.LINEAR not in kinds:
            known_step = name in STRUCTURAL or name in REDUCTIONS or name == "stop_gradient"
            return Kind.STATISTIC if known_step or scalar.is_elementwise(operation) else Kind.OTHER
        if name in REDUCTIONS:
            return Kind.STATISTIC
        if name in STRUCTURAL:
            return Kind.LINEAR if kinds[0] is Kind.LINEAR or name == "concatenate" else Kind.OTHER
        if name in ("add", "sub", "neg", "add_any"):
            return Kind.LINEAR
        if name == "select_n":
            return Kind.LINEAR if kinds[0] is None else Kind.OTHER
        if name in ("mul", "div"):
            return self._scaled(name, kinds, operation.reads)
        return Kind.OTHER

    def _scaled(self, name: str, kinds: Sequence[Kind | None], reads: Sequence[Value]) -> Kind:
        """Linear where it is times or over a statistic or what no layer has made; a gate is another signal."""
        if kinds.count(Kind.LINEAR) != 1 or (name == "div" and kinds[0] is not Kind.LINEAR):
            return Kind.OTHER
        other = 1 - kinds.index(Kind.LINEAR)
        allowed = kinds[other] is Kind.STATISTIC or not self.scope.depends_on_layers(reads[other])
        return Kind.LINEAR if allowed else Kind.OTHER


def _is_even(values: np.ndarray) -> bool:
    return bool(np.allclose(values, values[::-1], rtol=1e-6, atol=1e-9))


def _named(scope: Scope, closure: Closure, start: Value, given: Value) -> Function:
    """The function from `start` to `given`, or the part of it that has a name, without what is linear around it."""
    rounded = scope.program.types[start].dtype.itemsize < 4
    ends = [value for value in closure.values if scalar.is_affine(closure.values[value], closure.values[given])]
    starts = [start, *(v for v in closure.values if scalar.is_affine(closure.values[v], scalar.grid()) and v != start)]
    first: Function | None = None
    for begin in starts:
        part = closure if begin == start else closure_of(scope, begin)
        for end in dict.fromkeys((given, *ends)):
            if end not in part.values:
                continue
            values = part.values[end]
            name = scalar.name_of(values, rounded)
            if name != scalar.UNKNOWN:
                return Function(name, begin, end, _shape(name, values.tobytes()))
            first = first or Function(name, begin, end, _shape(name, values.tobytes()))
    assert first is not None
    return first


@functools.lru_cache(256)
def _shape(name: str, values: bytes) -> Shape:
    return scalar.shape_of_function(np.frombuffer(values), name)
