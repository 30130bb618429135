"""The stage of Figure 6B: singular values of products of square random matrices of unit mean square."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.saxe2013 import starts
from xinit.core.errors import InputError
from xinit.theory.prediction import on_one_core

if TYPE_CHECKING:
    from experiments.study import Place

EDGES = 0.08 * np.arange(89)  # with 1 in the middle of a bin


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """What measures the products.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    for scheme in own["schemes"].values():
        starts.matrices(scheme, (2, 2), 0)
    if own["width"] < 4 * max(own["counts"]):
        raise InputError(
            f"{name}.width is {own['width']}; it must be at least four times the longest product, {max(own['counts'])}."
        )
    return lambda: measure(own)


def measure(own: Mapping[str, Any]) -> dict[str, Any]:
    """Of every scheme and number of factors: density of the singular values, and their largest in each network."""
    found = {
        label: [_values(scheme, own, seed) for seed in range(own["seeds"])] for label, scheme in own["schemes"].items()
    }
    return {
        **{name: own[name] for name in ("width", "counts", "seeds", "schemes")},
        "edges": EDGES.tolist(),
        "products": {
            label: {str(count): _summary([run[i] for run in runs]) for i, count in enumerate(own["counts"])}
            for label, runs in found.items()
        },
    }


@on_one_core
def _values(scheme: str, own: Mapping[str, Any], seed: int) -> list[np.ndarray]:
    """The singular values of the products of the first so many matrices of one network."""
    factors = starts.matrices(scheme, [own["width"]] * (max(own["counts"]) + 1), seed)
    product, found = np.eye(own["width"]), []
    for count, factor in enumerate(factors, 1):
        product = factor.astype(float) @ product
        if count in own["counts"]:
            found.append(np.linalg.svd(product, compute_uv=False))
    return found


def _summary(values_SM: Sequence[np.ndarray]) -> dict[str, Any]:
    """The density over all networks, and each network's largest, smallest, median and mean square."""
    together = np.array(values_SM)
    density, _ = np.histogram(together, EDGES)
    return {
        "density": (density / together.size / (EDGES[1] - EDGES[0])).tolist(),
        "largest": together.max(1).tolist(),
        "smallest": together.min(1).tolist(),
        "median": np.median(together, axis=1).tolist(),
        "mean_square": (together**2).mean(1).tolist(),
    }
