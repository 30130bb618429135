"""Compiled programs, kept from one run of the suite to the next and shared by its workers.

jax writes an entry of its cache in place, so two processes that write the same one would read it half-written. Every
worker, with the processes that it starts, therefore has a folder of its own. Entries go from there to the folder that
all share, and from it to the others, as whole files.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile

from jax._src.compilation_cache import decompress_executable

KEPT = pathlib.Path(__file__).resolve().parents[1] / ".pytest_cache" / "programs"  # which git ignores
LARGEST = 2 << 30  # bytes; beyond it most entries are those of code that is no more


def begin(own: pathlib.Path) -> None:
    """Fill a worker's folder with what earlier runs of the suite have compiled."""
    with contextlib.suppress(OSError):  # where the project cannot be written, every run compiles anew
        KEPT.mkdir(parents=True, exist_ok=True)
    fetch(own)


def forget_if_too_many() -> None:
    """Begin anew where the entries take too much room."""
    with contextlib.suppress(OSError):
        if sum(entry.stat().st_size for entry in os.scandir(KEPT)) > LARGEST:
            shutil.rmtree(KEPT)


def fetch(own: pathlib.Path) -> None:
    """Take the entries of others."""
    _copy(_names(KEPT) - _names(own), KEPT, own)


def publish(own: pathlib.Path) -> None:
    """Give the entries of one's own to others, but for those whose process was killed while it wrote them."""
    if KEPT.is_dir():
        _copy({name for name in _names(own) - _names(KEPT) if _is_whole(own / name)}, own, KEPT)


def _names(folder: pathlib.Path) -> set[str]:
    return {name for name in os.listdir(folder) if name.endswith("-cache")} if folder.is_dir() else set()


def _is_whole(path: pathlib.Path) -> bool:
    try:
        return bool(decompress_executable(path.read_bytes()))
    except Exception:  # each compression has its own
        return False


def _copy(names: set[str], source: pathlib.Path, target: pathlib.Path) -> None:
    for name in names:
        with contextlib.suppress(OSError):  # somebody else was faster, or the folder is read-only
            try:
                os.link(source / name, target / name)
            except FileExistsError:
                continue
            except OSError:  # another file system
                with tempfile.NamedTemporaryFile(dir=target, delete=False) as part:
                    part.write((source / name).read_bytes())
                os.replace(part.name, target / name)
