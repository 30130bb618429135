"""Singular values of the end-to-end Jacobian of drawn networks on the edge of chaos, at every depth.

J = prod_l D_l W_l^T, D_l = diag f'(z_l), at an input whose pre-activations have variance q* from the first layer on.
Axes: S seeds (networks), L layers, N units.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.schoenholz2017.schemes import KERNELS
from xinit.core import backend
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words
from xinit.networks.choices import activation_of
from xinit.networks.contract import Activation
from xinit.theory.mean_field import Edge, edge_of_chaos
from xinit.theory.moments import moments
from xinit.theory.prediction import on_one_core

if TYPE_CHECKING:
    from experiments.study import Place

S_1 = {"gaussian": -1.0, "orthogonal": 0.0}  # of the weights' S-transform
QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.98)
BINS = np.linspace(0, 4, 81)  # of a singular value
Q = np.geomspace(1e-3, 1, 31)  # variances of pre-activations for theory's lines
KEPT = ("width", "depths", "seeds")


class Row(NamedTuple):
    """One kind of network: its activation, its weights, and its point of the edge of chaos."""

    activation: Activation
    weights: str
    edge: Edge


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """The stage, checked.

    Raises:
      InputError: a setting is wrong, or the Jacobians of a network do not fit the memory.
    """
    own = settings[name]
    rows = {label: row_of(**row) for label, row in own["rows"].items()}
    if sorted(set(own["depths"])) != own["depths"]:
        raise InputError(f"{name}.depths is {own['depths']}; it must be numbers that ascend.")
    backend.check_memory({"the Jacobians of a network (width, depths)": 4 * own["depths"][-1] * own["width"] ** 2})
    return lambda: _measure(own, rows)


def row_of(activation: str, weights: str, q: float) -> Row:
    """The kind of network with pre-activations of variance q.

    Raises:
      InputError: unknown weights or activation, or no biases hold that variance on the edge of chaos.
    """
    if weights not in KERNELS:
        raise InputError(f"Unknown weights {weights!r}; {allowed_words(weights, KERNELS)}")
    f = activation_of(activation, {})
    edge = edge_of_chaos(f, q)
    if edge.bias_variance < 0:
        raise InputError(f"{activation} has no edge of chaos at q = {q:g}: its biases would need a negative variance.")
    return Row(f, weights, edge)


def variance_a_layer(row: Row) -> float:
    """mu_2 / mu_1^2 - 1 - s_1 (Pennington et al. 2017), mu_k = E f'(sqrt(q) z)^(2k): what a layer adds.

    On the edge of chaos the eigenvalues of J J^T have the mean 1 and, after L layers, L times this variance.

    >>> round(variance_a_layer(row_of("relu", "gaussian", 1.0)), 6)
    2.0
    """
    m = moments(row.activation, row.edge.q)
    return float(m.slope_fourth / m.slope_second**2) - 1 - S_1[row.weights]


@on_one_core  # LAPACK's threads and XLA's wait for each other: a hundred times as long where others use the machine
def _measure(own: Mapping[str, Any], rows: Mapping[str, Row]) -> dict[str, Any]:
    found = {label: _row(row, own) | {"settings": dict(own["rows"][label])} for label, row in rows.items()}
    return {**{name: own[name] for name in KEPT}, "edges": BINS.tolist(), "rows": found, "theory": _over_q(own)}


def _over_q(own: Mapping[str, Any]) -> dict[str, Any]:
    """What a layer adds to the variance, for every activation of the rows with either weights, over q."""
    activations = dict.fromkeys(row["activation"] for row in own["rows"].values())
    added = lambda name, weights: [variance_a_layer(row_of(name, weights, float(q))) for q in Q]
    lines = {f"{name}_{weights}": added(name, weights) for name in activations for weights in KERNELS}
    return {"q": Q.tolist(), "lines": lines}


def _row(row: Row, own: Mapping[str, Any]) -> dict[str, Any]:
    jacobians = _jacobians(row, own["width"], own["depths"])
    values_SLN = np.array([
        [np.linalg.svd(j, compute_uv=False) for j in jax.device_get(jacobians(jax.random.key(seed)))]
        for seed in range(own["seeds"])
    ])  # fmt: skip
    squares = values_SLN.astype(float) ** 2
    density = [np.histogram(values, BINS)[0] / values.size / np.diff(BINS) for values in np.moveaxis(values_SLN, 1, 0)]
    return {
        "variance_a_layer": variance_a_layer(row),
        "edge": row.edge._asdict(),
        "mean": squares.mean(-1).tolist(),  # (S, L) of the eigenvalues of J J^T
        "variance": squares.var(-1).tolist(),
        "largest": values_SLN.max(-1).astype(float).tolist(),
        "quantiles": np.moveaxis(np.quantile(values_SLN, QUANTILES, axis=-1), 0, -1).astype(float).tolist(),
        "density": np.array(density).tolist(),  # (L, bin)
    }


def _jacobians(row: Row, width: int, depths: list[int]) -> Callable[[Array], Array]:
    """`key -> J` of one network after each of the depths, (L, N, N)."""
    f, edge, kernel = row.activation, row.edge, KERNELS[row.weights]()
    gain, last = float(np.sqrt(edge.weight_variance)), max(depths)

    def through(state: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], Array]:
        h, j = state
        w = gain * kernel(key, (width, width))
        bias = jnp.sqrt(edge.bias_variance) * jax.random.normal(jax.random.fold_in(key, 0), (width,))
        z = h @ w + bias
        j = f.slope(z)[:, None] * jnp.matmul(w.T, j, precision="float32")
        return (f.function(z), j), j

    @jax.jit
    def jacobians(key: Array) -> Array:
        of_input, of_weights = jax.random.split(key)
        x = jax.random.normal(of_input, (width,))
        x = x * jnp.sqrt(width * (edge.q - edge.bias_variance) / edge.weight_variance) / jnp.linalg.norm(x)
        _, j_LNN = jax.lax.scan(through, (x, jnp.eye(width)), jax.random.split(of_weights, last))
        return j_LNN[np.array(depths) - 1]

    return jacobians
