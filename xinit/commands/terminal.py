"""The console that commands print on: as wide as the terminal, and quiet when nobody reads any more."""

import os
import sys
from typing import Any, NoReturn

import rich.console

from xinit.core import interrupts

LINE = 120  # characters, where no terminal says how many


class Console(rich.console.Console):
    """A console of the terminal's width; of COLUMNS, or LINE characters, where there is no terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "width": None if sys.stdout.isatty() else columns(), **options})

    def on_broken_pipe(self) -> NoReturn:
        """The reader has left, as in `| head`: the command ends, without a word."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its end
        raise SystemExit(interrupts.READER_LEFT)


def columns() -> int:
    """The characters of a line that COLUMNS asks for, at least 40; LINE where it does not."""
    asked = os.environ.get("COLUMNS", "")
    return max(40, int(asked)) if asked.isascii() and asked.isdigit() else LINE
