"""Gaussian moments of an activation function, and its kernel between two correlated inputs, in float64.

Throughout, z ~ N(0, 1) and q is the variance of a pre-activation sqrt(q) z. Integrals are taken between the points
where f is not smooth by the tanh-sinh rule, which crowds its nodes towards the ends of an interval: neither a kink nor
a transition that is sharp beside sqrt(q) costs accuracy. (Gauss-Hermite sums at a kink are good to two digits.) A
function that turns without end, as sin does, is summed over nodes at equal distances, the trapezoidal rule, which is as
exact for what is smooth and periodic. Where q is so large that its waves fall between the nodes, their distance is a
golden ratio off a whole number of waves, so that they meet all phases evenly.

Reference: Takahasi & Mori, "Double exponential formulas for numerical integration", Publ. RIMS 9, 1974.
"""

import functools
import math
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from xinit.core.errors import InputError
from xinit.networks.activations import Activation
from xinit.networks.landmarks import in_double

Q = TypeVar("Q", float, np.ndarray)
Numbers = float | Float[np.ndarray, "..."]  # one, or an array of them

REACH = 10.0  # the density is 8e-23 of its peak there
RANGE = (1e-60, 1e60)  # of q where signals vanish or explode: far outside float32, and E f^4 is still a number
STEP = 1 / 20  # of the tanh-sinh rule: moments to 1e-12 (1e-7 at q = 1e4), Hermite coefficients to 1e-7
HERMITE_ORDERS = 100
NEGLIGIBLE = 1e-12  # share of E f^2 in one order
EQUAL_STEP = 1 / 50  # of the trapezoidal rule: E f^2 to 1e-9, E |f'|, whose kinks lie between nodes, to 1e-3
RESOLVED = 1 / 10  # of a wave between two nodes: the fourth power has waves a quarter as long
LARGE = 1e60  # f whose fourth power may be none that a float can hold
GOLDEN = (math.sqrt(5) - 1) / 2
AGREEMENT = 1e-3  # of an integral with a coarser one, relative; they are far apart where a moment is infinite


class Moments(NamedTuple):
    """Gaussian moments of f and f' at each q, arrays of the shape of q.

    `second_growth` is q d/dq E f^2 = E [f^2 (z^2 - 1)] / 2, and `slope_second_growth` the same of E f'^2.
    """

    mean: Float[np.ndarray, "*points"]
    second: Float[np.ndarray, "*points"]
    fourth: Float[np.ndarray, "*points"]
    slope_size: Float[np.ndarray, "*points"]
    slope_second: Float[np.ndarray, "*points"]
    slope_fourth: Float[np.ndarray, "*points"]
    second_growth: Float[np.ndarray, "*points"]
    slope_second_growth: Float[np.ndarray, "*points"]


def moments(activation: Activation, q: float | Float[np.ndarray, "*points"]) -> Moments:
    """E f, E f^2, E f^4, E |f'|, E f'^2, E f'^4 of f(sqrt(q) z), and how the second ones grow with q.

    >>> m = moments(xinit.activations.relu(), 1.0)
    >>> float(m.second.round(6)), float(m.slope_second.round(6))
    (0.5, 0.5)

    Raises:
      InputError: q is not finite and at least 0, or f has no finite moments there.
    """
    q = np.asarray(q, float)
    if not np.all(np.isfinite(q) & (q >= 0)):
        raise InputError(f"The variance of the pre-activations is {q}; it must be finite and at least 0.")
    nodes = _nodes(activation, q.ravel())
    f, slope = values_and_slopes(activation, np.sqrt(q.ravel())[:, None] * nodes.z)
    growing = (nodes.z**2 - 1) / 2
    (f, of_f), (slope, of_slope) = _in_units(f), _in_units(slope)
    with np.errstate(all="ignore"):
        integrands = f, f**2, f**4, np.abs(slope), slope**2, slope**4, f**2 * growing, slope**2 * growing
        units = of_f, of_f**2, of_f**4, of_slope, of_slope**2, of_slope**4, of_f**2, of_slope**2
        integrals = [
            [unit * part for part in _integral(values, nodes)] for values, unit in zip(integrands, units, strict=True)
        ]
        steepest = activation.slope_max if activation.slope_max < math.inf else 1.0
        scales = 1, 1, 1, steepest, steepest**2, steepest**4, 1, steepest**2
        doubtful = [  # also where nan
            ~(error <= AGREEMENT * (scale + size)) for (_, size, error), scale in zip(integrals, scales, strict=True)
        ]
    for name, wrong in zip(Moments._fields, doubtful, strict=True):
        if np.any(wrong):
            raise InputError(
                f"The activation {activation.name} has no finite Gaussian moments ({name} at q = {np.max(q):.3g}); "
                "theory needs E f^4 and E f'^4."
            )
    if activation.parity == "odd":
        integrals[0][0] = np.zeros_like(integrals[0][0])
    return Moments(*[value.reshape(q.shape) for value, *_ in integrals])


