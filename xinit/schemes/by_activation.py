"""Schemes that look at the activation in front of a layer: rectifiers' slopes, gains, the edge of chaos."""

import math

import jax
import numpy as np

from xinit import initializers
from xinit.core.errors import InputError
from xinit.core.readings import FLAT
from xinit.initializers import LawfulInitializer, independent, variance_scaling
from xinit.networks.activations import Activation
from xinit.networks.network import Network, Weight
from xinit.schemes.contract import Scheme, layerwise, per_weight
from xinit.theory.mean_field import Edge, Gains, edge_at, edge_of_chaos, gains
from xinit.theory.moments import slope_distribution

__all__ = ["critical", "he", "xavier_gain"]

MOST_FLAT = 0.5  # share of units on the flat parts of the activation, above which it is an edge in name only


def he(fan: str = "in", negative_slope: float | str = 0.0, distribution: str = "normal") -> Scheme:
    """(1 + a^2) n Var W / 2 = 1 (He et al. 2015, eq. 15), a the rectifier's negative slope.

    With `negative_slope="activation"`, a is that of the activation in front of the layer (the first layer takes the
    first activation's); an activation that is no rectifier raises InputError.

    >>> network = xinit.networks.mlp.plain((64, 32, 10), [xinit.activations.leaky_relu(0.5)])
    >>> laws = he(negative_slope="activation").law(network)
    >>> [round(law.variance, 5) for law in laws]
    [0.025, 0.05]
    """
    if not isinstance(negative_slope, str):
        return layerwise(initializers.he(fan, negative_slope, distribution))
    if negative_slope != "activation":
        raise InputError(f"scheme.negative_slope is {negative_slope!r}; it must be a number or `activation`.")

    def choose(weight: Weight, network: Network) -> LawfulInitializer:
        activation = _in_front(weight, network)
        if activation.negative_slope is None:
            raise InputError(
                f"scheme he with negative_slope=activation needs a rectifier, but the activation is {activation.name}; "
                "use relu or leaky_relu, or give scheme.negative_slope as a number."
            )
        return initializers.he(fan, activation.negative_slope, distribution)

    return per_weight(choose)


def _in_front(weight: Weight, network: Network) -> Activation:
    """The activation whose output a weight reads; what reads the inputs takes the first that any weight reads."""
    first = next((other.reads for other in network.weights if other.reads), network.activations[0])
    return weight.reads or first


def xavier_gain(correction: str = "second_moment", q: float = 1.0, distribution: str = "uniform") -> Scheme:
    """Var W = 2 g^2 / (n_in + n_out), g the gain of the activation in front at pre-activations of variance q.

    Xavier (Glorot & Bengio 2010, eq. 16) supposes f(z) = z: g puts back what f takes off. The first layer sees inputs,
    not activations: its g is 1. Neither gain makes chi_1 = 1, which is what `critical` does.

    >>> laws = xavier_gain().law(xinit.networks.mlp.plain((64, 64, 64), [xinit.activations.relu()]))
    >>> [round(64 * law.variance, 3) for law in laws]
    [1.0, 2.0]

    Args:
      correction: "second_moment", g = 1 / sqrt(E f^2), or "normalising", g = 1 / std f, as in PyTorch's table.
      q: the variance of the pre-activations.
      distribution: as in `variance_scaling`.

    Raises:
      InputError: an unknown correction or distribution; q is not above 0.
    """
    if correction not in Gains._fields:
        raise InputError(f"scheme.correction is {correction!r}; it must be one of {', '.join(Gains._fields)}.")
    _check_q(q)
    xavier = initializers.xavier(distribution)

    def choose(weight: Weight, network: Network) -> LawfulInitializer:
        if weight.reads is None:
            return xavier
        with jax.ensure_compile_time_eval():
            gain = getattr(gains(weight.reads, q), correction)
        return variance_scaling(gain**2, "avg", distribution)

    return per_weight(choose)


def critical(q: float = 1.0) -> Scheme:
    """W ~ N(0, s_w^2 / n_in) and b ~ N(0, s_b^2) on the edge of chaos, where pre-activations settle at variance q.

    chi_1 = s_w^2 E f'(sqrt(q) z)^2 = 1 and s_w^2 E f(sqrt(q) z)^2 + s_b^2 = q (Schoenholz et al. 2017, eqs. 3 and 5),
    f the activation in front (for the first layer, the first): neither gradients nor what tells two inputs apart fade
    exponentially. For relu it is He's (2, 0) at any q.

    >>> law, _ = critical(q=0.5).law(xinit.networks.mlp.plain((64, 64, 10), [xinit.activations.tanh()]))
    >>> round(64 * law.variance, 2), round(law.bias_variance, 2)
    (1.69, 0.04)

    Raises:
      InputError: q is not above 0; when weights are drawn, an activation whose edge at q needs biases of negative
        variance (sigmoid below q = 45.6), or puts more than half of the units where f is flat.
    """
    _check_q(q)

    def choose(weight: Weight, network: Network) -> LawfulInitializer:
        with jax.ensure_compile_time_eval():
            edge = _usable_edge(_in_front(weight, network), q)
        return independent(lambda n_in, n_out: edge.weight_variance / n_in, "normal", edge.bias_variance)

    return per_weight(choose)


def _check_q(q: float) -> None:
    if not 0 < q < math.inf:
        raise InputError(f"scheme.q is {q}; it must be a finite number above 0, the variance of the pre-activations.")


def _usable_edge(activation: Activation, q: float) -> Edge:
    edge = edge_of_chaos(activation, q)
    if edge.bias_variance < 0:
        first = edge_at(activation, 0.0)
        where = (
            f"it has one from q = {first.q:.4g} on, where {_flat_share(activation, first.q):.0%} of the units are flat"
            if first
            else "no q tried has one"
        )
        raise InputError(
            f"scheme critical: {activation.name} has no edge of chaos at q = {q:g}, since its weights (s_w^2 = "
            f"{edge.weight_variance:.3g}) need biases of variance {edge.bias_variance:.3g}; {where}."
        )
    flat = _flat_share(activation, q)
    if flat > MOST_FLAT:
        raise InputError(
            f"scheme critical: at scheme.q = {q:g} the edge of chaos of {activation.name} lies in saturation, "
            f"{flat:.0%} of the units being where f' is below {FLAT:.0%} of its maximum; use a smaller q or another "
            "activation."
        )
    return edge


def _flat_share(activation: Activation, q: float) -> float:
    """Share of pre-activations of variance q at which f' is below 5 % of its maximum; 0 for what does not saturate."""
    if not activation.saturates:
        return 0.0
    slopes, shares = slope_distribution(activation, q)
    return float(np.sum(shares[np.abs(slopes) < FLAT * activation.slope_max]))
