"""The outcome of a run: its folder, state, summary, findings and readings."""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis.verdict import Finding
from xinit.core.extra import NOTHING, Extra
from xinit.settings.config import Config


class Outcome(NamedTuple):
    """A run's config, folder, state and results, which are empty for a run that is not over.

    `extra` describes those of the readings that are the user's.
    """

    config: Config
    path: pathlib.Path
    state: str
    summary: dict[str, Any]
    findings: list[Finding]
    readings: dict[str, np.ndarray]
    extra: Extra = NOTHING
