"""The layers of a traced model: every product of something that depends on the batch with parameters alone."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from jax.extend.core import primitives as known

from xinit.tracing import origins as of
from xinit.tracing.kernels import Axes, Unclear, fans
from xinit.tracing.operands import LOOKUP, Operand, kernel_axes, operand_axes, operand_of
from xinit.tracing.origins import EXAMPLES, UNITS, Index, Origin
from xinit.tracing.program import OWN_RULES, Operation, Program, Value
from xinit.tracing.transfer import transferred, unit_places

STEPS_ON = {"transpose", "reshape", "convert_element_type", "squeeze", "copy", "name", "sharding_constraint"}
# How a parameter meets the signal where it is no kernel, by the operation.
WAYS = {"add": "added", "add_any": "added", "sub": "added", "mul": "scaled", "div": "scaled", "concatenate": "joined"}
WITH_A_RULE = "a function with a derivative of its own, which is kept whole"
WHILE = "a while loop, whose length is known only as it runs"
MOST_PASSES = 5  # over the body of a loop, until what its carry depends on changes no more


class Loop(NamedTuple):
    """A scan around an operation, the number of its iterations, and which of them this is."""

    number: int
    length: int
    iteration: int


class Use(NamedTuple):
    """A parameter behind a layer: its place among the leaves and its axes.

    `index`: of stacked kernels the axis along which one was taken, and which.
    """

    parameter: int
    axes: Axes | Unclear
    index: tuple[tuple[int, int], ...] = ()


class Product(NamedTuple):
    """One layer: what it reads and gives, the parameters behind it, its fans, and which layers feed it.

    `reads` is None of a lookup. `kernel` is the operand that depends on parameters. `gives` includes the bias, where one
    is added next. `iteration` has an entry for every loop around it: which one this is, where the parameters are others
    in each; else None, and the iterations are positions. The axes of h and z are counted within one iteration; the axis
    of the examples is None where they have none of their own. `recurrent`: it feeds itself or one before it in the next
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


def products_of(program: Program, origins: Sequence[Origin]) -> Found:
    """The layers of a program whose inputs come from where `origins` say."""
    ranks = {next(iter(origin.params)): len(origin.axes) for origin in origins if origin.params}
    walk = _Walk(ranks)
    results = walk.program(program, origins, ())
    products = tuple(_completed(product, walk) for product in walk.products.values())
    feeds = frozenset().union(*(origin.layers for origin in results))
    roles = {parameter: frozenset(ways) for parameter, ways in walk.roles.items()}
    return Found(products, tuple(walk.hidden), roles, feeds, walk.origins)


def _completed(product: Product, walk: "_Walk") -> Product:
    """With the bias that is added next, and the axes of what is then given."""
    program = walk.home[product.site]
    gives = _with_bias(program, product.gives, walk)
    origin = walk.origins[gives]
    reads = walk.origins.get(product.reads) if product.reads is not None else None
    return product._replace(
        gives=gives,
        unit_axes=unit_places(origin.axes),
        gives_examples=_examples_axis(origin),
        reads_examples=_examples_axis(reads) if reads else None,
    )


def _examples_axis(origin: Origin) -> int | None:
    """The axis of the examples: one whose slowest factor counts them."""
    for place, axis in enumerate(origin.axes):
        if next((factor for factor in axis if factor.size > 1), axis[0]).marks >= {EXAMPLES}:
            return place
    return None


def _with_bias(program: Program, value: Value, walk: "_Walk") -> Value:
    current = value
    while len(readers := walk.readers(program)[current]) == 1:
        (operation,) = readers
        if str(operation.primitive) in STEPS_ON:
            current = operation.gives[0]
            continue
        others = [walk.origins[read] for read in operation.reads if read != current]
        is_bias = str(operation.primitive) == "add" and len(others) == 1 and others[0].is_kernel
        return operation.gives[0] if is_bias else value
    return value


