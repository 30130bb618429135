"""A training loop of one's own, watched layer by layer: `xinit.Monitor`."""

import math
import operator
import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import jax
import numpy as np

from xinit.analysis.finding import LEVELS, Finding
from xinit.analysis.probe_report import Report
from xinit.core.errors import InputError
from xinit.runs.monitor_folder import MonitorFolder
from xinit.tracing.probing import Loss, Probe
from xinit.tracing.updates import Kernels, copied, kernels_of, update_ratios

PER_DECADE = 8  # points of the default schedule between 100 and 1,000 steps, and so on
SHARE = 0.02  # of the time of training that the later points of the default schedule take at most
FIRST = 16  # points of the default schedule that are taken whatever they cost
TRAINED = "nothing in the layers explains a failure to train: look at the learning rate, the data and the loss"
OnFinding = Callable[[int, Finding], Any]


class Monitor:
    """Measures the layers of a model while your own loop trains it, and writes a record that grows.

        monitor = xinit.Monitor(model, (x, y), "watched")
        for step in range(10_000):
            monitor(step, model)    # flax.nnx or Equinox; of linen the variables, of a function its params
            model = train(model, next(batches))
        monitor.close()

    Call it at every step: it measures at few of them, and a call that measures nothing takes microseconds. The folder
    is read by `xinit.open`, `xinit.frame`, `xinit.figure` and `python -m xinit.report`, at any time. The readings are
    those of `xinit.probe`, on the same batch at every step, and `update_ratio`: the norm of the change of a kernel in
    the last step over its norm. For that the kernels are copied at the step before one that is measured, and at no
    other; where the monitor was not called at that step, the ratio is nan.

    A loop that is started again, from a checkpoint, with the same folder continues its record: points at the step of
    its first call, and later ones, are dropped and made again.

    >>> monitor = xinit.Monitor(lambda w, x: x @ w, np.ones((5, 4)), "looked_at", variables=np.ones((4, 3)))
    >>> monitor(0, np.ones((4, 3))).names
    ('params',)
    >>> monitor.close()

    Args:
      model: as in `xinit.probe`, whose other arguments are taken too: variables, loss, rngs, layers, axis_name, and
        what the model is called with.
      batch: (x, y) or x, which is measured at every point; some hundred examples that the training does not see.
      folder: a new or an empty one, or that of a monitor of the same model.
      every: measure at multiples of so many steps, or at those of which this function says so. By default at each of
        the first steps, then at ever larger distances, 8 points for each factor of ten; from the 16th point on each
        also waits until the training has run 50 times as long as it takes, so that the cost is 2 % of the later
        training at most.
      on_finding: `on_finding(step, finding)` is called when a rule of the verdict turns bad, from OK to WARN or FAIL,
        or from WARN to FAIL.

    Raises:
      InputError: as `xinit.probe`; another monitor that lives uses the folder, or it holds something else.
    """

    def __init__(
        self,
        model: Any,
        batch: Any,
        folder: str | os.PathLike,
        *,
        every: int | Callable[[int], bool] | None = None,
        on_finding: OnFinding | None = None,
        variables: Any = None,
        loss: Loss | None = None,
        rngs: Any = None,
        layers: str | Sequence[str] | None = None,
        axis_name: str | None = None,
        **call_kwargs: Any,
    ) -> None:
        self._is_due = schedule(every)
        self._is_limited = every is None
        self._on_finding = on_finding
        known = {"variables": variables, "loss": loss, "rngs": rngs, "layers": layers, "axis_name": axis_name}
        self._probe = Probe(model, batch, **known, **call_kwargs)
        self._names = [layer.name for layer in self._probe.structure.layers]
        functions = [layer.function.name if layer.function else None for layer in self._probe.structure.layers]
        self._folder = MonitorFolder(folder, self._names, functions)
        self._before: tuple[int, Kernels] | None = None  # the kernels at the step of the last call
        self._called_at: int | None = None
        self._points, self._seconds, self._ended = 0, 0.0, -math.inf  # measured here; what the last took, and its end

    def __call__(self, step: int, values: Any = None) -> Report | None:
        """Measure these values if it is time to, after so many steps; the report, or None where it was not.

        Args:
          step: training steps that were done.
          values: the model or its variables, as `xinit.Probe` takes them; None: the model that the monitor was made
            with, as it is now.

        Raises:
          InputError: `step` is no whole number from 0 on; values of other shapes; the monitor was closed.
        """
        step = _whole(step)
        if self._folder.is_closed:
            raise InputError(f"The monitor of {self._folder.path} was closed; make another one to go on.")
        self._folder.drop_from(step)
        before = self._before[1] if self._before and self._before[0] == step - 1 else None
        is_next = self._called_at is not None and self._called_at == step - 1
        self._before, self._called_at = None, step
        is_due = self._takes(step)
        if is_due and self._is_slow and is_next and before is None:  # the wait has just ended: a step later
            is_due, wanted = False, True
        else:
            wanted = self._takes(step + 1, step if is_due else None)
        if not is_due and not wanted:
            return None
        return self._look(step, values, before, is_due, wanted)

    def close(self) -> None:
        """Say that the record is at its end, and release the folder; a second call does nothing."""
        self._before = None
        self._folder.close()

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _is_slow(self) -> bool:
        """Whether the points to come have to wait for the training."""
        return self._is_limited and self._points >= FIRST

    def _takes(self, step: int, last: int | None = None) -> bool:
        """Whether a step is measured, where `last` was the one before."""
        last = self._folder.last_step if last is None else last
        if not self._is_due(step, last):
            return False
        return not self._is_slow or SHARE * (time.perf_counter() - self._ended) >= self._seconds

    def _look(self, step: int, values: Any, before: Kernels | None, is_due: bool, wanted: bool) -> Report | None:
        begun = time.perf_counter()
        seen = self._probe.seen(values)
        kernels = kernels_of(self._probe.structure, seen.params)
        if wanted:
            self._before = step, copied(kernels)
        if not is_due:
            return None
        waited = -time.perf_counter()
        jax.block_until_ready(kernels)  # what the training still computes is none of the monitor's time
        waited += time.perf_counter()
        report = self._probe.report_of(seen)
        ratios = np.full(len(self._names), np.nan)
        if self._points == 0:
            update_ratios(self._probe.structure, kernels, kernels)  # compiles what later points need
        if before is not None:
            ratios = update_ratios(self._probe.structure, before, kernels)
        earlier = self._folder.findings
        findings = _findings(report, self._names, step)
        self._folder.add(step, _readings(report, self._names) | {"update_ratio": ratios}, findings)
        self._ended = time.perf_counter()
        self._seconds = 0.0 if self._points == 0 else self._ended - begun - waited  # the first one compiles
        self._points += 1
        if self._on_finding is not None:
            for finding in turned_bad(earlier, findings):
                self._on_finding(step, finding)
        return report


