"""A traced program, or the body of a loop in it, with the readers and the maker of each value, and its constants."""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.extend.core import primitives as known

from xinit.tracing.structure import scalar
from xinit.tracing.structure.origins import shape_of
from xinit.tracing.structure.products import Found
from xinit.tracing.structure.program import Operation, Program, Value


class Scope:
    """A program with the operations that read and make each value, and the values that are one constant number."""

    def __init__(self, program: Program, found: Found, numbers: Mapping[Value, float]) -> None:
        self.program, self.found = program, found
        self.readers: defaultdict[Value, list[int]] = defaultdict(list)
        self.makers: dict[Value, Operation] = {}
        self.numbers = dict(numbers)  # values that are one number everywhere
        for value, constant in program.constants.items():
            if np.size(constant) == 1 and _is_real(constant):
                self.numbers[value] = float(np.asarray(constant, float).reshape(()))
        for place, operation in enumerate(program.operations):
            for value in dict.fromkeys(operation.reads):
                self.readers[value].append(place)
            for value in operation.gives:
                self.makers[value] = operation
            self._note_number(operation)

    def _note_number(self, operation: Operation) -> None:
        if not operation.reads or not all(value in self.numbers for value in operation.reads):
            return
        if str(operation.primitive) in scalar.OF_ONE_NUMBER or scalar.is_elementwise(operation):
            with np.errstate(all="ignore"):
                given = scalar.computed(operation, [np.float64(self.numbers[value]) for value in operation.reads])
            self.numbers |= {value: float(number) for value, number in zip(operation.gives, given, strict=True)}

    def depends_on_layers(self, value: Value) -> bool:
        """Whether a value is made of what a layer gives."""
        origin = self.found.origins.get(value)
        return origin is not None and bool(origin.layers)

    def shape(self, value: Value) -> tuple[int, ...]:
        """The shape of a value within one iteration."""
        return shape_of(self.program.types[value])

    def is_floating(self, value: Value) -> bool:
        """Whether a value is of real numbers."""
        return bool(jax.numpy.issubdtype(self.program.types[value].dtype, jax.numpy.floating))


def _is_real(constant: object) -> bool:
    dtype = getattr(constant, "dtype", np.dtype(float))
    others = (jax.numpy.complexfloating, jax.dtypes.extended)  # keys are extended
    return not any(jax.numpy.issubdtype(dtype, kind) for kind in others)


def scopes(program: Program, found: Found, numbers: Mapping[Value, float] | None = None) -> Iterator[Scope]:
    """A program, and those of the loops and branches in it."""
    scope = Scope(program, found, numbers or {})
    yield scope
    for operation in program.operations:
        if operation.is_entered:
            is_scan = operation.primitive is known.scan_p
            given = operation.reads[: operation.params["num_consts"]] if is_scan else operation.reads[1:]
            for body in operation.bodies:
                pairs = zip(body.inputs, given, strict=False)
                yield from scopes(body, found, {v: scope.numbers[of] for v, of in pairs if of in scope.numbers})


class Closure(NamedTuple):
    """The elementwise operations on one value alone, their results on the grid, and those that others read."""

    operations: list[Operation]
    values: dict[Value, np.ndarray]
    exits: list[Value]


def closure_of(scope: Scope, start: Value) -> Closure:
    """What elementwise operations with constants make of a value."""
    operations, inside = [], {start}
    shape, all_operations = scope.shape(start), scope.program.operations
    waiting = list(scope.readers[start])
    heapq.heapify(waiting)
    seen = set(waiting)
    while waiting:
        operation = all_operations[heapq.heappop(waiting)]
        alone = all(value in inside or value in scope.numbers for value in operation.reads)
        if not alone or not scalar.is_elementwise(operation) or scope.shape(operation.gives[0]) != shape:
            continue
        operations.append(operation)
        inside |= {*operation.gives}
        for place in (place for value in operation.gives for place in scope.readers[value]):
            if place not in seen:
                seen.add(place)
                heapq.heappush(waiting, place)
    within = set(map(id, operations))
    is_exit = lambda value: (
        value in scope.program.outputs or any(id(all_operations[place]) not in within for place in scope.readers[value])
    )
    made = [value for operation in operations for value in operation.gives]
    values = scalar.tabulated(operations, start, scope.numbers, scalar.grid()) if operations else {}
    return Closure(operations, values, [value for value in made if is_exit(value)])
