"""The products of He et al. 2015, section 2.2: second moments of signal and gradient in rectifier networks.

With f(z) = z for z > 0, else a z, independent weights of variance V with symmetric signs, and zero biases:

eqs. 9 and 15    E (z^l)^2 = (1 + a^2)/2 n_l V_l E (z^(l-1))^2                  n_l the fan-in
eq. 13           E (dL/dz^(l-1))^2 = (1 + a^2)/2 m_l V_l E (dL/dz^l)^2          m_l the fan-out

The paper says these of every position of an image alike. Zeros around an image add nothing to a window, so a border
position has less; here every position is followed by itself, which is exact.
"""

from collections.abc import Sequence

import numpy as np

WINDOW = 3  # of a convolution, a side


def border(side: int, stride: int) -> np.ndarray:
    """(places after, side): the share that each place of a line has in each window, zeros laid around the line.

    The padding is "SAME": as much at both ends, the odd zero behind.

    >>> border(4, 1).sum(axis=1).round(2)
    array([0.67, 1.  , 1.  , 0.67])
    """
    after = -(-side // stride)
    before = max((after - 1) * stride + WINDOW - side, 0) // 2
    starts = np.arange(after)[:, None] * stride - before
    places = np.arange(side)[None, :]
    return ((places >= starts) & (places < starts + WINDOW)) / WINDOW


def lasting(side: int) -> float:
    """The share of the second moment that each of many layers on images of this side keeps, at its border's expense.

    The largest eigenvalue of `border(side, 1)` is (1 + 2 cos(pi / (side + 1))) / 3; an image has two directions.

    >>> round(lasting(8), 3)
    0.922
    """
    return float(((1 + 2 * np.cos(np.pi / (side + 1))) / WINDOW) ** 2)


def signal(
    second: np.ndarray, factors: Sequence[float], strides: Sequence[int], slope: float = 0.0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(L,) E (z^l)^2, the mean over positions, and the borders on the way; without positions `strides` is empty.

    Args:
      second: the inputs' second moment, a number as an array (1, 1) or at every position, (height, width).
      factors: n_l V_l of each layer.
      strides: of each convolution.
      slope: a.
    """
    moments, borders, q = [], [], np.asarray(second, float)
    for l, factor in enumerate(factors):
        if strides:
            borders.append(border(len(q), strides[l]))
            q = borders[-1] @ q @ borders[-1].T
        q = factor * q
        moments.append(q.mean())
        q = (1 + slope**2) / 2 * q
    return np.array(moments), borders


def gradient(factors: Sequence[float], borders: Sequence[np.ndarray], slope: float = 0.0) -> np.ndarray:
    """(L,) E (dL/dz^l)^2 over that of the top layer, the mean over positions; there every position has the same.

    Args:
      factors: m_l V_l of each layer but the first.
      borders: of each convolution, as `signal` gives them.
      slope: a.
    """
    g = np.ones([len(borders[-1])] * 2) if borders else np.ones((1, 1))
    moments = [g.mean()]
    for l in range(len(factors), 0, -1):
        g = (1 + slope**2) / 2 * factors[l - 1] * (borders[l].T @ g @ borders[l] if borders else g)
        moments.append(g.mean())
    return np.array(moments[::-1])