def mean_slope(activation: Activation, q: float | Float[np.ndarray, "*points"]) -> float:
    """E |f'(sqrt(q) z)| as a share of its maximum, the mean over several q; nan where f' has no bound.

    >>> round(mean_slope(xinit.activations.relu(), 1.0), 6), mean_slope(xinit.activations.squared_relu(), 1.0)
    (0.5, nan)
    """
    size = float(np.mean(moments(activation, q).slope_size))
    return size / activation.slope_max if activation.slope_max < math.inf else math.nan


def hermite_coefficients(
    activation: Activation, q: Float[np.ndarray, " points"]
) -> tuple[Float[np.ndarray, "points orders"], Float[np.ndarray, "points orders"]]:
    """(len(q), HERMITE_ORDERS) coefficients a_k = E f(sqrt(q) z) h_k(z) of f, and those of f'; h_k orthonormal.

    >>> of_f, of_slope = hermite_coefficients(xinit.activations.linear(), np.array([1.0]))
    >>> of_f[0, :3].round(6) + 0.0  # x = h_1(x)
    array([0., 1., 0.])
    """
    z, weights, _ = _nodes(activation, q)
    f, slope = values_and_slopes(activation, np.sqrt(q)[:, None] * z)
    coefficients = np.empty((2, len(q), HERMITE_ORDERS))
    previous, h = np.zeros_like(z), np.ones_like(z)
    zero = {"odd": 0, "even": 1}.get(activation.parity or "")  # the parity of the orders in which f has no part
    for k in range(HERMITE_ORDERS):
        coefficients[:, :, k] = np.sum(f * h * weights, axis=1), np.sum(slope * h * weights, axis=1)
        previous, h = h, (z * h - np.sqrt(k) * previous) / np.sqrt(k + 1)
    if zero is not None:
        coefficients[0, :, zero::2] = coefficients[1, :, 1 - zero :: 2] = 0.0
    return coefficients[0], coefficients[1]


def in_range(q: Q) -> Q:
    """q, or the edge of RANGE beyond it: so a signal that explodes over depth still has a table and a verdict.

    >>> in_range(np.array([0.0, 0.5, np.inf]))
    array([1.e-60, 5.e-01, 1.e+60])
    """
    clipped: Q = np.clip(q, *RANGE)
    return clipped


def slope_distribution(
    activation: Activation, q: float
) -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """Values of f'(sqrt(q) z) and their probabilities, at the nodes of the integrals.

    >>> slopes, shares = slope_distribution(xinit.activations.relu(), 1.0)
    >>> f"{shares[slopes > 0].sum():.3f}"  # half of the units are on
    '0.500'
    """
    z, weights, _ = _nodes(activation, np.array([q]))
    return values_and_slopes(activation, np.sqrt(q) * z)[1][0], weights[0]


def kernels(
    activation: Activation, gram: Float[np.ndarray, "batch batch"]
) -> tuple[Float[np.ndarray, "batch batch"], Float[np.ndarray, "batch batch"]]:
    """(E f(u_b) f(u_b'), E f'(u_b) f'(u_b')) for Gaussian u with covariance `gram` (B, B).

    Mehler's formula: with correlation c it is sum_k a_k(q) a_k(q') c^k. Rectifiers have closed forms (Cho & Saul 2009,
    eqs. 3-6). The series is cut at HERMITE_ORDERS; what is left of the diagonal's exact moment decays with c beyond.

    >>> kernel, slope_kernel = kernels(xinit.activations.relu(), np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> kernel.round(4)
    array([[0.5   , 0.1592],
           [0.1592, 0.5   ]])
    """
    q = np.diag(gram)
    roots = np.sqrt(q[:, None] * q[None, :])
    c = np.clip(np.divide(gram, roots, out=np.zeros_like(gram), where=roots > 0), -1, 1)
    if activation.rectifies and activation.negative_slope is not None:
        return _rectifier_kernels(activation.negative_slope, gram, roots, c)
    exact = moments(activation, q)
    if len(q) == 1:
        return exact.second[:, None], exact.slope_second[:, None]
    of_f, of_slope = hermite_coefficients(activation, q)
    return _mehler(of_f, exact.second, c), _mehler(of_slope, exact.slope_second, c)


