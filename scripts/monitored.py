"""What `xinit.Monitor` costs a training loop at its default schedule: the loop with it and without, alternated."""

import functools
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen

import xinit

INPUTS, CLASSES = 64, 10
Look = Callable[[int, dict], object]


class Case(NamedTuple):
    """A network of `depth` hidden layers, trained on one batch for `steps`."""

    depth: int
    width: int
    batch: int
    steps: int

    @property
    def words(self) -> str:
        """What it is, for a table."""
        return f"{self.steps:,} steps of {self.depth} x {self.width}, batch {self.batch}"


CASES = (Case(6, 256, 256, 5000), Case(3, 256, 128, 10_000))  # steps of about 3 ms and of less than one


class MLP(linen.Module):
    """Hidden layers of one width."""

    depth: int
    width: int

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of vectors."""
        for _ in range(self.depth):
            x = jnp.tanh(linen.Dense(self.width)(x))
        return linen.Dense(CLASSES)(x)


class Loop:
    """A case's training by SGD of optax, which reads its loss every 10 steps, alone and with a monitor.

    Each work returns the seconds from the third step on: before, the training and the monitor compile, the monitor for
    one to three seconds. `shares` are the parts of these that the monitor's calls took, one for each of its trainings;
    what the training still computed when it was called is among them.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.shares = case, []
        self._model = MLP(case.depth, case.width)
        self._x, self._y = jax.random.normal(jax.random.key(0), (case.batch, INPUTS)), jnp.arange(case.batch) % CLASSES
        self._drawn = jax.jit(self._model.init)(jax.random.key(1), self._x)
        self._optimizer = optax.sgd(0.01)

    def works(self) -> dict[str, Callable[[], float]]:
        """Both, by name."""
        return {"the bare loop": lambda: self._train(lambda step, variables: None), "with a monitor": self._monitored}

    def _monitored(self) -> float:
        inside = 0.0

        def look(step: int, variables: dict) -> None:
            nonlocal inside
            begun = time.perf_counter()
            monitor(step, variables)
            inside += time.perf_counter() - begun if step > 1 else 0.0

        with tempfile.TemporaryDirectory() as folder:
            at = pathlib.Path(folder, "watched")
            with xinit.Monitor(self._model, (self._x, self._y), at, variables=self._drawn) as monitor:
                seconds = self._train(look)
        self.shares.append(inside / seconds)
        return seconds

    def _train(self, look: Look) -> float:
        variables = jax.tree.map(jnp.copy, self._drawn)
        state, started = self._optimizer.init(variables), 0.0
        for step in range(self.case.steps):
            if step == 2:
                jax.block_until_ready(variables)
                started = time.perf_counter()
            look(step, variables)
            loss, variables, state = self._update(variables, state)
            if step % 10 == 0:
                float(loss)
        jax.block_until_ready(variables)
        return time.perf_counter() - started

    @functools.cached_property
    def _update(self) -> Callable[[dict, optax.OptState], tuple[jax.Array, dict, optax.OptState]]:
        def loss(variables: dict) -> jax.Array:
            logits = self._model.apply(variables, self._x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, self._y).mean()

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def update(variables: dict, state: optax.OptState) -> tuple[jax.Array, dict, optax.OptState]:
            value, gradient = jax.value_and_grad(loss)(variables)
            updates, state = self._optimizer.update(gradient, state)
            return value, optax.apply_updates(variables, updates), state

        return update


def loops() -> Iterator[Loop]:
    """Those that are measured."""
    yield from map(Loop, CASES)
