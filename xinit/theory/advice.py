"""What to do instead: the weights whose signal and gradient keep their size over one network's own depth and widths."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from xinit.initializers import Law, variance_scaling
from xinit.networks import activations as functions
from xinit.networks.activations import Activation
from xinit.networks.network import Network
from xinit.theory.coverage import uncovered
from xinit.theory.moments import Numbers, in_range, kernels, moments
from xinit.theory.output_errors import constant_errors
from xinit.theory.prediction import LEFT_OUT, on_one_core
from xinit.theory.recursion import follow
from xinit.theory.shares import dead_share
from xinit.theory.units import Units

SCALES = np.geomspace(1e-3, 1e4, 113)  # of the weights' variance times a fan, in steps of 15 %: a sigmoid needs 40
FINER = np.geomspace(1 / 1.15, 1.15, 31)  # around the best of them


class Candidate(NamedTuple):
    """Weights of variance scale / fan: how xinit and Flax spell them. `activation`: another one to take, or ""."""

    fn: str
    options: tuple[tuple[str, Any], ...]
    gain: float
    scale: float
    fan: str
    distribution: str
    activation: str = ""

    @property
    def scheme(self) -> str:
        """The words for xinit's command line."""
        gain = () if self.gain == 1 else (("gain", self.gain),)
        settings = [f"scheme.{name}={_short(value)}" for name, value in (*self.options, *gain)]
        return " ".join([f"scheme={self.fn}", *settings])

    @property
    def flax(self) -> str:
        """A line to paste into a Flax module."""
        call = f'variance_scaling({float(f"{self.scale:.4g}")}, "fan_{self.fan}", "{self.distribution}")'
        return f"kernel_init=nn.initializers.{call}"

    def laws(self, widths: Sequence[int]) -> list[Law]:
        """The laws of all its layers."""
        initializer = variance_scaling(self.scale, self.fan, self.distribution)
        return [initializer.law(*shape) for shape in itertools.pairwise(widths)]


class Change(NamedTuple):
    """By what the std of the signal changes from layer 1 to d, and that of dL/dz from d to 1."""

    signal: Numbers
    gradient: Numbers

    @property
    def most(self) -> Numbers:
        """The larger of the two changes, as a factor above 1; infinite where nothing is left of the signal."""
        with np.errstate(divide="ignore", over="ignore"):
            logs = [np.abs(np.log(change)) for change in self]
            most: Numbers = np.exp(np.max(logs, axis=0))
            return np.where(np.isnan(most), np.inf, most)[()]


def change_over_depth(
    widths: Sequence[int],
    activations: Sequence[Activation],
    laws: Sequence[Law],
    input_second: float,
    scale: float | np.ndarray = 1.0,
) -> Change:
    """The products of Glorot & Bengio 2010, eqs. 5 and 6, over the network's own layers, with the activations' moments.

    >>> widths, laws = (100,) * 7, [xinit.initializers.standard().law(100, 100)] * 6
    >>> change = change_over_depth(widths, [xinit.activations.linear()] * 5, laws, input_second=1.0)
    >>> f"signal x {change.signal:.3f}, gradient x {change.gradient:.3f}"  # each 3^(-4/2)
    'signal x 0.111, gradient x 0.111'

    Args:
      widths: from inputs to classes.
      activations: one a hidden layer.
      laws: one a weight matrix.
      input_second: mean square of an input.
      scale: multiplies all variances of weights; one or several, as the result has.
    """
    scale = np.asarray(scale, float)
    signal, gradient = [np.full(scale.shape, input_second)], np.ones(scale.shape)
    for l, (f, law) in enumerate(zip(activations, laws, strict=False)):
        m = moments(f, in_range(widths[l] * law.variance * scale * signal[-1] + law.bias_variance))
        signal.append(m.second)
        if l < len(activations) - 1:
            gradient = gradient * (widths[l + 2] * laws[l + 1].variance) * scale * m.slope_second
    with np.errstate(invalid="ignore"):  # f may be 0 wherever a faint signal goes
        return Change(np.sqrt(signal[-1] / signal[1]), np.sqrt(gradient))


