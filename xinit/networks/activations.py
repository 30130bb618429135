"""Activation functions with what initialisation needs to know of them: derivative, range, where they go flat.

Each factory returns an `Activation`. To add one: a factory here and a YAML file in `conf/activation`. What is known of
them by heart here, `landmarks` finds of any function.
"""

import functools
import math
from collections.abc import Callable
from typing import ParamSpec

import jax
import jax.numpy as jnp
from jax import Array

from xinit.core.errors import InputError
from xinit.networks.contract import INF, Activation, Learned

__all__ = ["INF", "Activation", "Learned"]

P = ParamSpec("P")
Elementwise = Callable[[Array], Array]

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, eq. 14


def _single(factory: Callable[P, Activation]) -> Callable[P, Activation]:
    """A factory that gives one object for the same options, so that what jax has compiled for it serves every layer.

    It stays a plain function: what the module offers is found by `inspect`.
    """
    made: Callable[..., Activation] = functools.cache(factory)

    @functools.wraps(factory)
    def give(*arguments: P.args, **options: P.kwargs) -> Activation:
        return made(*arguments, **options)

    return give


@_single
def tanh() -> Activation:
    """tanh(x); f' = 1 - tanh(x)^2."""
    return Activation("tanh", jnp.tanh, lambda x: 1 - jnp.tanh(x) ** 2, 1.0, -1.0, 1.0, saturates=True, parity="odd")


@_single
def sigmoid() -> Activation:
    """1 / (1 + exp(-x)); f' = f (1 - f), at most 1/4."""
    slope = lambda x: jax.nn.sigmoid(x) * jax.nn.sigmoid(-x)  # 1 - f without cancellation
    return Activation("sigmoid", jax.nn.sigmoid, slope, 0.25, 0.0, 1.0, saturates=True)


@_single
def softsign() -> Activation:
    """x / (1 + |x|); f' = 1 / (1 + |x|)^2: tails that flatten polynomially (Glorot & Bengio 2010)."""
    slope = lambda x: (1 + jnp.abs(x)) ** -2
    return Activation("softsign", jax.nn.soft_sign, slope, 1.0, -1.0, 1.0, saturates=True, kinks=(0,), parity="odd")


@_single
def hard_tanh() -> Activation:
    """max(-1, min(1, x)); f' = 1 inside, 0 outside."""
    slope = lambda x: (jnp.abs(x) < 1).astype(x.dtype)
    return Activation("hard_tanh", jax.nn.hard_tanh, slope, 1.0, -1.0, 1.0, saturates=True, kinks=(-1, 1), parity="odd")


@_single
def hard_sigmoid() -> Activation:
    """min(1, max(0, (x + 3) / 6)) (Howard et al. 2019); f' = 1/6 inside, 0 outside."""
    slope = lambda x: jnp.where(jnp.abs(x) < 3, 1 / 6, 0.0).astype(x.dtype)
    return Activation("hard_sigmoid", jax.nn.hard_sigmoid, slope, 1 / 6, 0.0, 1.0, saturates=True, kinks=(-3, 3))


@_single
def erf() -> Activation:
    """2/sqrt(pi) integral of exp(-t^2) from 0 to x; f' = 2/sqrt(pi) exp(-x^2)."""
    steepest = 2 / math.sqrt(math.pi)
    slope = lambda x: steepest * jnp.exp(-(x**2))
    return Activation("erf", jax.scipy.special.erf, slope, steepest, -1.0, 1.0, saturates=True, parity="odd")


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
        parity="odd",
    )


@_single
def sin() -> Activation:
    """sin(x); f' = cos(x) (Sitzmann et al. 2020)."""
    return Activation("sin", jnp.sin, jnp.cos, 1.0, -1.0, 1.0, parity="odd", wavelength=2 * math.pi)


@_single
def linear() -> Activation:
    """x; f' = 1: the deep linear network."""
    return Activation("linear", lambda x: x, jnp.ones_like, 1.0, -INF, INF, parity="odd")


@_single
def relu() -> Activation:
    """max(0, x); f' = 1 for x > 0, else 0."""
    slope = lambda x: (x > 0).astype(x.dtype)
    return Activation("relu", jax.nn.relu, slope, 1.0, 0.0, INF, rectifies=True, negative_slope=0.0, kinks=(0,))


@_single
def squared_relu() -> Activation:
    """max(0, x)^2; f' = 2 max(0, x), without bound (So et al. 2021, Primer)."""
    slope = lambda x: 2 * jax.nn.relu(x)
    return Activation("squared_relu", lambda x: jnp.square(jax.nn.relu(x)), slope, INF, 0.0, INF, kinks=(0,))


