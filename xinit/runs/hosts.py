"""Several processes on one sweep: which share is whose, and waiting for one another.

After `jax.distributed.initialize` every process has its share of the replicas and its own folders; replicas exchange
nothing, so neither do processes, except that all wait for the last before the aggregate is written. They meet on the
file system that they write their runs to.
"""

import pathlib
import re
import sys
import time
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.2


def index_and_count() -> tuple[int, int]:
    """This process's number and how many there are: (0, 1) unless `jax.distributed.initialize` was called."""
    jax = sys.modules.get("jax")  # who has not imported it has not called that either
    if jax is None or not jax.distributed.is_initialized():
        return 0, 1
    return jax.process_index(), jax.process_count()


def share(items: Sequence[T]) -> list[T]:
    """This process's part of a list that all processes have: neighbours stay together."""
    index, count = index_and_count()
    return list(items[len(items) * index // count : len(items) * (index + 1) // count])


def agree_on_token() -> int:
    """A number that no earlier meeting of these processes had."""
    if index_and_count()[1] == 1:
        return 0
    import numpy as np
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.uint32(time.time_ns() % 2**32)))


def wait_for_all(folder: pathlib.Path, token: int) -> None:
    """Return when every process has called this with the same folder and token.

    Where one has died, jax's coordination service ends the others.
    """
    index, count = index_and_count()
    if count == 1:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob(f".*-{index}"):
        if re.fullmatch(r"\.\d{1,10}-\d+", earlier.name) and not earlier.is_dir():
            earlier.unlink()  # all have seen it: they have met again since, to agree on a token
    flags = [folder / f".{token}-{i}" for i in range(count)]
    flags[index].touch()
    while not all(flag.exists() for flag in flags):
        time.sleep(POLL_SECONDS)
