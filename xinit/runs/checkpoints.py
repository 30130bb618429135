"""Checkpoints: a training state and the readings so far, written by orbax, with a checksum of every file.

Orbax restores a bit-flipped file silently, so the checksums are verified on load. A checkpoint that does not pass is
damaged: it is set aside and reported, and the one before it is used. Whatever else goes wrong while one is read is no
damage, such as a file system that is away for a moment: the run ends, and the checkpoint stays for the next attempt.
"""

import contextlib
import errno
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from xinit.core import files, manifests
from xinit.core.errors import InputError
from xinit.core.files import DamagedError, writing
from xinit.core.readings import EDGES

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
    manifests.remove_half_written(path.parent)
    arrays = jax.tree.map(np.asarray, tree)
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    if shutil.disk_usage(path.parent).free < 1.1 * needed:  # looked at first: orbax ends in tracebacks on a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        _checkpointer().save(temporary.absolute(), arrays)
    except Exception as error:  # a write that fails is a ValueError of tensorstore's
        raise OSError(f"orbax could not write a checkpoint ({type(error).__name__})") from error
    manifests.write(temporary, members)
    manifests.make_way(path)
    os.replace(temporary, path)


def load_tree(path: pathlib.Path) -> Any:
    """The tree in a folder written by `save_tree`; raises as `manifests.verify`."""
    import orbax.checkpoint

    manifests.verify(path)
    checkpointer = _checkpointer()
    metadata = checkpointer.metadata(path.absolute()).item_metadata.tree
    as_numpy = jax.tree.map(lambda _: orbax.checkpoint.RestoreArgs(restore_type=np.ndarray), metadata)
    return checkpointer.restore(path.absolute(), restore_args=as_numpy)


def save(folder: pathlib.Path, step: int, members: Sequence[str], state: Any, readings: Mapping[str, Any]) -> None:
    """Write the checkpoint of a step and drop those before it, but for the last of them: KEPT are left.

    `members` names the run of each replica, by which `load` finds its states again.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        leaves = {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
        path = folder / f"{step:010d}"
        save_tree(path, {"state": leaves, "readings": dict(readings)}, members)
        superseded = [old for old in manifests.checkpoints(folder) if old.name < path.name][: -(KEPT - 1)]
        for old in superseded:
            manifests.remove(old)


def load(folder: pathlib.Path, members: Sequence[str], like: Any) -> Checkpoint:
    """The states of these members in the newest checkpoint that is whole, holds them all and fits the tree `like`.

    Its state is None where there is none.

    Raises:
      InputError: a checkpoint cannot be read, which says nothing of what it holds.
    """
    with files.reading(folder):
        complaints = [] if folder.exists() else [f"The checkpoint folder {folder} is gone; beginning anew."]
    for path in reversed(manifests.checkpoints(folder)):
        try:
            with _reading(path):
                tree, held = load_tree(path), manifests.members(path)
                reason = _unfit(tree, held, members, like)
        except DamagedError as error:
            aside = manifests.set_aside(path).name
            complaints.append(
                f"The checkpoint {path} is damaged ({error}); it is kept as {aside}, and the one before it is used."
            )
            continue
        if reason:
            complaints.append(f"The checkpoint {path} is left as it is ({reason}); the one before it is used.")
            continue
        place = [held.index(member) for member in members]
        leaves = [tree["state"][name][place] for name in sorted(tree["state"])]
        state = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return Checkpoint(int(path.name), state, _readings_of(tree.get("readings") or {}, place), complaints)
    return Checkpoint(0, None, {}, complaints)


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    """Turn whatever goes wrong with a checkpoint that is not damaged into one sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise InputError(
            f"The checkpoint {path} cannot be read ({reason}). It stays: give the command again when it can, or with "
            "force=true to begin anew."
        ) from error


def _unfit(tree: Any, held: Sequence[str], members: Sequence[str], like: Any) -> str:
    """Why a checkpoint that is whole is not one of these runs; empty where it is."""
    if missing := sorted(set(members) - set(held)):
        return f"it does not hold {', '.join(missing)}"
    shapes = [tree["state"][name].shape[1:] for name in sorted(tree.get("state") or {})]
    fits = shapes == [leaf.shape[1:] for leaf in jax.tree.leaves(like)]
    return "" if fits else "it holds arrays of other shapes"


def _readings_of(readings: Mapping[str, np.ndarray], place: list[int]) -> dict[str, np.ndarray]:
    """The readings of the replicas at these places: edges have no axis in front of the replicas', the step has none."""
    axis = dict.fromkeys(EDGES, 0)
    return {n: a if n == "step" else np.take(a, place, axis=axis.get(n, 1)) for n, a in readings.items()}
