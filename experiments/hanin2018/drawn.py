"""Networks at initialisation, drawn layer by layer, many at once: mean squares of the signal and of a small change.

A layer is h' = skip h + eta f(W h), f relu or the identity; a plain layer has skip = 0 and eta = 1. A change v of the
input goes through the Jacobian of the same layer, v' = skip v + eta f'(W h) W v. Both are scaled back to mean square 1
behind every layer and the logarithms added up, so that no depth leaves float32. Axes: N networks, I inputs, O outputs
of a layer, L layers.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xinit.core.errors import InputError
from xinit.initializers import variance_scaling

ACTIVATIONS = ("relu", "linear")
# Every width is a program of its own, which takes longer to compile than to run: half the time with less optimisation.
_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})


class Logs(NamedTuple):
    """(network, layer): natural logarithms of the mean square behind each layer, relative to the input's.

    -inf where a network died.
    """

    signal: np.ndarray
    change: np.ndarray


class Weights(NamedTuple):
    """Independent weights of mean 0 and Var W = scale / fan-in."""

    scale: float
    distribution: str


def weights_of(own: Mapping[str, Any]) -> Weights:
    """The weights that a tier's mapping {scale, distribution} asks for.

    Raises:
      InputError: an unknown distribution, or a scale that is not above 0.
    """
    variance_scaling(own["scale"], "in", own["distribution"])  # which checks them
    return Weights(own["scale"], own["distribution"])


def check_activation(name: str) -> None:
    """Refuse an activation that is neither relu nor linear."""
    if name not in ACTIVATIONS:
        raise InputError(f"activation is {name!r}; it must be one of {', '.join(ACTIVATIONS)}.")


def logs(
    keys_N: Array,
    widths: Sequence[int],
    weights: Weights,
    activation: str = "relu",
    skip: float = 0.0,
    branch_scales: Sequence[float] | None = None,
) -> Logs:
    """What networks of widths (n_0, ..., n_L), one for each key, do to a random input and to a random change of it.

    >>> found = logs(keys_of(seeds=10, networks=50, row=0), (32,) * 9, Weights(2.0, "normal"))
    >>> round(float(np.var(found.change[:, -1])), 1)  # 5 sum 1/n = 5 x 8 / 32
    1.4
    """
    h_NI, v_NI = (_unit(_normal(_folded(keys_N, part), widths[0]))[0] for part in (0, 1))
    steps = [(jnp.zeros(len(keys_N)), jnp.zeros(len(keys_N)))]
    for l, n_out in enumerate(widths[1:]):
        numbers = jnp.array([weights.scale, skip, 1.0 if branch_scales is None else branch_scales[l]])
        keys = _folded(keys_N, 2 + l)
        h_NI, v_NI, step = _layer(keys, h_NI, v_NI, numbers, n_out, weights.distribution, activation)
        steps.append(step)
    signal_NL, change_NL = (np.cumsum(np.stack(part, axis=1), axis=1)[:, 1:] for part in zip(*steps, strict=True))
    return Logs(signal_NL, change_NL)


@functools.partial(_jit, static_argnames=("n_out", "distribution", "activation"))
def _layer(
    keys_N: Array, h_NI: Array, v_NI: Array, numbers: Array, n_out: int, distribution: str, activation: str
) -> tuple[Array, Array, tuple[Array, Array]]:
    """The next layer's signal and change, both of mean square 1, and the logarithms of what they were divided by."""
    scale, skip, eta = numbers
    draw = lambda key: variance_scaling(1.0, "in", distribution)(key, (h_NI.shape[1], n_out))
    w_NIO = jnp.sqrt(scale) * jax.vmap(draw)(keys_N)
    z_NO, u_NO = (jnp.einsum("ni,nio->no", a_NI, w_NIO) for a_NI in (h_NI, v_NI))
    open_NO = z_NO > 0 if activation == "relu" else jnp.ones_like(z_NO, bool)
    kept = (lambda a_NI: skip * a_NI) if h_NI.shape[1] == n_out else lambda a_NI: 0.0  # unequal widths have no skip
    h_NO, log_h = _unit(kept(h_NI) + eta * jnp.where(open_NO, z_NO, 0))
    v_NO, log_v = _unit(kept(v_NI) + eta * jnp.where(open_NO, u_NO, 0))
    return h_NO, v_NO, (log_h, log_v)


@jax.jit
def _folded(keys_N: Array, number: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys_N)


@functools.partial(_jit, static_argnames="n")
def _normal(keys_N: Array, n: int) -> Array:
    return jax.vmap(lambda key: jax.random.normal(key, (n,)))(keys_N)


def _unit(a_NI: Array) -> tuple[Array, Array]:
    """Each network's vector scaled to mean square 1, and the logarithm of its own; a vector of 0 stays."""
    square_N = jnp.mean(a_NI**2, axis=1)
    return a_NI / jnp.sqrt(jnp.where(square_N > 0, square_N, 1))[:, None], jnp.log(square_N)


def keys_of(seeds: int, networks: int, row: int) -> Array:
    """A key for each network of a row of the study, seed after seed; no two rows share one."""
    of_seed = lambda seed: jax.random.split(jax.random.fold_in(jax.random.key(seed), row), networks)
    return jax.vmap(of_seed)(jnp.arange(seeds)).reshape(-1)
