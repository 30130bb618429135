"""How fast a population trains, and at which steps its training pauses: probe points, ticks of the progress bar."""

import math
import time
from collections.abc import Iterator

from xinit.training.trainer import Trainer

TICK_SECONDS = 0.5  # between two moves of the progress bar, where divergence is looked for too


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
