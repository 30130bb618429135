"""Deep linear networks: what a scheme promises of signal and gradient over depth, and what networks drawn by it show.

z^l = z^(l-1) W^l for l = 1..L, W^l of shape (n_(l-1), n_l) and independent entries of variance V_l; the gradient goes
down by g^(l-1) = W^l g^l. Second moments are per unit, those of the signal relative to the input's, those of the
gradient relative to the output's; all arrays have L + 1 entries, from the input to the output.
"""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xinit.core import backend
from xinit.core.errors import InputError
from xinit.core.factories import call_factory
from xinit.networks import activations, profiles
from xinit.networks.mlp import plain
from xinit.networks.network import Network
from xinit.schemes import Scheme, law_of
from xinit.settings.config import SchemeConfig
from xinit.training.choices import scheme_of

LEAST = 6  # layers that exact results must go to


def scheme_named(name: str) -> Scheme:
    """The scheme of that name in conf/scheme.

    Raises:
      InputError: there is none, or it does not say how its weights are distributed.
    """
    scheme = scheme_of(SchemeConfig(name))
    laws = law_of(scheme, _linear((2, 2)))
    if laws is None or laws[0].structure != "independent" or laws[0].bias_variance:
        raise InputError(f"The scheme {name} does not draw independent weights of a stated variance, as xavier does.")
    return scheme


def check(tier: Mapping[str, Any]) -> None:
    """InputError unless the tier's schemes and profiles are there and can be computed with."""
    if tier["longest"] < LEAST:
        raise InputError(f"longest is {tier['longest']}; it must be at least {LEAST}, for the shallow networks.")
    for name in tier["schemes"].values():
        scheme_named(name)
    for name in tier["profiles"].values():
        widths = widths_of(name, tier["ratio"], tier["depth"], tier["width"])
        backend.check_memory({"the weights (width, depth)": 8 * sum(map(operator.mul, widths, widths[1:]))})


def widths_of(profile: str, ratio: float, n_layers: int, width: int) -> tuple[int, ...]:
    """The widths n_0..n_L of a profile in conf/profile; the constant one has no ratio."""
    options = {} if profile == "constant" else {"ratio": ratio}
    return call_factory(profiles, profile, options, "profile")(n_layers + 1, width)


def variances(scheme: Scheme, widths: Sequence[int]) -> np.ndarray:
    """(L,) Var W of each layer."""
    return np.array([law.variance for law in law_of(scheme, _linear(tuple(widths)))])


def signal(scheme: Scheme, widths: Sequence[int]) -> np.ndarray:
    """E (z^l)^2 / E (z^0)^2 = prod_{k <= l} n_{k-1} Var W^k (Glorot & Bengio 2010, eq. 5)."""
    return np.cumprod([1.0, *np.multiply(widths[:-1], variances(scheme, widths))])


def gradient(scheme: Scheme, widths: Sequence[int]) -> np.ndarray:
    """E (g^l)^2 / E (g^L)^2 = prod_{k > l} n_k Var W^k (eq. 6 there, with the limits that eq. 2 gives)."""
    return np.cumprod([1.0, *np.multiply(widths[1:], variances(scheme, widths))[::-1]])[::-1]


def scatter_of_signal(widths: Sequence[int]) -> np.ndarray:
    """Standard deviation over networks of |z^l|^2, relative to its mean: sqrt(prod_{k <= l} (1 + 2/n_k) - 1).

    For one input, exact for normal weights, where |z^l|^2 / |z^(l-1)|^2 is a chi-square over n_l, independent of what
    came before;
    weights with lighter tails scatter a little less. (For small 2/n_k: log-normal with variance 2 sum 1/n_k, the linear
    case of Hanin & Nica 2018.)
    """
    return np.sqrt(np.cumprod([1.0, *(1 + 2 / np.array(widths[1:]))]) - 1)


def scatter_of_gradient(widths: Sequence[int]) -> np.ndarray:
    """The same for the gradient, which meets the layers in the other order."""
    return scatter_of_signal(widths[::-1])[::-1]


def drawn(scheme: Scheme, widths: Sequence[int], seeds: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """(S, L+1) second moments of signal and gradient in networks of these seeds, one random input and gradient each."""
    pairs = [_one(scheme, widths, seed) for seed in seeds]
    return tuple(np.stack(part) for part in zip(*pairs, strict=True))


def _one(scheme: Scheme, widths: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    # Not jitted: a scheme compiles once for each shape of a layer, whichever network it is in, not once a network.
    params, _ = scheme(jax.random.key(seed), _linear(tuple(widths)), {"gain": jnp.float32(1)}, None)
    kernels = [np.asarray(layer["kernel"]) for layer in params["layers"].values()]
    random = np.random.default_rng(seed)
    z, g = [random.standard_normal(widths[0])], [random.standard_normal(widths[-1])]
    for kernel in kernels:
        z.append(z[-1] @ kernel)
    for kernel in reversed(kernels):
        g.append(kernel @ g[-1])
    second_moment = lambda vector: np.mean(vector**2)
    z, g = np.array([*map(second_moment, z)]), np.array([*map(second_moment, g)])[::-1]
    return z / z[0], g / g[-1]


@functools.cache
def _linear(widths: tuple[int, ...]) -> Network:
    return plain(widths, (activations.linear(),) * (len(widths) - 2))
