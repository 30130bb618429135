"""What an initialiser promises of a kernel, and how a function that draws becomes an initialiser with a law."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn.initializers import Initializer
from scipy.special import ndtr

from xinit.errors import InputError
from xinit.initializers.kernel import Kernel, KernelAxes, check_axes


class Law(NamedTuple):
    """What an initialiser promises of the kernel of one layer, whose mean is 0.

    `variance` is E |W|^2 over the entries. `distribution` is that of an entry, a key of DISTRIBUTIONS, or None where it
    is another. `structure` says how entries hang together: "independent"; "orthogonal", orthonormal rows or columns
    times a number; "sparse", few non-zero entries a unit; "mirrored", blocks of opposite sign; or "fixed", where
    nothing is random and no theory of random networks holds. `bias_variance` is E b^2 of the layer's biases.
    """

    variance: float
    distribution: str | None = None
    structure: str = "independent"
    bias_variance: float = 0.0

    def scaled(self, gain: float) -> "Law":
        """The law of gain x W, with the same biases."""
        return self._replace(variance=gain**2 * self.variance)


def lawful(
    draw: Callable[[Array, Kernel, Any], Array], law: Callable[[Kernel], Law], **axes: Unpack[KernelAxes]
) -> Initializer:
    """The initialiser that draws `draw(key, kernel, dtype)`, with what it promises as attributes.

    `.law(fan_in, fan_out)` is that of a matrix, `.law_at(kernel)` that of any `Kernel`, `.axes` are its `KernelAxes`.
    It draws in float32 at least: jax's uniform numbers in bfloat16 are multiples of 1/128, rounded down. A shape with
    an axis of size 0 has no weights, and nothing is drawn.

    Raises:
      InputError: axes that are no axes; when weights are drawn, a shape without them or a precision of whole numbers.
    """
    check_axes(axes)

    def init(key, shape, dtype=None, out_sharding=None):
        draw_it = functools.partial(_drawn, draw, Kernel(tuple(shape), **axes), _precision(dtype))
        return draw_it(key) if out_sharding is None else jax.jit(draw_it, out_shardings=out_sharding)(key)

    init.law = lambda fan_in, fan_out: law(Kernel((fan_in, fan_out)))
    init.law_at, init.axes = law, axes
    return init


def _drawn(draw: Callable[[Array, Kernel, Any], Array], kernel: Kernel, dtype: Any, key: Array) -> Array:
    if 0 in kernel.shape:
        return jnp.zeros(kernel.shape, dtype)
    return draw(key, kernel, dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32).astype(dtype)


def _precision(dtype: Any) -> Any:
    """The precision that is asked for, jax's own for None."""
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise InputError(f"dtype is {dtype}; weights are real or complex numbers, as float32 or complex64.")
    return dtype


# Standard deviation of a unit normal cut at two sigma: dividing by it restores the asked variance.
TRUNCATED_STD = 0.87962566103423978
# The same of a complex normal, whose modulus is cut at 2: E |w|^2 = 1 - 4 / (e^4 - 1).
COMPLEX_TRUNCATED_STD = math.sqrt(1 - 4 / math.expm1(4))


class Distribution(NamedTuple):
    """A distribution of mean 0 and variance 1.

    `draw(key, shape, dtype)` of real numbers, their largest absolute value, and P(X <= x). Complex ones have an angle
    of any size, and `modulus(u)` with u uniform in [0, 1).
    """

    draw: Callable[..., Array]
    bound: float
    cdf: Callable[[np.ndarray], np.ndarray]
    modulus: Callable[[Array], Array]

    def unit(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        """Numbers w with E |w|^2 = 1; of complex ones, real and imaginary part have half of it each."""
        if not jnp.issubdtype(dtype, jnp.complexfloating):
            return self.draw(key, shape, dtype)
        real = jnp.finfo(dtype).dtype
        modulus_key, angle_key = jax.random.split(key)
        modulus = self.modulus(jax.random.uniform(modulus_key, shape, real))
        angle = jax.random.uniform(angle_key, shape, real, 0, 2 * math.pi)
        return jax.lax.complex(modulus * jnp.cos(angle), modulus * jnp.sin(angle))


_CUT = 2 / TRUNCATED_STD

DISTRIBUTIONS = {
    "uniform": Distribution(
        lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -math.sqrt(3), math.sqrt(3)),
        math.sqrt(3),
        lambda x: np.clip((1 + x / math.sqrt(3)) / 2, 0, 1),
        lambda u: jnp.sqrt(2 * u),  # in a disc
    ),
    "normal": Distribution(jax.random.normal, math.inf, ndtr, lambda u: jnp.sqrt(-jnp.log1p(-u))),
    "truncated_normal": Distribution(
        lambda key, shape, dtype: jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype) / TRUNCATED_STD,
        _CUT,
        lambda x: (ndtr(np.clip(x, -_CUT, _CUT) * TRUNCATED_STD) - ndtr(-2)) / (ndtr(2) - ndtr(-2)),
        lambda u: jnp.sqrt(-jnp.log1p(math.expm1(-4) * u)) / COMPLEX_TRUNCATED_STD,
    ),
}
