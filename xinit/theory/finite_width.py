"""Networks of finite width, drawn on a few examples: how they scatter about the wide limit, forward and backward.

They follow the network's path with all its weights at once, as `conditioning` does; so the law of both passes is exact:
fluctuations grow where a fixed point repels, examples share the weights, a normalisation divides by the size that a
signal has, and a gradient passes the weights that made its logits.

Axes: network S, unit N, example E. Gram matrices are means over units.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import CubicSpline

from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.networks.network import Activate, Branch, Join, Multiply, Network, Normalise, Site
from xinit.networks.stack import EPSILON
from xinit.theory.conditioning import Met, gram_of, meet, pulled, transposed
from xinit.theory.moments import in_range, moments, values_and_slopes
from xinit.theory.output_errors import OutputErrors

EXAMPLES, MORE = 12, 48  # that stand for all; more of them where sizes part
PARTED = 2.0  # variance between the examples of a network, relative: from here on the largest few make their mean
MOST, LEAST = 1000, 48  # networks: a standard deviation is good to 2 % and to 10 %
WORK = 300_000  # units of all networks together: half a second
LIMIT = 1_250_000  # beyond so many, hidden layers are drawn narrower: half a gigabyte, some seconds
NODES = 24  # of q at which E f^2 is computed; in between, a cubic spline through logarithms
TINY = np.finfo(float).tiny
BLOCK = 1 << 15  # values at a time: jax compiles a function for each shape that it meets


class Networks(NamedTuple):
    """Mean squares over units, (S, E) of each layer, and of gradients of weights, (S,) of each weight.

    `growth`, (E,) of each layer: of `post` over the variance that a nonlinearity reads, see `_growth`. `grads`, (S, E):
    of dL/dz at each site. `grad_w_own`: of each example's dL/dW, mean over examples. `grad_w_shared`: of the mean
    loss's, under the targets of all examples, and `errors_shared` of its dL/do. `dead`: some layer outside all branches
    is zero on all examples. `narrowing`: hidden widths drawn over true ones.
    """

    pre: np.ndarray
    post: np.ndarray
    growth: np.ndarray
    grads: dict[Site, np.ndarray]
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


def representatives(gram: Float[np.ndarray, "batch batch"], count: int) -> Int[np.ndarray, " few"]:
    """Indices of so many examples, or of all if they are fewer, from the smallest to the largest at even steps.

    >>> representatives(np.diag([4.0, 1.0, 3.0, 2.0]), 2)  # the smallest and the largest
    array([1, 0])
    """
    order = np.argsort(np.diag(gram), kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]


def draw(
    network: Network, laws: Sequence[Law], gram: Float[np.ndarray, "few few"], errors: OutputErrors,
    few: Int[np.ndarray, " few"],
) -> Networks:  # fmt: skip
    """Networks on a few examples, the same ones at every call; very wide ones are drawn narrower by one factor.

    >>> from xinit.networks.losses import cross_entropy
    >>> from xinit.networks.mlp import plain
    >>> from xinit.theory.output_errors import output_errors
    >>> laws, errors = [Law(1 / 8), Law(1 / 64)], output_errors(cross_entropy(), np.arange(2), 2)
    >>> networks = draw(plain((8, 64, 2), [xinit.activations.tanh()]), laws, np.eye(2), errors, np.arange(2))
    >>> networks.pre.shape, networks.pre.mean().round(2)  # layer, network, example; inputs of mean square 1
    ((1, 1000, 2), np.float64(1.0))

    Args:
      network: one that `coverage.uncovered` says nothing against.
      laws: one a weight; weights are taken as independent and Gaussian.
      gram: (E, E), x_b . x_b' / n_0.
      errors: dL/do.
      few: (E,) which of the examples that `errors` knows these are.

    Raises:
      InputError: an activation has no finite moments where the signal goes.
    """
    units = sum(weight.units for weight in network.weights[:-1])
    count = int(np.clip(WORK // units, LEAST, MOST))
    narrowing = min(1.0, LIMIT / (count * units))
    passes = _Passes(network, laws, narrowing)
    outputs = passes.forward(np.broadcast_to(gram, (count, *gram.shape)))
    grads = passes.backward(np.concatenate([errors.own(outputs, few), errors.shared(outputs)], axis=2))
    return passes.summary(grads)


class _Layer(NamedTuple):
    """A layer's activations and f' (S, N, E), the mean squares (S, E) of z, and what `_growth` says."""

    h: np.ndarray
    slopes: np.ndarray
    pre: np.ndarray
    growth: np.ndarray


class _Passes:
    """Both ways along the path of a network, and what the way back needs of the way there."""

    def __init__(self, network: Network, laws: Sequence[Law], narrowing: float) -> None:
        assert network.path is not None, "a network without a path cannot be drawn"
        self.network, self.path, self.laws, self.narrowing = network, network.path, laws, narrowing
        self.rng = np.random.default_rng(0)
        self.met: list[Met] = []
        self.reads: list[np.ndarray] = []  # what each weight but the first is multiplied with
        self.layers: list[_Layer] = []
        self.norms: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # what a normalisation gives, and what it divides by
        self.mains: dict[int, int] = {}  # units of the main path where a branch begins
        self.dead: list[np.ndarray] = []

    def forward(self, below: Float[np.ndarray, "network few few"]) -> Float[np.ndarray, "network outputs few"]:
        """The outputs. Beside the signal h goes q (S, E), the mean square that it is expected to have."""
        nothing: np.ndarray = np.empty(0)
        h, q, seen, main, main_q, on_branch = nothing, nothing, nothing, nothing, nothing, False
        for step in self.path:
            match step:
                case Multiply(place):
                    if place > 0:
                        below = gram_of(h)
                        self.reads.append(h)
                    h, q = self._multiplied(place, below)
                    seen = h
                case Normalise(number, kind):
                    h, size = _normalised(h, kind)
                    self.norms[number], q = (h, size), in_range(np.mean(h**2, axis=1))
                case Activate(f):
                    self.layers.append(_Layer(*_in_blocks(f, h), np.mean(seen**2, axis=1), _growth(f, q)))
                    h = self.layers[-1].h
                    if not on_branch:
                        self.dead.append(np.all(h == 0, axis=(1, 2)))
                case Branch(number):
                    main, main_q, on_branch = h, q, True
                    self.mains[number] = h.shape[1]
                case Join(_, skip, scale):
                    kept = min(main.shape[1], h.shape[1]) / h.shape[1]
                    q = skip**2 * kept * main_q + scale**2 * q
                    h, q = _ranged(skip * _fitted(main, h.shape[1]) + scale * h, q)
                    seen, on_branch = h, False
        return h

    def backward(
        self, grads: Float[np.ndarray, "network outputs twice"]
    ) -> dict[Site, Float[np.ndarray, "network units twice"]]:
        """dL/dz at every site, from dL/do; the examples twice, with their own and with the mean target."""
        found: dict[Site, np.ndarray] = {}
        skipped: list[np.ndarray] = []
        layers = self.layers[::-1]
        for step in reversed(self.path):
            match step:
                case Multiply(place):
                    found[Site("weight", place)] = grads
                    if place == 0:
                        break
                    scale = self.network.weights[place].units * self.laws[place].variance
                    grads = np.sqrt(scale) * pulled(self.met[place], self.reads[place - 1], grads, self.rng)
                case Normalise(number, kind):
                    grads = _through_norm(grads, *self.norms[number], kind)
                case Activate():
                    grads = grads * np.concatenate([layers.pop(0).slopes] * 2, axis=2)
                case Branch():
                    grads = grads + skipped.pop()
                case Join(number, skip, scale):
                    found[Site("sum", number)] = grads
                    skipped.append(skip * _fitted(grads, self.mains[number]))
                    grads = scale * grads
        return found

    def summary(self, found: dict[Site, Float[np.ndarray, "network units twice"]]) -> Networks:
        """Mean squares of all."""
        halves = {site: np.split(grads, 2, axis=2) for site, grads in found.items()}
        grads = {site: np.mean(single**2, axis=1) for site, (single, _) in halves.items()}
        weights = [(met.gram, Site("weight", place)) for place, met in enumerate(self.met)]
        few = self.met[0].gram.shape[-1]
        own = [np.einsum("see,se->s", gram, grads[site]) / few for gram, site in weights]
        shared = [np.mean(gram * gram_of(halves[site][1]), axis=(1, 2)) for gram, site in weights]
        return Networks(
            pre=np.array([layer.pre for layer in self.layers]),
            post=np.array([np.mean(layer.h**2, axis=1) for layer in self.layers]),
            growth=np.array([layer.growth for layer in self.layers]),
            grads=grads,
            grad_w_own=np.array(own),
            grad_w_shared=np.array(shared),
            errors_shared=np.mean(np.mean(halves[weights[-1][1]][1], axis=2) ** 2, axis=1),
            dead=np.any(self.dead, axis=0),
            narrowing=self.narrowing,
        )

    def _multiplied(self, place: int, below: Float[np.ndarray, "network few few"]) -> tuple[np.ndarray, np.ndarray]:
        """z (S, N, E) and the variance (S, E) that it has given the layer below, both kept in range."""
        weight, law = self.network.weights[place], self.laws[place]
        last = place == len(self.network.weights) - 1
        met = meet(below, weight.units if last else max(round(self.narrowing * weight.units), 1), self.rng)
        self.met.append(met)
        size = np.einsum("see->se", met.gram)
        z = np.sqrt(weight.fan_in * law.variance) * met.drawn @ transposed(met.root) * (size > 0)[:, None, :]
        z += np.sqrt(law.bias_variance) * self.rng.standard_normal((*z.shape[:2], 1))
        return _ranged(z, weight.fan_in * law.variance * size + law.bias_variance)


def _ranged(z: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z and its variance, or both as large or small as can be followed."""
    kept = in_range(np.mean(q)) / max(np.mean(q), TINY)
    return np.sqrt(kept) * z, in_range(kept * q)


