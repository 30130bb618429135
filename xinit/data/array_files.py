"""Arrays of the user's in an .npz, in a folder of .npy, or held by this process; reading them executes nothing."""

import contextlib
import functools
import os
import pathlib
import stat
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xinit.core.errors import InputError
from xinit.data.records import reason
from xinit.data.user_arrays import NAMES, Given, check, check_names, named

HELD = "memory:"  # begins the name of arrays that Python has given
OBJECTS = "Object arrays cannot be loaded"  # numpy's words for what only pickle could read

Files = tuple[tuple[str, int, int, int], ...]  # paths with what tells whether one has changed

_held: dict[str, Given] = {}  # for as long as the process lives, since configs name them


def from_python(value: Any) -> dict[str, Any] | None:
    """The settings of `data=arrays` that mean these arrays, which this process holds from now on; None for no arrays.

    `value` is a mapping of arrays, in which further settings may stand, (x, y), or a pair (x, y) for each part.

    Raises:
      InputError: they are no data set, as `user_arrays.check` says.
    """
    settings: dict[str, Any] = {}
    if isinstance(value, Mapping):
        settings = {key: item for key, item in value.items() if key not in NAMES}
        if len(settings) == len(value) or "fn" in settings:
            return None
        value = {key: item for key, item in value.items() if key in NAMES}
    elif isinstance(value, str | os.PathLike) or not hasattr(value, "__len__"):
        return None
    given = check(named(value, "data is"), "data", copy=True)
    _held[HELD + given.content_and_shape] = given
    return {"file": HELD + given.content_and_shape, **settings}


def stored(file: str) -> Given:
    """The checked arrays of a file, a folder or this process; a file is read once until it changes.

    Raises:
      InputError: it is not there, damaged, or no data set.
    """
    if file.startswith(HELD):
        if file not in _held:
            raise InputError(
                f"data.file is {file}, arrays that another process was given; give them to this one, or name the file "
                "that they are saved in."
            )
        return _held[file]
    path = pathlib.Path(os.path.abspath(os.path.expanduser(file)))
    try:
        return _read(file, str(path), _files(path))
    except OSError as error:
        raise InputError(f"data.file is {file}, which cannot be read: {error.strerror or error}.") from error


def _files(path: pathlib.Path) -> Files:
    paths = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    stats = [(str(one), one.stat()) for one in paths]
    if strange := [name for name, status in stats if not stat.S_ISREG(status.st_mode)]:
        raise InputError(f"data.file is {strange[0]}, which is no file; it must be an .npz or a folder of .npy.")
    return tuple((name, status.st_size, status.st_mtime_ns, status.st_ino) for name, status in stats)


@functools.lru_cache(maxsize=32)
def _read(file: str, path: str, files: Files) -> Given:
    """The arrays as they are while the files have these sizes and times."""
    if os.path.isdir(path):
        found = {pathlib.Path(name).stem: (name, size) for name, size, *_ in files}
        check_names(found, file)
        paths = {name: found[name] for name in NAMES if name in found}
        _check_fits(file, sum(size for _, size in paths.values()))
        return check({name: _load(f"{name} of {file}", where) for name, (where, _) in paths.items()}, file)
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"data.file is {file}, which is no .npz, or a damaged one; it must be an .npz or a folder of .npy."
        )
    with _naming(file), np.load(path, allow_pickle=False) as archive:
        check_names(archive.files, file)
        sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.zip.infolist()}
        used = [name for name in NAMES if name in sizes]
        _check_fits(file, sum(sizes[name] for name in used))
        return check({name: _load(f"{name} of {file}", archive, name) for name in used}, file)


def _check_fits(file: str, n_bytes: int) -> None:
    """InputError where a file says that its arrays are larger than the memory: a small one may unpack to that."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if n_bytes > memory:
        raise InputError(f"The arrays of {file} take {n_bytes / 1e9:,.0f} GB and there are {memory / 1e9:,.0f} GB.")


def _load(what: str, source: Any, name: str | None = None) -> np.ndarray:
    with _naming(what):
        loaded: np.ndarray = np.load(source, allow_pickle=False) if name is None else source[name]
        return loaded


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """What NumPy and zipfile raise becomes an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # each kind of damage has a type of its own
        if OBJECTS in str(error):
            raise InputError(
                f"{what} holds Python objects, which are not read since that may execute anything; it must be numbers."
            ) from error
        raise InputError(f"{what} is damaged or unreadable: {reason(error)}.") from error
