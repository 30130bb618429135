"""The paper's solutions for one mode of a decoupled start: strength u of the product, strength s of the task.

Times are in units of tau: t = steps x rate. L = N_l - 1 is the number of weight matrices.
"""

import numpy as np
from numpy.typing import ArrayLike


def strength(t: ArrayLike, s: ArrayLike, start: float) -> np.ndarray:
    """u(t) = s e^(2st) / (e^(2st) - 1 + s/u_0), three layers (eq. 12).

    >>> f"{strength(0.0, 2.0, 0.01):.2f} {strength(100.0, 2.0, 0.01):.2f}"
    '0.01 2.00'
    """
    s = np.asarray(s, float)
    return s / (1 + (s / start - 1) * np.exp(-2 * s * np.asarray(t, float)))


def time_until(end: ArrayLike, s: ArrayLike, start: float) -> np.ndarray:
    """t = ln[u_f (s - u_0) / (u_0 (s - u_f))] / (2 s), three layers (eq. 11)."""
    end, s = np.asarray(end, float), np.asarray(s, float)
    return np.log(end * (s - start) / (start * (s - end))) / (2 * s)


def strength_at_depth(t: np.ndarray, s: float, start: float, matrices: int) -> np.ndarray:
    """u at increasing times t under u' = L u^(2 - 2/L) (s - u) (eq. 15), integrated numerically."""
    from scipy.integrate import solve_ivp

    slope = lambda _, u: matrices * u ** (2 - 2 / matrices) * (s - u)
    return solve_ivp(slope, (0, t[-1]), [start], "LSODA", t, rtol=1e-9, atol=1e-12).y[0]


def time_at_depth(end: float, s: float, start: float, matrices: int) -> float:
    """L t, with t the time from u_0 to u_f under eq. 15: the time at a step size that falls as 1 / L.

    For L to infinity it is eq. 17: (1/s^2) ln[u_f (s - u_0) / (u_0 (s - u_f))] + 1/(s u_0) - 1/(s u_f).
    """
    from scipy.integrate import quad

    power = 1 - 2 / matrices  # in v = ln u, which spreads out the slow beginning
    return quad(lambda v: np.exp(-power * v) / (s - np.exp(v)), np.log(start), np.log(end), limit=200)[0]


def time_at_infinite_depth(end: float, s: float, start: float) -> float:
    """N_l t of eq. 17."""
    return float(2 * time_until(end, s, start) / s + 1 / (s * start) - 1 / (s * end))


def autoencoder(variance: np.ndarray, t: float, start: float) -> np.ndarray:
    """m(t) of an autoencoder's modes: u' = 2 u variance (1 - u) (Appendix E, eq. 46, with S = D).

    Its modes are the principal components of the inputs; a mode of large variance is restored first.
    """
    return 1 / (1 + (1 / start - 1) * np.exp(-2 * np.asarray(variance, float) * t))
