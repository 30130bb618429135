"""The stage of Figures 7 and 8: tanh networks of orthogonal weights at gains around 1.

x^{l+1} = g W^l tanh(x^l) (eq. 20), from inputs of a given variance; the Jacobian is that of the last layer with respect
to the first (eq. 22). Networks of one seed share their matrices at every gain. Axes: S seed, N unit.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.saxe2013 import starts
from xinit.core.errors import InputError
from xinit.networks import activations
from xinit.theory import mean_field
from xinit.theory.prediction import on_one_core

if TYPE_CHECKING:
    from experiments.study import Place

LAST = 5  # layers that the variance is averaged over, as in Figure 8
FEWEST = 1e-30  # a singular value below is printed as this


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """What measures the Jacobians and the variances.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    starts.matrices(own["scheme"], (2, 2), 0)
    starts.check_layers(f"{name}.layers", [own["layers"]])
    if not LAST < own["variance_layers"] <= own["layers"]:
        raise InputError(
            f"{name}.variance_layers is {own['variance_layers']}; it must be above {LAST} and at most {name}.layers."
        )
    return lambda: measure(own)


def measure(own: Mapping[str, Any]) -> dict[str, Any]:
    """By gain and input variance: singular values of the Jacobian; by gain: the variance at depth, beside eq. 49."""
    networks = [starts.matrices(own["scheme"], [own["width"]] * own["layers"], seed) for seed in range(own["seeds"])]
    inputs = [np.random.default_rng(seed).standard_normal(own["width"]) for seed in range(own["seeds"])]
    pairs = list(zip(networks, inputs, strict=True))
    kept = ("width", "layers", "variance_layers", "seeds", "gains", "variances", "scheme")
    return {
        **{name: own[name] for name in kept},
        "jacobians": {
            f"{gain:g}": {
                f"{variance:g}": [_singular_values(gain, matrices, np.sqrt(variance) * x) for matrices, x in pairs]
                for variance in own["variances"]
            }
            for gain in own["gains"]
        },
        "settled": {f"{gain:g}": [_settled(gain, *pair, own) for pair in pairs] for gain in own["gains"]},
        "fixed_point": {f"{gain:g}": mean_field.q_star(activations.tanh(), gain**2, 0.0) for gain in own["gains"]},
    }


def _pass(gain: float, matrices: Sequence[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """x^1 to x^{N_l}."""
    xs = [x]
    for matrix in matrices:
        xs.append(gain * matrix.astype(float) @ np.tanh(xs[-1]))
    return xs


@on_one_core
def _singular_values(gain: float, matrices: Sequence[np.ndarray], x: np.ndarray) -> list[float]:
    """Those of dx^{N_l} / dx^1, from the largest down."""
    jacobian = np.eye(len(x))
    for matrix, below in zip(matrices, _pass(gain, matrices, x), strict=False):
        slope = 1 - np.tanh(below) ** 2
        jacobian = gain * matrix.astype(float) @ (slope[:, None] * jacobian)
    return np.maximum(np.linalg.svd(jacobian, compute_uv=False), FEWEST).tolist()


@on_one_core
def _settled(gain: float, matrices: Sequence[np.ndarray], x: np.ndarray, own: Mapping[str, Any]) -> float:
    """The variance over units (eq. 21), the mean of the last layers of the shallower network of Figure 8."""
    xs = _pass(gain, matrices[: own["variance_layers"] - 1], x)
    return float(np.mean([np.mean(x**2) for x in xs[-LAST:]]))
