"""Second moments between all pairs of examples, from layer to layer: Glorot & Bengio 2010, eqs. 5-7.

For any activation, in wide networks; where the means of networks of finite width depart from it, they lead it.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.theory.finite_width import Networks
from xinit.theory.moments import in_range, kernels
from xinit.theory.output_errors import OutputErrors

DRAWS = 5_000  # of outputs, in all: five hundred networks of ten


class Recursion(NamedTuple):
    """<z z'> and E f f' of all layers, the latter with the inputs in front, and <d d'> of all layers and the outputs.

    (B, B) each; `grads` (B + E, B + E) has the few examples again at its end, with the mean target.
    """

    pre: list[Float[np.ndarray, "batch batch"]]
    post: list[Float[np.ndarray, "batch batch"]]
    grads: list[Float[np.ndarray, "batch+few batch+few"]]


def follow(
    widths: Sequence[int], activations: Sequence[Activation], laws: Sequence[Law],
    gram: Float[np.ndarray, "batch batch"], errors: OutputErrors, few: Int[np.ndarray, " few"], drawn: Networks,
) -> Recursion:  # fmt: skip
    """The recursion of `prediction.predict`.

    >>> from xinit.theory.finite_width import draw
    >>> from xinit.networks.losses import cross_entropy
    >>> from xinit.theory.output_errors import output_errors
    >>> laws, errors = [Law(1 / 8), Law(1 / 64)], output_errors(cross_entropy(), np.arange(2), 2)
    >>> network, few = ((8, 64, 2), [xinit.activations.tanh()], laws, np.eye(2), errors), np.arange(2)
    >>> recursion = follow(*network, few, draw(*network, few))
    >>> recursion.pre[0]  # <z z'> of two orthogonal inputs of mean square 1, under 1/n_in
    array([[1., 0.],
           [0., 1.]])

    Args:
      gram: (B, B) of the inputs.
      errors: dL/do.
      few: (E,) which examples `drawn` has.
      drawn: networks of these widths.
    """
    pre, post, slopes = [], [gram], []
    for n, law, f, growth in zip(widths, laws, activations, drawn.growth, strict=False):
        pre.append(_in_range(n * law.variance * post[-1] + law.bias_variance))
        h, slope = kernels(f, pre[-1])
        passed_on = np.mean(growth * np.diag(pre[-1])[few])  # at the networks' sizes, not at the recursion's
        post.append(h * (passed_on / np.mean(np.diag(h)[few])) ** drawn.narrowing)
        slopes.append(slope)
    outputs = _in_range(widths[-2] * laws[-1].variance * post[-1] + laws[-1].bias_variance)
    again = np.append(np.arange(len(gram)), few)
    led = lambda grad, sample: grad * drawn.lead(sample, np.mean(np.diag(grad)[few]))
    grads = [led(_errors(outputs, widths[-1], errors, few), drawn.grad_pre[-1])]
    for n, law, slope, sample in zip(widths[:1:-1], laws[::-1], slopes[::-1], drawn.grad_pre[-2::-1], strict=False):
        grads.insert(0, led(n * law.variance * grads[0] * slope[np.ix_(again, again)], sample))
    return Recursion(pre, post, grads)


def _errors(
    outputs: Float[np.ndarray, "batch batch"], n_outputs: int, errors: OutputErrors, few: Int[np.ndarray, " few"]
) -> Float[np.ndarray, "batch+few batch+few"]:
    """Second moments of dL/do, over outputs and many networks, whose outputs are Gaussian of this covariance."""
    n = len(outputs)
    drawn = normals(max(100, DRAWS // n_outputs), n_outputs, n) @ root(outputs).T
    found = np.concatenate([errors.own(drawn, np.arange(n)), errors.shared(np.take(drawn, few, axis=2))], axis=2)
    return np.einsum("skb,skc->bc", found, found, optimize=True) / (len(drawn) * n_outputs)


def _in_range(gram: Float[np.ndarray, "batch batch"]) -> Float[np.ndarray, "batch batch"]:
    size = float(np.mean(np.diag(gram)))
    return gram * (in_range(size) / size) if size > 0 else in_range(size) * np.eye(len(gram))


@functools.cache
def normals(*shape: int) -> Float[np.ndarray, "..."]:
    """Standard normal numbers, the same at every call."""
    return np.random.default_rng(0).standard_normal(shape)


def root(gram: Float[np.ndarray, "batch batch"]) -> Float[np.ndarray, "batch batch"]:
    """R with R R^T = gram, up to a billionth of its diagonal: examples may be equal, or more than there are inputs.

    >>> gram = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> (root(gram) @ root(gram).T).round(6)
    array([[2., 1.],
           [1., 2.]])
    """
    return np.linalg.cholesky(gram + 1e-9 * np.mean(np.diag(gram)) * np.eye(len(gram)))
