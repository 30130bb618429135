"""Checkpoints: a training state and the readings so far, written by orbax, with a checksum of every file.

Orbax restores a bit-flipped file silently, so the checksums are verified on load; a checkpoint that does not pass is
reported and the one before it used.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from xinit.readings import EDGES
from xinit.record import RunDirectory, writing

MEMBERS = "members.json"
KEPT = 2  # should the last one be damaged, there is one before it


class Checkpoint(NamedTuple):
    """A step, the states at it and the readings up to it, and what was wrong with newer checkpoints.

    States have a leading replica axis, readings a leading axis probe point and then that of the replicas.
    """

    step: int
    state: Any
    readings: dict[str, np.ndarray]
    complaints: list[str]


def _checkpointer():
    import orbax.checkpoint  # 0.4 s, not paid by --help

    logging.getLogger("absl").setLevel(logging.ERROR)
    return orbax.checkpoint.PyTreeCheckpointer()


def save_tree(path: pathlib.Path, tree: Any, members: Sequence[str] = ()) -> None:
    """A tree of arrays into the folder `path`, which appears whole or not at all; `members` are kept beside it."""
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
    (temporary / MEMBERS).write_text(json.dumps(list(members)))
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


def save(folder: pathlib.Path, step: int, members: Sequence[str], state: Any, readings: Mapping[str, Any]) -> None:
    """Write the checkpoint of a step and drop all but the last KEPT.

    `members` names the run of each replica, by which `load` finds its states again.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        leaves = {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
        save_tree(folder / f"{step:010d}", {"state": leaves, "readings": dict(readings)}, members)
        for old in _complete(folder)[:-KEPT]:
            shutil.rmtree(old)


def load(folder: pathlib.Path, members: Sequence[str], like: Any) -> Checkpoint:
    """The states of these members in the newest checkpoint that is whole, holds them all and fits the tree `like`.

    Its state is None where there is none.
    """
    complaints = [] if folder.exists() else [f"The checkpoint folder {folder} is gone; beginning anew."]
    for leftover in folder.glob(".*"):  # of a process that was killed while it wrote
        shutil.rmtree(leftover)
    for path in reversed(_complete(folder)):
        try:
            tree, held = load_tree(path), _members(path)
            if missing := set(members) - set(held):
                raise ValueError(f"it does not hold {', '.join(sorted(missing))}")
            place = [held.index(member) for member in members]
            leaves = [tree["state"][name][place] for name in sorted(tree["state"])]
            shapes = [leaf.shape for leaf in leaves] == [leaf.shape for leaf in jax.tree.leaves(like)]
            if not shapes:
                raise ValueError("it holds arrays of other shapes")
        except Exception as error:  # whatever damage does to the reader
            complaints.append(f"The checkpoint {path} is damaged ({error}); the one before it is used.")
            if len(members) == len(_members(path)):  # else it may still serve others
                shutil.rmtree(path)  # else it would count among the last ones kept
            continue
        state = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return Checkpoint(int(path.name), state, _readings_of(tree.get("readings") or {}, place), complaints)
    return Checkpoint(0, None, {}, complaints)


def _readings_of(readings: Mapping[str, np.ndarray], place: list[int]) -> dict[str, np.ndarray]:
    """The readings of the replicas at these places: edges have no axis in front of the replicas', the step has none."""
    axis = dict.fromkeys(EDGES, 0)
    return {n: a if n == "step" else np.take(a, place, axis=axis.get(n, 1)) for n, a in readings.items()}


def drop_unless_needed(folder: pathlib.Path) -> None:
    """Remove a folder of checkpoints, unless a run that is not finished would still go on from it."""
    folder = pathlib.Path(os.path.normpath(folder))  # as runs name it, also under out=a/../b
    held = {member for path in _complete(folder) for member in _members(path)}
    out = folder.parents[3]  # <out>/<name>/<hash>/checkpoints/<chunk>
    runs = [RunDirectory(path) for member in held for path in out.glob(f"*/{member}")]
    if not any(run.checkpoint == folder and not run.is_over() for run in runs):
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # where it holds another chunk's
            folder.parent.rmdir()


def _members(path: pathlib.Path) -> list[str]:
    """The runs whose states a checkpoint holds; none where that cannot be read."""
    try:
        return json.loads((path / MEMBERS).read_text())
    except (OSError, ValueError):
        return []


def _complete(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir()) if folder.exists() else []