def _readings(report: Report, names: Sequence[str]) -> dict[str, np.ndarray]:
    """By layer of the model, whose names are given; nan of those that this batch does not take."""
    level = LEVELS.index(report.findings[0].level)
    numbers = {"loss": np.array(report.loss), "level": np.array(level, np.int64)}
    at = [names.index(name) for name in report.names]
    for name, own in report.readings.items():
        numbers[name] = np.full((len(names), *own.shape[1:]), np.nan)
        numbers[name][at] = own
    return numbers


def _findings(report: Report, names: Sequence[str], step: int) -> tuple[Finding, ...]:
    """Those of the report with the places of their layers among all, in words that hold while it is trained."""
    moved = lambda finding: finding._replace(layers=tuple(names.index(report.names[l]) for l in finding.layers))
    is_late = lambda finding: step > 0 and finding.rule == "elsewhere"
    told = lambda finding: finding._replace(sentence=TRAINED) if is_late(finding) else finding
    return tuple(told(moved(finding)) for finding in report.findings)


def turned_bad(earlier: Sequence[Finding], now: Sequence[Finding]) -> list[Finding]:
    """The worst finding of each rule that is worse than it was.

    >>> turned_bad([Finding("OK", "dead", "")], [Finding("WARN", "dead", "half are"), Finding("OK", "signal", "")])
    [Finding(level='WARN', rule='dead', sentence='half are', at_start=False, layers=())]
    """
    rank = lambda finding: LEVELS.index(finding.level)
    was: dict[str, int] = {}
    for finding in earlier:
        was[finding.rule] = max(rank(finding), was.get(finding.rule, 0))
    worst = {finding.rule: finding for finding in sorted(now, key=rank)}
    return [finding for rule, finding in worst.items() if rank(finding) > was.get(rule, 0)]


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


def _next(last: int) -> int:
    """The first step after `last` among 0 and the rounded powers of 10 ** (1 / PER_DECADE)."""
    if last < 1:
        return last + 1
    number = math.floor(PER_DECADE * math.log10(last))
    while (step := round(10 ** (number / PER_DECADE))) <= last:
        number += 1
    return step


def _whole(step: Any) -> int:
    try:
        number = operator.index(step)
    except TypeError:
        number = -1
    if number < 0:
        raise InputError(f"step is {step!r}; it must be a whole number from 0 on, the training steps that were done.")
    return number
