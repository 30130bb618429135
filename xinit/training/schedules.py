"""Schedules: what the learning rate is multiplied by in the course of training.

Each is a function `(step, steps, **numbers)` of the steps that are done and of all there are; its numbers are traced.
To add one: a function here and a YAML file in `conf/schedule`.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int


def constant(step: Int[Array, ""], steps: int) -> Float[Array, ""]:
    """1: the learning rate stays as it is."""
    return jnp.ones((), jnp.float32)
