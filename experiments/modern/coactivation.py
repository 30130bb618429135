"""The correlation between the derivatives of a rectifier network at two inputs, in the limit of infinite width.

A rectifier hands a derivative on where it is active. Two derivatives keep what they have in common where the unit is
active at both inputs: the correlation is multiplied by 2 P(active at both), which is 1/2 where the inputs have nothing
in common, and 1 where they are the same. All start from inputs without anything in common; entry l is behind l
rectifiers.
"""

from collections.abc import Callable, Mapping

import numpy as np

LASTING = 1 - 1 / np.pi  # of the second moment of a rectifier at N(0, 1), what is left without its mean


def both_active(cosine: float) -> float:
    """2 P(both are positive) of two standard normal numbers of this correlation (Cho & Saul 2009, order 0)."""
    return 1 - float(np.arccos(np.clip(cosine, -1, 1))) / np.pi


def next_cosine(cosine: float) -> float:
    """2 E relu(a) relu(b) of the same two: their cosine behind a rectifier layer (Cho & Saul 2009, order 1)."""
    angle = float(np.arccos(np.clip(cosine, -1, 1)))
    return (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi


def plain(n: int) -> np.ndarray:
    """Layers one behind the other: inputs grow alike, so that the correlation falls ever more slowly, like a power."""
    cosine, correlation = 0.0, [1.0]
    for _ in range(n):
        correlation.append(correlation[-1] * both_active(cosine))
        cosine = next_cosine(cosine)
    return np.array(correlation)


def plain_normed(n: int) -> np.ndarray:
    """With batch normalisation, which keeps inputs apart: 2^-l."""
    return 0.5 ** np.arange(n + 1)


def residual(n: int) -> np.ndarray:
    """Blocks h + W relu(h): stream and branch are equally large."""
    cosine, correlation = 0.0, [1.0]
    for _ in range(n):
        correlation.append(correlation[-1] * (1 + both_active(cosine)) / 2)
        cosine = (cosine + next_cosine(cosine)) / 2
    return np.array(correlation)


def residual_normed(n: int) -> np.ndarray:
    """Blocks h + W relu(norm(h)): a derivative through branch l is divided by the size of the stream there.

    That is the part of the stream that differs between inputs, whose variance is 1 + (1 - 1/pi) l, since batch
    normalisation takes the common part off. Were it 1 + l, the correlation would fall like 1/sqrt(l).
    """
    variance = 1 + LASTING * np.arange(n)
    factors = (1 + 1 / (2 * variance)) / (1 + 1 / variance)
    return np.concatenate([[1.0], np.cumprod(factors)])


def linear(n: int) -> np.ndarray:
    """A network that computes a linear map has one derivative everywhere."""
    return np.ones(n + 1)


EXPECTED: Mapping[str, Callable[[int], np.ndarray]] = {
    "plain": plain,
    "plain_normed": plain_normed,
    "residual": residual,
    "residual_normed": residual_normed,
    "looks_linear": linear,
}
