"""Which layers of a traced model have a normalisation in front of or behind them, and of which kind it is."""

from collections.abc import Sequence
from typing import NamedTuple

from xinit.tracing.structure.functions import STRUCTURAL, Way
from xinit.tracing.structure.origins import EXAMPLES, UNITS, marked, size
from xinit.tracing.structure.products import Found
from xinit.tracing.structure.program import OWN_RULES, Operation, Program, Value
from xinit.tracing.structure.scopes import Scope, scopes

LAYER, BATCH, GROUP, RMS = "layer", "batch", "group", "rms"
SUMS = {"reduce_sum"}
ROOTS = {"rsqrt", "sqrt", "pow"}
ON_THE_WAY = STRUCTURAL | {
    "add", "sub", "mul", "div", "max", "sqrt", "rsqrt", "stop_gradient", "clamp", "select_n", "square", "integer_pow",
}  # fmt: skip
PRODUCTS = {"dot_general", "conv_general_dilated", "scan", "while", "cond", "sort", "cumsum"}
MOST_STEPS = 8  # from a sum back to the square
MOST_VALUES = 40  # between a root and the sums that it is of


class _Sum(NamedTuple):
    """A sum over a signal or over its square: the operation, and the signal."""

    operation: Operation
    is_square: bool
    signal: Value


def normalised(program: Program, found: Found, ways: Sequence[Way]) -> tuple[str | None, ...]:
    """For each product the normalisation of what it gives, on the way to the function, or else of what it reads.

    `layer`: over the units of an example; `rms`: the same without a mean; `group`: over some of the units, or over
    positions; `batch`: over the examples. None where there is none, and of statistics that are not of this batch.
    """
    by_value: dict[Value, str] = {}
    homes: dict[Value, Scope] = {}
    for scope in scopes(program, found):
        by_value |= _normalised_values(scope)
        homes |= {value: scope for operation in scope.program.operations for value in operation.gives}
    kinds = []
    for product, way in zip(found.products, ways, strict=True):
        after = next((by_value[value] for value in way.linear if value in by_value), None)
        before = _before(product.reads, homes, by_value)
        kinds.append(after or before)
    return tuple(kinds)


def _normalised_values(scope: Scope) -> dict[Value, str]:
    """Values that are a signal over the root of the sum of its squares, with the kind of normalisation."""
    rooted: dict[Value, str] = {}  # 1 / root of a mean square, also times a parameter
    over: dict[Value, str] = {}  # root of a mean square
    results: dict[Value, str] = {}
    for operation in scope.program.operations:
        name, reads = str(operation.primitive), operation.reads
        (value, *_) = operation.gives or (None,)
        if value is None:
            continue
        if name in ROOTS and (kind := _kind(scope, reads[0])):
            falls = name == "rsqrt" or (name == "pow" and scope.numbers.get(reads[1], 0) < 0)
            (rooted if falls else over)[value] = kind
        elif name in ("mul", "div"):
            factor = next((read for read in reads if read in rooted), None) if name == "mul" else None
            divisor = reads[1] if name == "div" and reads[1] in over else None
            kind = rooted.get(factor) or over.get(divisor) if factor or divisor else None  # type: ignore[arg-type]
            if kind:
                others = [read for read in reads if read not in (factor, divisor)]
                is_signal = bool(others) and _is_batch(scope, others[0])
                (results if is_signal else rooted)[value] = kind
        elif name in STRUCTURAL or name in ("add", "max"):
            for table in (rooted, over):
                if kinds := [table[read] for read in reads if read in table]:
                    table[value] = kinds[0]
    return results


def _is_batch(scope: Scope, value: Value) -> bool:
    origin = scope.found.origins.get(value)
    return origin is not None and origin.batch


