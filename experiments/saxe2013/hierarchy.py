"""The stage of Figure 3: three layers learn a hierarchy of things, one mode after the other.

Things are the leaves of a binary tree, and features diffuse down it: a thing's feature is that of its parent, turned
over with a small probability. Inputs are one-hot, E x x^T = 1 up to a factor that is put into the rate, and the modes
are the levels of the tree. Axes: R record, M mode, S seed, T thing, F feature.
"""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.saxe2013 import closed_forms, linear, starts
from xinit.core.errors import InputError

if TYPE_CHECKING:
    from experiments.study import Place

LONGEST = 1.5  # half-learning times of the weakest mode that a run goes on for


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """What measures the learning curves.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    if max(own["modes"]) > 2 ** own["levels"]:
        raise InputError(
            f"{name}.modes asks for mode {max(own['modes'])}; a tree of {own['levels']} levels has "
            f"{2 ** own['levels']} modes."
        )
    return lambda: measure(own)


def diffused(levels: int, features: int, flip: float, seed: int) -> np.ndarray:
    """(F, T) features, +1 or -1, of the 2^levels leaves of a tree."""
    random = np.random.default_rng(seed)
    values_FT = random.choice([-1.0, 1.0], (features, 1))
    for _ in range(levels):
        values_FT = np.repeat(values_FT, 2, axis=1)
        values_FT *= np.where(random.random(values_FT.shape) < flip, -1, 1)
    return values_FT


def measure(own: Mapping[str, Any]) -> dict[str, Any]:
    """Courses of the modes: closed form, decoupled start, random starts, and tanh networks from the same starts."""
    features_FT = diffused(own["levels"], own["features"], own["flip"], seed=0)
    u_FM, s_M, vt_MT = np.linalg.svd(features_FT, full_matrices=False)
    task = linear.Task(jnp.asarray(features_FT, jnp.float32), jnp.ones(features_FT.shape[1]))
    half_M = closed_forms.time_until(s_M / 2, s_M, own["strength"]) / own["rate"]
    every = max(1, round(LONGEST * half_M[-1] / own["records"]))
    of_modes = lambda w_RFT: np.einsum("fm,rft,mt->rm", u_FM, np.asarray(w_RFT, float), vt_MT)
    run = lambda network: of_modes(linear.course(network, task, own["rate"], every, own["records"]))
    tanh = lambda network: of_modes(_tanh_course(network, task.cross, own["rate"], every, own["records"]))
    random = [_random(own, features_FT.shape, seed) for seed in range(own["seeds"])]
    courses = {"linear": np.stack([*map(run, random)]), "tanh": np.stack([*map(tanh, random)])}
    steps_R = every * np.arange(own["records"])
    shown = np.array(own["modes"]) - 1
    closed_RM = closed_forms.strength(own["rate"] * steps_R[:, None], s_M[None, :], own["strength"])
    decoupled_RM = run(starts.decoupled(task, own["strength"], 2, seed=0))
    return {
        **{name: own[name] for name in ("modes", "seeds", "strength", "rate", "features")},
        "things": features_FT.shape[1],
        "s": s_M.tolist(),
        "step": steps_R.tolist(),
        "closed": closed_RM[:, shown].tolist(),
        "decoupled": decoupled_RM[:, shown].tolist(),
        **{name: found_SRM[0][:, shown].tolist() for name, found_SRM in courses.items()},
        "deviation": (np.abs(decoupled_RM - closed_RM).max(0) / s_M).tolist(),
        "half": half_M.tolist(),
        **{f"half_{name}": [_half(run_RM, s_M, every) for run_RM in found_SRM] for name, found_SRM in courses.items()},
    }


def _random(own: Mapping[str, Any], shape: tuple[int, int], seed: int) -> linear.Weights:
    """Normal weights, those of the first matrix `balance` times as large as those of the second.

    Equally large ones are such that the part of a mode that grows, (a + b) / 2, has squared length `strength` on
    average: a and b have `width` entries each.
    """
    random, (outputs, width) = np.random.default_rng(seed), shape
    std, root = np.sqrt(2 * own["strength"] / width), np.sqrt(own["balance"])
    first, last = random.standard_normal((1, width, width)), random.standard_normal((outputs, width))
    return linear.weights(root * std * first, std / root * last)


def _half(course_RM: np.ndarray, s_M: np.ndarray, every: int) -> list[float]:
    """Steps until each mode has half its strength, between records by a straight line; the end where it never has."""
    found = []
    for course_R, s in zip(course_RM.T, s_M, strict=True):
        after = int(np.argmax(course_R >= s / 2)) if (course_R >= s / 2).any() else len(course_R) - 1
        before, there = course_R[after - 1], course_R[after]
        share = np.clip((s / 2 - before) / (there - before), 0, 1) if there > before else 1.0
        found.append(float(every * (after - 1 + share)))
    return found


@functools.partial(jax.jit, static_argnames="records")
def _tanh_course(network: linear.Weights, target_FT: jax.Array, rate: float, every: int, records: int) -> jax.Array:
    """(R, F, T) outputs of W^2 tanh(W^1 x) for the one-hot inputs, as `linear.course` has those without tanh."""
    outputs = lambda network: network.last @ jnp.tanh(network.inner[0])
    cost = lambda network: jnp.sum((target_FT - outputs(network)) ** 2) / 2

    def step(_: int, network: linear.Weights) -> linear.Weights:
        return jax.tree.map(lambda value, slope: value - rate * slope, network, jax.grad(cost)(network))

    advance = lambda network, _: (jax.lax.fori_loop(0, every, step, network), outputs(network))
    return jax.lax.scan(advance, network, None, length=records)[1]
