"""The paper's own numbers, by figure."""

import functools
import pathlib
from typing import Any


@functools.cache
def load(part: str) -> dict[str, Any]:
    """What published.yaml holds of a figure or table; empty where the paper prints no numbers."""
    import yaml

    return yaml.safe_load(pathlib.Path(__file__).with_name("published.yaml").read_text()).get(part, {})
