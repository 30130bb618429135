"""The host's side of a population of runs: it trains them from one probe point to the next, records readings and writes
checkpoints, and in the end the results.

A run on its own is a population of one.
"""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

import numpy as np

from xinit.core import folders
from xinit.core.backend import device_words
from xinit.core.readings import EDGES
from xinit.runs import checkpoints
from xinit.runs.history import History
from xinit.runs.pace import RateMeter, ReadingsSoFar, stops
from xinit.runs.reporting import Reporter
from xinit.runs.results import Course, Member, Result, conclude, write_readings
from xinit.runs.run_directory import drop_unless_needed
from xinit.runs.trackers import TrackedRun
from xinit.runs.trackers.following import Followers
from xinit.training.expectations import Expectations
from xinit.training.problem import chance_error
from xinit.training.trainer import Trainer


class Supervisor:
    """Decides when a population in training is probed and when a checkpoint is written; the trainer computes."""

    def __init__(
        self,
        members: Sequence[Member],
        trainer: Trainer,
        reporter: Reporter,
        followers: Followers,
        *,
        started: float,
        compile_s: float,
    ) -> None:
        self.members, self.trainer, self.reporter, self.followers = members, trainer, reporter, followers
        self.started, self.compile_s = started, compile_s
        self.config = members[0].config  # for what all members share
        self.history, self.meter = History(), RateMeter()
        self.expected = Expectations(self.config, trainer.problem, trainer.population.data)
        name = folders.name_of_members(member.hash for member in members)
        self.checkpoints = members[0].directory.path / "checkpoints" / name
        self.resumed_from: int | None = None

    def supervise(self) -> list[Result]:
        """Resume where possible, train, and write the results of each member."""
        self._resume()
        self._follow()
        steps, asked_for = self.config.steps, self.config.stop_after
        end = min(steps, asked_for or steps)
        self.reporter.start(self.config, self.trainer.step, device_words(), _chance(self.trainer))
        with _asked_to_stop() as asked:
            self._train_until(end, asked)
            self.reporter.stop()
            if asked and not self._all_diverged() and self.trainer.step < end:
                self._pause("interrupted")
                self.reporter.note(f"interrupted at step {self.trainer.step:,}; the same command goes on from there.")
                raise KeyboardInterrupt
        if end < steps and not self._all_diverged():
            return self._stop_as_asked()
        return self._finish()

    def _resume(self) -> None:
        """Go on from the last good checkpoint of all members, if there is one."""
        folder = self.members[0].directory.checkpoint
        if folder is None:
            return
        hashes = [member.hash for member in self.members]
        checkpoint = checkpoints.load(folder, hashes, self.trainer.state_of_members())
        for complaint in checkpoint.complaints:
            self.reporter.note(complaint)
        if checkpoint.state is None:
            return
        self.history = History(checkpoint.readings)
        self.trainer.restore(checkpoint.state, checkpoint.step, self.history.last_step or 0, self.history.edges)
        self.resumed_from = checkpoint.step
        self.reporter.note(f"going on from the checkpoint at step {checkpoint.step:,} of {self.config.steps:,}.")

    def _follow(self) -> None:
        """Begin to track the members, with the readings that a checkpoint restored."""
        for member in self.members:
            config = member.config
            run = TrackedRun(member.hash, config.name, member.directory.path, dataclasses.asdict(config))
            self.followers.begin(config.tracker, run)
        for row in self.history.rows:
            self._track(row)

    def _track(self, row: Mapping[str, np.ndarray]) -> None:
        """Send a probe point to the trackers of the members that had not diverged by then."""
        ends = self.trainer.diverged_at()
        sound = {m.hash: r for r, m in enumerate(self.members) if not ends[r] or row["step"] < ends[r]}
        self.followers.send(sound, row, self.history.edges, self.trainer.problem.extra)

    def _train_until(self, end: int, asked: list[int]) -> None:
        """Train up to `end`, until asked to stop or until the last member has diverged."""
        write = lambda r, readings: write_readings(self.members[r], readings, self.trainer.problem.extra)
        saved, so_far = time.perf_counter(), ReadingsSoFar(len(self.members), self._readings, write)
        for stop, probed in stops(self.trainer, self.history.last_step, end, self.meter):
            if stop > self.trainer.step:
                self._advance(stop, probed)
                if self._all_diverged():
                    return
            if probed:
                self._probe()
            if stop < end:
                so_far.write_if_due(probed)
            if time.perf_counter() - saved > self.config.checkpoint_every and self.trainer.step < end:
                self._save()
                saved = time.perf_counter()
            if asked:
                return

    def _advance(self, stop: int, probed: bool) -> None:
        clock, began = time.perf_counter(), self.trainer.step
        self.trainer.advance(stop, before_probe=probed)
        self.meter.add(stop - began, clock)
        self.reporter.advance(stop, self.meter.rate)

    def _all_diverged(self) -> bool:
        return bool(np.all(self.trainer.diverged_at() > 0))

    def _probe(self) -> None:
        readings = self.trainer.probe()
        self.history.add(self.trainer.step, readings, self.trainer.edges)
        self._track(self.history.rows[-1])
        left = (self.config.steps - self.trainer.step) / self.meter.rate if self.meter.steps else None
        self.reporter.probe(self.trainer.step, readings, self.trainer.diverged_at() > 0, left)

    def _save(self) -> None:
        """A checkpoint, and for those who look at a run that goes on, the readings so far."""
        hashes = [member.hash for member in self.members]
        state = self.trainer.state_of_members()
        checkpoints.save(self.checkpoints, self.trainer.step, hashes, state, self.history.arrays())
        before = {member.directory.checkpoint for member in self.members} - {self.checkpoints}
        for member in self.members:
            member.directory.point_to(self.checkpoints)
        for folder in filter(None, before):
            drop_unless_needed(folder)
        if len(self.members) == 1:
            write_readings(self.members[0], self._readings(0), self.trainer.problem.extra)

    def _readings(self, r: int) -> dict[str, np.ndarray]:
        """A member's readings, up to the step at which it diverged, and what theory expected of them."""
        end = self.trainer.diverged_at()[r] or self.trainer.step + 1
        return self.history.of_member(r, end) | self.expected.readings(self.members[r].config.scheme)

    def _pause(self, state: str) -> None:
        """Stop in a state that the same command goes on from."""
        self._save()
        for r, member in enumerate(self.members):
            write_readings(member, self._readings(r), self.trainer.problem.extra)
            member.directory.write_status(state, step=self.trainer.step)

    def _stop_as_asked(self) -> list[Result]:
        self._pause("stopped")
        where = "" if len(self.members) > 1 else f" {self.members[0].directory.path}"
        self.reporter.note(f"stopped after {self.trainer.step:,} steps as asked; without stop_after it goes on.{where}")
        return [Result({}, [], {}) for _ in self.members]

    def _finish(self) -> list[Result]:
        results = []
        for member, result in conclude(self.members, self.trainer, self._course(), self._readings, self.expected):
            self.followers.end(member.hash, result.summary)
            readings = result.readings.items()
            last = {name: values[-1] for name, values in readings if len(values) and name not in EDGES}
            self.reporter.result(member.directory.path, result.summary, last)
            results.append(result)
        return results

    def _course(self) -> Course:
        rate = self.meter.rate if self.meter.steps else None
        return Course(rate, self.compile_s, self.started, self.resumed_from, device_words())


def _chance(trainer: Trainer) -> float:
    """The error of the best constant answer."""
    return chance_error(trainer.problem.dataset, trainer.population.data)


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that ctrl-c or a scheduler's SIGTERM adds to, so that a run stops between two writes; the second one
    stops it at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
