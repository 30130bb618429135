"""Second moments between all pairs of examples along a network's path: Glorot & Bengio 2010, eqs. 5-7, and beyond.

For any activation, in wide networks; where the means of networks of finite width depart from it, they lead it. A
residual sum has skip^2 q + scale^2 q_branch, since weights of mean 0 leave nothing of the product of the two; what a
normalisation gives has size 1 at every example.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.networks.network import Activate, Branch, Join, Multiply, Network, Normalise, Site, Step
from xinit.theory import shares, units
from xinit.theory.finite_width import Networks
from xinit.theory.output_errors import OutputErrors
from xinit.theory.units import Signal, Units, mean_gram

DRAWS = 5_000  # of outputs, in all: five hundred networks of ten

Gram = Float[np.ndarray, "batch batch"]


class OfWeight(NamedTuple):
    """Of the second moment of dL/dW: <h h'> <d d'> over all pairs of examples, over the few alone, and their pairs.

    `pairs` (E, E) is under the mean target.
    """

    whole: float
    single: float
    pairs: Float[np.ndarray, "few few"]


class Recursion(NamedTuple):
    """What is found on the way, of each layer, site and weight.

    `pre`, `into`, `post` (layer, B): the mean squares of z, of what the nonlinearity reads, and of h. `grads`, (B,) of
    each site: those of dL/dz. The mean cosine between examples, the mean of |f'| / max |f'|, and the share of a
    rectifier's units that are off, (layer,).
    """

    pre: Float[np.ndarray, "layer batch"]
    into: Float[np.ndarray, "layer batch"]
    post: Float[np.ndarray, "layer batch"]
    cosine: Float[np.ndarray, " layer"]
    slope: Float[np.ndarray, " layer"]
    dead: Float[np.ndarray, " layer"]
    grads: dict[Site, Float[np.ndarray, " batch"]]
    weights: list[OfWeight]


class _OfLayer(NamedTuple):
    """The same of one layer, and f' for the way back."""

    pre: np.ndarray
    into: np.ndarray
    post: np.ndarray
    cosine: float
    slope: float
    dead: float
    slopes: Signal


def follow(
    network: Network, laws: Sequence[Law], gram: Gram, errors: OutputErrors, few: Int[np.ndarray, " few"],
    drawn: Networks | None = None,
) -> Recursion:  # fmt: skip
    """The recursion of `prediction.predict`.

    >>> from xinit.networks.losses import cross_entropy
    >>> from xinit.networks.mlp import plain
    >>> from xinit.theory.output_errors import output_errors
    >>> laws, errors = [Law(1 / 8), Law(1 / 64)], output_errors(cross_entropy(), np.arange(2), 2)
    >>> network = plain((8, 64, 2), [xinit.activations.tanh()])
    >>> follow(network, laws, np.eye(2), errors, np.arange(2)).pre  # two inputs of mean square 1
    array([[1., 1.]])

    Args:
      network: one that `coverage.uncovered` says nothing against.
      laws: one a weight.
      gram: (B, B) of the inputs.
      errors: dL/do.
      few: (E,) which examples `drawn` has.
      drawn: networks of these widths, that lead the recursion; none follow the wide limit.
    """
    assert network.path is not None, "a network without a path cannot be followed"
    walk = _Walk(network, laws, few, drawn)
    outputs = walk.forward(network.path, (Units(network.n_inputs, gram),))
    walk.backward(network.path, _errors(mean_gram(outputs), network.n_outputs, errors, few))
    return Recursion(
        pre=np.array([layer.pre for layer in walk.layers]),
        into=np.array([layer.into for layer in walk.layers]),
        post=np.array([layer.post for layer in walk.layers]),
        cosine=np.array([layer.cosine for layer in walk.layers]),
        slope=np.array([layer.slope for layer in walk.layers]),
        dead=np.array([layer.dead for layer in walk.layers]),
        grads=walk.grads,
        weights=[walk.weights[place] for place in range(len(network.weights))],
    )


