"""What came of a run, as everything after the training knows it."""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis.verdict import Finding
from xinit.settings.config import Config


class Outcome(NamedTuple):
    """Where a run lies, its state, and what came of it; the last three are empty for one that is not over."""

    config: Config
    path: pathlib.Path
    state: str
    summary: dict[str, Any]
    findings: list[Finding]
    readings: dict[str, np.ndarray]
