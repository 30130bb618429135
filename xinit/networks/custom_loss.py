"""A loss of the user's: a function of outputs and targets, checked before there are data."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped

from xinit.core import custom
from xinit.core.errors import InputError
from xinit.core.factories import call_with_options
from xinit.networks.losses import Loss

CHECKED = 8  # examples with outputs from N(0, 1): a derivative that is zero at all of them is zero


def from_function(fn: str, options: Mapping[str, Any]) -> Loss:
    """The loss `f(outputs_BO, y, **options)` of a function's name, for labels or values as the data have them.

    Raises:
      InputError: there is no such function, or it does not take two arrays.
    """
    function = custom.import_function("loss.fn", fn)
    signature = custom.calling("loss", fn, inspect.signature, function)
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    positional = [
        kind for kind in kinds if kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(positional) < 2 and inspect.Parameter.VAR_POSITIONAL not in kinds:
        raise InputError(f"loss.fn {fn!r} takes {signature}; a loss takes (outputs, y), and its settings by name.")

    def of_examples(
        outputs_BO: Float[Array, "batch outputs"], y_B: Shaped[Array, "batch ..."]
    ) -> Float[Array, " batch"]:
        at_batch: Any = functools.partial(function, outputs_BO, y_B)
        at_batch.__name__ = fn
        losses: Float[Array, " batch"] = call_with_options(at_batch, options, "loss")
        return losses

    return Loss(fn, of_examples, None)


def check(loss: Loss, n_outputs: int, targets_of: Callable[[int], jax.ShapeDtypeStruct]) -> None:
    """Check a loss of the user's on shapes, and its derivative on a few outputs; nothing is compiled for the run.

    Args:
      loss: as `from_function` makes it.
      n_outputs: of the network.
      targets_of: shape and type of the targets of so many examples.

    Raises:
      InputError: it fails, gives something else than a number for each example, or has no derivative to go down.
    """
    n = n_outputs + 1  # examples; as many as there are outputs would hide a sum over the wrong axis
    outputs = jax.ShapeDtypeStruct((n, n_outputs), jnp.float32)
    made = custom.calling("loss", loss.name, jax.eval_shape, loss.function, outputs, targets_of(n))
    shape, dtype = getattr(made, "shape", None), str(getattr(made, "dtype", type(made).__name__))
    if shape != (n,) or dtype != "float32":
        came = "one number" if shape == () else f"shape {shape}" if shape is not None else "no array"
        raise InputError(
            f"loss.fn {loss.name!r} gives {came} of type {dtype} for {n} examples with {n_outputs} outputs; it must "
            f"give the loss of each example, shape ({n},) and type float32, whose mean is minimised."
        )
    _check_derivative(loss, n_outputs, targets_of(CHECKED))


def _check_derivative(loss: Loss, n_outputs: int, targets: jax.ShapeDtypeStruct) -> None:
    outputs_key, targets_key = jax.random.split(jax.random.key(0))
    outputs = jax.random.normal(outputs_key, (CHECKED, n_outputs), jnp.float32)
    if jnp.issubdtype(targets.dtype, jnp.floating):
        y = jax.random.normal(targets_key, targets.shape, jnp.float32)
    else:
        y = (jnp.arange(CHECKED) % n_outputs).astype(targets.dtype)
    total = lambda outputs: jnp.sum(loss.function(outputs, y))
    value, slope = custom.calling("loss", loss.name, jax.value_and_grad(total), outputs)
    where = f"at outputs drawn from N(0, 1), {CHECKED} examples"
    if not (jnp.isfinite(value) & jnp.isfinite(slope).all()):
        raise InputError(
            f"loss.fn {loss.name!r} or its derivative is infinite or not a number {where}; both must be finite for "
            "outputs of any sign."
        )
    if not slope.any():
        raise InputError(
            f"loss.fn {loss.name!r} has a derivative with respect to the outputs that is zero {where}; nothing would "
            "be learned, so it must depend on the outputs smoothly, without argmax or round."
        )
