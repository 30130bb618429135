"""Independent weights whose variance follows from the fans: one formula, and the special cases that have a name."""

import math
from collections.abc import Callable, Mapping
from typing import TypeVar, Unpack

from xinit.core.errors import InputError
from xinit.initializers.kernel import Kernel, KernelAxes
from xinit.initializers.law import DISTRIBUTIONS, Law, LawfulInitializer, lawful

__all__ = [
    "FANS",
    "fan_in",
    "fan_out",
    "geometric",
    "he",
    "independent",
    "lecun",
    "mean_of_variances",
    "selu",
    "standard",
    "variance_scaling",
    "xavier",
]

T = TypeVar("T")

FANS: dict[str, Callable[[int, int], float]] = {
    "in": lambda n_in, n_out: n_in,
    "out": lambda n_in, n_out: n_out,
    "avg": lambda n_in, n_out: (n_in + n_out) / 2,
    "geometric": lambda n_in, n_out: math.sqrt(n_in * n_out),
    "harmonic": lambda n_in, n_out: 2 * n_in * n_out / (n_in + n_out),
}


def _chosen(table: Mapping[str, T], kind: str, name: str) -> T:
    if name not in table:
        raise InputError(f"{kind} is {name!r}; it must be one of {', '.join(table)}.")
    return table[name]


def variance_scaling(
    scale: float = 1.0, fan: str = "in", distribution: str = "normal", **axes: Unpack[KernelAxes]
) -> LawfulInitializer:
    """Zero mean and Var W = scale / n, n the fan-in, the fan-out, or a mean of the two.

    >>> w = variance_scaling(2.0, "in", "normal")(jax.random.key(0), (400, 300))
    >>> f"n_in Var W = {400 * w.var():.1f}"
    'n_in Var W = 2.0'

    Args:
      scale: n Var W, above 0.
      fan: "in", "out", "avg" (the arithmetic mean of the fans), "geometric" or "harmonic".
      distribution: "uniform" on [-a, a] with a = sqrt(3 Var W); "normal"; or "truncated_normal", cut at two sigma
        *before* it is scaled to the asked variance. Complex weights lie in a disc, or have their modulus cut.
      **axes: what the axes of the array are; see `KernelAxes`, also for every initialiser below.

    Raises:
      InputError: an unknown fan or distribution, a scale that is not above 0, axes that are no whole numbers; when
        weights are drawn, a shape that lacks the axes.
    """
    n = _chosen(FANS, "fan", fan)
    if not 0 < scale < math.inf:
        raise InputError(f"scale is {scale}; it must be a finite number above 0.")
    return independent(lambda n_in, n_out: scale / n(n_in, n_out), distribution, **axes)


def independent(
    variance: Callable[[int, int], float],
    distribution: str = "normal",
    bias_variance: float = 0.0,
    **axes: Unpack[KernelAxes],
) -> LawfulInitializer:
    """Independent weights of mean 0 and any Var W = variance(fan_in, fan_out); raises as `variance_scaling`.

    `bias_variance` is what its law says of the layer's biases.

    >>> independent(lambda n_in, n_out: 1 / max(n_in, n_out)).law(10, 40).variance
    0.025
    """
    unit = _chosen(DISTRIBUTIONS, "distribution", distribution).unit

    def law(kernel: Kernel) -> Law:
        return Law(variance(kernel.fan_in, kernel.fan_out), distribution, bias_variance=bias_variance)

    draw = lambda key, kernel, dtype: math.sqrt(law(kernel).variance) * unit(key, kernel.shape, dtype)
    return lawful(draw, law, **axes)


def standard(**axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """W ~ U[-1/sqrt(n_in), 1/sqrt(n_in)], so n_in Var W = 1/3 (Glorot & Bengio 2010, eq. 1).

    >>> w = standard()(jax.random.key(0), (100, 300))
    >>> bool(abs(w).max() <= 0.1), f"{standard().law(100, 300).variance:.5f}"
    (True, '0.00333')
    """
    return variance_scaling(1 / 3, "in", "uniform", **axes)


def xavier(distribution: str = "uniform", **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """Var W = 2 / (n_in + n_out) (Glorot & Bengio 2010, eqs. 12 and 16): the harmonic mean of 1/n_in and 1/n_out.

    >>> xavier().law(100, 300).variance
    0.005
    """
    return variance_scaling(1.0, "avg", distribution, **axes)


def fan_in(distribution: str = "uniform", **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """n_in Var W = 1: keeps the forward variance (Glorot & Bengio 2010, eq. 10).

    >>> fan_in().law(100, 300).variance
    0.01
    """
    return variance_scaling(1.0, "in", distribution, **axes)


def fan_out(distribution: str = "uniform", **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """n_out Var W = 1: keeps the backward variance (Glorot & Bengio 2010, eq. 11).

    >>> fan_out().law(100, 200).variance
    0.005
    """
    return variance_scaling(1.0, "out", distribution, **axes)


def geometric(distribution: str = "uniform", **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """Var W = 1 / sqrt(n_in n_out), the geometric mean of 1/n_in and 1/n_out (Defazio & Bottou 2019).

    >>> geometric().law(100, 400).variance
    0.005
    """
    return variance_scaling(1.0, "geometric", distribution, **axes)


def mean_of_variances(distribution: str = "uniform", **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """Var W = (1/n_in + 1/n_out) / 2, the arithmetic mean of the two; over widths that alternate it explodes.

    >>> round(mean_of_variances().law(100, 400).variance, 5)
    0.00625
    """
    return variance_scaling(1.0, "harmonic", distribution, **axes)


def he(
    fan: str = "in", negative_slope: float = 0.0, distribution: str = "normal", **axes: Unpack[KernelAxes]
) -> LawfulInitializer:
    """(1 + a^2) n Var W / 2 = 1, a the rectifier's negative slope (He et al. 2015, eq. 15).

    >>> he().law(100, 300).variance, round(he(negative_slope=0.5).law(100, 300).variance, 5)
    (0.02, 0.016)
    """
    return variance_scaling(2 / (1 + negative_slope**2), fan, distribution, **axes)


def lecun(distribution: str = "normal", **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """n_in Var W = 1 (LeCun et al. 1998, section 4.6), meant for 1.7159 tanh(2x/3) and unit-variance inputs.

    >>> lecun().law(100, 300)
    Law(variance=0.01, distribution='normal', structure='independent', bias_variance=0.0)
    """
    return variance_scaling(1.0, "in", distribution, **axes)


def selu(distribution: str = "normal", **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """n_in Var W = 1 (Klambauer et al. 2017, section "Initialization"), with which selu keeps mean 0 and variance 1.

    >>> selu().law(100, 300)
    Law(variance=0.01, distribution='normal', structure='independent', bias_variance=0.0)
    """
    return variance_scaling(1.0, "in", distribution, **axes)