def _kind(scope: Scope, value: Value) -> str | None:
    """Over what a mean square, whose root is taken, was taken; None of what is none."""
    sums: dict[Value, _Sum] = {}
    if not _is_made_of_sums(scope, value, sums, set()):
        return None
    squares = [one for one in sums.values() if one.is_square]
    if not squares:
        return None
    summed = squares[0].operation
    axes = scope.found.origins[summed.reads[0]].axes
    taken = [axis for place, axis in enumerate(axes) if place in summed.params["axes"]]
    rest = [axis for place, axis in enumerate(axes) if place not in summed.params["axes"]]
    if any(marked(axis, EXAMPLES) for axis in taken):
        return BATCH
    over_units = any(marked(axis, UNITS) and size(axis) > 1 for axis in taken)
    beside_units = any(marked(axis, UNITS) for axis in rest)
    if beside_units and (not over_units or _is_split(scope, squares[0].signal)):
        return GROUP
    has_mean = len(squares) < len(sums) or _is_centred(scope, squares[0].signal)
    return LAYER if has_mean else RMS


def _is_made_of_sums(scope: Scope, value: Value, sums: dict[Value, _Sum], seen: set[Value]) -> bool:
    """Whether a value depends on the batch through sums over the signal alone, which are put into `sums`."""
    if value in seen or not _is_batch(scope, value):
        return True
    seen.add(value)
    operation = scope.makers.get(value)
    if operation is None or len(seen) > MOST_VALUES:
        return False
    name = str(operation.primitive)
    if name in SUMS:
        signal = _squared(scope, operation.reads[0], MOST_STEPS)
        sums[value] = _Sum(operation, signal is not None, operation.reads[0] if signal is None else signal)
        return True
    return name in ON_THE_WAY and all(_is_made_of_sums(scope, read, sums, seen) for read in operation.reads)


def _is_split(scope: Scope, value: Value) -> bool:
    """Whether an axis of a signal was parted by a reshape just before."""
    operation = scope.makers.get(_origin(scope, value))
    if operation is None:
        return False
    if str(operation.primitive) == "sub":
        return _is_split(scope, operation.reads[0])
    return str(operation.primitive) == "reshape" and len(scope.shape(operation.reads[0])) < len(scope.shape(value))


def _squared(scope: Scope, value: Value, steps: int) -> Value | None:
    """What a value is the square of."""
    operation = scope.makers.get(value)
    if operation is None or not steps:
        return None
    name, reads = str(operation.primitive), operation.reads
    if name == "square" or (name == "integer_pow" and operation.params["y"] == 2):
        return reads[0]
    if name == "mul" and _origin(scope, reads[0]) == _origin(scope, reads[1]):
        return reads[0]
    if name in STRUCTURAL or name in ("select_n", "mul"):
        inner = (_squared(scope, read, steps - 1) for read in reads if _is_batch(scope, read))
        return next((signal for signal in inner if signal is not None), None)
    return None


def _origin(scope: Scope, value: Value) -> Value:
    """The value before changes of precision."""
    operation = scope.makers.get(value)
    while operation is not None and str(operation.primitive) in ("convert_element_type", "copy", "conj", "real"):
        value = operation.reads[0]
        operation = scope.makers.get(value)
    return value


def _is_centred(scope: Scope, value: Value) -> bool:
    """Whether a value is a signal less a sum over it."""
    operation = scope.makers.get(_origin(scope, value))
    if operation is None:
        return False
    if str(operation.primitive) in STRUCTURAL:
        return _is_centred(scope, operation.reads[0])
    is_less = str(operation.primitive) == "sub" and _is_batch(scope, operation.reads[1])
    return is_less and _is_made_of_sums(scope, operation.reads[1], {}, set())


def _before(value: Value | None, homes: dict[Value, Scope], by_value: dict[Value, str]) -> str | None:
    """The normalisation of what a layer reads, with a bias, a scale or an elementwise function in between at most."""
    seen: set[Value] = set()
    waiting = [] if value is None else [value]
    while waiting:
        value = waiting.pop()
        if value in by_value:
            return by_value[value]
        if value in seen or value not in homes:
            continue
        seen.add(value)
        scope = homes[value]
        operation = scope.makers[value]
        name = str(operation.primitive)
        if name in PRODUCTS or name in SUMS or (operation.bodies and operation.primitive not in OWN_RULES):
            continue
        signals = {read for read in operation.reads if _is_batch(scope, read)}
        if name in ("add", "sub") and sum(scope.depends_on_layers(read) for read in signals) > 1:
            continue  # a residual sum has a size of its own
        waiting += signals
    return None
