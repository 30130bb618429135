"""Schedules: what the learning rate is multiplied by in the course of training.

Each is a function `(step, steps, **numbers)` of the steps that are done, 0 at the first update, and of all there are;
its numbers are traced. Where something begins or ends is a share of the run, and falls on a whole step. To add one: a
function here and a YAML file in `conf/schedule`.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

Number = float | Float[Array, ""]
Step = Int[Array, ""]
Factor = Float[Array, ""]


def constant(step: Step, steps: int) -> Factor:
    """1: the learning rate stays as it is."""
    return jnp.ones((), jnp.float32)


def warmup(step: Step, steps: int, warmup: Number) -> Factor:
    """min(1, (step + 1) / W), W the steps of the warm-up: from 1/W, so that no step is without effect, to 1."""
    return jnp.minimum(1.0, (step + 1) / jnp.maximum(_whole(warmup, steps), 1))


def cosine(step: Step, steps: int, warmup: Number, end: Number) -> Factor:
    """The warm-up, then end + (1 - end) (1 + cos(pi p)) / 2, p the share done of the steps after it.

    Reference: Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, eq. 5, with none.
    """
    p = _share_after(step, steps, warmup)
    return _warmup(step, steps, warmup) * (end + (1 - end) * (1 + jnp.cos(jnp.pi * p)) / 2)


def linear(step: Step, steps: int, warmup: Number, end: Number) -> Factor:
    """The warm-up, then 1 - (1 - end) p, p the share done of the steps after it."""
    return _warmup(step, steps, warmup) * (1 - (1 - end) * _share_after(step, steps, warmup))


def steps(step: Step, steps: int, warmup: Number, at: Number | Float[Array, " times"], factor: Number) -> Factor:
    """The warm-up, then factor^n, n the number of shares `at` that are done."""
    return _warmup(step, steps, warmup) * factor ** jnp.sum(step >= _whole(at, steps))


_warmup = warmup  # by a name that the arguments do not hide


def _whole(share: Number | Float[Array, " times"], steps: int) -> Float[Array, "*times"]:
    """A share of the run in whole steps."""
    return jnp.round(share * jnp.float32(steps))


def _share_after(step: Step, steps: int, warmup: Number) -> Factor:
    """The share that is done of the steps after the warm-up, 0 before."""
    begin = _whole(warmup, steps)
    return jnp.maximum(step - begin, 0) / jnp.maximum(steps - begin, 1)
