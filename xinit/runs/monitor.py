"""A training loop of one's own, watched layer by layer: `xinit.Monitor`."""

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
from xinit.runs.monitor_schedule import Budget, schedule
from xinit.runs.monitor_tracking import Choice, Tracking
from xinit.tracing.models import Model
from xinit.tracing.probing import Loss, Probe
from xinit.tracing.updates import Kernels, copied, kernels_of, update_ratios

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
      every: measure at multiples of so many steps, or at those of which this function says so. By default at the first
        steps, then at ever larger distances, at most 8 points for each factor of ten, fewer where steps are short: a
        training of 5,000 steps pays at most 2 % of its time, apart from the first point, which compiles for seconds.
      tracker: where each point is also sent while the training goes on: "tensorboard", "wandb", options beside the
        name, as in {"fn": "wandb", "project": "mine"}, or a function, which takes a `TrackedRun` and returns a
        `Tracker` (see `xinit.runs.trackers`). It works on a thread of its own and stops no training.
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
        tracker: Choice = None,
        variables: Any = None,
        loss: Loss | None = None,
        rngs: Any = None,
        layers: str | Sequence[str] | None = None,
        axis_name: str | None = None,
        **call_kwargs: Any,
    ) -> None:
        self._is_due = schedule(every)
        self._budget = Budget(is_limited=every is None)
        self._on_finding = on_finding or (lambda step, finding: None)
        self._tracking = Tracking(tracker)
        known = {"variables": variables, "loss": loss, "rngs": rngs, "layers": layers, "axis_name": axis_name}
        self._probe = Probe(model, batch, **known, **call_kwargs)
        self._names = [layer.name for layer in self._probe.structure.layers]
        functions = [layer.function.name if layer.function else None for layer in self._probe.structure.layers]
        self._folder = MonitorFolder(folder, self._names, functions)
        self._before: Kernels | None = None  # the kernels at the step of the last call, if the next is to be measured
        self._called_at: int | None = None

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
        if self._folder.drop_from(step):
            self._tracking.begin_again()
        is_next = self._called_at == step - 1
        before, self._before = self._before if is_next else None, None
        self._called_at = step
        self._budget.count()
        is_due = before is not None or self._is_wanted(step)
        # One that can be paid only now is measured a step later, when there are kernels to compare with.
        is_late = is_due and is_next and before is None and self._budget.is_limited
        keeps = is_late or (not is_due and self._is_wanted(step + 1))
        is_due = is_due and not is_late
        return self._look(step, values, before, is_due, keeps) if is_due or keeps else None

    def close(self) -> None:
        """Say that the record is at its end, and release the folder; a second call does nothing.

        It waits until the tracker has sent what it was given, but not longer than it may take: `patience`, 10 seconds.
        """
        self._before = None
        if not self._folder.is_closed:
            self._folder.close()
            self._tracking.end(self._folder)

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_wanted(self, step: int) -> bool:
        """Whether a step is to be measured."""
        return self._is_due(step, self._folder.last_step) and self._budget.allows()

    def _look(self, step: int, values: Any, before: Kernels | None, is_due: bool, keeps: bool) -> Report | None:
        """Measure the step, or keep its kernels for the next one, or both."""
        begun = time.perf_counter()
        seen = self._probe.seen(values)
        kernels = kernels_of(self._probe.structure, seen.params)
        report: Report | None = None
        worse: list[Finding] = []
        if is_due:
            waiting = time.perf_counter()
            jax.block_until_ready(kernels)
            begun += time.perf_counter() - waiting  # what the training still computes is none of the monitor's time
            report, worse = self._measure(step, seen, before, kernels)
            begun = self._budget.spend(begun, is_point=True)
            keeps = self._is_wanted(step + 1)
        if keeps:
            self._before = copied(kernels)
            self._budget.spend(begun, is_point=False)
        for finding in worse:
            self._on_finding(step, finding)
        return report

    def _measure(self, step: int, seen: Model, before: Kernels | None, now: Kernels) -> tuple[Report, list[Finding]]:
        """The report of a step, which is written and sent, and the findings that are worse than before."""
        report = self._probe.report_of(seen)
        ratios = update_ratios(self._probe.structure, before or now, now)  # so the first point compiles it
        if before is None:
            ratios = np.full(len(self._names), np.nan)
        earlier, findings = self._folder.findings, _findings(report, self._names, step)
        readings = _readings(report, self._names) | {"update_ratio": ratios}
        self._folder.add(step, readings, findings)
        self._tracking.send(self._folder, step, readings)
        return report, turned_bad(earlier, findings)


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


def _whole(step: Any) -> int:
    try:
        number = operator.index(step)
    except TypeError:
        number = -1
    if number < 0:
        raise InputError(f"step is {step!r}; it must be a whole number from 0 on, the training steps that were done.")
    return number
