"""Mean-field theory of wide random networks: where signals settle, and how deep they and their gradients reach.

A network here has W ~ N(0, s_w^2 / fan-in) and b ~ N(0, s_b^2); `weight_variance` is s_w^2 and `bias_variance` s_b^2.
With Law.variance V, s_w^2 = fan-in V.

References: Poole et al., "Exponential expressivity in deep neural networks through transient chaos", 2016;
Schoenholz et al., "Deep information propagation", 2017.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from xinit.core.errors import InputError
from xinit.networks.activations import Activation
from xinit.theory.moments import NEGLIGIBLE, Numbers, hermite_coefficients, in_range, moments

Q_GRID = np.geomspace(1e-9, 1e9, 541)  # 30 points a decade
SAME = 1e-9  # relative: a map this close to the identity keeps whatever it is given
TRAINABLE = 6.0  # depth scales of the correlation that still train: Schoenholz et al. 2017, figure 5


class Gains(NamedTuple):
    """Two factors for the weights after an activation, as PyTorch's table has them; never both just "the gain".

    second_moment: 1 / sqrt(E f^2), which keeps the second moment of the pre-activations at q.
    normalising: 1 / std f, which normalises the activation about its own mean.
    """

    second_moment: float
    normalising: float


class Edge(NamedTuple):
    """A point of the edge of chaos, chi_1 = 1: weights and biases that hold pre-activations at variance q there."""

    q: float
    weight_variance: float
    bias_variance: float


class Phase(NamedTuple):
    """Where a wide network of given weights and biases settles, and its depth scales in layers.

    q_star: the variance the pre-activations settle at (0 and infinity included). chi_1: the factor of a gradient's
    second moment a layer, and of a small difference between two inputs. c_star: the cosine that the pre-activations of
    two inputs settle at. xi_q, xi_c, xi_gradient: layers over which a deviation of q, a deviation of the cosine, the
    gradient's second moment change by a factor e; infinite where they change more slowly than exponentially.
    trainable_depth: 6 xi_c, which is what an asymptotic scale says; see `longest_depth`.
    """

    q_star: float
    chi_1: float
    c_star: float
    xi_q: float
    xi_c: float
    xi_gradient: float

    @property
    def trainable_depth(self) -> float:
        """6 xi_c (Schoenholz et al. 2017, section 5)."""
        return TRAINABLE * self.xi_c

    @property
    def name(self) -> str:
        """Ordered, critical or chaotic."""
        return "critical" if abs(self.chi_1 - 1) < 1e-6 else "ordered" if self.chi_1 < 1 else "chaotic"


def gains(activation: Activation, q: float = 1.0) -> Gains:
    """1 / sqrt(E f^2) and 1 / std f at pre-activations of variance q.

    >>> second_moment, normalising = gains(xinit.activations.relu())
    >>> round(second_moment, 3), round(normalising, 3)  # He's sqrt(2), and what batch normalisation needs
    (1.414, 1.713)
    """
    m = moments(activation, q)
    return Gains(float(m.second**-0.5), float((m.second - m.mean**2) ** -0.5))


def q_map(activation: Activation, weight_variance: float, bias_variance: float, q: Numbers) -> Numbers:
    """q_l = s_w^2 E f(sqrt(q_{l-1}) z)^2 + s_b^2 (Poole et al. 2016, eq. 3).

    >>> q_map(xinit.activations.relu(), 2.0, 0.0, np.array([0.5, 1.0])).round(6)  # He's weights keep every variance
    array([0.5, 1. ])
    """
    return weight_variance * moments(activation, q).second + bias_variance


def q_star(activation: Activation, weight_variance: float, bias_variance: float, start: float = 1.0) -> float:
    """The variance that pre-activations of variance `start` settle at: `start` itself under a map that keeps it.

    0 where it lies below 1e-9, infinity where it lies above 1e9.

    >>> f"{q_star(xinit.activations.tanh(), weight_variance=2.0, bias_variance=0.0):.3f}"
    '0.618'
    """
    change = lambda q: q_map(activation, weight_variance, bias_variance, q) - q
    first = float(change(np.float64(start)))
    if abs(first) <= SAME * start:
        return start
    grid = Q_GRID[start < Q_GRID] if first > 0 else Q_GRID[start > Q_GRID][::-1]
    turned = np.flatnonzero(change(grid) * first <= 0) if grid.size else grid
    if not turned.size:
        return math.inf if first > 0 else 0.0
    before = grid[turned[0] - 1] if turned[0] else start
    return float(brentq(change, before, grid[turned[0]], xtol=1e-15, rtol=1e-13))


def chi_1(activation: Activation, weight_variance: float, q: float) -> float:
    """s_w^2 E f'(sqrt(q) z)^2 (Schoenholz et al. 2017, eq. 5).

    >>> round(chi_1(xinit.activations.relu(), weight_variance=2.0, q=1.0), 6)
    1.0
    """
    return float(weight_variance * moments(activation, q).slope_second)


def c_map(
    activation: Activation, weight_variance: float, bias_variance: float, q: float
) -> Callable[[Numbers], tuple[Numbers, Numbers]]:
    """The function from a cosine c of pre-activations of variance q, a fixed point, to that a layer on; and its slope.

    c' = (s_w^2 E f(u) f(v) + s_b^2) / q and dc'/dc = s_w^2 E f'(u) f'(v), u and v of variance q and cosine c (Poole et
    al. 2016, eq. 5), by Mehler's formula. What is left beyond its last order stands at the one order that leaves dc'/dc
    = chi_1 at c = 1, so that in the chaotic phase the map crosses c' = c below 1.

    >>> cosine, slope = c_map(xinit.activations.relu(), 2.0, 0.0, q=1.0)(0.0)
    >>> f"{cosine:.3f}"  # orthogonal inputs come closer: 1 / pi
    '0.318'
    """
    m = moments(activation, q)
    shares = hermite_coefficients(activation, np.array([q]))[0][0] ** 2
    orders = np.arange(len(shares))
    rest, slope_rest = m.second - shares.sum(), q * m.slope_second - orders @ shares
    if rest > NEGLIGIBLE * m.second:
        order = max(np.round(slope_rest / rest), 1.0)  # below 1 only where f jumps, which f' does not show
        orders, shares = np.append(orders, order), np.append(shares, rest)

    def step(c: Numbers) -> tuple[Numbers, Numbers]:
        cosines = np.asarray(c, float)[..., None]
        slope = cosines ** np.maximum(orders - 1, 0) @ (orders * shares)
        return (weight_variance * (cosines**orders @ shares) + bias_variance) / q, weight_variance * slope / q

    return step


def c_star(activation: Activation, weight_variance: float, bias_variance: float, q: float) -> float:
    """The cosine that two inputs settle at: 1 in the ordered phase, below 1 in the chaotic one.

    >>> f = xinit.activations.tanh()
    >>> f"{c_star(f, 2.0, 0.05, q_star(f, 2.0, 0.05)):.2f}"  # the chaotic phase tells inputs apart
    '0.74'
    """
    if chi_1(activation, weight_variance, q) <= 1 + SAME:
        return 1.0
    step = c_map(activation, weight_variance, bias_variance, q)
    change = lambda c: step(c)[0] - c
    grid = np.concatenate([np.linspace(0, 0.99, 100), 1 - np.geomspace(1e-2, 1e-7, 40)])
    above = np.flatnonzero(change(grid) > 0)
    if not above.size:
        return 0.0
    last = above[-1]
    return 1.0 if last == len(grid) - 1 else float(brentq(change, grid[last], grid[last + 1], xtol=1e-14))


def phase(activation: Activation, weight_variance: float, bias_variance: float = 0.0, start: float = 1.0) -> Phase:
    """Where signals of variance `start` settle, with the depth scales there.

    1/xi_q = -log(chi_1 + s_w^2 E f f''), 1/xi_c = -log(s_w^2 E f'(u) f'(v) at c*), 1/xi_gradient = |log chi_1|
    (Schoenholz et al. 2017, eqs. 7, 9 and 14).

    >>> phase(xinit.activations.tanh(), 0.5).name, phase(xinit.activations.tanh(), 4.0).name
    ('ordered', 'chaotic')
    >>> f"{phase(xinit.activations.tanh(), 0.5).xi_c:.2f} layers"  # 1 / log 2
    '1.44 layers'

    Raises:
      InputError: a variance that is not finite or below 0, or an activation without finite moments.
    """
    if not (0 < weight_variance < math.inf and 0 <= bias_variance < math.inf):
        raise InputError(
            f"The variances of weights and biases are {weight_variance} and {bias_variance}; they must be finite, the "
            "first above 0, the second at least 0."
        )
    settled = q_star(activation, weight_variance, bias_variance, start)
    q = float(in_range(settled))  # at 0 and infinity, the moments' limits
    m = moments(activation, q)
    chi = float(weight_variance * m.slope_second)
    cosine = c_star(activation, weight_variance, bias_variance, q) if 0 < settled < math.inf else 1.0
    rate_q = float(weight_variance * m.second_growth / q)
    rate_c = float(c_map(activation, weight_variance, bias_variance, q)(cosine)[1]) if cosine < 1 else chi
    return Phase(settled, chi, cosine, _scale(rate_q), _scale(rate_c), _scale(chi))


def _scale(rate: float) -> float:
    """Layers over which something multiplied by `rate` a layer changes by a factor e; none where the rate is 0."""
    if rate <= 0:
        return 0.0
    return math.inf if abs(math.log(rate)) < 1e-7 else 1 / abs(math.log(rate))


def edge_of_chaos(activation: Activation, q: float) -> Edge:
    """The point of the edge where pre-activations settle at variance q: s_w^2 E f'^2 = 1, s_w^2 E f^2 + s_b^2 = q.

    `bias_variance` is negative where no biases reach it, as for sigmoid below q = 45.6.

    >>> edge = edge_of_chaos(xinit.activations.tanh(), q=0.5)
    >>> f"s_w^2 = {edge.weight_variance:.2f}, s_b^2 = {edge.bias_variance:.2f}"
    's_w^2 = 1.69, s_b^2 = 0.04'
    """
    weight_variance, bias_variance = _edge(activation, q)
    return Edge(float(q), float(weight_variance), float(bias_variance))


def edge_at(activation: Activation, bias_variance: float) -> Edge | None:
    """The point of the edge with the given variance of the biases, at the least q; None where there is none.

    >>> edge = edge_at(xinit.activations.tanh(), bias_variance=0.05)
    >>> f"q* = {edge.q:.2f}, s_w^2 = {edge.weight_variance:.2f}"
    'q* = 0.57, s_w^2 = 1.76'
    """
    excess = lambda q: _edge(activation, q)[1] - bias_variance
    grid = Q_GRID[(Q_GRID > 1e-6) & (Q_GRID < 1e6)]
    values = np.asarray(excess(grid))
    crossed = np.flatnonzero(values[:-1] * values[1:] < 0)
    if not crossed.size:
        return None
    return edge_of_chaos(activation, brentq(excess, grid[crossed[0]], grid[crossed[0] + 1], xtol=1e-15, rtol=1e-13))


def _edge(activation: Activation, q: Numbers) -> tuple[Numbers, Numbers]:
    m = moments(activation, q)
    with np.errstate(divide="ignore", invalid="ignore"):  # f' may be 0 wherever signals of this size go
        bias_variance = q - m.second / m.slope_second
        weight_variance = 1 / m.slope_second
    return weight_variance, np.where(np.abs(bias_variance) < SAME * q, 0.0, bias_variance)


class Walk(NamedTuple):
    """A finite network layer by layer: the variance q_l of its pre-activations, and the product of chi up to there."""

    q: Float[np.ndarray, " layer"]
    gradient: Float[np.ndarray, " layer"]


def walk(
    activation: Activation,
    weight_variance: float,
    bias_variance: float,
    start: float,
    depth: int,
    backward_variance: float | None = None,
) -> Walk:
    """q_1..q_depth from q_1 = `start`, and prod_{k<l} s_w^2 E f'(sqrt(q_k) z)^2, a gradient's fall from l to 1.

    `backward_variance` is fan-out V where it is not fan-in V, as between layers of different widths. The products say
    what an asymptotic scale does not: tanh with s_w^2 = 1 is critical, and its q_l still falls as 1 / (2 l).

    >>> walk(xinit.activations.linear(), weight_variance=0.5, bias_variance=0.0, start=1.0, depth=4).q
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    back = weight_variance if backward_variance is None else backward_variance
    q, gradient = np.empty(depth), np.ones(depth)
    q[0] = start
    for l in range(1, depth):
        m = moments(activation, q[l - 1])
        q[l] = in_range(weight_variance * m.second + bias_variance)
        with np.errstate(over="ignore"):
            gradient[l] = gradient[l - 1] * back * m.slope_second
    return Walk(q, gradient)


def longest_depth(walked: Walk, limit: float) -> int:
    """The most layers over which neither the signal's nor the gradient's std changes by more than `limit`.

    The length of the walk where that is never passed.

    >>> longest_depth(walk(xinit.activations.linear(), 0.5, 0.0, 1.0, 30), limit=10.0)  # 0.5^(6/2) = 1/8
    7
    """
    with np.errstate(divide="ignore", over="ignore"):  # a gradient may have left the range of floats
        changes = np.maximum(np.abs(np.log(walked.q / walked.q[0])), np.abs(np.log(walked.gradient))) / 2
    passed = np.flatnonzero(~(changes <= math.log(limit)))
    return int(passed[0]) if passed.size else len(changes)
