"""Weights at any point of the mean-field plane: Var W = s_w^2 / fan-in, normal or orthogonal, and b ~ N(0, s_b^2)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from xinit.core.errors import InputError
from xinit.initializers import orthogonal, variance_scaling
from xinit.networks.network import Network, Params
from xinit.schemes import Scheme
from xinit.schemes.contract import Hyper, Laws, layer_keys

KERNELS = {"gaussian": lambda: variance_scaling(1.0, "in", "normal"), "orthogonal": orthogonal}


def mean_field(bias_variance: float, weights: str = "gaussian") -> Scheme:
    """fan-in Var W = gain^2 and Var b = bias_variance: the scheme's gain is s_w, a number of a population.

    The gain multiplies the kernels alone, so biases keep their variance. Layers of one shape are drawn by one loop:
    a hundred draws written out would take a minute to compile.

    Raises:
      InputError: other weights than gaussian or orthogonal, or a negative variance.
    """
    if weights not in KERNELS or not 0 <= bias_variance < math.inf:
        raise InputError(
            f"The weights are {weights!r} and the variance of the biases is {bias_variance}; they must be "
            f"{' or '.join(KERNELS)}, and a finite number of at least 0."
        )
    kernel = KERNELS[weights]()

    def scheme(key: Array, network: Network, hyper: Hyper, batch: object) -> tuple[Params, Float[Array, " weight"]]:
        shapes = [weight.shape for weight in network.weights]
        keys = layer_keys(key, len(shapes))
        kernels: dict[int, Array] = {}
        for shape in dict.fromkeys(shapes):
            layers = [l for l, other in enumerate(shapes) if other == shape]
            drawn = jax.lax.map(lambda key, shape=shape: kernel(key, shape), keys[jnp.array(layers)])
            kernels |= {l: hyper["gain"] * drawn[i] for i, l in enumerate(layers)}
        ordered = [kernels[l] for l in range(len(shapes))]
        return network.with_weights({}, ordered, _biases(key, network)), jnp.ones(len(shapes))

    def _biases(key: Array, network: Network) -> Sequence[Array]:
        widths = [weight.shape[-1] for weight in network.weights]
        drawn = math.sqrt(bias_variance) * jax.random.normal(jax.random.fold_in(key, 0), (sum(widths),))
        return [drawn[sum(widths[:l]) :][:width] for l, width in enumerate(widths)]

    def law(network: Network) -> Laws:
        laws = [kernel.law.at(weight.kernel) for weight in network.weights]
        return tuple(one._replace(bias_variance=bias_variance) for one in laws)

    vars(scheme).update(law=law)
    return scheme
