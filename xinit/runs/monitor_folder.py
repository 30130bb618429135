"""The folder of a monitor as the process that fills it sees it: claimed, continued, written point by point."""

import contextlib
import fcntl
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xinit.analysis import saved_monitors
from xinit.analysis.finding import Finding
from xinit.analysis.saved_monitors import FACTS, FORMAT, POINTS, Readings
from xinit.core import files, netcdf
from xinit.core.errors import InputError

LOCK = ".lock"


class MonitorFolder:
    """A record that this process adds to, from its making to `close`.

    Raises:
      InputError: another monitor that lives holds the folder, something else or another model's record lies there, or
        it cannot be written.
    """

    def __init__(
        self, folder: str | os.PathLike, layers: Sequence[str], functions: Sequence[str | None]
    ) -> None:
        self.path = pathlib.Path(folder)
        self._identity, self._layers, self._functions = uuid.uuid4().hex[:12], tuple(layers), tuple(functions)
        self._points: list[Readings] = []
        self.history: list[tuple[int, tuple[Finding, ...]]] = []
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_kind()
            self._lock: Any = files.open_to_append(files.inside(self.path, LOCK))
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.close()
                raise InputError(f"{self.path} is in use by another monitor; close that one, or choose another folder.") from None
        try:
            self._continue()
            self._write_facts("running")
        except BaseException:
            self._lock.close()
            raise

    @property
    def last_step(self) -> int | None:
        """The last step that was measured; None before the first."""
        return int(self._points[-1]["step"][0]) if self._points else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found there."""
        return self.history[-1][1] if self.history else ()

    def add(self, step: int, readings: Readings, findings: tuple[Finding, ...]) -> None:
        """Write a point, which comes after all others; readings without the axis step."""
        point = {"step": np.array([step], np.int64)} | {name: np.asarray(own)[None] for name, own in readings.items()}
        with _writing(self.path):
            if findings != self.findings:
                self.history.append((step, findings))
                self._write_facts("running")
            self._points.append(point)
            self._write_segment((len(self._points) - 1) // POINTS)

    def drop_from(self, step: int) -> None:
        """Forget the points at this step and later ones, which a training that went back to it makes again."""
        if self.last_step is None or self.last_step < step:
            return
        before = len(saved_monitors.segments(self.path))
        self._points = [point for point in self._points if point["step"][0] < step]
        self.history = [entry for entry in self.history if entry[0] < step]
        kept = -(-len(self._points) // POINTS)
        with _writing(self.path):
            for number in reversed(range(kept, before)):
                files.inside(self.path, saved_monitors.segment(number)).unlink(missing_ok=True)
            if kept:
                self._write_segment(kept - 1)
            self._write_facts("running")

    def close(self) -> None:
        """Say that the record is at its end, and release the folder."""
        if self._lock.closed:
            return
        try:
            with _writing(self.path):
                self._write_facts("closed")
        finally:
            self._lock.close()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return bool(self._lock.closed)

    def _check_kind(self) -> None:
        held = sorted(entry.name for entry in self.path.iterdir() if entry.name != LOCK)
        if held and FACTS not in held:
            raise InputError(f"{self.path} holds {held[0]} and no record of a monitor; choose a new or an empty folder.")

    def _continue(self) -> None:
        """Go on with the record that lies here, if one does."""
        if not saved_monitors.is_one(self.path):
            return
        found = saved_monitors.load(self.path)
        if found.layers != self._layers:
            other = sorted(set(found.layers) ^ set(self._layers)) or found.layers
            raise InputError(
                f"{self.path} holds the record of another model, which differs in {other[0]}; choose another folder."
            )
        self._identity, self.history = found.identity, list(found.history)
        n = len(found.steps)
        self._points = [{name: own[i : i + 1] for name, own in found.readings.items()} for i in range(n)]

    def _write_facts(self, state: str) -> None:
        named = [(step, [_plain(finding) for finding in findings]) for step, findings in self.history]
        facts = {
            "format": FORMAT,
            "identity": self._identity,
            "state": state,
            "layers": self._layers,
            "functions": self._functions,
            "history": named,
        }
        files.write_atomically(files.inside(self.path, FACTS), (json.dumps(facts, indent=1) + "\n").encode())

    def _write_segment(self, number: int) -> None:
        readings = saved_monitors.stacked(self._points[number * POINTS : (number + 1) * POINTS])
        described = {name: saved_monitors.described(name) for name in readings}
        content = netcdf.encode(readings, described, {"monitor": self._identity})
        files.write_atomically(files.inside(self.path, saved_monitors.segment(number)), content)


def _plain(finding: Finding) -> dict[str, Any]:
    about = {"level": finding.level, "rule": finding.rule, "sentence": finding.sentence}
    return about | {"layers": [int(place) for place in finding.layers]}


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
    """Turn an operating-system error into one sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(f"The folder {path} cannot be written: {error.strerror or error}; choose another.") from error
