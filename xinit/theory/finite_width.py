"""Networks of finite width, drawn on a few examples: how they scatter about the wide limit, forward and backward.

A weight matrix is met twice: forward by the activations below, H (unit, example), backward by the gradients above, D.
For Gaussian weights the results can be drawn without the matrix, at a cost of n a layer in place of n^2. With w the
matrix over its standard deviation s,

forward    w^T H = G C^T                          C C^T = H^T H, G standard normal
backward   w D = Q G^T D + (1 - Q Q^T) R          Q = H C^-T, R Gaussian with the covariance D^T D

G is what w does to the directions Q that the forward pass has looked along; across them, w is fresh (Bolthausen, Comm.
Math. Phys. 325, 2014, conditions on products in this way). So the law of both passes is exact: fluctuations grow where
a fixed point repels, examples share the weights, and a gradient passes the weights that made its logits.

Axes: network S, unit N, example E. Gram matrices are means over units.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import CubicSpline

from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.theory.moments import in_range, moments, values_and_slopes
from xinit.theory.output_errors import OutputErrors

EXAMPLES, MORE = 12, 48  # that stand for all; more of them where sizes part
PARTED = 2.0  # variance between the examples of a network, relative: from here on the largest few make their mean
MOST, LEAST = 1000, 48  # networks: a standard deviation is good to 2 % and to 10 %
WORK = 300_000  # units of all networks together: half a second
LIMIT = 1_250_000  # beyond so many, hidden layers are drawn narrower: half a gigabyte, some seconds
PHANTOM = 1e-12  # units added, of this share of the mean square: so equal examples have a Cholesky root
NODES = 24  # of q at which E f^2 is computed; in between, a cubic spline through logarithms
TINY = np.finfo(float).tiny
BLOCK = 1 << 15  # values at a time: jax compiles a function for each shape that it meets


class Networks(NamedTuple):
    """Mean squares over units, layers in front: (S, E), and of gradients of weights, (S,).

    `growth`, (E,): of `post` over the variance of the pre-activations, see `_growth`. `grad_pre` ends with the outputs.
    `grad_w_own`: of each example's dL/dW, mean over examples. `grad_w_shared`: of the mean loss's, under the targets
    of all examples, and `errors_shared` of its dL/do. `dead`: some layer is zero on all examples. `narrowing`:
    hidden widths drawn over true ones.
    """

    pre: np.ndarray
    post: np.ndarray
    growth: np.ndarray
    grad_pre: np.ndarray
    grad_w_own: np.ndarray
    grad_w_shared: np.ndarray
    errors_shared: np.ndarray
    dead: np.ndarray
    narrowing: float

    @property
    def parted(self) -> bool:
        """Whether the examples of a network differ so much in size that a few do not stand for all."""
        living = self.post[:, ~self.dead]
        return living.size > 0 and bool(np.max(_own(living)) > PARTED)

    def lead(self, sample: Float[np.ndarray, "network few"], path: float) -> float:
        """The mean of a sample (S, E) over `path`, brought towards 1 as far as its own error leaves it in doubt.

        To first order it departs from 1 with 1 / width.
        """
        ratios = np.mean(sample, axis=1) / max(path, TINY)
        departure, error = np.mean(ratios) - 1, np.std(ratios) / np.sqrt(len(ratios))
        sure = max(0.0, 1 - (error / departure) ** 2) if departure else 0.0
        return (1 + sure * departure) ** self.narrowing

    def over_all(self, path: np.ndarray, few: Any, sample: np.ndarray, top: np.ndarray | None = None) -> np.ndarray:
        """(S, layer) the mean over all B examples in each living network.

        To first order logarithms scatter with 1 / sqrt(width) but for what the logits bring.

        Args:
          path: (layer, B), what the sample would be in wide networks.
          few: which examples the sample has.
          sample: (layer, S, E).
          top: (layer, S) or (S,), the squared errors at the logits.
        """
        if np.all(self.dead):
            return np.full((1, len(sample)), np.nan)
        sample = sample[:, ~self.dead]
        logs = np.log(np.maximum(np.mean(sample, axis=2), TINY))
        logs -= np.log(np.maximum(np.mean(path[:, few], axis=1), TINY))[:, None]
        middle, variance = np.mean(logs, axis=1), np.var(logs, axis=1)
        averaged_out = _own(sample) * (1 / sample.shape[2] - 1 / path.shape[1])
        fixed = 0.0 if top is None else np.var(np.log(np.maximum(top[..., ~self.dead], TINY)), axis=-1)
        kept = np.minimum(self.narrowing + (1 - self.narrowing) * fixed / np.maximum(variance, TINY), 1)
        kept *= np.clip(1 - averaged_out / np.maximum(variance, TINY), 0, 1)
        middle = self.narrowing * middle + averaged_out / 2  # a mean over more examples has the same mean
        scattered = middle[:, None] + np.sqrt(kept)[:, None] * (logs - np.mean(logs, axis=1, keepdims=True))
        mean = np.mean(path, axis=1)[:, None]
        return np.where(mean > 0, mean, np.nan).T * np.exp(scattered).T


def _own(sample: np.ndarray) -> np.ndarray:
    """(layer,) the variance between the examples (layer, S, E) of a network, relative to its own mean square."""
    relative = sample / np.maximum(np.mean(sample, axis=1, keepdims=True), TINY)
    examples = sample.shape[2]
    relative /= np.maximum(np.mean(relative, axis=2, keepdims=True), TINY)
    return np.mean(np.var(relative, axis=2), axis=1) * examples / max(examples - 1, 1)


class Met(NamedTuple):
    """Weights as the forward pass met them: the Gram matrix below, its Cholesky root C, and G."""

    gram: np.ndarray
    root: np.ndarray
    drawn: np.ndarray


class Layer(NamedTuple):
    """A layer's activations and f' (S, N, E), the mean squares (S, E) of z, and what `_growth` says."""

    h: np.ndarray
    slopes: np.ndarray
    pre: np.ndarray
    growth: np.ndarray


def representatives(gram: Float[np.ndarray, "batch batch"], count: int) -> Int[np.ndarray, " few"]:
    """Indices of so many examples, or of all if they are fewer, from the smallest to the largest at even steps.

    >>> representatives(np.diag([4.0, 1.0, 3.0, 2.0]), 2)  # the smallest and the largest
    array([1, 0])
    """
    order = np.argsort(np.diag(gram), kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]


def draw(
    widths: Sequence[int], activations: Sequence[Activation], laws: Sequence[Law],
    gram: Float[np.ndarray, "few few"], errors: OutputErrors, few: Int[np.ndarray, " few"],
) -> Networks:  # fmt: skip
    """Networks on a few examples, the same ones at every call; very wide ones are drawn narrower by one factor.

    >>> from xinit.networks.losses import cross_entropy
    >>> from xinit.theory.output_errors import output_errors
    >>> laws, errors = [Law(1 / 8), Law(1 / 64)], output_errors(cross_entropy(), np.arange(2), 2)
    >>> networks = draw((8, 64, 2), [xinit.activations.tanh()], laws, np.eye(2), errors, np.arange(2))
    >>> networks.pre.shape, networks.pre.mean().round(2)  # layer, network, example; inputs of mean square 1
    ((1, 1000, 2), np.float64(1.0))

    Args:
      widths: from inputs to classes.
      activations: one a hidden layer.
      laws: one a weight matrix; weights are taken as independent and Gaussian.
      gram: (E, E), x_b . x_b' / n_0.
      errors: dL/do.
      few: (E,) which of the examples that `errors` knows these are.

    Raises:
      InputError: an activation has no finite moments where the signal goes.
    """
    rng, units = np.random.default_rng(0), sum(widths[1:-1])
    count = int(np.clip(WORK // units, LEAST, MOST))
    narrowing = min(1.0, LIMIT / (count * units))
    drawn = [*[max(round(narrowing * n), 1) for n in widths[1:-1]], widths[-1]]
    met, layers = [], []
    below = np.broadcast_to(gram, (count, *gram.shape))
    for n, fan_in, law, f in zip(drawn, widths[:-1], laws, (*activations, None), strict=True):
        met.append(Met(below, _root(below), rng.standard_normal((count, n, len(gram)))))
        z, q = _pre_activations(met[-1], fan_in, law, rng)
        if f:
            layers.append(Layer(*_in_blocks(f, z), np.mean(z**2, axis=1), _growth(f, q)))
            below = _gram(layers[-1].h)
    at_outputs = np.concatenate([errors.own(z, few), errors.shared(z)], axis=2)
    grads = _backward(at_outputs, met, layers, [n * law.variance for n, law in zip(widths[1:], laws, strict=True)], rng)
    return _summary(met, layers, grads, narrowing)


def _summary(met: Sequence[Met], layers: Sequence[Layer], grads: Sequence[np.ndarray], narrowing: float) -> Networks:
    square = lambda parts: np.array([np.mean(part**2, axis=1) for part in parts])
    single, shared = zip(*[np.split(d, 2, axis=2) for d in grads], strict=True)
    grad_pre = square(single)
    return Networks(
        pre=np.array([layer.pre for layer in layers]),
        post=square(layer.h for layer in layers),
        growth=np.array([layer.growth for layer in layers]),
        grad_pre=grad_pre,
        grad_w_own=np.array([np.einsum("see,se->s", below.gram, d) for below, d in zip(met, grad_pre, strict=True)])
        / grad_pre.shape[2],
        grad_w_shared=np.array(
            [np.mean(below.gram * _gram(d), axis=(1, 2)) for below, d in zip(met, shared, strict=True)]
        ),
        errors_shared=np.mean(np.mean(shared[-1], axis=2) ** 2, axis=1),
        dead=np.any([np.all(layer.h == 0, axis=(1, 2)) for layer in layers], axis=0),
        narrowing=narrowing,
    )


def _pre_activations(met: Met, fan_in: int, law: Law, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """z (S, N, E) and the variance (S, E) that it has given the layer below, both kept in range."""
    size = np.einsum("see->se", met.gram)
    z = np.sqrt(fan_in * law.variance) * met.drawn @ _transposed(met.root) * (size > 0)[:, None, :]
    z += np.sqrt(law.bias_variance) * rng.standard_normal((*z.shape[:2], 1))
    q = fan_in * law.variance * size + law.bias_variance
    kept = in_range(np.mean(q)) / max(np.mean(q), TINY)
    return np.sqrt(kept) * z, in_range(kept * q)


def _growth(activation: Activation, q: np.ndarray) -> np.ndarray:
    """(E,) E f^2 / q, its geometric mean over networks: how a layer of infinite width would pass their sizes on."""
    nodes = np.geomspace(0.99 * q.min(), 1.01 * q.max(), NODES)
    logarithms = np.log(np.maximum(moments(activation, nodes).second, TINY)) - np.log(nodes)
    return np.exp(np.mean(CubicSpline(np.log(nodes), logarithms)(np.log(q)), axis=0))


def _backward(
    errors: np.ndarray, met: Sequence[Met], layers: Sequence[Layer], scales: Sequence[float], rng: np.random.Generator
) -> list[np.ndarray]:
    """dL/dz of all layers and the logits, (S, N, 2 E), the examples twice; `scales`: fan-out Var W."""
    grads = [errors]
    for weights, layer, scale in zip(met[:0:-1], layers[::-1], scales[:0:-1], strict=True):
        slopes = np.concatenate([layer.slopes] * 2, axis=2)
        grads.insert(0, np.sqrt(scale) * _pulled(weights, layer.h, grads[0], rng) * slopes)
    return grads


def _pulled(met: Met, h: np.ndarray, d: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """w D / sqrt(N), given what the forward pass has seen of w. The phantom units complete Q."""
    root, inverse = _transposed(_root(_gram(d))), np.linalg.inv(met.root)
    fresh = rng.standard_normal((*h.shape[:2], d.shape[2])) @ root
    phantom = np.sqrt(_phantom(met.gram)) * (rng.standard_normal((len(h), h.shape[2], d.shape[2])) @ root)
    basis = h @ _transposed(inverse) / np.sqrt(h.shape[1])
    seen = _transposed(met.drawn) @ d / np.sqrt(d.shape[1])
    return fresh + basis @ (seen - _transposed(basis) @ fresh - inverse @ phantom)


def _in_blocks(activation: Activation, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    blocks = np.pad(z.ravel(), (0, -z.size % BLOCK)).reshape(-1, BLOCK)
    evaluated = zip(*[values_and_slopes(activation, block) for block in blocks], strict=True)
    values, slopes = [np.concatenate(parts)[: z.size].reshape(z.shape) for parts in evaluated]
    return values, slopes


def _gram(vectors: Float[np.ndarray, "network units few"]) -> Float[np.ndarray, "network few few"]:
    return _transposed(vectors) @ vectors / vectors.shape[1]


def _phantom(gram: Float[np.ndarray, "network few few"]) -> Float[np.ndarray, "network 1 1"]:
    mean = np.einsum("see->s", gram)[:, None, None] / gram.shape[1]
    return PHANTOM * mean + 1e-290  # a dead network's Gram matrix is zero


def _root(gram: Float[np.ndarray, "network few few"]) -> Float[np.ndarray, "network few few"]:
    return np.linalg.cholesky(gram + _phantom(gram) * np.eye(gram.shape[1]))


def _transposed(matrices: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrices, -1, -2)
