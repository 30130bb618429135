"""A traced function as one flat list of operations, which can be run with taps on its values.

The operations in a `jit` or `remat` are written out in its place. Loops and branches stay, each with the program of its
body. Values are numbered, and a number means one value in the program and all bodies in it. A value in a loop has an
array for each iteration.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Primitive
from jax.extend.core import primitives as known

Value = int
# What is added to a value, of one in a loop with an axis for the iterations in front; or a function of the value and of
# the iterations, whose result goes on in its place: loops around it are then run iteration by iteration.
Taps = Mapping[Value, Array | Callable[..., Array]]
INLINED = {known.jit_p, known.remat_p, known.closed_call_p, known.call_p}
OWN_RULES = {known.custom_jvp_call_p, known.custom_vjp_call_p}  # functions whose derivative is written by hand


class Operation(NamedTuple):
    """One equation. `bodies` are the programs in it: of a scan its body, of a cond its branches."""

    primitive: Primitive
    params: Mapping[str, Any]
    reads: tuple[Value, ...]
    gives: tuple[Value, ...]
    bodies: tuple["Program", ...] = ()

    @property
    def is_entered(self) -> bool:
        """Whether values in the bodies can be tapped and kept."""
        return self.primitive in (known.scan_p, known.cond_p)


class Program(NamedTuple):
    """Operations in order, the constants they read, and the shape and precision of every value.

    `types` has also what the bodies of loops and branches hold, with an axis in front for each loop on the way there.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    constants: dict[Value, Any]
    types: dict[Value, jax.ShapeDtypeStruct]


def traced(function: Callable[..., Any], *arguments: Any) -> tuple[Program, Any]:
    """The program of a function of trees of arrays, and the shape of its output as a tree.

    The inputs of the program are the leaves of the arguments, in their order.
    """
    closed, output = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return flattened(closed), output


def flattened(closed: ClosedJaxpr) -> Program:
    """The program of a jaxpr."""
    return _program(closed, itertools.count())


def _program(closed: ClosedJaxpr, numbers: Iterator[Value]) -> Program:
    operations: list[Operation] = []
    constants: dict[Value, Any] = {}
    types: dict[Value, jax.ShapeDtypeStruct] = {}

    def new(aval: Any) -> Value:
        number = next(numbers)
        types[number] = jax.ShapeDtypeStruct(aval.shape, aval.dtype) if hasattr(aval, "shape") else aval
        return number

    def constant(aval: Any, value: Any) -> Value:
        number = new(aval)
        constants[number] = value
        return number

    def walk(jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[Value]) -> tuple[Value, ...]:
        names = dict(zip(jaxpr.invars, inputs, strict=True))
        names |= {var: constant(var.aval, value) for var, value in zip(jaxpr.constvars, consts, strict=True)}
        read = lambda atom: constant(atom.aval, atom.val) if isinstance(atom, Literal) else names[atom]
        for eqn in jaxpr.eqns:
            reads = tuple(map(read, eqn.invars))
            if eqn.primitive in INLINED:
                (body,) = _bodies(eqn)
                gives = walk(body.jaxpr, body.consts, reads)
            else:
                bodies = tuple(_program(body, numbers) for body in _bodies(eqn))
                gives = tuple(new(var.aval) for var in eqn.outvars)
                operations.append(Operation(eqn.primitive, eqn.params, reads, gives, bodies))
                if operations[-1].is_entered:
                    types.update(_types_inside(operations[-1]))
            names |= dict(zip(eqn.outvars, gives, strict=True))
        return tuple(map(read, jaxpr.outvars))

    inputs = tuple(new(var.aval) for var in closed.jaxpr.invars)
    outputs = walk(closed.jaxpr, closed.consts, inputs)
    return Program(tuple(operations), inputs, outputs, constants, types)


def _bodies(eqn: JaxprEqn) -> list[ClosedJaxpr]:
    """The programs in an operation, in the order in which its parameters hold them."""
    bodies = []
    for value in eqn.params.values():
        parts = value if isinstance(value, tuple | list) else [value]
        bodies += [ClosedJaxpr(part, ()) if isinstance(part, Jaxpr) else part for part in parts if _is_program(part)]
    return bodies


def _is_program(value: Any) -> bool:
    return isinstance(value, ClosedJaxpr) or (isinstance(value, Jaxpr) and not value.constvars)


def _types_inside(operation: Operation) -> dict[Value, jax.ShapeDtypeStruct]:
    lengths = (operation.params["length"],) if operation.primitive is known.scan_p else ()
    return {
        value: jax.ShapeDtypeStruct((*lengths, *of.shape), of.dtype)
        for body in operation.bodies
        for value, of in body.types.items()
        if isinstance(of, jax.ShapeDtypeStruct)
    }