class _Walk:
    """Both ways along a path, and what the way back needs of the way there."""

    def __init__(self, network: Network, laws: Sequence[Law], few: np.ndarray, drawn: Networks | None) -> None:
        self.network, self.laws, self.few, self.drawn = network, laws, few, drawn
        self.rng = np.random.default_rng(0)
        self.layers: list[_OfLayer] = []
        self.reads: list[Gram] = []  # <h h'> of what each weight is multiplied with
        self.sizes: dict[int, np.ndarray] = {}  # that a normalisation divides by
        self.mains: dict[int, int] = {}  # units of the main path where a branch begins
        self.grads: dict[Site, np.ndarray] = {}
        self.weights: dict[int, OfWeight] = {}

    def forward(self, path: Sequence[Step], signal: Signal) -> Signal:
        """The outputs."""
        seen = main = signal
        one_by_one, on_branch = _needs_values(path), False
        for step in path:
            match step:
                case Multiply(place):
                    signal = seen = self._multiplied(place, signal)
                    if one_by_one and not on_branch:
                        signal = tuple(u._replace(values=units.with_values(u, self.rng)) for u in signal)
                case Normalise(number, kind):
                    signal, self.sizes[number] = units.normalised(signal, kind)
                case Activate(f):
                    signal = self._activated(f, signal, seen)
                case Branch(number):
                    main, on_branch = signal, True
                    self.mains[number] = sum(u.number for u in signal)
                case Join(_, skip, scale):
                    kept = units.fitted(main, sum(u.number for u in signal))
                    signal = seen = units.merged(units.ranged(units.added(kept, signal, self.rng, skip, scale)))
                    on_branch = False
        return signal

    def backward(self, path: Sequence[Step], errors: Float[np.ndarray, "both both"]) -> None:
        """<d d'> at every site, from that of dL/do."""
        grads: Signal = (Units(self.network.n_outputs, errors),)
        again = np.append(np.arange(len(self.reads[0])), self.few)
        skipped: list[tuple[Signal, float]] = []
        layers = self.layers[::-1]
        for step in reversed(path):
            match step:
                case Multiply(place):
                    grads = self._led(Site("weight", place), grads)
                    grads = self._pulled(place, mean_gram(grads))
                case Normalise(number):
                    grads = units.divided(grads, self.sizes[number][again])
                case Activate():
                    grads = units.backwards(grads, layers.pop(0).slopes, again, self.rng)
                case Branch():
                    kept, skip = skipped.pop()
                    grads = units.added(kept, grads, self.rng, skip)
                case Join(number, skip, scale):
                    grads = self._led(Site("sum", number), grads)
                    skipped.append((units.fitted(grads, self.mains[number]), skip))
                    grads = units.scaled(grads, scale**2)

    def _multiplied(self, place: int, signal: Signal) -> Signal:
        weight, law = self.network.weights[place], self.laws[place]
        self.reads.append(mean_gram(signal))
        return units.ranged((Units(weight.units, weight.fan_in * law.variance * self.reads[-1] + law.bias_variance),))

    def _activated(self, f: Activation, signal: Signal, seen: Signal) -> Signal:
        """f of the signal, whose layer is kept; `seen` is z, before a normalisation."""
        after, slopes = units.activated(f, signal)
        after = units.scaled(after, self._lead_forward(signal, after, is_normalised=signal is not seen))
        pre, into, post = [np.diag(mean_gram(one)) for one in (seen, signal, after)]
        cosine = shares.mean_cosine(mean_gram(after))
        slope, dead = shares.slope_share(f, signal), shares.dead_share(f, signal)
        self.layers.append(_OfLayer(pre, into, post, cosine, slope, dead, slopes))
        return after

    def _lead_forward(self, into: Signal, after: Signal, is_normalised: bool) -> float:
        """What the size of f(z) is to be multiplied with: of Gaussian units it is that at the networks' sizes of z."""
        if self.drawn is None:
            return 1.0
        place, size = len(self.layers), np.mean(np.diag(mean_gram(after))[self.few])
        if is_normalised or len(into) > 1 or into[0].values is not None:
            return self.drawn.lead(self.drawn.post[place], size)
        passed_on = np.mean(self.drawn.growth[place] * np.diag(into[0].gram)[self.few])
        return float((passed_on / size) ** self.drawn.narrowing)

    def _led(self, site: Site, grads: Signal) -> Signal:
        """The gradient at a site as networks lead it, whose size is kept."""
        if self.drawn is not None:
            size = np.mean(np.diag(mean_gram(grads))[self.few])
            grads = units.scaled(grads, self.drawn.lead(self.drawn.grads[site], size))
        self.grads[site] = np.diag(mean_gram(grads))[: len(self.reads[0])]
        return grads

    def _pulled(self, place: int, d: Float[np.ndarray, "both both"]) -> Signal:
        """The gradient below a weight, whose own is kept."""
        weight, h, few, n = self.network.weights[place], self.reads[place], self.few, len(self.reads[place])
        single = float(np.mean((np.diag(h) * np.diag(d)[:n])[few])) if len(few) else np.nan
        self.weights[place] = OfWeight(float(np.mean(h * d[:n, :n])), single, h[np.ix_(few, few)] * d[n:, n:])
        return (Units(weight.fan_in, weight.units * self.laws[place].variance * d),)


def _needs_values(path: Sequence[Step]) -> bool:
    """Whether a branch begins, or a mean is taken away, where units are not Gaussian: these are followed one by one."""
    gaussian = True
    for step in path:
        match step:
            case Multiply():
                gaussian = True
            case Activate():
                gaussian = False
            case Branch() | Normalise() if not gaussian:
                return True
    return False


def _errors(
    outputs: Gram, n_outputs: int, errors: OutputErrors, few: Int[np.ndarray, " few"]
) -> Float[np.ndarray, "batch+few batch+few"]:
    """Second moments of dL/do, over outputs and many networks, whose outputs are Gaussian of this covariance."""
    n = len(outputs)
    drawn = units.normals(max(100, DRAWS // n_outputs), n_outputs, n) @ units.root(outputs).T
    found = np.concatenate([errors.own(drawn, np.arange(n)), errors.shared(np.take(drawn, few, axis=2))], axis=2)
    return np.einsum("skb,skc->bc", found, found, optimize=True) / (len(drawn) * n_outputs)
