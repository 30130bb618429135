"""Where the bins of histograms lie: decided from the readings at step 0, and kept for the whole run."""

from collections.abc import Mapping, Sequence

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from xinit.networks.activations import Activation

Edges = Mapping[str, ArrayLike]  # of the histograms' bins, (layer, BINS + 1) each

BINS = 128


def no_edges(n_layers: int, n_weights: int) -> dict[str, Float[np.ndarray, "_ ..."]]:
    """Edges for the first look at a network, whose readings then decide the real ones."""
    unit = np.linspace(-1, 1, BINS + 1, dtype=np.float32)
    hidden = np.tile(unit, (n_layers, 1))
    edges = {"act_edges": hidden, "grad_pre_edges": hidden, "grad_w_edges": np.tile(unit, (n_weights, 1))}
    return edges | {"act_low": hidden[:, 0], "act_high": hidden[:, -1]}


def edges_at_start(
    activations: Sequence[Activation], first: Mapping[str, Float[np.ndarray, "..."]]
) -> dict[str, Float[np.ndarray, "_ ..."]]:
    """Histogram edges (layer, BINS + 1) from the readings at step 0, and the ranges of f, kept for the whole run.

    Activations: the function's own range; an unbounded side reaches to twice the first extreme. Gradients: 8 standard
    deviations to either side, which leaves room for tails that training makes heavier.
    """

    def linspace(
        low: Float[np.ndarray, " layer"], high: Float[np.ndarray, " layer"]
    ) -> Float[np.ndarray, "layer edges"]:
        flat = high <= low  # a layer that is constant, as under a zero initialisation
        low, high = np.where(flat, low - 1, low), np.where(flat, high + 1, high)
        return np.linspace(low, high, BINS + 1, axis=1, dtype=np.float32)

    low = np.array([f.low for f in activations], np.float32)
    high = np.array([f.high for f in activations], np.float32)
    reach = 2 * np.maximum(np.abs(first["act_min"]), np.abs(first["act_max"]))
    return {
        "act_low": low,
        "act_high": high,
        "act_edges": linspace(np.where(np.isinf(low), -reach, low), np.where(np.isinf(high), reach, high)),
        "grad_pre_edges": linspace(-8 * first["grad_pre_std"], 8 * first["grad_pre_std"]),
        "grad_w_edges": linspace(-8 * first["grad_w_std"], 8 * first["grad_w_std"]),
    }
