"""Initialisers of one kernel, in the `jax.nn.initializers` protocol: `(key, shape, dtype) -> Array`.

Shapes are (fan-in, fan-out). Everything random with a variance is one formula, `variance_scaling`; the named ones
state which special case they are. Each carries its `Law`, what it promises of a kernel, for the theory to predict with
and for `laws` to test. To add one: a factory here and a YAML file in `conf/scheme`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn.initializers import Initializer
from scipy.special import ndtr

from xinit.errors import InputError


class Law(NamedTuple):
    """What an initialiser promises of the kernel of one layer, whose mean is 0.

    `variance` is E W^2 over the entries. `distribution` is that of an entry, a key of DISTRIBUTIONS, or None where it
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


def lawful(draw: Initializer, law: Callable[[int, int], Law]) -> Initializer:
    """`draw`, with `law(fan_in, fan_out)` as its attribute `law`.

    It draws in float32 at least: jax's uniform numbers in bfloat16 are multiples of 1/128, rounded down.
    """

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        return draw(key, shape, jnp.promote_types(dtype, jnp.float32)).astype(dtype)

    init.law = law
    return init


# Standard deviation of a unit normal cut at two sigma: dividing by it restores the asked variance.
TRUNCATED_STD = 0.87962566103423978

FANS = {
    "in": lambda n_in, n_out: n_in,
    "out": lambda n_in, n_out: n_out,
    "avg": lambda n_in, n_out: (n_in + n_out) / 2,
    "geometric": lambda n_in, n_out: math.sqrt(n_in * n_out),
    "harmonic": lambda n_in, n_out: 2 * n_in * n_out / (n_in + n_out),
}


class Distribution(NamedTuple):
    """A distribution of mean 0 and variance 1: `draw(key, shape, dtype)`, its largest absolute value, and P(X <= x)."""

    draw: Callable[..., Array]
    bound: float
    cdf: Callable[[np.ndarray], np.ndarray]


_CUT = 2 / TRUNCATED_STD

DISTRIBUTIONS = {
    "uniform": Distribution(
        lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -math.sqrt(3), math.sqrt(3)),
        math.sqrt(3),
        lambda x: np.clip((1 + x / math.sqrt(3)) / 2, 0, 1),
    ),
    "normal": Distribution(jax.random.normal, math.inf, ndtr),
    "truncated_normal": Distribution(
        lambda key, shape, dtype: jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype) / TRUNCATED_STD,
        _CUT,
        lambda x: (ndtr(np.clip(x, -_CUT, _CUT) * TRUNCATED_STD) - ndtr(-2)) / (ndtr(2) - ndtr(-2)),
    ),
}


def _chosen(table: dict, kind: str, name: str):
    if name not in table:
        raise InputError(f"{kind} is {name!r}; it must be one of {', '.join(table)}.")
    return table[name]


def variance_scaling(scale: float = 1.0, fan: str = "in", distribution: str = "normal") -> Initializer:
    """Zero mean and Var W = scale / n, n the fan-in, the fan-out, or a mean of the two.

    Args:
      scale: n Var W, above 0.
      fan: "in", "out", "avg" (the arithmetic mean of the fans), "geometric" or "harmonic".
      distribution: "uniform" on [-a, a] with a = sqrt(3 Var W); "normal"; or "truncated_normal", cut at two sigma
        *before* it is scaled to the asked variance.

    Raises:
      InputError: an unknown fan or distribution, a scale that is not above 0.
    """
    n = _chosen(FANS, "fan", fan)
    if not 0 < scale < math.inf:
        raise InputError(f"scale is {scale}; it must be a finite number above 0.")
    return independent(lambda n_in, n_out: scale / n(n_in, n_out), distribution)


def independent(variance: Callable[[int, int], float], distribution: str = "normal") -> Initializer:
    """Independent weights of mean 0 and any Var W = variance(fan_in, fan_out); raises as `variance_scaling`."""
    draw = _chosen(DISTRIBUTIONS, "distribution", distribution).draw
    scaled = lambda key, shape, dtype: math.sqrt(variance(*shape)) * draw(key, shape, dtype)
    return lawful(scaled, lambda n_in, n_out: Law(variance(n_in, n_out), distribution))


def standard() -> Initializer:
    """W ~ U[-1/sqrt(n_in), 1/sqrt(n_in)], so n_in Var W = 1/3 (Glorot & Bengio 2010, eq. 1)."""
    return variance_scaling(1 / 3, "in", "uniform")


def xavier(distribution: str = "uniform") -> Initializer:
    """Var W = 2 / (n_in + n_out) (Glorot & Bengio 2010, eqs. 12 and 16): the harmonic mean of 1/n_in and 1/n_out."""
    return variance_scaling(1.0, "avg", distribution)


