"""The plane of weight and bias variances: where a wide network settles at many of its points at once, for drawing."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from xinit.networks.activations import Activation
from xinit.theory.mean_field import Q_GRID, c_map
from xinit.theory.moments import moments

LOG_Q, LOG_SPARSE = np.log(Q_GRID), np.log(Q_GRID[120:421:3])  # moments; c-maps, 1e-5 to 1e5, 10 points a decade
COSINES = np.concatenate([np.linspace(0, 0.98, 50), 1 - np.geomspace(1e-2, 1e-6, 25)])
REFINEMENTS = 2  # Newton's steps on the spline


class Settled(NamedTuple):
    """As `mean_field.Phase` at each point, arrays of one shape; q_star is 0 or infinite where it leaves Q_GRID."""

    q_star: Float[np.ndarray, "*points"]
    chi_1: Float[np.ndarray, "*points"]
    xi_q: Float[np.ndarray, "*points"]
    xi_c: Float[np.ndarray, "*points"]


def settler(activation: Activation) -> Callable[[np.ndarray, np.ndarray | float], Settled]:
    """The function from arrays of s_w^2 and s_b^2 to where pre-activations of variance 1 settle: scales good to .02.

    The moments are tabulated once over q: each point of the plane then costs a look-up, where `phase` integrates.

    >>> settle = settler(xinit.activations.tanh())
    >>> settle(np.array([0.5, 2.0]), 0.0).q_star.round(2)  # ordered: silent; chaotic: a signal of its own
    array([0.  , 0.62])
    """
    m = moments(activation, Q_GRID)
    log_second, slope_second, growth = (
        CubicSpline(LOG_Q, values) for values in (np.log(m.second), m.slope_second, m.second_growth / Q_GRID)
    )
    secants, slopes = _cosine_tables(activation)

    def settle(weight_variance: np.ndarray, bias_variance: np.ndarray | float) -> Settled:
        w, b = np.broadcast_arrays(np.asarray(weight_variance, float), bias_variance)
        shape, w, b = w.shape, w.ravel(), b.ravel()
        q = _fixed_points(log_second, w, b)
        at = np.log(np.clip(q, Q_GRID[0], Q_GRID[-1]))
        chi = w * slope_second(at)
        rate_c = np.array(chi)
        chaotic = np.flatnonzero((chi > 1) & (q > 0) & np.isfinite(q))
        near = np.clip(at[chaotic], LOG_SPARSE[0], LOG_SPARSE[-1])
        rate_c[chaotic] = w[chaotic] * _slopes_at_c_star(w[chaotic, None] * secants(near), slopes(near))
        values = q, chi, depth_scale(w * growth(at)), depth_scale(rate_c)
        return Settled(*[a.reshape(shape) for a in values])

    return settle


def depth_scale(rates: Float[np.ndarray, "*points"]) -> Float[np.ndarray, "*points"]:
    """1 / |log rate|, infinite where the rate is 1 to seven digits and 0 where it is 0.

    >>> depth_scale(np.array([0.5, 1.0, 2.0])).round(2)
    array([1.44,  inf, 1.44])
    """
    with np.errstate(divide="ignore"):
        logs = np.abs(np.log(np.maximum(rates, 0)))
        return np.where(logs < 1e-7, np.inf, 1 / logs)


def _fixed_points(log_second: CubicSpline, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The variance that each point's q-map leads to from 1: the nearest crossing of q' = q on the side it moves to."""
    log_change = np.log(w[:, None] * np.exp(log_second(LOG_Q)) + b[:, None]) - LOG_Q
    middle = len(Q_GRID) // 2
    first = log_change[:, middle]
    above, below = log_change[:, middle + 1 :] <= 0, log_change[:, middle - 1 :: -1] >= 0
    turned = np.where(first > 0, above.any(axis=1), below.any(axis=1))
    left = np.where(first > 0, middle + above.argmax(axis=1), middle - 1 - below.argmax(axis=1))
    x = (LOG_Q[left] + LOG_Q[left + 1]) / 2
    for _ in range(REFINEMENTS):
        second = w * np.exp(log_second(x))
        decay = 1 - second / (second + b) * log_second(x, 1)
        step = np.divide(np.log(second + b) - x, decay, out=np.zeros_like(x), where=decay != 0)
        x = np.clip(x + step, LOG_Q[left], LOG_Q[left + 1])
    kept = np.abs(first) < 1e-9  # a map that keeps what it is given
    return np.where(kept, 1.0, np.where(turned, np.exp(x), np.where(first > 0, np.inf, 0.0)))


def _cosine_tables(activation: Activation) -> tuple[CubicSpline, CubicSpline]:
    """(E f^2 - E f(u) f(v)) / (q (1 - c)) and E f'(u) f'(v) at COSINES c of u and v, over log q."""
    maps = [c_map(activation, 1.0, 0.0, float(q)) for q in np.exp(LOG_SPARSE)]
    secants = np.array([(step(1.0)[0] - step(COSINES)[0]) / (1 - COSINES) for step in maps])
    return CubicSpline(LOG_SPARSE, secants), CubicSpline(LOG_SPARSE, np.array([step(COSINES)[1] for step in maps]))


def _slopes_at_c_star(growth: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """`slopes`, (point, cosine), at c*: the last cosine where 1 - c, which grows by `growth` in a layer, does not."""
    shrinking = growth < 1
    last = len(COSINES) - 1 - shrinking[:, ::-1].argmax(axis=1)
    last = np.where(shrinking.any(axis=1), np.minimum(last, len(COSINES) - 2), 0)
    points = np.arange(len(growth))
    old, new = growth[points, last] - 1, growth[points, last + 1] - 1
    part = np.clip(np.divide(old, old - new, out=np.zeros_like(old), where=old < new), 0, 1)
    return (1 - part) * slopes[points, last] + part * slopes[points, last + 1]