def run(
    program: Program, inputs: Sequence[Any], taps: Taps, kept: Collection[Value]
) -> tuple[list[Any], dict[Value, Array]]:
    """The outputs of a program, and the values that are to be kept, after what `taps` adds to them.

    A value in a branch that is not taken is nan, and no function is a tap on one.
    """
    values = dict(program.constants) | dict(zip(program.inputs, inputs, strict=True))
    records: dict[Value, Array] = {value: values[value] for value in kept if value in values}
    concerned = {*taps, *kept}
    results: Sequence[Any]
    for operation in program.operations:
        arguments = [values[value] for value in operation.reads]
        inside = {value for body in operation.bodies for value in body.types if value in concerned}
        if operation.is_entered and inside:
            own_taps = {value: tap for value, tap in taps.items() if value in inside}
            enter = _scan if operation.primitive is known.scan_p else _branches
            results, more = enter(operation, arguments, own_taps, inside & set(kept))
            records |= more
        else:
            results = list(_bound(operation, arguments))
        for value, result in zip(operation.gives, results, strict=True):
            values[value] = _tapped(result, taps[value]) if value in taps else result
            if value in kept:
                records[value] = values[value]
    return [values[value] for value in program.outputs], records


def _tapped(result: Array, tap: Array | Callable[..., Array]) -> Array:
    return tap(result) if callable(tap) else result + tap


def _bound(operation: Operation, arguments: Sequence[Any]) -> Sequence[Any]:
    params = operation.primitive.get_bind_params(operation.params)
    results = operation.primitive.bind(*arguments, **params)
    return results if operation.primitive.multiple_results else [results]


def _scan(
    operation: Operation, arguments: Sequence[Any], taps: Taps, kept: Collection[Value]
) -> tuple[list[Any], dict[Value, Array]]:
    (body,), params = operation.bodies, operation.params
    n_consts, n_carry = params["num_consts"], params["num_carry"]
    typed = [
        jnp.asarray(value, body.types[number].dtype) if jnp.ndim(value) == 0 and not _is_key(value) else value
        for value, number in zip(arguments, body.inputs, strict=True)
    ]

    def step(carry: list[Any], x: tuple[list[Any], Taps]) -> tuple[list[Any], Any]:
        outputs, records = run(body, [*typed[:n_consts], *carry, *x[0]], x[1], kept)
        return outputs[:n_carry], (outputs[n_carry:], records)

    first, xs = typed[n_consts : n_consts + n_carry], typed[n_consts + n_carry :]
    if any(map(callable, taps.values())):
        carry, (outputs, records) = _unrolled(step, first, xs, taps, params["length"], params["reverse"])
    else:
        carry, (outputs, records) = lax.scan(
            step, first, (xs, dict(taps)), params["length"], reverse=params["reverse"], unroll=params["unroll"]
        )
    return [*carry, *outputs], records


def _unrolled(
    step: Callable[..., Any], carry: list[Any], xs: Sequence[Array], taps: Taps, length: int, reverse: bool
) -> tuple[list[Any], Any]:
    """What `lax.scan` gives, of a loop with functions among its taps."""
    results: list[Any] = [None] * length
    for t in range(length)[:: -1 if reverse else 1]:
        at = lambda tap, t=t: (lambda z, *inner: tap(z, t, *inner)) if callable(tap) else tap[t]
        own_taps = {value: at(tap) for value, tap in taps.items()}
        carry, results[t] = step(carry, ([x[t] for x in xs], own_taps))
    return carry, jax.tree.map(lambda *parts: jnp.stack(parts), *results)


def _is_key(value: Any) -> bool:
    return isinstance(value, Array) and bool(jnp.issubdtype(value.dtype, jax.dtypes.prng_key))


def _branches(
    operation: Operation, arguments: Sequence[Any], taps: Taps, kept: Collection[Value]
) -> tuple[list[Any], dict[Value, Array]]:
    types = {value: of for body in operation.bodies for value, of in body.types.items() if value in kept}

    def branch(body: Program) -> Callable[..., tuple[list[Any], dict[Value, Array]]]:
        def taken(arguments: Sequence[Any], taps: Taps) -> tuple[list[Any], dict[Value, Array]]:
            own_taps = {value: tap for value, tap in taps.items() if value in body.types}
            outputs, records = run(body, arguments, own_taps, kept)
            return outputs, {value: records.get(value, _nowhere(of)) for value, of in types.items()}

        return taken

    index, *others = arguments
    result: tuple[list[Any], dict[Value, Array]] = lax.switch(
        index, [branch(body) for body in operation.bodies], others, dict(taps)
    )
    return result


def _nowhere(of: jax.ShapeDtypeStruct) -> Array:
    is_floating = jnp.issubdtype(of.dtype, jnp.floating)
    return jnp.full(of.shape, jnp.nan if is_floating else 0, of.dtype)
