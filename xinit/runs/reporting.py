"""The contract of a reporter, which hears of the progress of runs; that of `commands.console` prints it."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from xinit.settings.config import Config


class Reporter(Protocol):
    """Hears of the progress of runs that train one after the other, each population of them as one."""

    def note(self, message: str) -> None:
        """One line for the reader."""

    def log_to(self, *paths: pathlib.Path) -> None:
        """Keep what is said from now on in these files too."""

    def expect(self, work: float) -> None:
        """What there is to do in all, in bytes of weights times steps."""

    def enter(self, members: Sequence[str], layout: str, weights: float) -> None:
        """A population of these members begins: how it is laid out, and the bytes of weights of each."""

    def start(self, config: Config, step: int, device: str, chance: float | None = None) -> None:
        """Training begins, or goes on, at `step`; `chance` is the error of the best constant answer."""

    def advance(self, step: int, steps_per_s: float) -> None:
        """So many steps are done."""

    def probe(
        self, step: int, row_R: Mapping[str, np.ndarray], diverged_R: np.ndarray, seconds_left: float | None
    ) -> None:
        """The readings of a probe point, with a leading axis of replicas."""

    def stop(self) -> None:
        """Training has ended, or was cut."""

    def result(self, path: pathlib.Path, summary: Mapping[str, Any], row: Mapping[str, np.ndarray]) -> None:
        """A run is over: its folder, its summary, and its last readings."""


class SweepReporter(Reporter, Protocol):
    """Hears of a whole sweep."""

    def begin(self, configs: Mapping[str, Config], n_done: int, n_groups: int) -> None:
        """A sweep of `configs`, by the names of their folders, of which `n_done` are done."""
