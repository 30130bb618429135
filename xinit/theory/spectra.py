"""Singular values of one layer's Jacobian diag f'(z) W^T in the limit of wide layers, from free probability."""

import math

import numpy as np

from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.theory.moments import slope_distribution

LOG_T = np.arange(-36.0, 36.0, 0.4)  # the integrand below falls off as exp(-|s|/2) on either side
HALVINGS = 60


def mean_singular_value(activation: Activation, q: float, law: Law, fan_in: int, fan_out: int) -> float:
    """Mean over the min(fan_in, fan_out) singular values of diag f'(z) W^T, z of variance q, W (fan_in, fan_out).

    For independent entries the eigenvalues lambda of J J^T follow the sample-covariance law of Marchenko & Pastur
    (1967): with tau = fan_in Var W f'^2 and y = fan_out / fan_in, the companion transform m at -t solves

    t m + y E [tau m / (1 + tau m)] = 1,   and   E sqrt(lambda) = (1 / pi) int_0^inf (1 - t m(t)) / y  dt / sqrt(t).

    Square and linear it is 8 / (3 pi) sqrt(n Var W). With orthonormal columns of W it is E |f'| times their length. nan
    where neither applies: orthonormal rows, or another structure.

    >>> f"{mean_singular_value(xinit.activations.linear(), 1.0, Law(1 / 100), 100, 100):.3f}"  # 8 / (3 pi)
    '0.849'
    >>> f"{mean_singular_value(xinit.activations.linear(), 1.0, Law(1 / 100, structure='orthogonal'), 100, 100):.3f}"
    '1.000'
    """
    slopes, shares = slope_distribution(activation, q)
    if law.structure == "orthogonal" and fan_out <= fan_in:
        return math.sqrt(fan_in * law.variance) * float(np.sum(shares * np.abs(slopes)))
    if law.structure != "independent":
        return math.nan
    tau, y = fan_in * law.variance * slopes**2, fan_out / fan_in
    t = np.exp(LOG_T)
    m = _companion(t, tau, shares, y)
    mean_root = np.sum((1 - t * m) / y * np.sqrt(t)) * (LOG_T[1] - LOG_T[0]) / math.pi
    return mean_root * fan_out / min(fan_in, fan_out)


def _companion(t: np.ndarray, tau: np.ndarray, shares: np.ndarray, y: float) -> np.ndarray:
    """The root m in (0, 1/t) of an increasing function, by halving the bracket of log m."""
    low, high = np.log(1 / t) - 80.0, np.log(1 / t)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        m = np.exp(middle)
        product = tau[None, :] * m[:, None]
        above = t * m + y * (product / (1 + product)) @ shares > 1
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.exp((low + high) / 2)
