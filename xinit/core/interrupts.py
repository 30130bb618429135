"""What ends a command from outside, from its first import on; nothing heavy is imported here.

Ctrl-C: one sentence and exit code 130. A pipe whose reader has left, as in `| head`: no sentence and exit code 141.
"""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

INTERRUPTED = 128 + signal.SIGINT  # as a shell has it
READER_LEFT = 128 + signal.SIGPIPE  # as a shell has it
_before_the_end: list[Callable[[], None]] = []


def end_at_once() -> None:
    """From here on ctrl-c ends this process where it stands; a command calls this before its other imports.

    An exception would not do: raised while an extension module is imported it aborts the process, and in a callback of
    the garbage collector, which jax has, it is lost.
    """
    signal.signal(signal.SIGINT, _end)
    sys.excepthook = _end_quietly_without_reader
    atexit.register(_flush)


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


def _end_quietly_without_reader(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's own report of an exception that ends the process, but of a closed pipe none."""
    if issubclass(kind, BrokenPipeError):
        os._exit(READER_LEFT)
    sys.__excepthook__(kind, error, trace)


def _flush() -> None:
    """Write what is left to print before Python does, which would report that nobody reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(READER_LEFT)
    except (OSError, ValueError):  # of a full disk, or a stream that is closed: for Python to report
        pass


def say() -> int:
    """Say on stderr that the command was interrupted; the exit code for it."""
    os.write(2, b"xinit: interrupted.\n")  # not through sys.stderr, which may be in the midst of a line
    return INTERRUPTED
