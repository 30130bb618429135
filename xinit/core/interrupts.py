"""Ctrl-C in a command: one sentence and exit code 130, from its first import on. Nothing heavy is imported here."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

INTERRUPTED = 128 + signal.SIGINT  # as a shell has it
_before_the_end: list[Callable[[], None]] = []


def end_at_once() -> None:
    """From here on ctrl-c ends this process where it stands; a command calls this before its other imports.

    An exception would not do: raised while an extension module is imported it aborts the process, and in a callback of
    the garbage collector, which jax has, it is lost.
    """
    signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def leaving(action: Callable[[], None]) -> Iterator[None]:
    """In here ctrl-c does `action` before it ends a command: what would otherwise be left untidy."""
    _before_the_end.append(action)
    try:
        yield
    finally:
        _before_the_end.remove(action)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """In here ctrl-c raises KeyboardInterrupt in a command too: for libraries with processes of their own to stop."""
    ours = signal.getsignal(signal.SIGINT) is _end
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: Any) -> None:
    with contextlib.suppress(Exception):  # a full disk, or nobody who reads what is printed
        for action in reversed(_before_the_end):
            action()
        sys.stdout.flush()
    os._exit(say())


def say() -> int:
    """Say on stderr that the command was interrupted; the exit code for it."""
    os.write(2, b"xinit: interrupted.\n")  # not through sys.stderr, which may be in the midst of a line
    return INTERRUPTED
