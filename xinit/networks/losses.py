"""Losses: what is minimised, from a network's outputs and the targets of a batch.

Each factory returns a `Loss`. To add one: a factory here and a YAML file in `conf/loss`. Outputs are linear, h W + b.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, nn
from jaxtyping import Float, Int, Shaped

from xinit.core.errors import InputError

Target = Callable[[Shaped[np.ndarray, "batch ..."], int], Float[np.ndarray, "outputs batch"]]


class Residual(NamedTuple):
    """dL/do = mean(o) - target(y), in NumPy, for the losses that have this form: theory goes on from it.

    `mean` is what the loss takes outputs (network, outputs, batch) to expect of the targets; `target(y, n)` is what it
    compares with, (n, batch) for n outputs.
    """

    mean: Callable[[Float[np.ndarray, "network outputs batch"]], Float[np.ndarray, "network outputs batch"]]
    target: Target


class Loss(NamedTuple):
    """A loss by its name.

    `function(outputs_BO, y_B)` is the loss of each example, (B,). `targets` says what y may be: "labels", whole numbers
    from 0 that name a class, "values", real numbers (B, O), or None for either. `residual` is None where the loss's
    derivative has another form.
    """

    name: str
    function: Callable[[Float[Array, "batch outputs"], Shaped[Array, "batch ..."]], Float[Array, " batch"]]
    targets: str | None
    residual: Residual | None = None


def cross_entropy(smoothing: float = 0.0) -> Loss:
    """-sum_k t_k log P(k|x), P the softmax of the outputs: -log P(y|x), where nothing is smoothed.

    Args:
      smoothing: s of t = (1 - s) onehot(y) + s / K for K classes (Szegedy et al. 2016, section 7).

    Raises:
      InputError: the smoothing is below 0, or 1 or more.
    """
    if not 0 <= smoothing < 1:
        raise InputError(f"loss.smoothing is {smoothing!r}; it must be at least 0 and below 1.")
    if smoothing == 0:
        return Loss(
            "cross_entropy",
            optax.softmax_cross_entropy_with_integer_labels,
            "labels",
            Residual(_softmax, _one_hot),
        )

    def smoothed(outputs_BO: Float[Array, "batch outputs"], y_B: Int[Array, " batch"]) -> Float[Array, " batch"]:
        labels_BO = nn.one_hot(y_B, outputs_BO.shape[1], dtype=outputs_BO.dtype)
        losses: Float[Array, " batch"] = optax.softmax_cross_entropy(
            outputs_BO, optax.smooth_labels(labels_BO, smoothing)
        )
        return losses

    target = lambda y, n: (1 - smoothing) * _one_hot(y, n) + smoothing / n
    return Loss("cross_entropy", smoothed, "labels", Residual(_softmax, target))


def squared_error() -> Loss:
    """1/2 mean_k (o_k - onehot(y)_k)^2 on linear outputs; Saxe et al. 2014, section 1, have the sum over k.

    The mean over K outputs keeps dL/do of the size that the cross-entropy's has, so that usual learning rates serve.
    The quadratic cost that Glorot & Bengio 2010, section 4.1, set against the cross-entropy differs if its outputs are
    probabilities, as in Figure 5 of experiments/glorot2010: its slope vanishes where these are wrong, too.
    """

    def function(outputs_BO: Float[Array, "batch outputs"], y_B: Int[Array, " batch"]) -> Float[Array, " batch"]:
        return _half_squares(outputs_BO, nn.one_hot(y_B, outputs_BO.shape[1], dtype=outputs_BO.dtype))

    return Loss("squared_error", function, "labels", _residual_of_squares(_one_hot))


def regression() -> Loss:
    """1/2 mean_k (o_k - y_k)^2, for targets that are real numbers: half of the error, 1 - R^2, on training examples."""
    return Loss("regression", _half_squares, "values", _residual_of_squares(lambda y, n: np.asarray(y, float).T))


def _half_squares(
    outputs_BO: Float[Array, "batch outputs"], y_BO: Float[Array, "batch outputs"]
) -> Float[Array, " batch"]:
    return 0.5 * jnp.mean((outputs_BO - y_BO) ** 2, axis=1)


def _residual_of_squares(target: Target) -> Residual:
    """dL/do = (o - target) / K, K the number of outputs."""
    return Residual(lambda outputs: outputs / outputs.shape[1], lambda y, n: target(y, n) / n)


def _softmax(outputs: Float[np.ndarray, "network outputs batch"]) -> Float[np.ndarray, "network outputs batch"]:
    shares: np.ndarray = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _one_hot(y: Int[np.ndarray, " batch"], n: int) -> Float[np.ndarray, "outputs batch"]:
    labels: np.ndarray = (np.arange(n)[:, None] == np.asarray(y)).astype(float)
    return labels
