"""Convolutions in loops on a CPU, in the one form that XLA computes fast there."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun, jaxprs_in_params
from jax.extend.core.primitives import conv_general_dilated_p

Result = TypeVar("Result")


def canonical(function: Callable[..., Result]) -> Callable[..., Result]:
    """The same function, every convolution in it one of images (B, H, W, C) and a kernel (H, W, I, O).

    XLA on a CPU has fast code for this form alone. It brings others into it, but not within a loop, where it takes a
    hundred times as long instead; and the gradients of a convolution have others. Only operands are transposed, so the
    numbers stay the same, and a function without convolutions is the same program. It is for functions that are
    about to be compiled: what is rewritten has no gradients of its own making.
    """

    @functools.wraps(function)
    def rewritten(*arguments: Any) -> Result:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        program = ClosedJaxpr(_rewritten(closed.jaxpr), closed.consts)
        run: Callable[..., list[Any]] = jaxpr_as_fun(program)
        made: Result = jax.tree.unflatten(jax.tree.structure(shapes), run(*jax.tree.leaves(arguments)))
        return made

    return rewritten


def _has_convolutions(jaxpr: Jaxpr) -> bool:
    return any(eqn.primitive is conv_general_dilated_p or _holds_convolutions(eqn) for eqn in jaxpr.eqns)


def _holds_convolutions(eqn: JaxprEqn) -> bool:
    """Whether there are some in the body of a loop, in a branch, or in a function."""
    return any(map(_has_convolutions, jaxprs_in_params(eqn.params)))


def _rewritten(jaxpr: Jaxpr) -> Jaxpr:
    """The program with its convolutions, and those of the programs in it, in the canonical form.

    A part without any stays the same object: XLA gets what two operations share once.
    """
    return jaxpr.replace(eqns=[_operation(eqn) for eqn in jaxpr.eqns]) if _has_convolutions(jaxpr) else jaxpr


def _operation(eqn: JaxprEqn) -> JaxprEqn:
    if eqn.primitive is conv_general_dilated_p:
        convolution = jax.jit(functools.partial(_convolution, **eqn.params))
        (call,) = jax.make_jaxpr(convolution)(*(atom.aval for atom in eqn.invars)).jaxpr.eqns
        made: JaxprEqn = call.replace(invars=eqn.invars, outvars=eqn.outvars)
    elif _holds_convolutions(eqn):
        made = eqn.replace(params={name: _parameter(value) for name, value in eqn.params.items()})
    else:
        made = eqn
    return made


def _parameter(value: Any) -> Any:
    """A parameter of an operation, which may be the body of a loop, or a tuple of branches."""
    match value:
        case Jaxpr():
            return _rewritten(value)
        case ClosedJaxpr():
            return ClosedJaxpr(_rewritten(value.jaxpr), value.consts)
        case tuple() if any(isinstance(part, Jaxpr | ClosedJaxpr) for part in value):
            return tuple(map(_parameter, value))
    return value


def _convolution(images: Array, kernel: Array, *, dimension_numbers: lax.ConvDimensionNumbers, **params: Any) -> Array:
    """The convolution of transposed operands, transposed back."""
    (batch, channel, *places), (n_out, n_in, *window), (to_batch, to_channel, *to_places) = dimension_numbers
    n = len(places)
    layout = (0, n + 1, *range(1, n + 1))
    form = lax.ConvDimensionNumbers(layout, (n + 1, n, *range(n)), layout)
    images = jnp.transpose(images, (batch, *places, channel))
    kernel = jnp.transpose(kernel, (*window, n_in, n_out))
    made = conv_general_dilated_p.bind(images, kernel, dimension_numbers=form, **params)
    axes = (to_batch, *to_places, to_channel)
    return jnp.transpose(made, [axes.index(axis) for axis in range(n + 2)])
