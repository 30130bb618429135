"""Checkpoints: a training state and the readings so far, written by orbax, with a checksum of every file.

Orbax restores a bit-flipped file silently, so the checksums are verified on load; a checkpoint that does not pass is
reported and the one before it used.
"""

import errno
import hashlib
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from xinit.record import writing

KEPT = 2  # should the last one be damaged, there is one before it


class Checkpoint(NamedTuple):
    """A state, the readings up to it (leading axis: probe point), and what was wrong with newer checkpoints."""

    state: Any
    readings: dict[str, np.ndarray]
    complaints: list[str]


def _checkpointer():
    import orbax.checkpoint  # 0.4 s, not paid by --help

    logging.getLogger("absl").setLevel(logging.ERROR)
    return orbax.checkpoint.PyTreeCheckpointer()


def save_tree(path: pathlib.Path, tree: Any) -> None:
    """A tree of arrays into the folder `path`, which appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    arrays = jax.tree.map(np.asarray, tree)
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    if shutil.disk_usage(path.parent).free < 1.1 * needed:  # looked at first: orbax ends in tracebacks on a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        _checkpointer().save(temporary.absolute(), arrays)
    except Exception as error:  # a write that fails is a ValueError of tensorstore's
        raise OSError(f"orbax could not write a checkpoint ({type(error).__name__})") from error
    (temporary / "checksums.json").write_text(json.dumps(_checksums(temporary)))
    shutil.rmtree(path, ignore_errors=True)
    os.replace(temporary, path)


def load_tree(path: pathlib.Path) -> Any:
    """The tree in a folder written by `save_tree`; raises ValueError where a file is missing, cut or altered."""
    import orbax.checkpoint

    if json.loads((path / "checksums.json").read_text()) != _checksums(path):
        raise ValueError("a file does not match its checksum")
    checkpointer = _checkpointer()
    metadata = checkpointer.metadata(path.absolute()).item_metadata.tree
    as_numpy = jax.tree.map(lambda _: orbax.checkpoint.RestoreArgs(restore_type=np.ndarray), metadata)
    return checkpointer.restore(path.absolute(), restore_args=as_numpy)


def _checksums(path: pathlib.Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != "checksums.json")
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def save(folder: pathlib.Path, step: int, state: Any, readings: Mapping[str, np.ndarray]) -> None:
    """Write the checkpoint of a step and drop all but the last KEPT."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
        leaves = {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
        save_tree(folder / f"{step:010d}", {"state": leaves, "readings": dict(readings)})
        for old in _complete(folder)[:-KEPT]:
            shutil.rmtree(old)


def load(folder: pathlib.Path, like: Any) -> Checkpoint | None:
    """The newest checkpoint that is whole and fits the tree `like`; None where there is none."""
    complaints: list[str] = []
    for leftover in folder.glob(".*"):  # of a process that was killed while it wrote
        shutil.rmtree(leftover)
    for path in reversed(_complete(folder)):
        try:
            tree = load_tree(path)
            leaves = [tree["state"][name] for name in sorted(tree["state"])]
            shapes = [leaf.shape for leaf in leaves] == [leaf.shape for leaf in jax.tree.leaves(like)]
            if not shapes:
                raise ValueError("it holds arrays of other shapes")
        except Exception as error:  # whatever damage does to the reader
            complaints.append(f"The checkpoint {path} is damaged ({error}); the one before it is used.")
            shutil.rmtree(path)  # else it would count among the last ones kept
            continue
        state = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return Checkpoint(state, tree.get("readings") or {}, complaints)
    return Checkpoint(None, {}, complaints) if complaints else None


def _complete(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir()) if folder.exists() else []
