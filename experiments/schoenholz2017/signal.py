"""Drawn networks, not trained: the cosine of two inputs and the size of a gradient, from layer to layer.

Networks have one width. Two inputs x enter with the mean square at which all pre-activations z have variance q*, and
with a cosine away from the one where it settles; a random gradient dL/dz enters at the top. The same weights serve
every s_w^2, times s_w. Axes: W variances of the weights, S seeds (groups of networks), L layers, P pairs of inputs, N
units.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.schoenholz2017 import plane
from xinit.core import backend
from xinit.core.errors import InputError
from xinit.initializers import lecun
from xinit.networks.choices import activation_of
from xinit.networks.contract import Activation
from xinit.theory.mean_field import c_map

if TYPE_CHECKING:
    from experiments.study import Place

PHASES = ("ordered", "chaotic")
PAIRS = 8  # of inputs of each network
STARTS = {"ordered": 0.05, "chaotic": 0.4}  # how far the cosine begins below the one where it settles
KEPT = ("activation", "bias_variance", *PHASES, "width", "depth", "networks", "seeds")


class Line(NamedTuple):
    """Points of the plane, one for each s_w^2: what theory says there, and the cosine that pairs begin with."""

    weight_variances: Sequence[float]
    bias_variance: float
    theory: Mapping[str, Sequence[float]]
    first_cosine: Sequence[float]


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """The stage, checked.

    Raises:
      InputError: a setting is wrong, signals vanish at an s_w^2, or a network does not fit the memory.
    """
    own = settings[name]
    weight_variances = [w for phase in PHASES for w in plane.ascending(own[phase], f"{name}.{phase}")]
    theory = plane.theory(own["activation"], weight_variances, own["bias_variance"])
    if not all(0 < q < np.inf for q in theory["q_star"]):
        raise InputError(f"{name} has s_w^2 = {weight_variances}, where q* = {theory['q_star']}; it must be above 0.")
    width = own["width"]
    backend.check_memory({"a network (width, depth)": 4 * own["depth"] * width * (width + 2 * PAIRS * len(theory))})
    starts = [STARTS[phase] for phase in PHASES for _ in own[phase]]
    line = Line(weight_variances, own["bias_variance"], theory, np.subtract(theory["c_star"], starts).tolist())
    return lambda: _measure(own, line)


def _measure(own: Mapping[str, Any], line: Line) -> dict[str, Any]:
    f = activation_of(own["activation"], {})
    measure = _measurement(f, line, own["width"], own["depth"])
    networks = range(own["networks"])
    groups = [[measure(seed * own["networks"] + i) for i in networks] for seed in range(own["seeds"])]
    distance_SWL, gradient_SWL = (np.array([[one[k] for one in group] for group in groups]).mean(1) for k in (0, 1))
    return {
        **{name: own[name] for name in KEPT},
        "weight_variances": list(line.weight_variances),
        "theory": {name: list(values) for name, values in line.theory.items()},
        "curve": plane.curve(own["activation"], line.weight_variances, line.bias_variance),
        "expected": [_by_the_map(f, line, i, own["depth"]) for i in range(len(line.weight_variances))],
        "distance": np.swapaxes(distance_SWL, 0, 1).tolist(),  # (W, S, L) 1 - cosine, the mean over networks and pairs
        "gradient": np.swapaxes(gradient_SWL, 0, 1).tolist(),  # (W, S, L) mean square of dL/dz, the last layer's about 1
    }


def _by_the_map(f: Activation, line: Line, i: int, depth: int) -> list[float]:
    """1 - cosine in each layer of a wide network, by the c-map."""
    step = c_map(f, line.weight_variances[i], line.bias_variance, line.theory["q_star"][i])
    cosines = [line.first_cosine[i]]
    while len(cosines) < depth:
        cosines.append(float(step(cosines[-1])[0]))
    return [1 - cosine for cosine in cosines]


def _measurement(f: Activation, line: Line, width: int, depth: int) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """`seed -> (1 - cosine, mean square of dL/dz)` of one network, each (W, L)."""
    variance_W, q_W = jnp.array(line.weight_variances), jnp.array(line.theory["q_star"])
    root = lambda values_W: jnp.sqrt(values_W)[:, None, None]
    kernel, gain_W11 = lecun(), root(variance_W)

    def inputs(key: Array) -> Array:
        """(W, 2 P, N): their pre-activations have variance q* and, pair by pair, the first cosine."""
        a, b = (draw / jnp.linalg.norm(draw, axis=-1, keepdims=True) for draw in jax.random.normal(key, (2, PAIRS, width)))
        b = b - jnp.sum(a * b, -1, keepdims=True) * a
        b = b / jnp.linalg.norm(b, axis=-1, keepdims=True)
        own_W = q_W - line.bias_variance  # what weights give of q*; biases, which all inputs share, give the rest
        c_W11 = ((q_W * jnp.array(line.first_cosine) - line.bias_variance) / own_W)[:, None, None]
        pair = jnp.concatenate(jnp.broadcast_arrays(a[None], c_W11 * a + jnp.sqrt(1 - c_W11**2) * b), axis=1)
        return root(width * own_W / variance_W) * pair

    def up(h: Array, key: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        w = kernel(key, (width, width))
        bias = jnp.sqrt(line.bias_variance) * jax.random.normal(jax.random.fold_in(key, 0), (width,))
        z = gain_W11 * (h @ w) + bias[None, None, :]
        u, v = jnp.split(z / jnp.linalg.norm(z, axis=-1, keepdims=True), 2, axis=1)
        distance_W = jnp.mean(jnp.sum((u - v) ** 2, -1), -1) / 2  # 1 - u v, without a difference of large numbers
        return f.function(z), (w, f.slope(z[:, :PAIRS]), distance_W)

    def down(d: Array, layer: tuple[Array, Array]) -> tuple[Array, Array]:
        w, slope = layer  # of this layer, and of the one below
        below = gain_W11 * (d @ w.T) * slope
        return below, jnp.mean(below**2, axis=(1, 2))

    @jax.jit
    def passed(key: Array) -> tuple[Array, Array]:
        of_inputs, of_weights, of_gradient = jax.random.split(key, 3)
        _, (w, slopes, distance_LW) = jax.lax.scan(up, inputs(of_inputs), jax.random.split(of_weights, depth))
        top = jax.random.normal(of_gradient, (len(variance_W), PAIRS, width))
        _, gradient_LW = jax.lax.scan(down, top, (w[1:], slopes[:-1]), reverse=True)
        last = jnp.mean(top**2, axis=(1, 2))
        return distance_LW.T, jnp.concatenate([gradient_LW, last[None]]).T

    return lambda seed: jax.device_get(passed(jax.random.key(seed)))
