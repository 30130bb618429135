"""How fast a population trains, at which steps its training pauses, and when readings are written that somebody may
look at while it goes on."""

import math
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from xinit.training.trainer import Trainer

Readings = Mapping[str, np.ndarray]
TICK_SECONDS = 0.5  # between two moves of the progress bar, where divergence is looked for too
SHARE = 0.02  # of the time that writing readings takes, at most, before a run is over
SOONEST = 2.0  # seconds of training before they are written for the first time


class RateMeter:
    """Steps per second, from the time spent training alone."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0

    def add(self, steps: int, started: float) -> None:
        """Count `steps` done since the clock reading `started`."""
        self.steps += steps
        self.seconds += time.perf_counter() - started

    @property
    def rate(self) -> float:
        """Steps per second so far; nan before the first."""
        return self.steps / self.seconds if self.seconds else math.nan


def stops(trainer: Trainer, probed_at: int | None, end: int, meter: RateMeter) -> Iterator[tuple[int, bool]]:
    """The next step to train to, and whether it is a probe point; between these, one every TICK_SECONDS.

    Args:
      trainer: trained to each step before the next is asked for.
      probed_at: the last probe point that was measured, None before the first.
      end: the last step.
      meter: what the training so far has taken.
    """
    for point in trainer.problem.points:
        if probed_at is not None and point <= probed_at:
            continue
        while trainer.step < min(point, end):
            stop = min(point, end, trainer.step + _tick(trainer.step, trainer.problem.dataset.chunk_steps, meter))
            yield stop, stop == point
        if trainer.step < point:
            return
        if point == 0:
            yield 0, True


def _tick(step: int, chunk: int, meter: RateMeter) -> int:
    """Steps that take about TICK_SECONDS, to the end of a chunk of batches: a cut chunk is drawn twice."""
    wanted = max(1, int(meter.rate * TICK_SECONDS)) if meter.steps >= 10 else 1
    return max(1, round((step + wanted) / chunk)) * chunk - step if wanted > chunk / 2 else wanted


class ReadingsSoFar:
    """Has the readings of members written while they train, as often as SHARE of the time allows.

    Of a large population some are written after one probe point, the others after the next ones.
    """

    def __init__(self, n: int, read: Callable[[int], Readings], write: Callable[[int, Readings], None]) -> None:
        """`read` gives the readings of the r-th of n members, `write` writes them."""
        self._n, self._read, self._write = n, read, write
        self._began, self._spent = time.perf_counter(), 0.0
        self._waiting: dict[int, None] = {}  # members with a probe point that is not written, the longest first

    def write_if_due(self, grown: bool) -> None:
        """Write those of as many members as there is time for; all have another probe point where they have `grown`."""
        if grown:
            self._waiting |= dict.fromkeys(range(self._n))
        while self._waiting and self._is_due():
            r = next(iter(self._waiting))
            del self._waiting[r]
            # The first time theory predicts them, as the end would: that does not count.
            readings, began = self._read(r), time.perf_counter()
            self._write(r, readings)
            self._spent += time.perf_counter() - began

    def _is_due(self) -> bool:
        elapsed = time.perf_counter() - self._began
        return elapsed >= SOONEST and self._spent <= SHARE * elapsed
