"""The folder of a run: where it lies, and how the process that computes the run claims it, writes into it, releases it.

Nothing in it is written through a link, and nothing is removed but what xinit wrote, below the `out` that it lies in.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import platform
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from xinit.core import files, manifests, netcdf
from xinit.core.custom import sources_of
from xinit.core.errors import InputError
from xinit.core.extra import NOTHING, Extra, listed
from xinit.core.files import DamagedError
from xinit.runs import record
from xinit.settings.config import Config

# What a run writes into its folder.
TEXTS = (*record.FILES, "log.txt")
NAMES = (*TEXTS, ".lock", "checkpoints", "figures", "params", "state", "tensorboard", "wandb")
HALF_WRITTEN = re.compile(rf"\.({'|'.join(map(re.escape, TEXTS))})\.\d+")  # by a process that was killed


def path_of(config: Config) -> pathlib.Path:
    """The folder of a config's run: <out>/<name>/<hash of what decides its results>."""
    hashed = record.run_hash(config.identity(), sources_of(config.own_functions()))
    return pathlib.Path(config.out) / config.name / hashed


class RunDirectory:
    """One run's folder, held by this process from `claim` to `release`."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._lock: Any = None
        self._forced = False
        self._checkpoint: str | None = None  # as in status.json: relative to `path`, so that folders can be moved

    def claim(self) -> None:
        """Create the folder and hold its lock; the operating system frees the lock of a process that died.

        Raises:
          InputError: another process holds it, it cannot be written, or a name that a run writes to is a link.
        """
        with files.writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for name in NAMES:
                files.inside(self.path, name)
            self._lock = files.open_to_append(self.path / ".lock")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                status = self.status()
                pid, host = (files.printable(str(status.get(name, "unknown"))) for name in ("pid", "host"))
                raise InputError(
                    f"The run {self.path} is being computed by process {pid} on {host}; wait for it or stop it."
                ) from None

    def begin(self, config_yaml: str, force: bool = False) -> None:
        """Begin to compute here, or go on; with `force`, without the results of the run before."""
        checkpoint = self.to_resume_from(force)
        anew = force and not self._forced_run_was_cut()
        self._checkpoint = os.path.relpath(checkpoint, self.path) if checkpoint else None
        with files.writing(self.path):
            _remove_half_written(self.path)
            self.write_text("config.yaml", config_yaml)
            if anew:
                self.write_status("running")  # needs no checkpoint any more; killed now, it will be forced once more
                self._remove_results()
            self._forced = force
            self.write_status("running")

    def _forced_run_was_cut(self) -> bool:
        """Whether a run that was forced did not come to its end: then the same command goes on with it."""
        return bool(self.status().get("forced")) and not self.is_over()

    def is_over(self) -> bool:
        """Whether the run says it came to its end, be that done or diverged."""
        return self.status().get("state") in record.OVER

    @property
    def checkpoint(self) -> pathlib.Path | None:
        """The folder of the checkpoints that hold this run's state, alone or among others; None where there is none.

        Where the status is lost, it is the one below this run's own folder that has gone furthest.

        Raises:
          InputError: the status names a folder that is not one of checkpoints in the same `out`.
        """
        if pointer := self._checkpoint or self.status().get("checkpoint"):
            return _checked(self.path, pathlib.Path(os.path.normpath(self.path / str(pointer))))
        if self.status():
            return None
        below = _own_checkpoints(self.path)
        return max(below, key=lambda path: path.name).parent if below else None

    def to_resume_from(self, force: bool) -> pathlib.Path | None:
        """The checkpoint that a run begun now would go on from."""
        return None if force and not self._forced_run_was_cut() else self.checkpoint

    def point_to(self, checkpoint: pathlib.Path) -> None:
        """Keep in the status where this run's checkpoints lie."""
        pointer = os.path.relpath(checkpoint, self.path)
        if pointer != self._checkpoint:
            self._checkpoint = pointer
            self.write_status("running")

    def _remove_results(self) -> None:
        """Remove what the run before has left, and of folders only what xinit wrote into them."""
        for name in ("summary.json", "readings.nc", "log.txt", "figures/layers.png"):
            (self.path / name).unlink(missing_ok=True)
        manifests.remove_if_empty(self.path / "figures")
        for name in ("params", "state"):
            manifests.remove(self.path / name)
        self.drop_checkpoints()

    def drop_checkpoints(self) -> None:
        """Remove the checkpoints in this folder, but for those that another run would still go on from."""
        for chunk in (self.path / "checkpoints").glob("*"):
            drop_unless_needed(chunk)
        manifests.remove_if_empty(self.path / "checkpoints")

    def release(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def status(self) -> dict[str, Any]:
        """The content of status.json; empty where there is none, or one that is damaged or of another run.

        Raises:
          InputError: a newer xinit wrote it, or it cannot be read.
        """
        try:
            status = record.read_status(self.path)
        except DamagedError:
            return {}
        return status if status.get("run", self.path.name) == self.path.name else {}

    def write_status(self, state: str, **more: Any) -> None:
        """`running`, `done`, `diverged`, `stopped`, `interrupted` or `failed`; who holds the run; what is known."""
        who = {
            "run": self.path.name,
            "format": record.FORMAT,
            "pid": os.getpid(),
            "host": platform.node(),
            "forced": self._forced,
        }
        if self._checkpoint is not None and state not in record.OVER:
            who["checkpoint"] = self._checkpoint
        self.write_json("status.json", {"state": state, **who, **more})

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """A JSON file of the run, atomically."""
        self.write_text(name, json.dumps(content, indent=2) + "\n")

    def write_text(self, name: str, content: str) -> None:
        """A text file of the run, atomically."""
        with files.writing(self.path):
            files.write_atomically(self.path / name, content.encode())

    def write_readings(
        self, readings: Mapping[str, np.ndarray], attributes: Mapping[str, Any], extra: Extra = NOTHING
    ) -> None:
        """readings.nc, atomically: arrays with a leading axis `step`, edges without; `extra`: those of the user's."""
        present = {name: extra[name] for name in extra if name in readings}
        # Made in memory first: HDF5 answers a full disk with much more than an OSError.
        attributes = {"run": self.path.name, **attributes, **listed(present)}
        content = netcdf.encode(readings, record.described_with(present), attributes)
        with files.writing(self.path):
            files.write_atomically(self.path / "readings.nc", content)


def _checked(path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The folder, where it is <out>/<name>/<hash>/checkpoints/<chunk> of the `out` that the run at `path` lies in."""
    out = pathlib.Path(os.path.realpath(path)).parents[1]
    parts = pathlib.PurePath(os.path.relpath(os.path.realpath(folder), out)).parts
    if len(parts) != 4 or not record.HASH.fullmatch(parts[1]) or parts[2] != "checkpoints":
        raise InputError(
            f"{path / 'status.json'} names {files.printable(str(folder))} as the run's checkpoints, which is "
            f"none of {out}: nothing there is read or removed. Remove that entry to begin anew."
        )
    files.inside(folder.parents[1], f"checkpoints/{folder.name}")
    return folder


def _own_checkpoints(path: pathlib.Path) -> list[pathlib.Path]:
    folder = files.inside(path, "checkpoints")
    chunks = [entry for entry in folder.glob("*") if entry.is_dir() and not entry.is_symlink()]
    return [checkpoint for chunk in chunks for checkpoint in manifests.checkpoints(chunk)]


def _remove_half_written(path: pathlib.Path) -> None:
    for entry in list(os.scandir(path)):
        if HALF_WRITTEN.fullmatch(entry.name):
            os.unlink(entry.path)
    manifests.remove_half_written(path)


def drop_unless_needed(folder: pathlib.Path) -> None:
    """Remove a folder of checkpoints, unless a run that is not finished would still go on from it.

    `folder` is <out>/<name>/<hash>/checkpoints/<chunk>. It stays where it cannot be told who needs it.
    """
    folder = pathlib.Path(os.path.normpath(folder))  # as runs name it, also under out=a/../b
    with contextlib.suppress(InputError, OSError):
        files.inside(folder.parents[1], f"checkpoints/{folder.name}")
        members = {member for path in manifests.checkpoints(folder) for member in manifests.members(path)}
        names = [f"*/{member}" for member in members if record.HASH.fullmatch(member)]
        runs = [RunDirectory(path) for name in names for path in folder.parents[3].glob(name)]
        if not any(run.checkpoint == folder and not run.is_over() for run in runs):
            manifests.remove_all(folder)
            manifests.remove_if_empty(folder.parent)
