"""The stage of single networks: log |J v|^2 of many drawn networks, for several shapes and kinds of network.

Squares are per unit of width, so that n_0 does not enter. A seed draws some networks of every row and shape, and the
statistics of each seed are kept. A row is a kind of network: its activation, and the scale and distribution of its
weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.hanin2018 import drawn, law
from xinit.core.errors import InputError

if TYPE_CHECKING:
    from experiments.study import Place

REACH, BINS = 5.0, 50  # of the histograms, in standard deviations sqrt(B) about -B/2
MOST_LAYERS = 10_000


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """Check the rows and shapes; what is returned draws the networks.

    Raises:
      InputError: an unknown activation or distribution, or a shape of too many layers.
    """
    own = settings[name]
    for row in own["rows"].values():
        drawn.check_activation(row["activation"])
        drawn.weights_of(row)
    shapes = {label: widths_of(shape, f"{name}.shapes.{label}") for label, shape in own["shapes"].items()}
    return lambda: _measured(own, shapes)


def widths_of(shape: Mapping[str, Any], path: str) -> tuple[int, ...]:
    """The widths (n_0, ..., n_L): those of `widths` in turn, `depth` in all; the input is as wide as the last.

    Raises:
      InputError: too many layers.
    """
    if shape["depth"] > MOST_LAYERS:
        raise InputError(f"{path}.depth is {shape['depth']}; it must be at most {MOST_LAYERS}.")
    layers = [shape["widths"][l % len(shape["widths"])] for l in range(shape["depth"])]
    return layers[-1], *layers


def _measured(own: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    rows = {}
    for i, (label, row) in enumerate(own["rows"].items()):
        found = {shape: _of_shape(own["seeds"], 100 * i + j, row, shapes[shape]) for j, shape in enumerate(shapes)}
        rows[label] = {**row, "shapes": found}
    described = {name: {"widths": shape["widths"], "depth": shape["depth"]} for name, shape in own["shapes"].items()}
    sums = {shape: law.sum_of_reciprocals(widths) for shape, widths in shapes.items()}
    return {"seeds": own["seeds"], "shapes": described, "sums": sums, "rows": rows}


def _of_shape(seeds: int, number: int, row: Mapping[str, Any], widths: Sequence[int]) -> dict[str, Any]:
    """Mean and variance of the logarithm and the share within the predicted 95 % band, by seed, and a histogram."""
    b = law.PER_LAYER[row["activation"]] * law.sum_of_reciprocals(widths)
    weights = drawn.weights_of(row)
    keys_N = drawn.keys_of(seeds, row["networks"], number)
    drawn_SN = drawn.logs(keys_N, widths, weights, row["activation"]).change[:, -1].reshape(seeds, -1)
    alive_SN = [logs_N[np.isfinite(logs_N)] for logs_N in drawn_SN]
    standard_SN = [(logs_N + b / 2) / np.sqrt(b) for logs_N in alive_SN]
    counts, _ = np.histogram(np.concatenate(standard_SN), BINS, (-REACH, REACH))
    mean, variance = law.exact(row["activation"], widths, row["scale"])
    return {
        "exact": {"mean": mean, "variance": variance},
        "mean": [float(logs_N.mean()) for logs_N in alive_SN],
        "variance": [float(logs_N.var(ddof=1)) for logs_N in alive_SN],
        "inside": [float(np.mean(np.abs(standard_N) < 1.96)) for standard_N in standard_SN],
        "dead": int(np.isneginf(drawn_SN).sum()),
        "networks": row["networks"],
        "counts": counts.tolist(),
    }
