"""What `xinit.Monitor` costs a training loop at its default schedule: the loop with it and without, alternated."""

import functools
import pathlib
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen

import xinit

STEPS, BATCH, INPUTS, CLASSES = 3000, 256, 64, 10


class MLP(linen.Module):
    """Six layers of 256."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of vectors."""
        for _ in range(6):
            x = jnp.tanh(linen.Dense(256)(x))
        return linen.Dense(CLASSES)(x)


def works() -> dict[str, Callable[[], float]]:
    """Seconds of 3,000 steps of SGD by optax, from the second on, alone and with a monitor.

    The first step is left out: there both compile, the monitor for one to three seconds.
    """
    model, x, y = MLP(), jax.random.normal(jax.random.key(0), (BATCH, INPUTS)), jnp.arange(BATCH) % CLASSES
    drawn = jax.jit(model.init)(jax.random.key(1), x)
    optimizer = optax.sgd(0.01)

    def loss(variables: dict) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model.apply(variables, x), y).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(variables: dict, state: optax.OptState) -> tuple[dict, optax.OptState]:
        updates, state = optimizer.update(jax.grad(loss)(variables), state)
        return optax.apply_updates(variables, updates), state

    def train(look: Callable[[int, dict], object]) -> float:
        variables = jax.tree.map(jnp.copy, drawn)
        state = optimizer.init(variables)
        started = 0.0
        for step in range(STEPS):
            look(step, variables)
            variables, state = update(variables, state)
            if step == 0:
                jax.block_until_ready(variables)
                started = time.perf_counter()
        jax.block_until_ready(variables)
        return time.perf_counter() - started

    def monitored() -> float:
        with (
            tempfile.TemporaryDirectory() as folder,
            xinit.Monitor(model, (x, y), pathlib.Path(folder, "watched"), variables=drawn) as monitor,
        ):
            return train(monitor)

    return {"the bare loop": lambda: train(lambda step, variables: None), "with a monitor": monitored}
