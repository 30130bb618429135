"""The stage of Section 2: decoupled modes at many depths, beside eq. 15, and each at its best step size.

On the decoupled submanifold with equal strengths a mode is one number a a matrix, u = a^L, and gradient descent is
a <- a + rate a^(L-1) (s - a^L). A small network of whole matrices shows that this is what it does.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from experiments.saxe2013 import closed_forms, linear, starts
from xinit.core.errors import InputError

if TYPE_CHECKING:
    from experiments.study import Place

FIXED = ("product", "matrix")


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """What measures the modes.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    starts.check_layers(f"{name}.layers", own["layers"])
    starts.check_layers(f"{name}.best_layers", own["best_layers"])
    if own["fixed"] not in FIXED:
        raise InputError(f"{name}.fixed is {own['fixed']!r}; it must be {' or '.join(FIXED)}.")
    if not own["strength"] < own["reach"] < 1:
        raise InputError(f"{name}.strength is {own['strength']}; it must be below reach, and that below 1.")
    return lambda: measure(own)


def measure(own: Mapping[str, Any]) -> dict[str, Any]:
    """Courses of a mode in networks of several depths, and the best step size and its learning time at many."""
    kept = ("strength", "reach", "fixed", "layers", "best_layers")
    best = [_best(layers - 1, own) for layers in own["best_layers"]]
    return {
        **{name: own[name] for name in kept},
        "courses": {str(layers): _course(layers - 1, own) for layers in own["layers"]},
        "rate": [rate for rate, _ in best],
        "needed": [steps for _, steps in best],
        "time": [closed_forms.time_at_depth(own["reach"], 1.0, own["strength"], n - 1) for n in own["best_layers"]],
        "infinite": closed_forms.time_at_infinite_depth(own["reach"], 1.0, own["strength"]),
    }


def _course(matrices: int, own: Mapping[str, Any]) -> dict[str, Any]:
    """The strongest mode, s = 1, of a network with three, beside eq. 15; time in units of the time it takes."""
    width, s_M = own["width"], np.array([1.0, 0.7, 0.4])
    task = linear.Task(jnp.asarray(np.diag(s_M) @ np.eye(3, width), jnp.float32), jnp.ones(width))
    whole = 1.3 * closed_forms.time_at_depth(own["reach"], 1.0, own["strength"], matrices) / matrices
    every = int(np.ceil(whole / own["records"] / (own["step"] / matrices)))
    rate = whole / own["records"] / every
    network = starts.decoupled(task, own["strength"], matrices, seed=0)
    found_R = np.asarray(linear.course(network, task, rate, every, own["records"]))[:, 0, 0]
    times_R = rate * every * np.arange(own["records"])
    closed_R = closed_forms.strength_at_depth(times_R, 1.0, own["strength"], matrices)
    return {"time": (matrices * times_R).tolist(), "network": found_R.tolist(), "closed": closed_R.tolist()}


def _best(matrices: int, own: Mapping[str, Any]) -> tuple[float, float]:
    """The step size of fewest steps until u is within 1 - reach of s = 1, and those steps; nan if none gets there."""
    rates = np.geomspace(2.0, 0.2, own["rates"]) / matrices  # above 2 / L the optimum is not stable (eq. 41)
    each = own["strength"] ** (1 / (matrices if own["fixed"] == "product" else 2))
    a, steps, learnt = np.full(len(rates), each), 0, np.zeros(len(rates), bool)
    while not learnt.any() and steps < own["most"]:
        a, steps = a + rates * a ** (matrices - 1) * (1 - a**matrices), steps + 1
        learnt = np.abs(1 - a**matrices) <= 1 - own["reach"]
    return (float(np.median(rates[learnt])), float(steps)) if learnt.any() else (np.nan, np.nan)
