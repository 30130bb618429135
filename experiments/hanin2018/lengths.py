"""The stage of mean squares: how they grow with depth, how they fluctuate between layers, and in residual networks.

Hanin & Rolnick's two failure modes. `growth`: networks as wide as deep, whatever the variance of their weights (their
Figure 1a). `between`: the empirical variance over layers of one network's M_l = |h_l|^2 / n_l. `residual`: blocks
h' = h + eta_l relu(W h).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.hanin2018 import drawn, law, products
from xinit.core.errors import InputError

if TYPE_CHECKING:
    from experiments.study import Place

# The scales eta_l of the L branches, l from 1.
BRANCH_SCALES: dict[str, Callable[[int], np.ndarray]] = {
    "one": lambda n_layers: np.ones(n_layers),
    "root": lambda n_layers: np.full(n_layers, n_layers**-0.5),
    "inverse": lambda n_layers: np.full(n_layers, 1 / n_layers),
    "geometric": lambda n_layers: 0.9 ** np.arange(1, n_layers + 1),
}
HE = drawn.Weights(2.0, "normal")
FIRST_ROWS = {"growth": 1000, "between": 2000, "residual": 3000}  # rows of the key: no two networks share weights


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """Check weights, shapes and branch scales; what is returned draws the networks.

    Raises:
      InputError: an unknown distribution or branch scale, or a shape of too many layers.
    """
    own = settings[name]
    for weights in own["growth"]["weights"].values():
        drawn.weights_of(weights)
    for rule in own["residual"]["branches"].values():
        if rule not in (*BRANCH_SCALES, "plain"):
            raise InputError(f"A branch scale is {rule!r}; it must be one of plain, {', '.join(BRANCH_SCALES)}.")
    shapes = own["between"]["shapes"]
    widths = {label: products.widths_of(shape, f"{name}.between.shapes.{label}") for label, shape in shapes.items()}
    return lambda: {
        "growth": _growth(own["growth"]),
        "between": _between(own["between"], widths),
        "residual": _residual(own["residual"]),
    }


def _signals(
    own: Mapping[str, Any],
    row: int,
    widths: Sequence[int],
    weights: drawn.Weights,
    scales: Sequence[float] | None = None,
) -> np.ndarray:
    """Log mean squares behind every layer: (seed, network, layer). With branch scales there are skip connections."""
    keys_N = drawn.keys_of(own["seeds"], own["networks"], row)
    skip = 0.0 if scales is None else 1.0
    signal_NL = drawn.logs(keys_N, widths, weights, "relu", skip, scales).signal
    return signal_NL.reshape(own["seeds"], own["networks"], -1)


def _growth(own: Mapping[str, Any]) -> dict[str, Any]:
    """Quartiles and the mean over networks of the last layer's log mean square: (seed, depth)."""
    found, row = {}, FIRST_ROWS["growth"]
    for label, weights in own["weights"].items():
        by_depth = []
        for depth in own["depths"]:
            row += 1
            by_depth.append(_signals(own, row, (depth,) * (depth + 1), drawn.weights_of(weights))[..., -1])
        found[label] = {**weights, **_over_networks(np.stack(by_depth, axis=1))}
    return {"depths": own["depths"], "networks": own["networks"], "weights": found}


def _over_networks(logs_SDN: np.ndarray) -> dict[str, Any]:
    """The mean of each seed at each depth, and the quartiles of all networks there; those that died left out."""
    alive_SDN = np.where(np.isfinite(logs_SDN), logs_SDN, np.nan)
    quartiles = np.nanquantile(alive_SDN, (0.25, 0.5, 0.75), axis=(0, 2))
    low, median, high = quartiles.tolist()
    return {"mean": np.nanmean(alive_SDN, axis=2).tolist(), "low": low, "median": median, "high": high,
            "variance": np.nanvar(alive_SDN, axis=2, ddof=1).tolist()}  # fmt: skip


def _between(own: Mapping[str, Any], widths: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """By seed: the mean over networks of the variance over layers, and the median of std over mean."""
    found = {}
    for row, (label, shape) in enumerate(widths.items(), FIRST_ROWS["between"]):
        squares_SNL = np.exp(_signals(own, row, shape, drawn.Weights(own["scale"], "normal")))
        variance_SN, mean_SN = squares_SNL.var(axis=2), squares_SNL.mean(axis=2)
        found[label] = {
            **own["shapes"][label],
            "sum": law.sum_of_reciprocals(shape),
            "exact": law.between_layers(shape),
            "variance": variance_SN.mean(axis=1).tolist(),
            "spread": np.median(np.sqrt(variance_SN) / mean_SN, axis=1).tolist(),
            "example": squares_SNL[0, :6].tolist(),
        }
    return {"networks": own["networks"], "shapes": found}


def _residual(own: Mapping[str, Any]) -> dict[str, Any]:
    """The last block's log mean square of residual networks and of plain ones: (seed, depth)."""
    found, row = {}, FIRST_ROWS["residual"]
    for label, rule in own["branches"].items():
        by_depth, sums = [], []
        for depth in own["depths"]:
            row += 1
            scales = None if rule == "plain" else BRANCH_SCALES[rule](depth).tolist()
            widths = (own["width"],) * (depth + 1)
            by_depth.append(_signals(own, row, widths, HE, scales)[..., -1])
            sums.append(None if scales is None else sum(scales))
        found[label] = {"rule": rule, "sums": sums, **_over_networks(np.stack(by_depth, axis=1))}
    return {"depths": own["depths"], "width": own["width"], "networks": own["networks"], "branches": found}
