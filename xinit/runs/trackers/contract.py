"""What a tracker is told, and what it can do."""

import importlib.util
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from xinit.core.errors import InputError


class TrackedRun(NamedTuple):
    """A run before its first point: its hash, the name it shares with its like, its folder, its whole config."""

    id: str
    name: str
    folder: pathlib.Path
    config: Mapping[str, Any]


class Histogram(NamedTuple):
    """Shares (bin,) of all values, in bins between edges (bin + 1,); a sum below 1 says the rest lies outside."""

    shares: np.ndarray
    edges: np.ndarray


class Point(NamedTuple):
    """The readings at a training step, each under its name and place: "act_std/layer 1"."""

    step: int
    scalars: dict[str, float]
    histograms: dict[str, Histogram]


class Ending(NamedTuple):
    """What came of a run: the errors that there are, and the verdict's sentence."""

    step: int
    scalars: Mapping[str, float]
    verdict: str


class Tracker(NamedTuple):
    """A run as a tool sees it. `log` is called once a step, steps ascending; `finish` last, with None for a run that
    is not over."""

    log: Callable[[Point], None]
    finish: Callable[[Ending | None], None]


Start = Callable[[TrackedRun], Tracker]


def require(package: str) -> None:
    """Raise an InputError unless the package is installed; a mere folder of its name, as W&B leaves one, is not it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"The tracker needs the package {package}, which is absent: pip install 'xinit[trackers]'.")
