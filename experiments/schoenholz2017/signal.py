"""Drawn networks, not trained: the cosine of two inputs and the size of a gradient, from layer to layer.

Networks have one width. Two inputs x enter with the mean square at which all pre-activations z have variance q*, and
with a cosine away from the one where it settles: below it, and in the chaotic phase in other pairs above it too. A
random gradient dL/dz enters at the top. The same weights serve every s_w^2, times s_w.

Axes: C courses (an s_w^2 with a first cosine), S seeds (groups of networks), L layers, P pairs of inputs, N units.
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
LARGEST_COSINE = 0.99  # of a start, where c* is nearly 1
STARTS = {"ordered": (-0.05,), "chaotic": (-0.3, 0.3)}  # where cosines begin, from the one where they settle
KEPT = ("activation", "bias_variance", *PHASES, "width", "depth", "networks", "seeds")


class Course(NamedTuple):
    """A point of the plane, where pre-activations settle there, and the cosine that pairs begin with."""

    weight_variance: float
    bias_variance: float
    q_star: float
    first_cosine: float


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """The stage, checked.

    Raises:
      InputError: a setting is wrong, a phase has an s_w^2 of the other, or a network does not fit the memory.
    """
    own = settings[name]
    theory = {phase: _theory(own, phase, name) for phase in PHASES}
    width, courses = own["width"], sum(len(STARTS[phase]) * len(own[phase]) for phase in PHASES)
    backend.check_memory({"a network (width, depth)": 4 * own["depth"] * width * (width + 2 * PAIRS * courses)})
    return lambda: _measure(own, theory)


def _theory(own: Mapping[str, Any], phase: str, name: str) -> dict[str, list[float]]:
    theory = plane.theory(own["activation"], plane.ascending(own[phase], f"{name}.{phase}"), own["bias_variance"])
    if not all(0 < q < np.inf for q in theory["q_star"]):
        raise InputError(f"{name}.{phase} is {own[phase]}, where q* is {theory['q_star']}; it must be above 0.")
    low, high, side = (0, 1, "below") if phase == "ordered" else (1, np.inf, "above")
    if not all(low < chi < high for chi in theory["chi_1"]):
        raise InputError(f"{name}.{phase} is {own[phase]}, where chi_1 is {theory['chi_1']}; it must be {side} 1.")
    return theory


def _measure(own: Mapping[str, Any], theory: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Any]:
    f, courses = activation_of(own["activation"], {}), {}
    for phase, values in theory.items():
        points = list(zip(own[phase], values["q_star"], values["c_star"], strict=True))
        for start in STARTS[phase]:
            courses[phase, start] = [
                Course(w, own["bias_variance"], q, min(c + start, LARGEST_COSINE)) for w, q, c in points
            ]
    measure = _measurement(f, [course for some in courses.values() for course in some], own["width"], own["depth"])
    networks = range(own["networks"])
    groups = [[measure(seed * own["networks"] + i) for i in networks] for seed in range(own["seeds"])]
    distance_SCL, gradient_SCL = (np.array([[one[k] for one in group] for group in groups]).mean(1) for k in (0, 1))
    found, first = {}, 0
    for (phase, start), some in courses.items():
        these = slice(first, first := first + len(some))
        found.setdefault(phase, {"theory": theory[phase], "weight_variances": own[phase], "starts": []})
        found[phase]["starts"].append({
            "start": start,
            "expected": [_by_the_map(f, course, own["depth"]) for course in some],  # (C, L)
            "distance": np.swapaxes(distance_SCL[:, these], 0, 1).tolist(),  # (C, S, L) 1 - cosine
            "gradient": np.swapaxes(gradient_SCL[:, these], 0, 1).tolist(),  # (C, S, L) mean square, about 1 at the top
        })  # fmt: skip
    ends = own["ordered"][0], own["chaotic"][-1]
    return {
        **{name: own[name] for name in KEPT},
        "phases": found,
        "curve": plane.curve(own["activation"], ends, own["bias_variance"]),
    }


def _by_the_map(f: Activation, course: Course, depth: int) -> list[float]:
    """1 - cosine in each layer of a wide network, by the c-map."""
    step = c_map(f, course.weight_variance, course.bias_variance, course.q_star)
    cosines = [course.first_cosine]
    while len(cosines) < depth:
        cosines.append(float(step(cosines[-1])[0]))
    return [1 - cosine for cosine in cosines]


def _measurement(
    f: Activation, courses: Sequence[Course], width: int, depth: int
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """`seed -> (1 - cosine, mean square of dL/dz)` of one network, means over pairs and units, each (C, L)."""
    variance, q_star, first_cosine = (
        jnp.array([getattr(course, name) for course in courses])[:, None, None]
        for name in ("weight_variance", "q_star", "first_cosine")
    )
    gain, kernel, bias_variance = jnp.sqrt(variance), lecun(), courses[0].bias_variance

    def inputs(key: Array) -> Array:
        """(C, 2 P, N): their pre-activations have variance q* and, pair by pair, the first cosine."""
        a, b = jax.random.normal(key, (2, PAIRS, width))
        a = _unit(a)
        b = _unit(b - jnp.sum(a * b, -1, keepdims=True) * a)
        from_weights = q_star - bias_variance  # biases, which all inputs share, give the rest
        cosine = (q_star * first_cosine - bias_variance) / from_weights
        turned = cosine * a[None] + jnp.sqrt(1 - cosine**2) * b[None]
        pairs = jnp.concatenate(jnp.broadcast_arrays(a[None], turned), axis=1)
        return jnp.sqrt(width * from_weights / variance) * pairs

    def up(h: Array, key: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        w = kernel(key, (width, width))
        bias = jnp.sqrt(bias_variance) * jax.random.normal(jax.random.fold_in(key, 0), (width,))
        z = gain * (h @ w) + bias[None, None, :]
        u, v = jnp.split(_unit(z), 2, axis=1)
        distance_C = jnp.mean(jnp.sum((u - v) ** 2, -1), -1) / 2  # 1 - u v, where 1 and u v may be nearly equal
        return f.function(z), (w, f.slope(z[:, :PAIRS]), distance_C)

    def down(d: Array, layer: tuple[Array, Array]) -> tuple[Array, Array]:
        w, slope = layer  # of this layer, and of the one below
        below = gain * (d @ w.T) * slope
        return below, jnp.mean(below**2, axis=(1, 2))

    @jax.jit
    def passed(key: Array) -> tuple[Array, Array]:
        of_inputs, of_weights, of_gradient = jax.random.split(key, 3)
        _, (w, slopes, distance_LC) = jax.lax.scan(up, inputs(of_inputs), jax.random.split(of_weights, depth))
        top = jax.random.normal(of_gradient, (len(courses), PAIRS, width))
        _, gradient_LC = jax.lax.scan(down, top, (w[1:], slopes[:-1]), reverse=True)
        return distance_LC.T, jnp.concatenate([gradient_LC, jnp.mean(top**2, axis=(1, 2))[None]]).T

    return lambda seed: jax.device_get(passed(jax.random.key(seed)))


def _unit(vectors: Array) -> Array:
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
