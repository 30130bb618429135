"""What a data set is to the trainer, and the two kinds there are: generated without end, and stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

Arrays = dict[str, "Examples"]
Chunk: TypeAlias = PyTree[Array]  # what a data set prepares of the batches of some steps


class Examples(NamedTuple):
    """Inputs as stored, (N, I) uint8 pixels or float32, and labels (N,) int32."""

    x: Array
    y: Array

    def head(self, n: int) -> "Examples":
        """The first n examples."""
        return Examples(self.x[:n], self.y[:n])


@dataclass(frozen=True)
class Dataset:
    """Batches as a function of the step, so that a run can be cut and resumed anywhere.

    `load()` makes the arrays that live on the device: `valid` and `test` Examples and whatever `draw` and `batch` read.
    They are an argument of the jitted step, never closed over. Steps come in chunks of `chunk_steps`:
    `draw(key, chunk_index, arrays)` prepares what a chunk needs and `batch(chunk, i, arrays)` gives the i-th batch of
    it, (x_BI float32, y_B). `decode` turns stored inputs into float32. `chance_error` is that of the best constant
    answer where the class prior is known. `targets` says what y is: "labels", int32 from 0 to n_outputs - 1, or
    "values", (N, n_outputs) float32 with mean 0 and variance 1 over the training examples, for regression.
    `stored_bytes` is the memory of what `load` puts on the device without generating it. `shape` is that of one example
    before it was written in one row: (height, width, channels) of an image.
    """

    n_inputs: int
    n_outputs: int
    chunk_steps: int
    load: Callable[[], Arrays]
    draw: Callable[[Array, Array, Arrays], Chunk]
    batch: Callable[[Chunk, Array, Arrays], tuple[Array, Array]]
    decode: Callable[[Array], Array]
    chance_error: float | None = None
    targets: str = "labels"
    stored_bytes: int = 0
    shape: tuple[int, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: of what has none but a row of numbers, their count."""
        return self.shape or (self.n_inputs,)


def numbers(x: Array) -> Array:
    """Stored inputs as float32, unscaled."""
    return x.astype(jnp.float32)


def pixels_to(pixel_range: tuple[float, float]) -> Callable[[Array], Array]:
    """Bytes 0..255 to float32 in the given range."""
    low, high = pixel_range
    return lambda x: x.astype(jnp.float32) * ((high - low) / 255) + low


# The fixed valid and test sets of generated data are the same for every run, whatever its seeds.
SETS_SEED = 2010

# 50 batches are drawn at once: enough to keep the cores busy, little enough to draw again after a cut.
CHUNK_STEPS = 50


def endless(
    sample: Callable[[Array, int], Examples],
    batch_size: int,
    *,
    n_inputs: int,
    n_outputs: int,
    n_valid: int,
    n_test: int,
    decode: Callable[[Array], Array],
    chance_error: float | None = None,
    shape: tuple[int, ...] = (),
) -> Dataset:
    """A generated set: batch t is a function of the key and t alone; `sample(key, n)` draws n examples."""

    def load() -> Arrays:
        keys = jax.random.split(jax.random.key(SETS_SEED))
        draw_set = jax.jit(sample, static_argnums=1)
        return {"valid": draw_set(keys[0], n_valid), "test": draw_set(keys[1], n_test)}

    def draw(key: Array, index: Array, arrays: Arrays) -> tuple[Array, Array]:
        x, y = sample(jax.random.fold_in(key, index), CHUNK_STEPS * batch_size)
        return x.reshape(CHUNK_STEPS, batch_size, -1), y.reshape(CHUNK_STEPS, batch_size)

    def batch(chunk: tuple[Array, Array], i: Array, arrays: Arrays) -> tuple[Array, Array]:
        x, y = chunk
        return decode(x[i]), y[i]

    return Dataset(n_inputs, n_outputs, CHUNK_STEPS, load, draw, batch, decode, chance_error, shape=shape)


def stored(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]],
    batch_size: int,
    *,
    n_outputs: int,
    decode: Callable[[Array], Array],
    targets: str = "labels",
    shape: tuple[int, ...] = (),
) -> Dataset:
    """A stored set of `train`, `valid` and `test`: each epoch its own permutation, the last partial batch left out."""
    n, n_inputs = sets["train"][0].shape
    chunk_steps = n // batch_size

    def draw(key: Array, index: Array, arrays: Arrays) -> Array:
        order = jax.random.permutation(jax.random.fold_in(key, index), n)
        return order[: chunk_steps * batch_size].reshape(chunk_steps, batch_size)

    def batch(chunk: Array, i: Array, arrays: Arrays) -> tuple[Array, Array]:
        x, y = arrays["train"]
        return decode(x[chunk[i]]), y[chunk[i]]

    load = lambda: {name: Examples(jnp.asarray(x), jnp.asarray(y)) for name, (x, y) in sets.items()}
    n_bytes = sum(array.nbytes for pair in sets.values() for array in pair)
    made = Dataset(n_inputs, n_outputs, chunk_steps, load, draw, batch, decode, targets=targets, stored_bytes=n_bytes)
    return replace(made, shape=shape)
