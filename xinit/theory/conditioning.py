"""Gaussian weights that are met twice, and never drawn: forward by the activations below, backward by gradients above.

Let H (unit, example) be the activations below, D the gradients above, and w the matrix over its standard deviation:

forward    w^T H = G C^T                          C C^T = H^T H, G standard normal
backward   w D = Q G^T D + (1 - Q Q^T) R          Q = H C^-T, R Gaussian with the covariance D^T D

G is what w does to the directions Q that the forward pass has looked along; across them, w is fresh (Bolthausen, Comm.
Math. Phys. 325, 2014, conditions on products in this way). Both cost n a layer in place of n^2, and their law is exact.

Axes: network S, unit N, example E. Gram matrices are means over units.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

PHANTOM = 1e-12  # units added, of this share of the mean square: so equal examples have a Cholesky root


class Met(NamedTuple):
    """Weights as the forward pass met them: the Gram matrix below, its Cholesky root C, and G."""

    gram: np.ndarray
    root: np.ndarray
    drawn: np.ndarray


def meet(below: Float[np.ndarray, "network few few"], units: int, rng: np.random.Generator) -> Met:
    """Weights with so many outputs, which meet activations of this Gram matrix.

    >>> met = meet(np.ones((1, 1, 1)), 100, np.random.default_rng(0))
    >>> (met.drawn @ transposed(met.root)).shape
    (1, 100, 1)
    """
    return Met(below, _root(below), rng.standard_normal((len(below), units, below.shape[-1])))


def pulled(
    met: Met, h: Float[np.ndarray, "network units few"], d: Float[np.ndarray, "network above some"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "network units some"]:  # fmt: skip
    """w D / sqrt(N), given what the forward pass has seen of w. The phantom units complete Q.

    >>> rng, h = np.random.default_rng(0), np.ones((1, 50, 1))
    >>> pulled(meet(gram_of(h), 100, rng), h, np.ones((1, 100, 1)), rng).shape
    (1, 50, 1)
    """
    root, inverse = transposed(_root(gram_of(d))), np.linalg.inv(met.root)
    fresh = rng.standard_normal((*h.shape[:2], d.shape[2])) @ root
    phantom = np.sqrt(_phantom(met.gram)) * (rng.standard_normal((len(h), h.shape[2], d.shape[2])) @ root)
    basis = h @ transposed(inverse) / np.sqrt(h.shape[1])
    seen = transposed(met.drawn) @ d / np.sqrt(d.shape[1])
    return fresh + basis @ (seen - transposed(basis) @ fresh - inverse @ phantom)


def gram_of(vectors: Float[np.ndarray, "network units few"]) -> Float[np.ndarray, "network few few"]:
    """Products between examples, means over units.

    >>> gram_of(np.ones((1, 4, 2)))
    array([[[1., 1.],
            [1., 1.]]])
    """
    return transposed(vectors) @ vectors / vectors.shape[1]


def transposed(matrices: np.ndarray) -> np.ndarray:
    """Each matrix of a stack.

    >>> transposed(np.ones((1, 4, 2))).shape
    (1, 2, 4)
    """
    return np.swapaxes(matrices, -1, -2)


def _phantom(gram: Float[np.ndarray, "network few few"]) -> Float[np.ndarray, "network 1 1"]:
    mean = np.einsum("see->s", gram)[:, None, None] / gram.shape[1]
    return PHANTOM * mean + 1e-290  # a dead network's Gram matrix is zero


def _root(gram: Float[np.ndarray, "network few few"]) -> Float[np.ndarray, "network few few"]:
    return np.linalg.cholesky(gram + _phantom(gram) * np.eye(gram.shape[1]))
