"""Gaussian inputs with a linear teacher, generated without end: the inputs of theory, and data that need no files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from xinit.core.rules import INDEX, Count, Text, at_least
from xinit.data.contract import DataSettings, Sizes

if TYPE_CHECKING:
    from jax import Array

    from xinit.data.dataset import Dataset, Examples

TEACHER_SEED = 0  # one teacher for everybody: runs of different seeds solve the same problem
FLOAT32 = 4  # bytes of an input


@dataclass(frozen=True)
class Settings(DataSettings):
    """The numbers of inputs and classes, and of examples."""

    kind: Text
    inputs: Count
    classes: Annotated[int, at_least(2), INDEX]
    valid: Count
    test: Count
    epoch: Count

    @property
    def sizes(self) -> Sizes:
        """An epoch and the fixed sets."""
        return Sizes(self.epoch, self.valid, self.test)

    @property
    def sound_examples(self) -> int:
        """In proportion to the inputs: for 64 of them two sigmoid layers of 128 with Xavier's weights took 11,000, the
        slowest that were measured; five tanh layers of 256 took 110, and 710 for 1,024 inputs."""
        return 175 * self.inputs

    @property
    def generated_bytes(self) -> int:
        """The inputs of the fixed sets."""
        return FLOAT32 * self.inputs * (self.valid + self.test)

    def dataset(self, batch_size: int) -> "Dataset":
        """Batches of Gaussian inputs, which are not stored as pixels."""
        from xinit.data.dataset import endless

        return endless(
            make_sample(self.inputs, self.classes),
            batch_size,
            n_inputs=self.inputs,
            n_outputs=self.classes,
            n_valid=self.valid,
            n_test=self.test,
            decode=lambda x: x,
        )


def make_sample(inputs: int, classes: int) -> Callable[["Array", int], "Examples"]:
    """`sample(key, n)`: x ~ N(0, 1), independent; y = argmax over classes of a fixed linear teacher with unit rows."""
    import jax
    import jax.numpy as jnp

    from xinit.data.dataset import Examples

    def sample(key: "Array", n: int) -> Examples:
        teacher_IO = jax.random.normal(jax.random.key(TEACHER_SEED), (inputs, classes))
        teacher_IO /= jnp.linalg.norm(teacher_IO, axis=0, keepdims=True)
        x = jax.random.normal(key, (n, inputs))
        return Examples(x, jnp.argmax(jnp.matmul(x, teacher_IO, precision="float32"), axis=1).astype(jnp.int32))

    return sample
