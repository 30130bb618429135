"""Where the networks start: on the decoupled submanifold, pre-trained, or by one of xinit's schemes."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.saxe2013 import closed_forms, linear
from xinit.core.errors import InputError
from xinit.networks import activations
from xinit.networks.mlp import plain
from xinit.networks.network import Network
from xinit.settings.config import SchemeConfig
from xinit.training.choices import scheme_of

DECOUPLED, PRETRAINED = "decoupled", "pretrained"


def check(kind: str) -> None:
    """InputError unless a start is decoupled, pretrained, or a scheme that draws weights without data."""
    if kind not in (DECOUPLED, PRETRAINED):
        matrices(kind, (2, 2), 0)


def check_layers(name: str, layers: Sequence[int], least: int = 3) -> None:
    """InputError where a network has fewer layers, inputs and outputs included, than a mode needs."""
    if min(layers) < least:
        raise InputError(
            f"{name} has {min(layers)}; a network must have at least {least} layers, counted with its ends."
        )


def matrices(scheme: str, widths: Sequence[int], seed: int) -> list[np.ndarray]:
    """The weights that a scheme draws for a linear network of these widths, each acting as W x.

    Raises:
      InputError: there is no such scheme, or it needs a batch.
    """
    draw = scheme_of(SchemeConfig(scheme))
    try:
        params, _ = draw(jax.random.key(seed), _linear(tuple(widths)), {"gain": jnp.float32(1)}, None)
    except TypeError as wrong:  # as lsuv, which looks at a batch
        raise InputError(
            f"The scheme {scheme} draws no weights without data; use one that does, such as lecun."
        ) from wrong
    return [np.asarray(layer["kernel"]).T for layer in params["layers"].values()]


@functools.cache
def _linear(widths: tuple[int, ...]) -> Network:
    return plain(widths, (activations.linear(),) * (len(widths) - 2))


def drawn(scheme: str, width: int, outputs: int, count: int, seed: int) -> linear.Weights:
    """`count` matrices of a scheme, the last of them to the outputs."""
    *inner, last = matrices(scheme, (*[width] * count, outputs), seed)
    return linear.weights(np.stack(inner), last)


def decoupled(task: linear.Task, strength: float, count: int, seed: int) -> linear.Weights:
    """Every mode of the task with a product of that strength, spread evenly over the matrices (Section 2).

    W^l = R_{l+1} D R_l^T with R_1 = V and R_{L+1} = U of E t x^T = U S V^T, other R_l random and orthogonal.
    """
    u, _, vt = np.linalg.svd(np.asarray(task.cross, float), full_matrices=False)
    between = [_orthogonal(vt.shape[1], seed, l)[:, : len(vt)] for l in range(count - 1)]
    bases = [vt.T, *between, u]
    each = strength ** (1 / count)
    *inner, last = [each * above @ below.T for below, above in itertools.pairwise(bases)]
    return linear.weights(np.stack(inner), last)


def pretrained(task: linear.Task, settings: Mapping[str, Any], count: int, seed: int) -> linear.Weights:
    """What greedy layer-wise pre-training ends with (Section 3): W^l = R_{l+1} M^(1/2) R_l^T; the last is orthogonal.

    Each layer was an autoencoder of what the layers below it make of the inputs, started at `strength` and trained for
    `steps` at `rate`; M is the closed form of its modes. R_1 are the principal components of the inputs, the basis that
    the task is in.
    """
    variance, below = np.asarray(task.variance, float), np.eye(len(task.variance))
    inner = []
    for l in range(count - 1):
        above = _orthogonal(len(variance), seed, l)
        restored = closed_forms.autoencoder(variance, settings["steps"] * settings["rate"], settings["strength"])
        inner.append(above * np.sqrt(restored) @ below.T)
        variance, below = variance * restored, above
    last = _orthogonal(len(variance), seed, count)[: task.cross.shape[0]]
    return linear.weights(np.stack(inner), last)


def _orthogonal(width: int, *seeds: int) -> np.ndarray:
    """A square orthogonal matrix, uniform over all of them."""
    q, r = np.linalg.qr(np.random.default_rng(seeds).standard_normal((width, width)))
    return q * np.sign(np.diag(r))
