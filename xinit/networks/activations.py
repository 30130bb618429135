"""Activation functions with what initialisation needs to know of them: derivative, range, where they go flat.

Each factory returns an `Activation`. To add one: a factory here and a YAML file in `conf/activation`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from xinit.core.errors import InputError

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, eq. 14


class Activation(NamedTuple):
    """An activation function f and its shape.

    `slope` is f', `slope_max` the maximum of abs f', (`low`, `high`) the range of f (infinite where unbounded).
    `saturates`: f flattens out at a finite value on at least one side. `rectifies`: one side is cut off by a small
    constant slope `negative_slope` (ReLU-like; a unit there is called inactive, not saturated). `kinks` are the points
    where f or one of its derivatives jumps; integrals over f are split there.
    """

    name: str
    function: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    slope_max: float
    low: float
    high: float
    saturates: bool = False
    rectifies: bool = False
    negative_slope: float | None = None
    kinks: tuple[float, ...] = ()


INF = float("inf")


def _single(factory: Callable[[], Activation]) -> Callable[[], Activation]:
    """A factory that always gives the same object, so that what jax has compiled for its functions serves every layer.

    It stays a plain function: what the module offers is found by `inspect`.
    """
    made = functools.cache(factory)

    @functools.wraps(factory)
    def give() -> Activation:
        return made()

    return give


@_single
def tanh() -> Activation:
    """tanh(x); f' = 1 - tanh(x)^2."""
    return Activation("tanh", jnp.tanh, lambda x: 1 - jnp.tanh(x) ** 2, 1.0, -1.0, 1.0, saturates=True)


@_single
def sigmoid() -> Activation:
    """1 / (1 + exp(-x)); f' = f (1 - f), at most 1/4."""
    slope = lambda x: jax.nn.sigmoid(x) * jax.nn.sigmoid(-x)  # 1 - f without cancellation
    return Activation("sigmoid", jax.nn.sigmoid, slope, 0.25, 0.0, 1.0, saturates=True)


@_single
def softsign() -> Activation:
    """x / (1 + |x|); f' = 1 / (1 + |x|)^2: tails that flatten polynomially (Glorot & Bengio 2010)."""
    return Activation(
        "softsign", jax.nn.soft_sign, lambda x: (1 + jnp.abs(x)) ** -2, 1.0, -1.0, 1.0, saturates=True, kinks=(0,)
    )


@_single
def hard_tanh() -> Activation:
    """max(-1, min(1, x)); f' = 1 inside, 0 outside."""
    slope = lambda x: (jnp.abs(x) < 1).astype(x.dtype)
    return Activation("hard_tanh", jax.nn.hard_tanh, slope, 1.0, -1.0, 1.0, saturates=True, kinks=(-1, 1))


@_single
def lecun_tanh() -> Activation:
    """1.7159 tanh(2x/3): f(1) = 1, f(-1) = -1 (LeCun et al. 1998)."""
    scale, rate = 1.7159, 2 / 3
    return Activation(
        "lecun_tanh",
        lambda x: scale * jnp.tanh(rate * x),
        lambda x: scale * rate * (1 - jnp.tanh(rate * x) ** 2),
        scale * rate,
        -scale,
        scale,
        saturates=True,
    )


@_single
def linear() -> Activation:
    """x; f' = 1: the deep linear network."""
    return Activation("linear", lambda x: x, jnp.ones_like, 1.0, -INF, INF)


@_single
def relu() -> Activation:
    """max(0, x); f' = 1 for x > 0, else 0."""
    slope = lambda x: (x > 0).astype(x.dtype)
    return Activation("relu", jax.nn.relu, slope, 1.0, 0.0, INF, rectifies=True, negative_slope=0.0, kinks=(0,))


def leaky_relu(negative_slope: float = 0.01) -> Activation:
    """x for x > 0, else negative_slope x (Maas et al. 2013); raises InputError outside [0, 1)."""
    if not 0 <= negative_slope < 1:
        raise InputError(f"negative_slope is {negative_slope}; it must be at least 0 and below 1.")
    return Activation(
        "leaky_relu",
        lambda x: jnp.where(x > 0, x, negative_slope * x),
        lambda x: jnp.where(x > 0, 1.0, negative_slope).astype(x.dtype),
        1.0,
        0.0 if negative_slope == 0 else -INF,
        INF,
        rectifies=True,
        negative_slope=negative_slope,
        kinks=(0,),
    )


@_single
def selu() -> Activation:
    """s x for x > 0, else s a (exp(x) - 1) (Klambauer et al. 2017, eq. 2); steepest, s a = 1.758, just below 0."""
    scale, alpha = SELU_SCALE, SELU_ALPHA
    slope = lambda x: scale * jnp.where(x > 0, 1.0, alpha * jnp.exp(jnp.minimum(x, 0)))
    return Activation("selu", jax.nn.selu, slope, scale * alpha, -scale * alpha, INF, saturates=True, kinks=(0,))


@_single
def gelu() -> Activation:
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016); f' crosses zero at x = -.752."""
    pdf, cdf = jax.scipy.stats.norm.pdf, jax.scipy.stats.norm.cdf
    # Extremes: f' is largest at x = sqrt 2; f is least, -.16997, where f' = 0.
    slope_max, least = 1.1289043, -0.1699713
    slope = lambda x: cdf(x) + x * pdf(x)
    return Activation("gelu", lambda x: x * cdf(x), slope, slope_max, least, INF, kinks=(-0.7517916,))  # of abs f'