@_single
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
def prelu(negative_slope: float = 0.25) -> Activation:
    """x for x > 0, else a x; a is learned, one for each layer, from negative_slope on (He et al. 2015, eq. 1).

    Raises InputError outside [0, 1).
    """
    learned = Learned(
        start=negative_slope,
        function=lambda z, a: jnp.where(z > 0, z, a * z),
        slope=lambda z, a: jnp.where(z > 0, 1.0, a).astype(z.dtype),
        slope_max=lambda a: jnp.maximum(1.0, jnp.abs(a)),
    )
    return leaky_relu(negative_slope)._replace(name="prelu", learned=learned)


@_single
def elu(alpha: float = 1.0) -> Activation:
    """x for x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016, eq. 15); raises InputError unless alpha is above 0."""
    _check_alpha(alpha)
    function = lambda x: jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0)))
    slope = lambda x: jnp.where(x > 0, 1.0, alpha * jnp.exp(jnp.minimum(x, 0)))
    return Activation("elu", function, slope, max(1.0, alpha), -alpha, INF, saturates=True, kinks=(0,))


@_single
def celu(alpha: float = 1.0) -> Activation:
    """x for x > 0, else alpha (exp(x / alpha) - 1) (Barron 2017); raises InputError unless alpha is above 0."""
    _check_alpha(alpha)
    function = lambda x: jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0) / alpha))
    slope = lambda x: jnp.exp(jnp.minimum(x, 0) / alpha)
    return Activation("celu", function, slope, 1.0, -alpha, INF, saturates=True, kinks=(0,))


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < INF:
        raise InputError(f"alpha is {alpha}; it must be a finite number above 0.")


@_single
def softplus() -> Activation:
    """log(1 + exp(x)) (Dugas et al. 2001); f' = 1 / (1 + exp(-x))."""
    return Activation("softplus", jax.nn.softplus, jax.nn.sigmoid, 1.0, 0.0, INF, saturates=True)


@_single
def silu() -> Activation:
    """x s(x), s(x) = 1 / (1 + exp(-x)), also called swish (Elfwing et al. 2018); f' = s(x) (1 + x s(-x))."""
    sigmoid = jax.nn.sigmoid
    # Extremes: f' is largest at x = 2.399; f is least where f' = 0.
    slope_max, least, at = 1.0998393, -0.2784645, -1.2784645
    slope = lambda x: sigmoid(x) * (1 + x * sigmoid(-x))
    return Activation("silu", jax.nn.silu, slope, slope_max, least, INF, kinks=(at,))


@_single
def hard_swish() -> Activation:
    """x min(1, max(0, (x + 3) / 6)) (Howard et al. 2019); f' = (2x + 3) / 6 inside, steepest just below 3."""
    slope = lambda x: jnp.where(jnp.abs(x) < 3, (2 * x + 3) / 6, x > 0).astype(x.dtype)
    return Activation("hard_swish", jax.nn.hard_swish, slope, 1.5, -0.375, INF, kinks=(-3, -1.5, 3))


@_single
def mish() -> Activation:
    """x t(x), t(x) = tanh(log(1 + exp(x))) (Misra 2019); f' = t(x) + x s(x) (1 - t(x)^2), s the sigmoid."""
    squashed: Elementwise = lambda x: jnp.tanh(jax.nn.softplus(x))
    # Extremes: f' is largest at x = 1.491; f is least where f' = 0.
    slope_max, least, at = 1.0884982, -0.3088434, -1.1924312
    slope = lambda x: squashed(x) + x * jax.nn.sigmoid(x) * (1 - squashed(x) ** 2)
    return Activation("mish", lambda x: x * squashed(x), slope, slope_max, least, INF, kinks=(at,))


@_single
def gelu_tanh() -> Activation:
    """x/2 (1 + tanh u), u = sqrt(2/pi) (x + .044715 x^3): an approximation of gelu (Hendrycks & Gimpel 2016)."""
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    squashed: Elementwise = lambda x: jnp.tanh(scale * (x + cubic * x**3))
    inner: Elementwise = lambda x: scale * (1 + 3 * cubic * x**2)
    # Extremes: f' is largest at x = 1.419; f is least where f' = 0.
    slope_max, least, at = 1.1289931, -0.1700408, -0.7524614
    slope = lambda x: (1 + squashed(x)) / 2 + x / 2 * (1 - squashed(x) ** 2) * inner(x)
    return Activation("gelu_tanh", lambda x: x / 2 * (1 + squashed(x)), slope, slope_max, least, INF, kinks=(at,))


@_single
def gelu() -> Activation:
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016); f' crosses zero at x = -.752."""
    pdf, cdf = jax.scipy.stats.norm.pdf, jax.scipy.stats.norm.cdf
    # Extremes: f' is largest at x = sqrt 2; f is least, -.16997, where f' = 0.
    slope_max, least = 1.1289043, -0.1699713
    slope = lambda x: cdf(x) + x * pdf(x)
    return Activation("gelu", lambda x: x * cdf(x), slope, slope_max, least, INF, kinks=(-0.7517916,))  # of abs f'
