"""What the notebook shows: the networks of Figures 6 to 8, and tables of theory beside them."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import tiers
from experiments.glorot2010 import initial
from experiments.study import Place

if TYPE_CHECKING:
    import pandas

SCHEMES = {"standard": "standard", "normalised": "xavier"}  # the paper's names for eqs. 1 and 16, and ours


def networks(width: int, seeds: int) -> dict[str, Any]:
    """Five tanh layers under eq. 1 and under eq. 16, measured: what `draw` of Figures 6, 7 and 8 takes.

    The settings are those of `python -m experiments.glorot2010 tier=init`, with fewer Jacobians and these schemes.
    """
    settings = tiers.load("glorot2010", "init")["initial"]
    settings |= {"width": width, "seeds": seeds, "schemes": SCHEMES, "jacobian_examples": 1}
    return {"initial": initial.prepare("initial", {"initial": settings}, Place(pathlib.Path()))()}


def beside(found: Mapping[str, Any], quantity: str) -> "pandas.DataFrame":
    """Standard deviations by layer: what theory predicts before a network is drawn, beside the networks' mean.

    Args:
      found: what `networks` returned.
      quantity: "activation", "gradient" or "weight_gradient".
    """
    import pandas

    columns = {}
    for label, own in found["initial"]["schemes"].items():
        columns[label, "predicted"] = own["predicted"][f"{quantity}_std"]
        columns[label, "measured"] = np.mean(own[f"{quantity}_std"], axis=0)
    layers = range(1, found["initial"]["depth"] + 1)
    return pandas.DataFrame(columns, index=pandas.Index(layers, name="layer"))
