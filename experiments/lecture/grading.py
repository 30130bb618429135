"""Grades the exercise: is the initialiser Xavier's, and is the signal at layer 30 the one that networks show?

The networks have 30 tanh layers of 300 units and 300 inputs of mean square 1, as `xinit.predict` has them below.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn.initializers import Initializer

import xinit
from xinit.analysis.intervals import Interval, mean_interval
from xinit.initializers import xavier

DEPTH, WIDTH = 30, 300
EXAMPLES = 100
NETWORKS = 8  # one scatters about their mean by 4 %
CLOSE = 0.1  # relative: what a prediction may be off by; from pen and paper it is 2 %


class Grade(NamedTuple):
    """Whether both parts are right, and what to say to who did them."""

    passed: bool
    words: str

    def __str__(self) -> str:
        return self.words


def grade(initializer: Initializer, prediction: Callable[[int], float]) -> Grade:
    """Judge both parts of the exercise; whatever is missing or wrong is said, and nothing is raised.

    Args:
      initializer: (key, shape, dtype) -> weights of shape (n_in, n_out).
      prediction: layer -> root mean square of its activations.
    """
    parts = [_initializer(initializer), _prediction(prediction)]
    return Grade(all(part.passed for part in parts), "\n\n".join(part.words for part in parts))


def _initializer(initializer: Initializer) -> Grade:
    name = "1. The initialiser"
    _, trouble = _attempt(initializer, jax.random.key(0), (WIDTH, WIDTH), jnp.float32)
    if trouble:
        return Grade(False, f"{name}: {trouble}")
    found = xinit.verify_initializer(initializer, xavier(), dtypes=(jnp.float32,))
    return Grade(found.ok, f"{name} {'is right' if found.ok else 'is not Xavier'}.\n{found}")


def _prediction(prediction: Callable[[int], float]) -> Grade:
    name = f"2. The signal at layer {DEPTH}"
    value, trouble = _attempt(lambda: float(prediction(DEPTH)))
    if trouble:
        return Grade(False, f"{name}: {trouble}")
    measured = signal()
    if not abs(value / float(measured.mean) - 1) <= CLOSE:
        return Grade(False, f"{name}: {value:.3g} is not right. {_hint(value, float(measured.mean))}")
    interval = f"{measured.mean:.3f} [{measured.low:.3f}, {measured.high:.3f}]"
    words = f"{value:.3f} is right. {NETWORKS} networks show {interval}, and xinit predicts {predicted():.3f}."
    return Grade(True, f"{name}: {words}")


def _attempt(function: Callable, *arguments: Any) -> tuple[Any, str]:
    """What a student's function returns, and what is in the way of it, in words."""
    try:
        return function(*arguments), ""
    except NotImplementedError:
        return None, "not yet. The function is still to be written."
    except Exception as error:  # whatever it does
        return None, f"it could not be called: {type(error).__name__}: {error}"


def _hint(value: float, right: float) -> str:
    if not (math.isfinite(value) and value > 0):
        return "A root mean square is a number above 0."
    if math.isclose(value, 1, rel_tol=CLOSE):
        return "This is eq. 5, which has no tanh in it: |tanh(s)| < |s|, so every layer takes something away."
    if math.isclose(value, right**2, rel_tol=2 * CLOSE):
        return "This is the mean square; its root was asked for."
    return f"Networks show {'less' if value > right else 'more'}."


@functools.cache
def signal() -> Interval:
    """The root mean square of layer 30's activations, its mean over networks drawn with xinit's Xavier."""

    def network(key: Array) -> Array:
        input_key, *keys = jax.random.split(key, DEPTH + 1)
        x_BI = jax.random.normal(input_key, (EXAMPLES, WIDTH))
        layer = lambda h_BI, key: (jnp.tanh(h_BI @ xavier()(key, (WIDTH, WIDTH))), None)
        return jnp.sqrt(jnp.mean(jax.lax.scan(layer, x_BI, jnp.stack(keys))[0] ** 2))

    compiled = jax.jit(network)
    return mean_interval(np.array([compiled(jax.random.key(seed)) for seed in range(NETWORKS)]))


@functools.cache
def predicted() -> float:
    """What theory says of it."""
    settings = {"depth": DEPTH, "width": WIDTH, "data": "synthetic", "data.inputs": WIDTH, "probe.examples": EXAMPLES}
    theory = xinit.predict(scheme="xavier", activation="tanh", **settings)
    return math.sqrt(theory.values["act_second"][-1])
