"""What theory says of the logarithm of |J v|^2, J the Jacobian of a Gaussian network and v a fixed direction.

Hanin & Nica 2018: nearly normal, N(-B/2, B), with B = 5 sum 1/n_l for relu and 2 sum 1/n_l for linear networks. The
factor of one layer is X = (2/n) sum over units of relu(g)^2, g ~ N(0, 1), with mean 1 and variance 5/n (2/n where all
units are open). Of log X mean and variance are also known exactly, which says how far 5 holds at a finite width.
"""

from collections.abc import Sequence

import numpy as np

PER_LAYER = {"relu": 5.0, "linear": 2.0}  # n Var X
MEAN_SQUARE = {"relu": 0.5, "linear": 1.0}  # E f(g)^2


def sum_of_reciprocals(widths: Sequence[int]) -> float:
    """Sum over layers of 1/n_l, the input n_0 left out.

    >>> sum_of_reciprocals((4, 4, 2))
    0.75
    """
    return float(sum(1 / n for n in widths[1:]))


def exact(activation: str, widths: Sequence[int], scale: float) -> tuple[float, float]:
    """Mean and variance of log |J v|^2 per unit of width, exactly, for networks of Gaussian weights that did not die.

    Given that k of n units are open, n X is scale times a chi-square with k degrees of freedom:
    E log chi^2_k = psi(k/2) + log 2 and Var log chi^2_k = psi'(k/2); k is binomial(n, 1/2), or n.

    >>> mean, variance = exact("relu", (100,) * 101, 2.0)
    >>> round(mean, 2), round(variance, 2)  # -B/2 = -2.5 and B = 5 to leading order
    (-2.52, 5.19)
    """
    moments = np.array([_log_factor(activation, n, scale) for n in widths[1:]])
    return float(moments[:, 0].sum()), float(moments[:, 1].sum())


def _log_factor(activation: str, n: int, scale: float) -> tuple[float, float]:
    """Mean and variance of log X of a layer of n units."""
    from scipy.special import polygamma, psi
    from scipy.stats import binom

    k = np.arange(1, n + 1) if activation == "relu" else np.array([n])
    share = binom.pmf(k, n, 0.5) if activation == "relu" else np.ones(1)
    share = share / share.sum()
    mean = share @ psi(k / 2)
    variance = share @ (polygamma(1, k / 2) + psi(k / 2) ** 2) - mean**2
    return mean + np.log(2 * scale / n), variance


def between_layers(widths: Sequence[int]) -> float:
    """E of the empirical variance over layers of the mean squares M_l, He-Gaussian relu networks, M_0 = 1, exactly.

    E M_l^2 = prod_{k <= l} (1 + 5/n_k) and E M_l M_m = E M_min(l, m)^2, since each layer's factor has mean 1 and is
    independent of those before. Hanin & Rolnick 2018, Theorem 5, bound it from both sides exponentially in sum 1/n_l.

    >>> round(between_layers((100,) * 11), 3)  # about (5/6) sum 1/n_l while that is small
    0.085
    """
    second_L = np.cumprod([1 + PER_LAYER["relu"] / n for n in widths[1:]])
    d = len(second_L)
    later_L = np.arange(d)[::-1]  # how many layers come after
    return float(second_L.mean() - (second_L * (1 + 2 * later_L)).sum() / d**2)