def fan_in(distribution: str = "uniform") -> Initializer:
    """n_in Var W = 1: keeps the forward variance (Glorot & Bengio 2010, eq. 10)."""
    return variance_scaling(1.0, "in", distribution)


def fan_out(distribution: str = "uniform") -> Initializer:
    """n_out Var W = 1: keeps the backward variance (Glorot & Bengio 2010, eq. 11)."""
    return variance_scaling(1.0, "out", distribution)


def geometric(distribution: str = "uniform") -> Initializer:
    """Var W = 1 / sqrt(n_in n_out), the geometric mean of 1/n_in and 1/n_out (Defazio & Bottou 2019)."""
    return variance_scaling(1.0, "geometric", distribution)


def mean_of_variances(distribution: str = "uniform") -> Initializer:
    """Var W = (1/n_in + 1/n_out) / 2, the arithmetic mean of the two; over widths that alternate it explodes."""
    return variance_scaling(1.0, "harmonic", distribution)


def he(fan: str = "in", negative_slope: float = 0.0, distribution: str = "normal") -> Initializer:
    """(1 + a^2) n Var W / 2 = 1, a the rectifier's negative slope (He et al. 2015, eq. 15)."""
    return variance_scaling(2 / (1 + negative_slope**2), fan, distribution)


def lecun(distribution: str = "normal") -> Initializer:
    """n_in Var W = 1 (LeCun et al. 1998, section 4.6), meant for 1.7159 tanh(2x/3) and unit-variance inputs."""
    return variance_scaling(1.0, "in", distribution)


def selu(distribution: str = "normal") -> Initializer:
    """n_in Var W = 1 (Klambauer et al. 2017, section "Initialization"), with which selu keeps mean 0 and variance 1."""
    return variance_scaling(1.0, "in", distribution)


def orthogonal() -> Initializer:
    """Orthonormal rows or columns, whichever are fewer; uniform over all such matrices (Saxe et al. 2013)."""
    return lawful(jax.nn.initializers.orthogonal(), lambda i, o: Law(1 / max(i, o), structure="orthogonal"))


def sparse(nonzero: int = 15, std: float = 1.0) -> Initializer:
    """Into each unit `nonzero` weights from N(0, std^2) at random places, the others 0 (Martens 2010).

    n_in Var W = nonzero std^2, or n_in std^2 where the fan-in is smaller. At 15 inputs of unit size saturate tanh.

    Raises:
      InputError: nonzero is below 1, std is not above 0.
    """
    if nonzero < 1 or not 0 < std < math.inf:
        raise InputError(f"nonzero is {nonzero} and std {std}; the first must be at least 1, the second above 0.")

    def draw(key, shape, dtype):
        value_key, place_key = jax.random.split(key)
        orders = jnp.argsort(jax.random.uniform(place_key, shape), axis=0)  # of the inputs, one for each unit
        return jnp.where(orders < nonzero, std * jax.random.normal(value_key, shape, dtype), 0)

    return lawful(draw, lambda i, o: Law(std**2 * min(nonzero, i) / i, structure="sparse"))


def identity() -> Initializer:
    """W_ij = 1 where i = j, else 0: the first units pass on what they get, any others start at 0 or are not heard."""
    draw = lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype)
    return lawful(draw, lambda i, o: Law(1 / max(i, o), structure="fixed"))


def zero_hadamard() -> Initializer:
    """ZerO: the identity where a layer does not widen, else a Hadamard matrix (Zhao et al. 2021, Algorithm 1).

    W_ij = (-1)^popcount(i & j) / sqrt(p) where n_in < n_out, p the least power of 2 that is at least n_out; i and j
    count from 0. Nothing is random. The last layer, which narrows, reads class k off unit k alone.
    """

    def draw(key, shape, dtype):
        n_in, n_out = shape
        if n_in >= n_out:
            return jnp.eye(n_in, n_out, dtype=dtype)
        ones = jax.lax.population_count(jnp.arange(n_in)[:, None] & jnp.arange(n_out)[None, :])
        return jnp.where(ones % 2 == 0, 1, -1).astype(dtype) / math.sqrt(_power_of_2(n_out))

    variance = lambda i, o: 1 / i if i >= o else 1 / _power_of_2(o)
    return lawful(draw, lambda i, o: Law(variance(i, o), structure="fixed"))


def _power_of_2(n: int) -> int:
    """The least power of 2 that is at least n."""
    return 1 << (n - 1).bit_length()


def constant(value: float = 0.0) -> Initializer:
    """Every weight the same: all units of a layer stay equal for ever, which is why weights are random."""
    if not math.isfinite(value):
        raise InputError(f"value is {value}; it must be a finite number.")
    return lawful(jax.nn.initializers.constant(value), lambda i, o: Law(value**2, structure="fixed"))
