"""The parametrisations as settings of a run."""

from collections.abc import Mapping
from typing import Any

WORDS = {"lecun": "standard", "mup": "muP"}  # of conf/scheme; lecun's Var W = gain^2 / fan-in is standard with any gain


def scheme_of(own: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What `runs.config` takes; at the base width of muP both parametrisations are one."""
    base = {"base_width": own["base_width"]} if name == "mup" else {}
    return {"scheme": name, "scheme.kwargs": {"gain": own["gain"], **base}}
