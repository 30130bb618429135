"""The kinds of networks that the study compares: from a model in a tier's YAML to the settings of a run."""

from collections.abc import Mapping
from typing import Any

from xinit.core.errors import InputError

# What a branch is multiplied with, in words, so that one can be exchanged for another on the command line.
SCALES: Mapping[str, float | str] = {"one": 1.0, "root": "1/sqrt(L)", "learned": "learned"}
OF_A_RUN = ("network", "depth", "width", "activation", "scheme")
OF_A_NETWORK = ("norm", "weights", "fixup", "halve")


def settings_of(model: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Settings of `python -m xinit.train` for a model; rectifiers, unless it says another activation.

    Args:
      model: what a tier says of it.
      place: where it says so, for the message.

    Raises:
      InputError: an unknown scale of the branches.
    """
    found = {"activation": "relu"} | {key: model[key] for key in OF_A_RUN if key in model}
    found |= {f"network.{key}": model[key] for key in OF_A_NETWORK if key in model}
    if "scale" not in model:
        return found
    if model["scale"] not in SCALES:
        raise InputError(f"{place}.scale is {model['scale']!r}; it must be one of {', '.join(SCALES)}.")
    return found | {"network.scale": SCALES[model["scale"]]}
