"""The parameters of a network that is written down step by step, and the one function that goes through the steps."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array, lax
from jaxtyping import Float

from xinit.core.errors import InputError
from xinit.networks.network import (
    Activate,
    Branch,
    Image,
    Join,
    Multiply,
    Normalise,
    Outputs,
    Pool,
    Shift,
    Site,
    Step,
    Tap,
)

EPSILON = 1e-6  # that normalisations of one example add to a variance


class NoKeys:
    """In the place of `nnx.Rngs` for layers that start from constants.

    `nnx.Rngs` counts its keys in a variable, and each count searches all that was traced before: the square of the
    depth, 13 s at 400 layers.
    """

    def params(self) -> None:
        """No key."""


KEYS: Any = NoKeys()
ZERO = nnx.initializers.zeros_init()
MOMENTUM = 0.9  # of the running averages of batch normalisation: those of the last ten or so steps


class BatchNorm(nnx.BatchNorm):
    """Flax's, but for how it keeps its running averages: in new variables.

    A write into a variable searches all that was traced before: 40 s at 100 residual branches.
    """

    def __call__(self, h: Float[Array, "batch ..."], use_running_average: bool) -> Float[Array, "batch ..."]:  # type: ignore[override]
        """h normalised over its examples and positions, or with the running averages."""
        if use_running_average:
            return self._normalised(h)
        axes = tuple(range(h.ndim - 1))
        batch = jnp.mean(h, axes), jnp.var(h, axes)
        averages = self.mean[...], self.var[...]
        kept = [MOMENTUM * old + (1 - MOMENTUM) * new for old, new in zip(averages, batch, strict=True)]
        self.mean, self.var = map(nnx.BatchStat, batch)
        normalised = self._normalised(h)
        self.mean, self.var = map(nnx.BatchStat, kept)
        return normalised

    def _normalised(self, h: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        normalised: Array = super().__call__(h, use_running_average=True)
        return normalised


NORMS: dict[str, Callable[[int], nnx.Module]] = {
    "layer": lambda n: nnx.LayerNorm(n, epsilon=EPSILON, rngs=KEYS),
    "rms": lambda n: nnx.RMSNorm(n, epsilon=EPSILON, rngs=KEYS),
    "batch": lambda n: BatchNorm(n, rngs=KEYS),
}


def check_norm(kind: str) -> None:
    """InputError unless there is such a normalisation; "none" is one."""
    if kind not in ("none", *NORMS):
        raise InputError(f"network.norm is {kind!r}; it must be one of none, {', '.join(NORMS)}.")


class Stack(nnx.Module):
    """The parameters of a network, in lists by what they are; a list that would be empty is not there."""

    def __init__(self, layers: Sequence[nnx.Module], norms: Sequence[nnx.Module], learned: dict[str, list[float]]):
        """`learned`: scalars by the name of their list, what they start from."""
        self.layers: Any = nnx.List(layers)
        if norms:
            self.norms: Any = nnx.List(norms)
        for name, starts in learned.items():
            setattr(self, name, nnx.List([nnx.Param(jnp.float32(start)) for start in starts]))

    def learned(self, name: str, number: int) -> Array:
        """A scalar of one of these lists."""
        scalar: Array = getattr(self, name)[number][...]
        return scalar


def walk(
    stack: Stack, steps: Sequence[Step], x: Float[Array, "batch ..."], tap: Tap, train: bool
) -> tuple[Float[Array, "batch outputs"], Outputs]:
    """The signal x through all steps: logits and `Outputs`, whose entries are the `Activate` steps."""
    h, main, seen = x, x, x
    pre, post, into = [], [], []
    for step in steps:
        match step:
            case Multiply(weight):
                seen = h = tap(Site("weight", weight), stack.layers[weight](h))
            case Normalise(number, kind):
                options = {"use_running_average": not train} if kind == "batch" else {}
                # Without the barrier XLA computes the sum of all branches before it anew for each norm: at 100 branches
                # it compiled for minutes.
                h = stack.norms[number](lax.optimization_barrier(h), **options)
            case Activate(f, weight):
                into.append(h)
                h = f.function(h) if f.learned is None else f.learned.function(h, stack.layers[weight].slope[...])
                pre.append(seen)
                post.append(h)
            case Branch():
                main = h
            case Join(number, skip, scale, learned):
                factor = stack.learned("scales", number) if learned else scale
                seen = h = tap(Site("sum", number), _scaled(skip, fitted(main, h.shape)) + _scaled(factor, h))
            case Shift(number):
                h = h + stack.learned("shifts", number)
            case Pool():
                h = jnp.mean(h, axis=tuple(range(1, h.ndim - 1)))
            case Image(shape):
                h = h.reshape(len(h), *shape)
    return h, Outputs(tuple(pre), tuple(post), tuple(into))


def _scaled(factor: Array | float, h: Array) -> Array:
    """factor x h; nothing is multiplied by 1."""
    return h if isinstance(factor, float | int) and factor == 1 else factor * h


def fitted(h: Float[Array, "batch ..."], shape: Sequence[int]) -> Float[Array, "batch ..."]:
    """h in another shape: every second position where there are half as many, units cut off or filled up with 0.

    The positions are those that a convolution of 3 x 3 with stride 2 has in the middle of its windows, SAME padding
    being shorter before than behind: 1, 3, 5, .. of an even number, else 0, 2, 4, ..
    """
    if h.shape == tuple(shape):
        return h
    for axis in range(1, h.ndim - 1):
        step = -(-h.shape[axis] // shape[axis])
        first = 0 if h.shape[axis] % step else step - 1
        h = h[(slice(None),) * axis + (slice(first, None, step),)]
    more = shape[-1] - h.shape[-1]
    return h[..., : shape[-1]] if more < 0 else jnp.pad(h, [(0, 0)] * (h.ndim - 1) + [(0, more)])


def untouched(site: Site, z: Array) -> Array:
    """The tap that changes nothing."""
    return z
