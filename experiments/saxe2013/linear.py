"""Deep linear networks under gradient descent, by the correlations of their data alone (eq. 13).

y = W x with W = W^L ... W^1, L = N_l - 1 weight matrices for N_l layers, as the paper counts. The squared error
E |t - W x|^2 / 2 depends on the data by E t x^T, E x x^T and E |t|^2, so that a step costs the same for ten examples as
for all of MNIST. Inputs are in the basis of their principal components, where E x x^T is diagonal. All matrices but the
last are square. Axes: L matrix, I input or hidden unit, C output, R record.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

DIVERGED = 100.0  # times the error of a network that answers 0: no run that learns goes through it


class Task(NamedTuple):
    """What gradient descent sees of the data: E t x^T (C, I), the diagonal of E x x^T (I,), and E |t|^2."""

    cross: Array
    variance: Array
    target: float = 0.0


class Weights(NamedTuple):
    """The square matrices (L-1, I, I) from the input upwards, and the last (C, I); each acts as W x."""

    inner: Array
    last: Array


def weights(inner: np.ndarray, last: np.ndarray) -> Weights:
    """The matrices in the precision that they are trained in."""
    return Weights(jnp.asarray(inner, jnp.float32), jnp.asarray(last, jnp.float32))


def composite(network: Weights) -> Array:
    """W = W^L ... W^1, (C, I)."""
    return lax.scan(lambda above_CI, w_II: (above_CI @ w_II, None), network.last, network.inner, reverse=True)[0]


def error(w_CI: Array, task: Task) -> Array:
    """E |t - W x|^2 / 2 = (tr W E[x x^T] W^T - 2 tr W E[t x^T]^T + E |t|^2) / 2."""
    return (jnp.sum(w_CI**2 * task.variance[None, :]) - 2 * jnp.sum(w_CI * task.cross) + task.target) / 2


def step(network: Weights, task: Task, rate: Array | float) -> tuple[Weights, Array]:
    """One step of gradient descent, and W before it (eq. 13, rate = dt / tau).

    W^l <- W^l + rate (W^L ... W^{l+1})^T (E t x^T - W E x x^T) (W^{l-1} ... W^1)^T
    """
    w_CI, above_LCI = lax.scan(
        lambda above_CI, w_II: (above_CI @ w_II, above_CI), network.last, network.inner, reverse=True
    )

    def through(below_CI: Array, matrix: tuple[Array, Array]) -> tuple[Array, Array]:
        w_II, above_CI = matrix
        return below_CI @ w_II.T, w_II + rate * above_CI.T @ below_CI

    rest_CI = task.cross - w_CI * task.variance[None, :]
    below_CI, inner_LII = lax.scan(through, rest_CI, (network.inner, above_LCI))
    return Weights(inner_LII, network.last + rate * below_CI), w_CI


@functools.partial(jax.jit, static_argnames="records")
def course(network: Weights, task: Task, rate: float, every: int, records: int) -> Array:
    """(R, C, I) W before the first step and then after every `every` steps, `records` times in all."""

    def advance(network: Weights, _: None) -> tuple[Weights, Array]:
        later = lax.fori_loop(0, every, lambda _, network: step(network, task, rate)[0], network)
        return later, composite(network)

    return lax.scan(advance, network, None, length=records)[1]


@jax.jit
def learning_time(network: Weights, task: Task, rate: float, threshold: float, most: int) -> tuple[Array, Array]:
    """Steps until the error is at most the threshold, `most` at the most; and the error there.

    Ends where the error passes `DIVERGED` times that of a network that answers 0.
    """

    def going(state: tuple[Weights, Array, Array]) -> Array:
        _, n, now = state
        return (now > threshold) & (n < most) & (now < DIVERGED * task.target / 2)  # nan ends it too

    def advance(state: tuple[Weights, Array, Array]) -> tuple[Weights, Array, Array]:
        network, n, _ = state
        later, _ = step(network, task, rate)
        return later, n + 1, error(composite(later), task)

    _, n, now = lax.while_loop(going, advance, (network, jnp.int32(0), error(composite(network), task)))
    return n, now