@on_one_core
def change_of(network: Network, laws: Sequence[Law], input_second: float) -> Change:
    """By what the std of z changes over the main path of a network in the limit of wide layers, and that of dL/dz back.

    The layers are those outside of branches, and the sums at the ends of branches; nan where `uncovered` has a reason.
    With He's weights the variance of a residual sum doubles at every branch (De & Smith 2020):

    >>> from xinit.networks.network import Frame
    >>> from xinit.networks.residual import residual
    >>> network = residual(Frame((100,), (100,) * 4, (xinit.activations.relu(),) * 4, 10))
    >>> laws = [xinit.initializers.he().law(*weight.shape) for weight in network.weights]
    >>> change = change_of(network, laws, input_second=1.0)
    >>> f"signal x {change.signal:.2f}, gradient x {change.gradient:.2f}"  # each 2^(4/2)
    'signal x 4.00, gradient x 4.00'

    Args:
      network: any.
      laws: one a weight.
      input_second: mean square of an input.

    Raises:
      InputError: an activation has no finite moments where the signal goes.
    """
    sites = [(place, layer.site) for place, layer in enumerate(network.layers) if layer.branch is None]
    if uncovered(network) or not sites:
        return Change(np.nan, np.nan)
    wide = follow(network, laws, np.array([[float(input_second)]]), constant_errors(), np.array([], int))
    pre = [float(wide.pre[place, 0]) for place, _ in sites]
    grads = [float(wide.grads[site][0]) for _, site in sites]
    with np.errstate(divide="ignore", invalid="ignore"):  # of what is 0 everywhere
        return Change(float(np.sqrt(np.divide(pre[-1], pre[0]))), float(np.sqrt(np.divide(grads[0], grads[-1]))))


def remedy(
    widths: Sequence[int],
    activations: Sequence[Activation],
    input_second: float,
    good: float,
    within: float,
    in_use: Sequence[Law] = (),
    fault: Callable[[Candidate], str] = lambda candidate: "",
    dead: float = 0.0,
) -> str:
    """In a sentence or two: weights under which both products stay within a factor, or what to do where there are none.

    The plain weights for the activation if they change signal and gradient by at most `good`; else, of all means of the
    fans and all scales, the best, if it is `within`; else the same for tanh. Never those in use.

    >>> f = xinit.activations.relu()
    >>> remedy((100,) * 7, [f] * 5, input_second=1.0, good=2.0, within=10.0).partition(":")[0]
    'Try kernel_init=nn.initializers.variance_scaling(2.0, "fan_in", "normal") (scheme=he)'

    Args:
      widths: from inputs to classes.
      activations: one a hidden layer.
      input_second: mean square of an input.
      good: a factor that needs no better.
      within: a factor that is bearable.
      in_use: the laws of the weights that failed.
      fault: what is wrong with networks drawn so, or ""; asked of no more weights than needed.
      dead: the share of networks that are dead, whatever the size of their weights.
    """
    depth, name = len(activations), activations[0].name
    if dead > LEFT_OUT:
        reason = "all units of some layer are off on every example, whatever the size of the weights"
        return f"{dead:.0%} of such networks are born dead: {reason}. Widen the layers, or use a leaky slope."
    weights, change = _best(widths, activations, input_second, good)
    why_not = _why_not(weights, change, widths, within, name, in_use, fault)
    if not why_not:
        kept = f"the signal changes by x {change.signal:.2g} and the gradient by x {change.gradient:.2g}"
        return f"Try {weights.flax} ({weights.scheme}): {kept} over these {depth} layers."
    if name != "tanh":
        other, change = _best(widths, (functions.tanh(),) * depth, input_second, good)
        other = other._replace(activation="tanh")
        if not _why_not(other, change, widths, within, "tanh", (), fault):
            return f"{why_not}. Try activation=tanh with {other.flax} ({other.scheme})."
    return f"{why_not}. Widen the layers, use fewer of them, add residual connections, or normalise."