def _mehler(a: np.ndarray, diagonal: np.ndarray, c: np.ndarray) -> np.ndarray:
    kernel, mattering = np.zeros_like(c), np.flatnonzero(np.max(a**2, axis=0) > NEGLIGIBLE * np.max(diagonal))
    for k in reversed(range(1 + mattering.max(initial=0))):  # Horner's scheme
        kernel = kernel * c + a[:, None, k] * a[None, :, k]
    rest = np.sqrt(np.maximum(diagonal - np.sum(a**2, axis=1), 0))
    kernel += rest[:, None] * rest[None, :] * c ** (2 * HERMITE_ORDERS)
    np.fill_diagonal(kernel, diagonal)
    return kernel


def _rectifier_kernels(a: float, gram: np.ndarray, roots: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angle = np.arccos(c)
    step = (np.pi - angle) / (2 * np.pi)
    ramp = roots * (np.sqrt(1 - c**2) + c * (np.pi - angle)) / (2 * np.pi)
    # f = a x + (1 - a) relu, and E x relu(y) = E x y / 2
    return a * gram + (1 - a) ** 2 * ramp, a + (1 - a) ** 2 * step


class _Nodes(NamedTuple):
    """Nodes z and their weights with the normal density, (len(q), N); those of a coarser rule, to tell the error."""

    z: np.ndarray
    weights: np.ndarray
    coarse: np.ndarray


def _in_units(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(values / unit, unit) for each row: 1, but of what is so large that its fourth power overflows a power of two."""
    largest = np.max(np.abs(values), axis=1, initial=0.0)
    unit = np.where(largest > LARGE, np.ldexp(1.0, np.frexp(largest)[1]), 1.0)
    return values / unit[:, None], unit


def _nodes(activation: Activation, q: np.ndarray) -> _Nodes:
    """f is smooth between neighbouring breakpoints, at the ends of which nodes crowd; or it turns without end."""
    if activation.wavelength is not None:
        return _equal_nodes(activation.wavelength, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        kinks = [np.nan_to_num(np.clip(kink / np.sqrt(q), -REACH, REACH)) for kink in activation.kinks]
    breaks = np.sort(np.stack([np.full(len(q), end) for end in (-REACH, 0.0, REACH)] + kinks), axis=0)
    unit, unit_weights = _tanh_sinh()
    every_other = 2.0 * (np.arange(len(unit)) % 2 == 0)
    half = np.diff(breaks, axis=0)[:, :, None] / 2
    z = np.concatenate(breaks[:-1, :, None] + half * (1 + unit), axis=1)
    weights = np.concatenate(half * unit_weights, axis=1) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return _Nodes(z, weights, weights * np.tile(every_other, len(breaks) - 1))


def _equal_nodes(wavelength: float, q: np.ndarray) -> _Nodes:
    waves = EQUAL_STEP * np.sqrt(q) / wavelength  # between two nodes
    phases = np.where(waves > RESOLVED, np.maximum(np.ceil(waves - GOLDEN), 0) + GOLDEN, waves)
    step = EQUAL_STEP * np.divide(phases, waves, out=np.ones_like(waves), where=waves > 0)[:, None]
    z = step * np.arange(-math.ceil(REACH / EQUAL_STEP), math.ceil(REACH / EQUAL_STEP) + 1)
    weights = step * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return _Nodes(z, weights, weights)


@functools.cache
def _tanh_sinh() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [-1, 1]; every other one is the rule of twice the step."""
    t = STEP * np.arange(-np.floor(3.2 / STEP), np.floor(3.2 / STEP) + 1)
    inner = np.pi / 2 * np.sinh(t)
    return np.tanh(inner), STEP * np.pi / 2 * np.cosh(t) / np.cosh(inner) ** 2


def _integral(values: np.ndarray, nodes: _Nodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The integrals, those of |values|, and the doubt: by the coarser rule, and by the tails beyond .8 REACH."""
    terms = values * nodes.weights
    whole, sizes = terms.sum(axis=1), np.abs(terms)
    coarse = (values * nodes.coarse).sum(axis=1)
    tails = (sizes * (np.abs(nodes.z) > 0.8 * REACH)).sum(axis=1)
    return whole, sizes.sum(axis=1), np.abs(whole - coarse) + tails


def values_and_slopes(
    activation: Activation, x: Float[np.ndarray, "*points"]
) -> tuple[Float[np.ndarray, "*points"], Float[np.ndarray, "*points"]]:
    """f and f' at x in double precision.

    >>> values_and_slopes(xinit.activations.relu(), np.array([-1.0, 2.0]))
    (array([0., 2.]), array([0., 1.]))
    """
    return in_double(activation.function)(x), in_double(activation.slope)(x)
