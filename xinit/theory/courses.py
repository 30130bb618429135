"""What usual weights do to signal, gradient and cosine over a given number of layers, and which to take."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xinit.networks.activations import Activation
from xinit.settings.thresholds import thresholds
from xinit.theory.mean_field import Edge, Phase, edge_at, edge_of_chaos, gains, longest_depth, phase, walk
from xinit.theory.moments import RANGE, in_range, kernels, mean_slope, moments

BOUND = thresholds()["signal_fail"]  # a verdict fails where the std of signal or gradient changes by more
ABSORBED = thresholds()["slope_absorbed"]  # and where a layer in a tail has a mean |f'| below this share of its maximum
COSINE = 0.5  # of two inputs' pre-activations in layer 1
SCHEMES = {"standard": 1 / 3, "xavier, fan-in": 1.0, "he": 2.0}  # s_w^2 where all widths are equal
BIASES = (0.0, 0.05)  # s_b^2 where the edge of chaos is looked for


class Weights(NamedTuple):
    """W ~ N(0, weight_variance / fan-in), b ~ N(0, bias_variance), and what they are called."""

    name: str
    weight_variance: float
    bias_variance: float = 0.0


class Course(NamedTuple):
    """What comes of some weights over `depth` layers, the pre-activations of layer 1 having variance 1.

    `signal`, `gradient`: by what the std of the pre-activations changes from layer 1 to the last, and that of dL/dz
    from the last to layer 1. `cosine`: of two inputs at the last layer, where it was COSINE in layer 1; nan where
    nothing is left of them. `layers`: over how many neither std changes by more than BOUND, at most `depth`. `slope`:
    mean |f'| at the last layer, share of its maximum; nan where it has none.
    """

    weights: Weights
    phase: Phase
    signal: float
    gradient: float
    cosine: float
    layers: int
    slope: float

    @property
    def change(self) -> float:
        """The larger change of the two, as a factor above 1."""
        with np.errstate(divide="ignore"):
            return float(np.exp(np.max(np.abs(np.log([self.signal, self.gradient])))))


def course(activation: Activation, weights: Weights, depth: int) -> Course:
    """The products over a finite depth, and the phase that they tend to.

    >>> he = course(xinit.activations.relu(), Weights("he", 2.0), depth=30)
    >>> round(he.signal, 3), round(he.gradient, 3), he.layers, he.phase.name
    (1.0, 1.0, 30, 'critical')
    """
    settled = phase(activation, weights.weight_variance, weights.bias_variance)
    walked = walk(activation, weights.weight_variance, weights.bias_variance, 1.0, depth)
    slope = mean_slope(activation, walked.q[-1])
    signal, gradient = math.sqrt(walked.q[-1]), math.sqrt(walked.gradient[-1])
    cosine = _cosine(activation, weights, depth)
    return Course(weights, settled, signal, gradient, cosine, longest_depth(walked, BOUND), slope)


def usual(activation: Activation, biases: Sequence[float] = BIASES, more: Sequence[Weights] = ()) -> list[Weights]:
    """Common schemes, both gains, the edge of chaos at some variances of biases, and `more`; equal ones as one.

    >>> [weights.name for weights in usual(xinit.activations.relu(), biases=(0.0,))]
    ['standard', 'xavier, fan-in', 'he, 1/sqrt(E f^2), edge of chaos', '1/std f']
    """
    both = gains(activation)
    weights = [Weights(name, variance) for name, variance in SCHEMES.items()]
    weights += [Weights("1/sqrt(E f^2)", both.second_moment**2), Weights("1/std f", both.normalising**2)]
    for bias_variance in biases:
        edge = edge_for(activation, bias_variance)
        weights += [Weights("edge of chaos", edge.weight_variance, bias_variance)] if edge else []
    return _merged([*weights, *more])


def edge_for(activation: Activation, bias_variance: float) -> Edge | None:
    """The point of the edge of chaos at some variance of biases; None where signals of variance 1 do not settle there.

    Without biases it may be the limit of faint signals, q* = 0, as for tanh: there s_w^2 f'(0)^2 = 1.

    >>> edge = edge_for(xinit.activations.tanh(), 0.0)
    >>> edge.q, round(edge.weight_variance, 6)
    (0.0, 1.0)
    """
    edge, faint = edge_at(activation, bias_variance), edge_of_chaos(activation, RANGE[0])
    if edge is None and bias_variance == 0 and abs(faint.bias_variance) < 1e-3 * RANGE[0]:
        edge = Edge(0.0, faint.weight_variance, 0.0)
    return edge if edge and reached(activation, edge) else None


def on_every_q(activation: Activation) -> bool:
    """Whether f(a x) = a f(x), a > 0: rectifiers and linear networks have one point as the edge, at any variance q.

    >>> on_every_q(xinit.activations.relu()), on_every_q(xinit.activations.tanh())
    (True, False)
    """
    edges = [edge_of_chaos(activation, q) for q in (RANGE[0], 1.0, RANGE[1])]
    return all(math.isclose(e.weight_variance, edges[0].weight_variance) and e.bias_variance == 0 for e in edges)


def reached(activation: Activation, edge: Edge) -> bool:
    """Whether pre-activations of variance 1 settle on the edge with these weights and biases, or are repelled by it.

    >>> f = xinit.activations.tanh()
    >>> reached(f, edge_of_chaos(f, 0.5))
    True
    """
    settled = phase(activation, edge.weight_variance, max(edge.bias_variance, 0.0))
    return settled.name == "critical" and holds(activation, edge.weight_variance, settled.q_star)


def holds(activation: Activation, weight_variance: float, q: float) -> bool:
    """Whether the q-map draws its fixed point q back: |s_w^2 d/dq E f^2| <= 1.

    >>> f = xinit.activations.tanh()
    >>> holds(f, 2.0, xinit.theory.mean_field.q_star(f, 2.0, 0.0))
    True
    """
    at = float(in_range(q))
    return bool(weight_variance * moments(activation, at).second_growth / at < 1 + 1e-6)


def best(courses: Sequence[Course]) -> Course:
    """Of those whose units do not end in a flat tail, if any, the one that lasts longest and then changes least.

    >>> f = xinit.activations.relu()
    >>> best([course(f, weights, 10) for weights in usual(f)]).weights.weight_variance
    2.0
    """
    usable = [course for course in courses if not course.slope < ABSORBED] or courses
    return min(usable, key=lambda course: (-course.layers, course.change))


def _merged(weights: Sequence[Weights]) -> list[Weights]:
    """Those of equal variances as one, with the names of all."""
    merged: list[Weights] = []
    for entry in weights:
        i = next((i for i, other in enumerate(merged) if np.allclose(other[1:], entry[1:], rtol=1e-6, atol=0)), None)
        if i is None:
            merged.append(entry)
        else:
            merged[i] = merged[i]._replace(name=f"{merged[i].name}, {entry.name}")
    return sorted(merged, key=lambda entry: entry[1:])


def _cosine(activation: Activation, weights: Weights, depth: int) -> float:
    gram = np.array([[1.0, COSINE], [COSINE, 1.0]])
    for _ in range(depth - 1):
        gram = weights.weight_variance * kernels(activation, gram)[0] + weights.bias_variance
        if gram[0, 0] == 0:  # f is 0 wherever a faint signal goes
            return math.nan
        gram *= in_range(gram[0, 0]) / gram[0, 0]
    return float(gram[0, 1] / gram[0, 0])
