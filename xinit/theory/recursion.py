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
from xinit.networks.network import Activate, Branch, Join, Multiply, Network, Normalise, Site, Step
from xinit.theory import units
from xinit.theory.finite_width import Networks
from xinit.theory.output_errors import OutputErrors
from xinit.theory.units import Signal, Units, mean_gram

DRAWS = 5_000  # of outputs, in all: five hundred networks of ten

Gram = Float[np.ndarray, "batch batch"]


class Recursion(NamedTuple):
    """Products between examples (B, B), means over units.

    Of each layer <z z'> before a normalisation, the units that its nonlinearity reads, and <h h'> behind it; of each
    weight <h h'> of what it reads, the inputs first; at each site <d d'> of dL/dz (B + E, B + E), which has the few
    examples again at its end, with the mean target.
    """

    pre: list[Gram]
    into: list[Signal]
    post: list[Gram]
    reads: list[Gram]
    grads: dict[Site, Float[np.ndarray, "batch+few batch+few"]]


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
    >>> follow(network, laws, np.eye(2), errors, np.arange(2)).pre[0]  # two orthogonal inputs of mean square 1
    array([[1., 0.],
           [0., 1.]])

    Args:
      network: one that `prediction.uncovered` says nothing against.
      laws: one a weight.
      gram: (B, B) of the inputs.
      errors: dL/do.
      few: (E,) which examples `drawn` has.
      drawn: networks of these widths, that lead the recursion; none follow the wide limit.
    """
    assert network.path is not None, "a network without a path cannot be followed"
    walk = _Walk(network, laws, few, drawn)
    outputs = walk.forward(network.path, (Units(network.n_inputs, gram),))
    again = np.append(np.arange(len(gram)), few)
    grads = walk.backward(network.path, _errors(mean_gram(outputs), network.n_outputs, errors, few), again)
    return Recursion(walk.pre, walk.into, walk.post, walk.reads, grads)


class _Walk:
    """Both ways along a path, and what the way back needs of the way there."""

    def __init__(self, network: Network, laws: Sequence[Law], few: np.ndarray, drawn: Networks | None) -> None:
        self.network, self.laws, self.few, self.drawn = network, laws, few, drawn
        self.rng = np.random.default_rng(0)
        self.pre: list[Gram] = []
        self.into: list[Signal] = []
        self.post: list[Gram] = []
        self.reads: list[Gram] = []
        self.slopes: list[Signal] = []
        self.sizes: dict[int, np.ndarray] = {}  # that a normalisation divides by
        self.mains: dict[int, int] = {}  # units of the main path where a branch begins

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
                    self.pre.append(mean_gram(seen))
                    self.into.append(signal)
                    after, slopes = units.activated(f, signal)
                    signal = units.scaled(after, self._lead_forward(after))
                    self.slopes.append(slopes)
                    self.post.append(mean_gram(signal))
                case Branch(number):
                    main, on_branch = signal, True
                    self.mains[number] = sum(u.count for u in signal)
                case Join(_, skip, scale):
                    kept = units.fitted(main, sum(u.count for u in signal))
                    signal = seen = units.ranged(units.added(kept, signal, self.rng, skip, scale))
                    on_branch = False
        return signal

    def backward(self, path: Sequence[Step], errors: Gram, again: np.ndarray) -> dict[Site, Gram]:
        """<d d'> at every site, from that of dL/do."""
        grads: Signal = (Units(self.network.n_outputs, errors),)
        found: dict[Site, Gram] = {}
        skipped: list[tuple[Signal, float]] = []
        slopes = self.slopes[::-1]
        for step in reversed(path):
            match step:
                case Multiply(place):
                    grads = self._note(found, Site("weight", place), grads)
                    weight = self.network.weights[place]
                    passed = weight.units * self.laws[place].variance * mean_gram(grads)
                    grads = (Units(weight.fan_in, passed),)
                case Normalise(number):
                    grads = units.divided(grads, self.sizes[number][again])
                case Activate():
                    grads = units.backwards(grads, slopes.pop(0), again, self.rng)
                case Branch():
                    kept, skip = skipped.pop()
                    grads = units.added(kept, grads, self.rng, skip)
                case Join(number, skip, scale):
                    grads = self._note(found, Site("sum", number), grads)
                    skipped.append((units.fitted(grads, self.mains[number]), skip))
                    grads = units.scaled(grads, scale**2)
        return found

    def _multiplied(self, place: int, signal: Signal) -> Signal:
        weight, law = self.network.weights[place], self.laws[place]
        self.reads.append(mean_gram(signal))
        return units.ranged((Units(weight.units, weight.fan_in * law.variance * self.reads[-1] + law.bias_variance),))

    def _lead_forward(self, after: Signal) -> float:
        """What the size of f(z) is to be multiplied with: its mean is taken at the networks' sizes."""
        if self.drawn is None:
            return 1.0
        place, into = len(self.post), self.into[-1]
        size = np.mean(np.diag(mean_gram(after))[self.few])
        if len(into) > 1 or into[0].values is not None:
            return self.drawn.lead(self.drawn.post[place], size)
        passed_on = np.mean(self.drawn.growth[place] * np.diag(into[0].gram)[self.few])
        return float((passed_on / size) ** self.drawn.narrowing)

    def _note(self, found: dict[Site, Gram], site: Site, grads: Signal) -> Signal:
        """The gradient at a site as networks lead it, which is kept."""
        if self.drawn is not None:
            size = np.mean(np.diag(mean_gram(grads))[self.few])
            grads = units.scaled(grads, self.drawn.lead(self.drawn.grads[site], size))
        found[site] = mean_gram(grads)
        return grads


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