def _fitted(h: np.ndarray, units: int) -> np.ndarray:
    """So many units: the last ones are cut off, or units of 0 are added."""
    return np.pad(h[:, :units], [(0, 0), (0, max(units - h.shape[1], 0)), (0, 0)])


def _normalised(h: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The signal over its own size at each example, and that size (S, 1, E)."""
    if kind == "layer":
        h = h - np.mean(h, axis=1, keepdims=True)
    size = np.sqrt(np.mean(h**2, axis=1, keepdims=True) + EPSILON)
    return h / size, size


def _through_norm(grads: np.ndarray, given: np.ndarray, size: np.ndarray, kind: str) -> np.ndarray:
    """What a normalisation that gives `given` hands back: nothing along it, or along the mean that it takes away."""
    given, size = np.concatenate([given] * 2, axis=2), np.concatenate([size] * 2, axis=2)
    back = grads - given * np.mean(grads * given, axis=1, keepdims=True)
    if kind == "layer":
        back -= np.mean(grads, axis=1, keepdims=True)
    return back / size


def _growth(activation: Activation, q: np.ndarray) -> np.ndarray:
    """(E,) E f^2 / q, its geometric mean over networks: how a layer of infinite width would pass their sizes on."""
    nodes = np.geomspace(0.99 * q.min(), 1.01 * q.max(), NODES)
    logarithms = np.log(np.maximum(moments(activation, nodes).second, TINY)) - np.log(nodes)
    return np.exp(np.mean(CubicSpline(np.log(nodes), logarithms)(np.log(q)), axis=0))


def _in_blocks(activation: Activation, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    blocks = np.pad(z.ravel(), (0, -z.size % BLOCK)).reshape(-1, BLOCK)
    evaluated = zip(*[values_and_slopes(activation, block) for block in blocks], strict=True)
    values, slopes = [np.concatenate(parts)[: z.size].reshape(z.shape) for parts in evaluated]
    return values, slopes
