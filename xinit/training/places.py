"""Where the layers of a network lie and what they are called, as a run stores it and the verdict reads it."""

from typing import Any

import numpy as np
from jaxtyping import Float

from xinit.networks.draft import weight_name
from xinit.networks.network import Activate, Branch, Join, Multiply, Network, Normalise
from xinit.theory.coverage import uncovered


def places(network: Network) -> dict[str, Float[np.ndarray, " layer"]]:
    """By the names of `readings.PLACES`, those that say something of a network; nothing of a plain stack."""
    if network.is_plain:
        return {}
    found: dict[str, list[float]] = {"act_units": [layer.width for layer in network.layers]}
    if network.path is None:
        found["act_branch"] = [np.nan] * len(network.layers)
    elif network.n_branches:
        found["act_branch"] = [0 if layer.branch is None else layer.branch + 1 for layer in network.layers]
    skipped, normalised = _on_the_way(network)
    marks = {"act_skipped": skipped, "act_normalised": normalised}
    found |= {name: [float(mark) for mark in own] for name, own in marks.items() if any(own)}
    return {name: np.array(values, float) for name, values in found.items()}


def _on_the_way(network: Network) -> tuple[list[bool], list[bool]]:
    """Of each nonlinearity whether a skip leads past it, and whether a normalisation stands before it."""
    skipped, normalised, beside, fresh = [], [], False, False
    for step in network.path or ():
        match step:
            case Multiply():
                fresh = False
            case Normalise():
                fresh = True
            case Branch():
                beside = True
            case Join():
                beside = fresh = False
            case Activate():
                skipped.append(beside)
                normalised.append(fresh)
                fresh = False
    if len(skipped) > 1 and all(skipped[:-1]):
        skipped[-1] = True  # the last one, behind all sums: signal and gradient pass it once
    return skipped, normalised


def about(network: Network) -> dict[str, Any]:
    """Of a network that is no plain stack: the names of its layers and weights, and why theory is silent, or ""."""
    if network.is_plain:
        return {}
    if network.path is None:
        weights = ["/".join(map(str, weight.path[:-1])) or str(weight.path[-1]) for weight in network.weights]
    else:
        weights = [weight_name(network.weights, weight.place) for weight in network.weights]
    return {"layers": [layer.name for layer in network.layers], "weights": weights, "unpredicted": uncovered(network)}
