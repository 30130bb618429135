"""When a monitor measures: the steps that were asked for, and at its default schedule what they may cost."""

import functools
import math
import time
from collections.abc import Callable

from xinit.core.errors import InputError

PER_DECADE = 8  # points of the default schedule between 100 and 1,000 steps, and so on, where their cost allows it
SHARE = 0.015  # of the training's time for all points; with the calls that measure nothing it stays below 2 %
LENGTH = 5000  # steps that a training is taken to have at least: so much may be spent before it had them
ALWAYS = 2  # points that are taken whatever they cost: at the first step, where all compiles, and the next one


def schedule(every: int | Callable[[int], bool] | None) -> Callable[[int, int | None], bool]:
    """Whether a step is one to measure, after the last one that was measured; None before the first.

    >>> is_due, last, steps = schedule(None), None, []
    >>> for step in range(200):
    ...     if is_due(step, last):
    ...         last = step
    ...         steps.append(step)
    >>> steps
    [0, 1, 2, 3, 4, 6, 7, 10, 13, 18, 24, 32, 42, 56, 75, 100, 133, 178]

    Raises:
      InputError: `every` is neither a whole number from 1 on nor a function.
    """
    if every is None:
        return lambda step, last: last is None or step >= _next(last)
    if callable(every):
        return lambda step, last: bool(every(step))
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise InputError(f"every is {every!r}; it must be a number of steps, 1 or more, or a function of the step.")
    return lambda step, last: last is None or step // every > last // every


@functools.lru_cache(maxsize=16)  # asked at each step, about few
def _next(last: int) -> int:
    """The first step after `last` among 0 and the rounded powers of 10 ** (1 / PER_DECADE)."""
    if last < 1:
        return last + 1
    number = math.floor(PER_DECADE * math.log10(last))
    while (step := round(10 ** (number / PER_DECADE))) <= last:
        number += 1
    return step


class Budget:
    """What measuring may cost: SHARE of the training's time, of a training of LENGTH steps at least.

    What these first steps may cost is given out evenly over their logarithm, since the points lie so. A step is a call,
    and its time is the mean of those seen since the second call: before it the training compiled.
    """

    def __init__(self, is_limited: bool = True) -> None:
        """Without a limit it allows everything."""
        self.is_limited = is_limited
        self._calls, self._points = 0, 0
        self._began = 0.0
        self._inside = 0.0  # seconds since then that were none of the training's
        self._spent, self._last = 0.0, 0.0  # in all, and by the last point

    def count(self) -> None:
        """Count a call, at its begin."""
        self._calls += 1
        if self._calls == 2:
            self._began, self._inside = time.perf_counter(), 0.0

    def spend(self, begun: float, is_point: bool) -> float:
        """Add what was done since then for a point, or for the next one; the time now.

        Up to the first point all compiles, which is not counted.
        """
        now = time.perf_counter()
        self._inside += now - begun
        self._points += is_point
        if self._points > 1:
            self._spent += now - begun
            self._last = now - begun if is_point else self._last
        return now

    def allows(self) -> bool:
        """Whether another point, as dear as the last one, can be paid now."""
        if not self.is_limited or self._points < ALWAYS:
            return True
        training, steps = time.perf_counter() - self._began - self._inside, self._calls - 1
        paid = max(steps, LENGTH * math.log1p(steps) / math.log1p(LENGTH))
        return self._spent + self._last <= SHARE * training / steps * paid
