"""What to do instead: the weights whose signal and gradient keep their size over one network's own depth and widths."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xinit import activations as functions
from xinit.activations import Activation
from xinit.initializers import Law, variance_scaling
from xinit.theory.moments import in_range, kernels, moments
from xinit.theory.prediction import dead_share, on_one_core

SCALES = np.geomspace(1 / 8, 8, 241)  # of the weights' variance times a fan: steps of 1.8 %; 8 is far into saturation


class Candidate(NamedTuple):
    """Weights of variance scale / fan: how xinit spells them, and how Flax does."""

    scheme: str
    scale: float
    fan: str
    distribution: str

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

    signal: np.ndarray
    gradient: np.ndarray

    @property
    def most(self) -> np.ndarray:
        """The larger of the two changes, as a factor above 1."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.exp(np.max(np.abs(np.log(self)), axis=0))


def change_over_depth(
    widths: Sequence[int],
    activations: Sequence[Activation],
    laws: Sequence[Law],
    input_second: float,
    scale: float | np.ndarray = 1.0,
) -> Change:
    """The products of Glorot & Bengio 2010, eqs. 5 and 6, over the network's own layers, with the activations' moments.

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
    return Change(np.sqrt(signal[-1] / signal[1]), np.sqrt(gradient))


def remedy(
    widths: Sequence[int], activations: Sequence[Activation], input_second: float, good: float, within: float
) -> str:
    """One sentence: weights under which both products stay within a factor, or why there are none and what to do.

    The plain weights for the activation if they change signal and gradient by at most `good`; else, of all means of the
    fans and all scales, the best, if it is `within`.
    """
    best, change = _best(widths, activations, input_second, good)
    depth, name = len(activations), activations[0].name
    kept = f"the signal changes by x {change.signal:.2g} and the gradient by x {change.gradient:.2g}"
    if change.most <= within:
        return f"Try {best.flax} ({best.scheme}): {kept} over these {depth} layers."
    words = f"No scaling of the weights keeps signal and gradient within x {within:g} over {depth} {name} layers"
    words += f" (at best x {change.most:.2g})"
    other, other_change = _best(widths, (functions.tanh(),) * depth, input_second, good)
    if other_change.most <= within and name != "tanh":
        return f"{words}. Try activation=tanh with {other.flax} ({other.scheme})."
    return f"{words}. Use fewer layers, or residual connections, or normalise."


def _best(
    widths: Sequence[int], activations: Sequence[Activation], input_second: float, good: float
) -> tuple[Candidate, Change]:
    change = lambda candidate: change_over_depth(widths, activations, candidate.laws(widths), input_second)
    for plain in _plain(activations[-1]):
        if change(plain).most <= good:
            return plain, change(plain)
    scaled = [_scaled(widths, activations, input_second, fan) for fan in ("in", "avg", "out")]
    return min(((candidate, change(candidate)) for candidate in scaled), key=lambda pair: pair[1].most)


def _plain(activation: Activation) -> list[Candidate]:
    """He's for a rectifier, Xavier's and fan-in for others."""
    if activation.negative_slope is not None:
        slope = activation.negative_slope
        options = f" scheme.negative_slope={slope:g}" if slope else ""
        return [Candidate(f"scheme=he{options}", 2 / (1 + slope**2), "in", "normal")]
    fan_in = Candidate("scheme=fan_in scheme.distribution=normal", 1.0, "in", "normal")
    return [Candidate("scheme=xavier", 1.0, "avg", "uniform"), fan_in]


def _scaled(widths: Sequence[int], activations: Sequence[Activation], input_second: float, fan: str) -> Candidate:
    """The weights of the best scale over this mean of the fans."""
    unit = Candidate("", 1.0, fan, "normal").laws(widths)
    scale = float(SCALES[np.argmin(change_over_depth(widths, activations, unit, input_second, SCALES).most)])
    name = {"in": "fan_in", "avg": "xavier", "out": "fan_out"}[fan]
    return Candidate(
        f"scheme={name} scheme.distribution=normal scheme.gain={math.sqrt(scale):.4g}", scale, fan, "normal"
    )


@on_one_core
def expected_dead(activations: Sequence[Activation], gram: np.ndarray) -> np.ndarray:
    """(layer,) the share of a rectifier's units off on every example in a wide network without biases; nan for others.

    The same for weights of any size, since a rectifier's cosines do not depend on it. `gram`: (B, B) of the inputs.
    """
    shares = []
    for f in activations:
        gram = gram / max(np.mean(np.diag(gram)), np.finfo(float).tiny)  # any size will do
        shares.append(dead_share(f, gram))
        gram = kernels(f, gram)[0]
    return np.array(shares)
