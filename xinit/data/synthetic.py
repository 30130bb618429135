"""Gaussian inputs with a teacher: the input of theory, and data for tests that need no files."""

import jax
import jax.numpy as jnp
from jax import Array

from xinit.data.dataset import Examples

TEACHER_SEED = 0  # one teacher for everybody: runs of different seeds solve the same problem


def make_sample(inputs: int, classes: int):
    """`sample(key, n)`: x ~ N(0, 1), independent; y = argmax over classes of a fixed linear teacher with unit rows."""

    def sample(key: Array, n: int) -> Examples:
        teacher_IO = jax.random.normal(jax.random.key(TEACHER_SEED), (inputs, classes))
        teacher_IO /= jnp.linalg.norm(teacher_IO, axis=0, keepdims=True)
        x = jax.random.normal(key, (n, inputs))
        return Examples(x, jnp.argmax(jnp.matmul(x, teacher_IO, precision="float32"), axis=1).astype(jnp.int32))

    return sample