def _why_not(
    weights: Candidate, change: Change, widths: Sequence[int], within: float, name: str, in_use: Sequence[Law],
    fault: Callable[[Candidate], str],
) -> str:  # fmt: skip
    """Why these weights, the best that there are, are no remedy, or ""."""
    over = f"over {len(widths) - 2} {name} layers"
    kept = f"signal and gradient within x {change.most:.2g} {over} where these are wide"
    if change.most > within:
        reason = f"No scaling of the weights keeps signal and gradient within x {within:g} {over}"
        return f"{reason} (at best x {change.most:.2g})"
    if _same(weights.laws(widths), in_use):
        return f"The weights in use keep {kept}: networks of these widths scatter too far about that"
    failing = fault(weights)
    return f"The best scaling ({weights.scheme}) keeps {kept}, but networks drawn so fail: {failing}" if failing else ""


def _same(laws: Sequence[Law], others: Sequence[Law]) -> bool:
    """Whether both draw weights of the same variances, to a percent, and no biases."""
    if not others or any(law.bias_variance for law in others):
        return False
    return bool(np.allclose([law.variance for law in laws], [law.variance for law in others], rtol=0.01))


def _best(
    widths: Sequence[int], activations: Sequence[Activation], input_second: float, good: float
) -> tuple[Candidate, Change]:
    change = lambda candidate: change_over_depth(widths, activations, candidate.laws(widths), input_second)
    for plain in plain_weights(activations[-1]):
        if change(plain).most <= good:
            return plain, change(plain)
    scaled = [_scaled(widths, activations, input_second, fan) for fan in ("in", "avg", "out")]
    return min(((candidate, change(candidate)) for candidate in scaled), key=lambda pair: pair[1].most)


def plain_weights(activation: Activation) -> list[Candidate]:
    """He's for a rectifier, Xavier's and fan-in for others.

    >>> [candidate.scheme for candidate in plain_weights(xinit.activations.tanh())]
    ['scheme=xavier', 'scheme=fan_in scheme.distribution=normal']
    """
    if activation.negative_slope is not None:
        slope = activation.negative_slope
        return [Candidate("he", (("negative_slope", slope),) if slope else (), 1, 2 / (1 + slope**2), "in", "normal")]
    fan_in = Candidate("fan_in", (("distribution", "normal"),), 1, 1.0, "in", "normal")
    return [Candidate("xavier", (), 1, 1.0, "avg", "uniform"), fan_in]


def _scaled(widths: Sequence[int], activations: Sequence[Activation], input_second: float, fan: str) -> Candidate:
    """The weights of the best scale over this mean of the fans."""
    unit = Candidate("", (), 1, 1.0, fan, "normal").laws(widths)
    best = lambda scales: scales[np.argmin(change_over_depth(widths, activations, unit, input_second, scales).most)]
    scale = float(best(best(SCALES) * FINER))
    name = {"in": "fan_in", "avg": "xavier", "out": "fan_out"}[fan]
    return Candidate(name, (("distribution", "normal"),), float(f"{math.sqrt(scale):.4g}"), scale, fan, "normal")


def _short(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


@on_one_core
def expected_dead(
    activations: Sequence[Activation], gram: Float[np.ndarray, "batch batch"]
) -> Float[np.ndarray, " layer"]:
    """(layer,) the share of a rectifier's units off on every example in a wide network without biases; nan for others.

    The same for weights of any size, since a rectifier's cosines do not depend on it. `gram`: (B, B) of the inputs.

    >>> gram = np.eye(3)  # three examples, orthogonal to each other: a unit is off on all with probability 1/8
    >>> expected_dead([xinit.activations.relu()], gram).round(1)
    array([0.1])
    """
    shares = []
    for f in activations:
        gram = gram / max(np.mean(np.diag(gram)), np.finfo(float).tiny)  # any size will do
        shares.append(dead_share(f, (Units(1, gram),)))
        gram = kernels(f, gram)[0]
    return np.array(shares)
