"""A stage without training: how much one step of gradient descent changes the last hidden layer of a relu network.

Perceptrons of L hidden layers of one width, drawn one after the other, each with an input of mean square 1 and a label.
To first order in the rate layer l changes by v_l, with g_l the gradient of the loss by its pre-activations z_l:

    v_1 = r |x|^2 g_1,    v_l = W_l f'(z_(l-1)) v_(l-1) + |h_(l-1)|^2 g_l

r is the first layer's rate over that of the others. Axes: D layer behind the first, N unit, I input, O output.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from xinit.analysis.scaling import check_sizes
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

if TYPE_CHECKING:
    from experiments.study import Place

OUTPUTS = 10
# The first layer's rate, and the last one's variance, for SGD at a width and a base width: Yang et al. 2022, Table 3.
PARAMETRISATIONS: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "lecun": lambda width, base: (1.0, 1 / width),
    "mup": lambda width, base: (width / base, base / width**2),
}


class Weights(NamedTuple):
    """Kernels that are multiplied from the left: (N, I), (D, N, N) and (O, N)."""

    first: Array
    hidden: Array
    last: Array


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """The networks of every check; each of `checks` has the stage's other settings too.

    Raises:
      InputError: a setting is wrong.
    """
    shared = {key: value for key, value in settings[name].items() if key != "checks"}
    checks = {label: {**shared, **check} for label, check in settings[name]["checks"].items()}
    for label, check in checks.items():
        if check["scheme"] not in PARAMETRISATIONS:
            words = allowed_words(check["scheme"], PARAMETRISATIONS)
            raise InputError(f"Unknown scheme {check['scheme']!r} of {name}.checks.{label}; {words}")
        check["sizes"] = check_sizes(check["over"], check["sizes"])
    return lambda: {label: {**check, "change": _changes(check)} for label, check in checks.items()}


def _changes(check: Mapping[str, Any]) -> list[list[float]]:
    """(size, seed) mean squared changes at rate 1."""
    shapes = [
        {"width": check.get("width"), "depth": check.get("depth"), check["over"]: size} for size in check["sizes"]
    ]
    return [_of_shape(check, **shape) for shape in shapes]


def _of_shape(check: Mapping[str, Any], width: int, depth: int) -> list[float]:
    first_rate, last_variance = PARAMETRISATIONS[check["scheme"]](width, check["base_width"])
    numbers = jnp.array([check["gain"], first_rate, last_variance])
    keys = jax.vmap(jax.random.key)(jnp.arange(check["seeds"]))
    return np.asarray(_measured(keys, numbers, width, depth, check["inputs"]), float).tolist()


@functools.partial(jax.jit, static_argnames=("width", "depth", "inputs"))
def _measured(keys: Array, numbers: Array, width: int, depth: int, inputs: int) -> Array:
    gain, first_rate, last_variance = numbers

    def one(key: Array) -> Array:
        weights, x_I = drawn(key, width, depth, inputs, gain, last_variance)
        return jnp.mean(jnp.square(change(weights, x_I, first_rate)))

    return lax.map(one, keys)  # one at a time: a deep network is large


def drawn(
    key: Array, width: int, depth: int, inputs: int, gain: Array | float, last_variance: Array | float
) -> tuple[Weights, Array]:
    """Weights with Var W = gain^2 / fan-in, in the last layer gain^2 `last_variance`; an input of mean square 1."""
    keys = jax.random.split(key, 4)
    shapes = (width, inputs), (depth - 1, width, width), (OUTPUTS, width), (inputs,)
    first_NI, hidden_DNN, last_ON, x_I = (jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True))
    scaled = first_NI / math.sqrt(inputs), hidden_DNN / math.sqrt(width), last_ON * jnp.sqrt(last_variance)
    return Weights(*(gain * kernel for kernel in scaled)), x_I / jnp.sqrt(jnp.mean(x_I**2))


def change(weights: Weights, x_I: Array, first_rate: Array | float) -> Array:
    """(N,) v_L: minus the change of the last hidden layer's pre-activations, over the rate; the label is class 0."""

    def forward(z_N: Array, w_NN: Array) -> tuple[Array, tuple[Array, Array]]:
        h_N = jax.nn.relu(z_N)
        return w_NN @ h_N, (z_N, h_N @ h_N)

    def backward(g_N: Array, layer: tuple[Array, Array]) -> tuple[Array, Array]:
        w_NN, z_N = layer
        return jnp.where(z_N > 0, g_N @ w_NN, 0), g_N

    def spread(v_N: Array, layer: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        w_NN, z_N, square, g_N = layer
        return w_NN @ jnp.where(z_N > 0, v_N, 0) + square * g_N, None

    z_N, (below_DN, square_D) = lax.scan(forward, weights.first @ x_I, weights.hidden)
    error_O = jax.nn.softmax(weights.last @ jax.nn.relu(z_N)) - jax.nn.one_hot(0, OUTPUTS)
    top_N = jnp.where(z_N > 0, error_O @ weights.last, 0)
    first_N, g_DN = lax.scan(backward, top_N, (weights.hidden, below_DN), reverse=True)
    v_N, _ = lax.scan(spread, first_rate * (x_I @ x_I) * first_N, (weights.hidden, below_DN, square_D, g_DN))
    return v_N
