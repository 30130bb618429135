"""The folders of checkpoints: what lies in them, whether it is whole, and how it is removed.

<run>/checkpoints/<hash of the members>/<step>/  checksums.json  members.json  and what orbax writes

checksums.json is the manifest: it names every file that xinit wrote with its SHA-256. Only these are verified, and only
these are removed: whatever else lies there, such as the .nfs or .DS_Store of a file system, is neither.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
from collections.abc import Sequence

from xinit.core import files
from xinit.core.errors import InputError
from xinit.core.files import DamagedError

MANIFEST = "checksums.json"
MEMBERS = "members.json"  # the runs whose states a checkpoint holds, in their order
STEP = re.compile(r"\d{10}|damaged-\d{10}(-\d+)?")  # the name of a checkpoint, or of one that was set aside
# A folder that a killed process was filling, xinit's own name for it or what orbax makes of that.
HALF_WRITTEN = re.compile(r"\.(\d{10}|params)\.\d+(\.orbax-checkpoint-tmp.*)?")


def write(path: pathlib.Path, members: Sequence[str]) -> None:
    """Make a checkpoint of a folder that holds what orbax wrote: add the members and the manifest."""
    (path / MEMBERS).write_text(json.dumps(list(members)))
    (path / MANIFEST).write_text(json.dumps(checksums(path)))


def checksums(path: pathlib.Path) -> dict[str, str]:
    """The SHA-256 of all files of a folder."""
    names = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    return {name: _checksum(path, name) for name in names}


def _checksum(path: pathlib.Path, name: str) -> str:
    found = files.checksum(path, name)
    if found is None:
        raise DamagedError(f"{name} is missing")
    return found


def manifest(path: pathlib.Path) -> dict[str, str]:
    """The files that a checkpoint consists of, but for the manifest, with their checksums.

    Raises:
      DamagedError: there is no manifest, or it is none.
      InputError: it cannot be read.
    """
    found = files.read_json(path, MANIFEST)
    if MEMBERS not in found or not all(isinstance(value, str) for value in found.values()):
        raise DamagedError(f"its {MANIFEST} does not name its files")
    return found


def verify(path: pathlib.Path) -> None:
    """Compare every file of a checkpoint with its checksum.

    Raises:
      DamagedError: one is missing or altered.
      InputError: one cannot be read, which says nothing of what it holds, or a part of the folder is a link.
    """
    for name, checksum in manifest(path).items():
        if _checksum(path, name) != checksum:
            raise DamagedError(f"{name} does not match its checksum")
    for entry in path.rglob("*"):
        files.inside(path, str(entry.relative_to(path)))


def members(path: pathlib.Path) -> list[str]:
    """The runs whose states a checkpoint holds; raises as `manifest`."""
    return [str(member) for member in files.read_json(path, MEMBERS, list)]


def checkpoints(folder: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints of a folder that were not set aside, the oldest first."""
    return [path for path in _entries(folder) if not path.name.startswith("damaged-")]


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    with files.reading(folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        found = [folder / name for name in sorted(names) if STEP.fullmatch(name)]
        return [path for path in found if os.path.lexists(path / MANIFEST)]
    return []


def set_aside(path: pathlib.Path) -> pathlib.Path:
    """Give a checkpoint that is damaged another name, under which it is neither tried nor counted; its path."""
    names = itertools.chain([f"damaged-{path.name}"], (f"damaged-{path.name}-{i}" for i in itertools.count(2)))
    aside = next(path.with_name(name) for name in names if not os.path.lexists(path.with_name(name)))
    try:
        os.rename(path, aside)
    except OSError:  # where nothing may be written it stays as it is
        return path
    return aside


def remove(path: pathlib.Path) -> None:
    """Remove the files that a checkpoint's manifest names, and the folders that this leaves empty.

    A folder without a manifest that can be read stays.
    """
    with contextlib.suppress(InputError, OSError):
        for name in [*manifest(path), MANIFEST]:
            files.inside(path, name).unlink(missing_ok=True)
        for folder, *_ in os.walk(path, topdown=False):
            remove_if_empty(pathlib.Path(folder))


def make_way(path: pathlib.Path) -> None:
    """Free a checkpoint's name: remove the one that it has, and give what else lies there another name."""
    remove(path)
    if os.path.lexists(path):
        set_aside(path)


def remove_if_empty(folder: pathlib.Path) -> None:
    """Remove a folder in which nothing lies."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def remove_all(folder: pathlib.Path) -> None:
    """Remove the checkpoints of a folder, those that were set aside too, and the folder if nothing else is in it."""
    with contextlib.suppress(InputError):
        for path in _entries(folder):
            remove(path)
        remove_half_written(folder)
    remove_if_empty(folder)


def remove_half_written(folder: pathlib.Path) -> None:
    """Remove what a process that was killed was writing here; whoever holds the run knows that none is."""
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            if HALF_WRITTEN.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
