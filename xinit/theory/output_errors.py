"""Where the backward recursion begins: dL/do, a loss's derivative with respect to the outputs.

Of a cross-entropy it is the softmax minus the target, of a squared error the outputs minus the target. A loss of the
user's is differentiated by jax, at the outputs that theory draws.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int, Shaped

from xinit.networks.losses import Loss

OTHERS = 50  # different targets that a loss without a residual is averaged over, at most


class NoDerivativeError(ArithmeticError):
    """A loss's derivative is infinite or not a number at the outputs that theory draws."""


class OutputErrors(NamedTuple):
    """dL/do of outputs (network, output, example).

    `own(outputs, examples)`: of the examples of these numbers, each with its own target. `shared(outputs)`: the mean
    over the targets of all examples, which is what examples have in common.
    """

    own: Callable[
        [Float[np.ndarray, "network outputs some"], Int[np.ndarray, " some"]],
        Float[np.ndarray, "network outputs some"],
    ]
    shared: Callable[[Float[np.ndarray, "network outputs some"]], Float[np.ndarray, "network outputs some"]]


def output_errors(loss: Loss, targets: Shaped[np.ndarray, "batch ..."], n_outputs: int) -> OutputErrors:
    """The derivative of a loss at the targets of the probe examples.

    >>> from xinit.networks.losses import squared_error
    >>> errors = output_errors(squared_error(), np.array([0, 1]), 2)
    >>> errors.own(np.zeros((1, 2, 1)), np.array([1]))  # (0 - onehot(1)) / 2
    array([[[ 0. ],
            [-0.5]]])
    >>> errors.shared(np.zeros((1, 2, 1)))  # both classes are as frequent
    array([[[-0.25],
            [-0.25]]])

    Args:
      loss: of the network.
      targets: (B,) labels or (B, K) values.
      n_outputs: K.
    """
    if loss.residual is None:
        return _by_differentiation(loss, targets)
    mean, target_KB = loss.residual.mean, loss.residual.target(targets, n_outputs)
    mean_target_K = target_KB.mean(axis=1)
    return OutputErrors(
        lambda outputs, examples: mean(outputs) - target_KB[:, examples],
        lambda outputs: mean(outputs) - mean_target_K[:, None],
    )


def constant_errors() -> OutputErrors:
    """One for every output: it stands in where only what does not depend on the loss is wanted.

    >>> constant_errors().shared(np.zeros((1, 2, 1))).sum()
    np.float64(2.0)
    """
    return OutputErrors(lambda outputs, examples: np.ones_like(outputs), np.ones_like)


def _by_differentiation(loss: Loss, targets: Shaped[np.ndarray, "batch ..."]) -> OutputErrors:
    """By `jax.grad` of the loss itself, in float32 and one network at a time, as it is trained."""
    total = lambda outputs_KB, y_B: jnp.sum(loss.function(outputs_KB.T, y_B))
    of_networks = jax.jit(lambda outputs, y_B: lax.map(lambda own: jax.grad(total)(own, y_B), outputs))

    def at(outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        with jax.enable_x64(False), jax.default_device(jax.devices("cpu")[0]), np.errstate(over="ignore"):
            slopes = np.asarray(of_networks(outputs.astype(np.float32), y), float)
        if not np.all(np.isfinite(slopes)):
            raise NoDerivativeError
        return slopes

    others, counts = np.unique(targets, axis=0, return_counts=True)
    weights = counts.astype(float)
    if len(others) > OTHERS:
        others, weights = np.random.default_rng(0).permutation(targets)[:OTHERS], np.ones(OTHERS)
    same = lambda outputs, other: at(outputs, np.repeat(other[None], outputs.shape[2], axis=0))
    return OutputErrors(
        lambda outputs, examples: at(outputs, targets[examples]),
        lambda outputs: np.average([same(outputs, other) for other in others], axis=0, weights=weights),
    )