class _Walk:
    """Goes through a program, and through loops and branches, and keeps what it meets."""

    def __init__(self, ranks: Mapping[int, int]) -> None:
        self.ranks = ranks  # of the parameters
        self.products: dict[tuple[Value, tuple[int | None, ...]], Product] = {}
        self.hidden: list[Hidden] = []
        self.roles: defaultdict[int, set[str]] = defaultdict(set)
        self.origins: dict[Value, Origin] = {}
        self.home: dict[Value, Program] = {}
        self._readers: dict[int, dict[Value, list[Operation]]] = {}
        self._branch = False
        self._outside = 0  # the number of layers before the loop that is gone through

    def readers(self, program: Program) -> dict[Value, list[Operation]]:
        """The operations that read each value of a program."""
        if id(program) not in self._readers:
            readers: defaultdict[Value, list[Operation]] = defaultdict(list)
            for operation in program.operations:
                for value in operation.reads:
                    readers[value].append(operation)
            for value in program.outputs:  # counts as one more reader, so that the way to a bias ends there
                readers[value] += readers[value][:1]
            self._readers[id(program)] = readers
        return self._readers[id(program)]

    def program(self, program: Program, inputs: Sequence[Origin], loops: tuple[Loop, ...]) -> list[Origin]:
        """The origins of the outputs, with everything on the way kept."""
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
            return self._scan(operation, read, loops)
        if operation.primitive is known.cond_p:
            return self._branches(operation, read, program, loops)
        if operation.bodies:
            return self._closed(operation, read, program, loops)
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
            fed_by=signal.layers if before is None else before.fed_by | {n for n in signal.layers if n < self._outside},
            recurrent=before is not None and any(layer >= number for layer in signal.layers),
            branch=self._branch,
        )
        return result._replace(layers=frozenset({number}))

    def _scan(self, operation: Operation, read: list[Origin], loops: tuple[Loop, ...]) -> list[Origin]:
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
        once = lambda carry, t: self.program(body, [*consts, *varying(carry), *xs], (*loops, Loop(number, length, t)))
        iterations = list(range(length))[:: -1 if params["reverse"] else 1]
        carry = self._settled(lambda carry: once(carry, iterations[0])[:n_carry], carry)
        before, outside = set(self.products), self._outside
        self._outside = len(before)
        results = outputs = once(carry, iterations[0])
        stacked = any(iteration[len(loops)] is not None for _, iteration in set(self.products) - before)
        for t in iterations[1:] if stacked else iterations[1:2]:
            carry = [a._replace(layers=b.layers) for a, b in zip(carry, results[:n_carry], strict=True)]
            results = once(carry, t)
            outputs = [_joined(a, b) for a, b in zip(outputs, results, strict=True)]
        self._outside = outside
        stack = [origin._replace(axes=((of.Factor(length),), *origin.axes)) for origin in outputs[n_carry:]]
        return [*results[:n_carry], *stack]

    def _settled(self, once: Callable[[list[Origin]], list[Origin]], carry: list[Origin]) -> list[Origin]:
        """What a loop carries, with what it depends on after some iterations; but the layers are those before it."""
        for _ in range(MOST_PASSES):
            with self._forgotten():
                after = [_joined(a, b) for a, b in zip(carry, once(carry), strict=True)]
            after = [a._replace(layers=b.layers) for a, b in zip(after, carry, strict=True)]
            if after == carry:
                break
            carry = after
        return carry

    @contextlib.contextmanager
    def _forgotten(self) -> Iterator[None]:
        """What is met meanwhile is not kept."""
        kept = self.products, self.hidden, self.roles, self.origins, self.home
        self.products, self.hidden, self.roles = {}, [], defaultdict(set)
        self.origins, self.home = {}, {}
        try:
            yield
        finally:
            self.products, self.hidden, self.roles, self.origins, self.home = kept

    def _branches(
        self, operation: Operation, read: list[Origin], program: Program, loops: tuple[Loop, ...]
    ) -> list[Origin]:
        outside, self._branch = self._branch, True
        results = [self.program(body, read[1:], loops) for body in operation.bodies]
        self._branch = outside
        return [
            merged._replace(batch=merged.batch or read[0].batch)
            for merged in (_all_joined(of_one) for of_one in zip(*results, strict=True))
        ]

    def _closed(
        self, operation: Operation, read: list[Origin], program: Program, loops: tuple[Loop, ...]
    ) -> list[Origin]:
        """A function with a derivative of its own, which is kept whole, or what cannot be entered."""
        has_rule = operation.primitive in OWN_RULES
        bodies = operation.bodies[:1] if has_rule else operation.bodies
        with self._forgotten():
            for body in bodies:
                given = read if len(body.inputs) == len(read) else [_all_joined(read)] * len(body.inputs)
                shaped = [
                    origin
                    if origin.shape == of.shape_of(body.types[value])
                    else origin._replace(axes=of.plain_axes(of.shape_of(body.types[value])))
                    for value, origin in zip(body.inputs, given, strict=True)
                ]
                results = self.program(body, shaped, loops)
            inside = list(self.products.values())
            roles = self.roles
        shapes = [of.shape_of(program.types[value]) for value in operation.gives]
        exact = has_rule and [origin.shape for origin in results] == shapes
        outputs = results if exact else [of.merged(shape, read) for shape in shapes]
        outputs = [origin._replace(layers=frozenset().union(*(o.layers for o in read))) for origin in outputs]
        if not inside:
            for parameter, ways in roles.items():
                self.roles[parameter] |= ways
            return outputs
        if has_rule and len(inside) == 1 and len(outputs) == 1:
            return [self._whole(operation, inside[0], read, outputs[0], program, bodies[0])]
        reason = (
            WITH_A_RULE if has_rule else WHILE if operation.primitive is known.while_p else str(operation.primitive)
        )
        parameters = frozenset(use.parameter for product in inside for use in product.uses)
        self.hidden.append(Hidden(parameters, reason))
        return outputs

    def _whole(
        self, operation: Operation, inside: Product, read: list[Origin], output: Origin, program: Program, body: Program
    ) -> Origin:
        """A function with a derivative of its own that is one product: the layer is the call of it."""
        site = operation.gives[0]
        given = dict(zip(body.inputs, operation.reads, strict=True))
        signal = next(i for i, origin in enumerate(read) if origin.batch)
        reads = given.get(inside.reads, operation.reads[signal]) if inside.reads is not None else None
        fed_by = frozenset().union(*(origin.layers for origin in read))
        number = len(self.products)
        self.home[site] = program
        self.products[site, inside.iteration] = inside._replace(site=site, gives=site, reads=reads, fed_by=fed_by)
        for use in inside.uses:
            self.roles[use.parameter].add("product")
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
