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
from jax.nn.initializers import Initializer

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
    """`draw`, with `law(fan_in, fan_out)` as its attribute `law`."""

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        return draw(key, shape, dtype)

    init.law = law
    return init


# Standard deviation of a unit normal cut at two sigma: dividing by it restores the asked variance.
TRUNCATED_STD = 0.87962566103423978

FANS = {
    "in": lambda n_in, n_out: n_in,
    "out": lambda n_in, n_out: n_out,
    "avg": lambda n_in, n_out: (n_in + n_out) / 2,
}

DISTRIBUTIONS = {
    "uniform": lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -math.sqrt(3), math.sqrt(3)),
    "normal": jax.random.normal,
    "truncated_normal": lambda key, shape, dtype: (
        jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype) / TRUNCATED_STD
    ),
}


def _chosen(table: dict, kind: str, name: str):
    if name not in table:
        raise InputError(f"{kind} is {name!r}; it must be one of {', '.join(table)}.")
    return table[name]


def variance_scaling(scale: float = 1.0, fan: str = "in", distribution: str = "normal") -> Initializer:
    """Zero mean and Var W = scale / n, n the fan-in, the fan-out, or their average.

    Args:
      scale: n Var W, above 0.
      fan: "in", "out" or "avg".
      distribution: "uniform" on [-a, a] with a = sqrt(3 Var W); "normal"; or "truncated_normal", cut at two sigma
        *before* it is scaled to the asked variance.

    Raises:
      InputError: an unknown fan or distribution, a scale that is not above 0.
    """
    n = _chosen(FANS, "fan", fan)
    draw = _chosen(DISTRIBUTIONS, "distribution", distribution)
    if not 0 < scale < math.inf:
        raise InputError(f"scale is {scale}; it must be a finite number above 0.")

    scaled = lambda key, shape, dtype: math.sqrt(scale / n(*shape)) * draw(key, shape, dtype)
    return lawful(scaled, lambda i, o: Law(scale / n(i, o), distribution))


def standard() -> Initializer:
    """W ~ U[-1/sqrt(n_in), 1/sqrt(n_in)], so n_in Var W = 1/3 (Glorot & Bengio 2010, eq. 1)."""
    return variance_scaling(1 / 3, "in", "uniform")


def xavier(distribution: str = "uniform") -> Initializer:
    """Var W = 2 / (n_in + n_out) (Glorot & Bengio 2010, eqs. 12 and 16)."""
    return variance_scaling(1.0, "avg", distribution)


def fan_in(distribution: str = "uniform") -> Initializer:
    """n_in Var W = 1: keeps the forward variance (Glorot & Bengio 2010, eq. 10)."""
    return variance_scaling(1.0, "in", distribution)


def fan_out(distribution: str = "uniform") -> Initializer:
    """n_out Var W = 1: keeps the backward variance (Glorot & Bengio 2010, eq. 11)."""
    return variance_scaling(1.0, "out", distribution)


def he(fan: str = "in", negative_slope: float = 0.0, distribution: str = "normal") -> Initializer:
    """(1 + a^2) n Var W / 2 = 1, a the rectifier's negative slope (He et al. 2015, eq. 15)."""
    return variance_scaling(2 / (1 + negative_slope**2), fan, distribution)


def lecun(distribution: str = "normal") -> Initializer:
    """n_in Var W = 1 (LeCun et al. 1998, section 4.6), meant for 1.7159 tanh(2x/3) and unit-variance inputs."""
    return variance_scaling(1.0, "in", distribution)


def orthogonal() -> Initializer:
    """Orthonormal rows or columns, whichever are fewer; uniform over all such matrices (Saxe et al. 2013)."""
    return lawful(jax.nn.initializers.orthogonal(), lambda i, o: Law(1 / max(i, o), structure="orthogonal"))


def constant(value: float = 0.0) -> Initializer:
    """Every weight the same: all units of a layer stay equal for ever, which is why weights are random."""
    if not math.isfinite(value):
        raise InputError(f"value is {value}; it must be a finite number.")
    return lawful(jax.nn.initializers.constant(value), lambda i, o: Law(value**2, structure="fixed"))
