"""What an initialiser promises of a kernel, and how any function states it."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, Unpack, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Float, Inexact
from scipy.special import ndtr

from xinit.core.errors import InputError
from xinit.initializers.kernel import Kernel, KernelAxes, check_axes

__all__ = [
    "DISTRIBUTIONS",
    "TRUNCATED_STD",
    "Distribution",
    "Law",
    "LawOf",
    "LawfulInitializer",
    "Stated",
    "StatesLaw",
    "law_of",
    "lawful",
]


class Law(NamedTuple):
    """What an initialiser promises of the kernel of one layer, whose mean is 0.

    `variance` is E |W|^2 over the entries. `distribution` is that of an entry, a key of DISTRIBUTIONS, or None where it
    is another. `structure` says how entries hang together: "independent"; "orthogonal", orthonormal rows or columns
    times a number, rows of 0 left out; "sparse", few non-zero entries a unit; "mirrored", blocks of opposite sign; or
    "fixed", where nothing is random and no theory of random networks holds. `bias_variance` is E b^2 of the layer's
    biases.
    """

    variance: float
    distribution: str | None = None
    structure: str = "independent"
    bias_variance: float = 0.0

    def scaled(self, gain: float) -> "Law":
        """The law of gain x W, with the same biases."""
        return self._replace(variance=gain**2 * self.variance)


class LawOf(NamedTuple):
    """The law of an initialiser at any shape: `law(fan_in, fan_out)` of a matrix, `law.at(kernel)` of any `Kernel`.

    `axes` are the `KernelAxes` that the initialiser takes an array to have. `draw` draws a kernel of any axes; an
    initialiser that is not of `xinit.initializers` has none.
    """

    at: Callable[[Kernel], Law]
    axes: KernelAxes
    draw: "Draw | None" = None

    def __call__(self, fan_in: float, fan_out: float) -> Law:
        """The law of a matrix with these fans, which may be fractions: of a convolution with a stride they are."""
        return self.at(Kernel((fan_in, fan_out)))  # type: ignore[arg-type]  # which counts nothing here


Draw = Callable[[Array, Kernel, DTypeLike], Inexact[Array, "..."]]  # of a key: the weights of a kernel in a precision
# What anybody may state: Var W alone, a Law, or a function of (fan_in, fan_out) to either.
Stated = float | Law | LawOf | Callable[[int, int], Law | float]


@runtime_checkable
class StatesLaw(Protocol):
    """Whatever states a law, by an attribute `law`. A function of your own does so by one line:

        my_init.law = lambda fan_in, fan_out: 2 / fan_in

    The theory then predicts with it, `xinit.initialize` scales by it, and `xinit.verify_initializer` tests it.
    """

    @property
    def law(self) -> Stated:
        """What is promised of a kernel."""


@runtime_checkable
class LawfulInitializer(Initializer, Protocol):
    """An initialiser of `xinit.initializers`, all of which state their law."""

    @property
    def law(self) -> LawOf:
        """What is promised of a kernel."""


def law_of(initializer: object) -> LawOf | None:
    """The law that an initialiser states, None where it states none; raises as `as_law`.

    >>> law_of(xinit.initializers.he())(784, 256).variance == 2 / 784
    True
    """
    return as_law(initializer.law) if isinstance(initializer, StatesLaw) else None


def as_law(stated: Any) -> LawOf:
    """What is stated of matrices, at any shape.

    >>> as_law(lambda fan_in, fan_out: 2 / fan_in)(100, 50)
    Law(variance=0.02, distribution=None, structure='independent', bias_variance=0.0)

    Raises:
      InputError: it is none of what `Stated` lists.
    """
    if isinstance(stated, LawOf):
        return stated
    if not callable(stated) and not isinstance(stated, Law | int | float):
        allowed = "a number, a Law, or a function of (fan_in, fan_out) to either"
        raise InputError(f"law is {stated!r}; it must be {allowed}.")

    def at(kernel: Kernel) -> Law:
        value = stated(kernel.fan_in, kernel.fan_out) if callable(stated) else stated
        return value if isinstance(value, Law) else Law(float(value))

    return LawOf(at, {})


def lawful(draw: Draw, law: Callable[[Kernel], Law], **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """The initialiser that draws `draw(key, kernel, dtype)`, its attribute `law` a `LawOf`.

    It draws in float32 at least: jax's uniform numbers in bfloat16 are multiples of 1/128, rounded down. A shape with
    an axis of size 0 has no weights, and nothing is drawn.

    >>> draw = lambda key, kernel, dtype: jnp.full(kernel.shape, 1 / kernel.fan_in, dtype)
    >>> averaging = lawful(draw, lambda kernel: Law(kernel.fan_in**-2, structure="fixed"))
    >>> float(averaging(jax.random.key(0), (4, 3))[0, 0]), averaging.law(4, 3).variance
    (0.25, 0.0625)

    Raises:
      InputError: axes that are no axes; when weights are drawn, a shape without them or a precision of whole numbers.
    """
    check_axes(axes)

    def init(
        key: Array, shape: Sequence[int], dtype: DTypeLike | None = None, out_sharding: Any = None
    ) -> Inexact[Array, "..."]:
        draw_it = functools.partial(_drawn, draw, Kernel(tuple(shape), **axes), _precision(dtype))
        return draw_it(key) if out_sharding is None else jax.jit(draw_it, out_shardings=out_sharding)(key)

    vars(init)["law"] = LawOf(law, axes, draw)
    return cast(LawfulInitializer, init)


def _drawn(draw: Draw, kernel: Kernel, dtype: np.dtype, key: Array) -> Inexact[Array, "..."]:
    if 0 in kernel.shape:
        return jnp.zeros(kernel.shape, dtype)
    return draw(key, kernel, dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32).astype(dtype)


def _precision(dtype: DTypeLike | None) -> np.dtype:
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

    draw: Callable[..., Float[Array, "..."]]
    bound: float
    cdf: Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]]
    modulus: Callable[[Float[Array, "..."]], Float[Array, "..."]]

    def unit(self, key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Inexact[Array, "..."]:
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
