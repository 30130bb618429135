"""The walk through a traced program that meets its products, in loops and branches too."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from jax.extend.core import primitives as known

from xinit.tracing.structure import origins as of
from xinit.tracing.structure.kernels import Axes, fans
from xinit.tracing.structure.operands import LOOKUP, Operand, kernel_axes, operand_axes, operand_of
from xinit.tracing.structure.origins import UNITS, Index, Origin
from xinit.tracing.structure.products import WHILE, WITH_A_RULE, Hidden, Product, Use
from xinit.tracing.structure.program import OWN_RULES, Operation, Program, Value
from xinit.tracing.structure.transfer import transferred

# How a parameter meets the signal where it is no kernel, by the operation.
WAYS = {"add": "added", "add_any": "added", "sub": "added", "mul": "scaled", "div": "scaled", "concatenate": "joined"}
MOST_PASSES = 5  # over the body of a loop, until what its carry depends on changes no more


class Loop(NamedTuple):
    """A scan around an operation, the number of its iterations, and which of them this is."""

    number: int
    length: int
    iteration: int


class Walk:
    """A walk through a program, with the programs in its loops and branches, and what it has met."""

    def __init__(self, ranks: Mapping[int, int]) -> None:
        self.ranks = ranks  # of the parameters
        self.products: dict[tuple[Value, tuple[int | None, ...]], Product] = {}
        self.hidden: list[Hidden] = []
        self.roles: defaultdict[int, set[str]] = defaultdict(set)
        self.origins: dict[Value, Origin] = {}
        self.home: dict[Value, Program] = {}
        self.branch = False
        self.outside = 0  # the number of layers before the loop that is gone through

    def program(self, program: Program, inputs: Sequence[Origin], loops: tuple[Loop, ...]) -> list[Origin]:
        """The origins of the outputs; products and roles on the way are kept."""
        values = {value: Origin(of.plain_axes(of.shape_of(program.types[value]))) for value in program.constants}
        values |= dict(zip(program.inputs, inputs, strict=True))
        for operation in program.operations:
            read = [values[value] for value in operation.reads]
            values.update(zip(operation.gives, self._operation(operation, read, program, loops), strict=True))
        self.origins.update(values)
        return [values[value] for value in program.outputs]

    def _operation(
        self, operation: Operation, read: list[Origin], program: Program, loops: tuple[Loop, ...]
    ) -> list[Origin]:
        if operation.primitive is known.scan_p:
            return _scan(self, operation, read, loops)
        if operation.primitive is known.cond_p:
            return _branches(self, operation, read, program, loops)
        if operation.bodies:
            return _closed(self, operation, read, program, loops)
        operand = operand_of(operation, read)
        if operand is None:
            self._note_roles(operation, read)
            return transferred(operation, read, program)
        return [self._product(operation, operand, read, program, loops)]

    def _note_roles(self, operation: Operation, read: Sequence[Origin]) -> None:
        if any(origin.batch for origin in read):
            way = WAYS.get(str(operation.primitive), "other")
            for parameter in frozenset().union(*(origin.params for origin in read)):
                self.roles[parameter].add(way)

    def _product(
        self, operation: Operation, operand: Operand, read: list[Origin], program: Program, loops: tuple[Loop, ...]
    ) -> Origin:
        kernel, signal = read[operand.kernel], read[operand.signal]
        iteration = tuple(loop.iteration if loop.number in kernel.varies else None for loop in loops)
        site = operation.gives[0]
        before = self.products.get((site, iteration))  # from the iteration before, of a loop that shares its kernels
        number = len(self.products) if before is None else [*self.products].index((site, iteration))
        units = operand.unit_axes
        marked = [
            origin._replace(
                axes=tuple(
                    of.with_mark(axis, UNITS, i == operand.kernel and a in units) for a, axis in enumerate(origin.axes)
                )
            )
            for i, origin in enumerate(read)
        ]
        (result,) = transferred(operation, marked, program)
        for parameter in kernel.params:
            self.roles[parameter].add("product")
        fan_in, fan_out = fans(kernel.shape, operand_axes(operand))
        self.home[site] = program
        self.products[site, iteration] = Product(
            site=site,
            kind=operand.kind,
            reads=None if operand.kind == LOOKUP else operation.reads[operand.signal],
            kernel=operation.reads[operand.kernel],
            gives=site,
            uses=_uses(operand, kernel, loops, self.ranks),
            fan_in=fan_in,
            fan_out=fan_out,
            iteration=iteration,
            unit_axes=(),
            reads_examples=None,
            gives_examples=None,
            fed_by=signal.layers if before is None else before.fed_by | {n for n in signal.layers if n < self.outside},
            recurrent=before is not None and any(layer >= number for layer in signal.layers),
            branch=self.branch,
        )
        return result._replace(layers=frozenset({number}))

    @contextlib.contextmanager
    def forgotten(self) -> Iterator[None]:
        """What is met meanwhile is not kept."""
        kept = self.products, self.hidden, self.roles, self.origins, self.home
        self.products, self.hidden, self.roles = {}, [], defaultdict(set)
        self.origins, self.home = {}, {}
        try:
            yield
        finally:
            self.products, self.hidden, self.roles, self.origins, self.home = kept


def _scan(walk: Walk, operation: Operation, read: list[Origin], loops: tuple[Loop, ...]) -> list[Origin]:
    (body,), params = operation.bodies, operation.params
    n_consts, n_carry, length = params["num_consts"], params["num_carry"], params["length"]
    number = min(body.types)
    consts, carry, xs = read[:n_consts], read[n_consts : n_consts + n_carry], read[n_consts + n_carry :]
    xs = [_slice_of(origin, number) for origin in xs]
    fixed = [body.outputs[i] == body.inputs[n_consts + i] for i in range(n_carry)]
    varying = lambda carry: [
        origin if same or origin.batch else origin._replace(varies=origin.varies | {number})
        for origin, same in zip(carry, fixed, strict=True)
    ]
    once = lambda carry, t: walk.program(body, [*consts, *varying(carry), *xs], (*loops, Loop(number, length, t)))
    iterations = list(range(length))[:: -1 if params["reverse"] else 1]
    carry = _settled(walk, lambda carry: once(carry, iterations[0])[:n_carry], carry)
    before, outside = set(walk.products), walk.outside
    walk.outside = len(before)
    results = outputs = once(carry, iterations[0])
    stacked = any(iteration[len(loops)] is not None for _, iteration in set(walk.products) - before)
    for t in iterations[1:] if stacked else iterations[1:2]:
        carry = [a._replace(layers=b.layers) for a, b in zip(carry, results[:n_carry], strict=True)]
        results = once(carry, t)
        outputs = [_joined(a, b) for a, b in zip(outputs, results, strict=True)]
    walk.outside = outside
    stack = [origin._replace(axes=((of.Factor(length),), *origin.axes)) for origin in outputs[n_carry:]]
    return [*results[:n_carry], *stack]


def _settled(walk: Walk, once: Callable[[list[Origin]], list[Origin]], carry: list[Origin]) -> list[Origin]:
    """What a loop carries, with what it depends on after some iterations; but the layers are those before it."""
    for _ in range(MOST_PASSES):
        with walk.forgotten():
            after = [_joined(a, b) for a, b in zip(carry, once(carry), strict=True)]
        after = [a._replace(layers=b.layers) for a, b in zip(after, carry, strict=True)]
        if after == carry:
            break
        carry = after
    return carry


def _branches(
    walk: Walk, operation: Operation, read: list[Origin], program: Program, loops: tuple[Loop, ...]
) -> list[Origin]:
    outside, walk.branch = walk.branch, True
    results = [walk.program(body, read[1:], loops) for body in operation.bodies]
    walk.branch = outside
    return [
        merged._replace(batch=merged.batch or read[0].batch)
        for merged in (_all_joined(of_one) for of_one in zip(*results, strict=True))
    ]


def _closed(
    walk: Walk, operation: Operation, read: list[Origin], program: Program, loops: tuple[Loop, ...]
) -> list[Origin]:
    """A function with a derivative of its own, which is kept whole, or what cannot be entered."""
    has_rule = operation.primitive in OWN_RULES
    bodies = operation.bodies[:1] if has_rule else operation.bodies
    with walk.forgotten():
        for body in bodies:
            given = read if len(body.inputs) == len(read) else [_all_joined(read)] * len(body.inputs)
            shaped = [
                origin
                if origin.shape == of.shape_of(body.types[value])
                else origin._replace(axes=of.plain_axes(of.shape_of(body.types[value])))
                for value, origin in zip(body.inputs, given, strict=True)
            ]
            results = walk.program(body, shaped, loops)
        inside = list(walk.products.values())
        roles = walk.roles
    shapes = [of.shape_of(program.types[value]) for value in operation.gives]
    exact = has_rule and [origin.shape for origin in results] == shapes
    outputs = results if exact else [of.merged(shape, read) for shape in shapes]
    outputs = [origin._replace(layers=frozenset().union(*(o.layers for o in read))) for origin in outputs]
    if not inside:
        for parameter, ways in roles.items():
            walk.roles[parameter] |= ways
        return outputs
    if has_rule and len(inside) == 1 and len(outputs) == 1:
        return [_whole(walk, operation, inside[0], read, outputs[0], program, bodies[0])]
    reason = WITH_A_RULE if has_rule else WHILE if operation.primitive is known.while_p else str(operation.primitive)
    parameters = frozenset(use.parameter for product in inside for use in product.uses)
    walk.hidden.append(Hidden(parameters, reason))
    return outputs


def _whole(
    walk: Walk,
    operation: Operation,
    inside: Product,
    read: list[Origin],
    output: Origin,
    program: Program,
    body: Program,
) -> Origin:
    """A function with a derivative of its own that is one product: the layer is the call of it."""
    site = operation.gives[0]
    given = dict(zip(body.inputs, operation.reads, strict=True))
    signal = next(i for i, origin in enumerate(read) if origin.batch)
    reads = given.get(inside.reads, operation.reads[signal]) if inside.reads is not None else None
    fed_by = frozenset().union(*(origin.layers for origin in read))
    number = len(walk.products)
    walk.home[site] = program
    walk.products[site, inside.iteration] = inside._replace(site=site, gives=site, reads=reads, fed_by=fed_by)
    for use in inside.uses:
        walk.roles[use.parameter].add("product")
    return output._replace(layers=frozenset({number}))


def _slice_of(origin: Origin, loop: int) -> Origin:
    """One iteration's part of what a scan goes through."""
    first, *axes = origin.axes
    taken = frozenset(Index(mark, None) for factor in first for mark in factor.marks) if origin.params else frozenset()
    return origin._replace(
        axes=tuple(axes),
        indexed=origin.indexed | taken,
        varies=origin.varies if origin.batch else origin.varies | {loop},
    )


def _joined(first: Origin, second: Origin) -> Origin:
    return of.merged(first.shape, [first, second])


def _all_joined(origins: Sequence[Origin]) -> Origin:
    return of.merged(origins[0].shape, origins)


def _uses(operand: Operand, kernel: Origin, loops: tuple[Loop, ...], ranks: Mapping[int, int]) -> tuple[Use, ...]:
    """The parameters behind a kernel, the one of which it has most first."""
    iterations = [loop.iteration for loop in loops if loop.number in kernel.varies]
    uses = []
    for parameter in sorted(kernel.params):
        indices = sorted((i for i in kernel.indexed if i.mark[0] == parameter), key=lambda i: i.mark[1])
        in_loop = iter(iterations)
        index = tuple((i.mark[1], next(in_loop, 0) if i.place is None else i.place) for i in indices)
        uses.append(Use(parameter, kernel_axes(operand, kernel, parameter, ranks[parameter]), index))
    rank = lambda use: -use.axes.rank if isinstance(use.axes, Axes) else 0
    return tuple(sorted(uses, key=rank))
