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

from xinit.analysis import saved_monitors, verdict
from xinit.analysis.finding import Finding
from xinit.analysis.saved_monitors import FACTS, FORMAT, ROWS, Columns, Readings
from xinit.core import files
from xinit.core.errors import InputError

LOCK = ".lock"


class MonitorFolder:
    """A record that this process adds to, from its making to `close`.

    Raises:
      InputError: another monitor that lives holds the folder, something else or another model's record lies there, or
        it cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, layers: Sequence[str], functions: Sequence[str | None]) -> None:
        self.path = pathlib.Path(folder)
        self.identity, self.layers, self.functions = uuid.uuid4().hex[:12], tuple(layers), tuple(functions)
        self._columns: Columns = ()
        self._steps: list[int] = []
        self._history: list[tuple[int, tuple[Finding, ...]]] = []
        self.findings: tuple[Finding, ...] = ()  # at the last step that was measured; none before the first
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_kind()
            self._lock: Any = files.open_to_append(files.inside(self.path, LOCK))
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.close()
                raise InputError(
                    f"{self.path} is in use by another monitor; close that one, or choose another folder."
                ) from None
        try:
            self._continue()
            self._write_facts("running")
        except BaseException:
            self._lock.close()
            raise

    @property
    def last_step(self) -> int | None:
        """The last step that was measured; None before the first."""
        return self._steps[-1] if self._steps else None

    @property
    def verdict(self) -> str:
        """The worst finding at that step, in a sentence; empty before the first."""
        return verdict.sentence(list(self.findings)) if self.findings else ""

    def add(self, step: int, readings: Readings, findings: tuple[Finding, ...]) -> None:
        """Write a point, which comes after all others; readings without the axis step."""
        point = {"step": np.array(step)} | readings
        columns = tuple((name, np.shape(own)) for name, own in point.items())
        row = np.concatenate([np.ravel(own).astype("<f8") for own in point.values()])
        if self._steps and columns != self._columns:
            raise InputError(f"{self.path} holds other readings than this monitor makes; choose another folder.")
        self._columns = columns
        if not self._history or _levels(findings) != _levels(self.findings):
            self._history.append((step, findings))
        self.findings = findings
        with _writing(self.path):
            self._write_facts("running", step)
            with open(files.inside(self.path, ROWS), "ab") as file:
                file.write((b"" if file.tell() else self.identity.encode()) + row.tobytes())
        self._steps.append(step)

    def drop_from(self, step: int) -> bool:
        """Forget the points at this step and later ones, which a training that went back makes again; if there are."""
        if not self._steps or self._steps[-1] < step:
            return False
        self._steps = [own for own in self._steps if own < step]
        self._history = [entry for entry in self._history if entry[0] < step]
        self.findings = self._history[-1][1] if self._history else ()
        with _writing(self.path):
            self._cut()
            self._write_facts("running")
        return True

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
            raise InputError(
                f"{self.path} holds {held[0]} and no record of a monitor; choose a new or an empty folder."
            )

    def _continue(self) -> None:
        """Go on with the record that lies here, if one does."""
        if not saved_monitors.is_one(self.path):
            return
        found = saved_monitors.load(self.path)
        if found.layers != self.layers:
            other = sorted(set(found.layers) ^ set(self.layers)) or found.layers
            raise InputError(
                f"{self.path} holds the record of another model, which differs in {other[0]}; choose another folder."
            )
        self.identity, self._columns = found.identity, found.columns
        self._history, self.findings = list(found.history), found.findings
        self._steps = found.steps.tolist()
        self._cut()

    def _cut(self) -> None:
        """Let the file of readings end behind the last step; a process that was killed may have left part of a row."""
        path = files.inside(self.path, ROWS)
        if path.exists():
            os.truncate(path, len(self.identity) + 8 * saved_monitors.length(self._columns) * len(self._steps))

    def _write_facts(self, state: str, step: int | None = None) -> None:
        """The file of facts; `step` of the findings where it is still to be written, else the last one."""
        at = self.last_step if step is None else step
        plain = lambda step, findings: (step, [_plain(finding) for finding in findings])
        facts = {
            "format": FORMAT,
            "identity": self.identity,
            "state": state,
            "layers": self.layers,
            "functions": self.functions,
            "columns": self._columns,
            "history": [plain(*entry) for entry in self._history],
            "latest": [] if at is None or not self.findings else [plain(at, self.findings)],
        }
        files.write_atomically(files.inside(self.path, FACTS), (json.dumps(facts) + "\n").encode())


def _levels(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return sorted({(finding.rule, finding.level) for finding in findings})


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
