"""Tables that fit the terminal: prose is broken between words, numbers never; what has no room goes below.

Where the columns of a table need more characters than a line has, its headings and its prose are broken; where that is
not enough, the columns that are left make a second table, which begins with those that name the rows.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table

LEFT = ("verdict", "verdicts")  # headings of columns that are no numbers, whatever they hold
WORDS = 3  # of letters, from which on a cell is prose
READABLE = 24  # characters of a column of prose, where it has as many
FRAME = 3  # characters that a column takes beside its own: a line and two spaces
Rows = Sequence[Mapping[str, str]]


class Column(NamedTuple):
    """A column's heading, how wide it would be on one line, and how narrow it may be."""

    heading: str
    widest: int
    narrowest: int
    is_prose: bool


def fitted(title: str, rows: Rows, width: int, style: box.Box = box.HEAVY_HEAD) -> Group:
    """The table, or the tables that it becomes where it is wider than `width` characters."""
    columns = _columns(rows)
    parts = _parts(columns, _names([column.heading for column in columns], rows), width)
    return Group(*(_table(title if i == 0 else "", part, rows, width, style) for i, part in enumerate(parts)))


def fits(rows: Rows, width: int) -> bool:
    """Whether the rows make one table that is no wider."""
    return _needed([column.narrowest for column in _columns(rows)]) <= width


def _columns(rows: Rows) -> list[Column]:
    headings = dict.fromkeys(heading for row in rows for heading in row)
    return [_column(heading, [row.get(heading, "") for row in rows]) for heading in headings]


def _column(heading: str, cells: Sequence[str]) -> Column:
    is_prose = any(len(re.findall(r"[A-Za-z]{2,}", cell)) >= WORDS for cell in cells)
    widest = max(_longest(heading, "\n"), *(_longest(cell, "\n") for cell in cells))
    narrow = max(_longest(heading), *(_longest(cell, " \n" if is_prose else "\n") for cell in cells))
    return Column(heading, widest, max(narrow, min(widest, READABLE)) if is_prose else narrow, is_prose)


def _longest(text: str, breaks: str = " \n") -> int:
    """The characters of the longest part of a text between places where it may be broken."""
    return max(map(len, re.split(f"[{breaks}]", text)))


def _names(headings: Sequence[str], rows: Rows) -> int:
    """How many of the first columns tell the rows apart: at most half of them, at least one."""
    for n in range(1, len(headings) // 2 + 1):
        if len({tuple(row.get(heading, "") for heading in headings[:n]) for row in rows}) == len(rows):
            return n
    return 1


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + FRAME * len(widths) + 1


def _parts(columns: Sequence[Column], n_names: int, width: int) -> list[list[Column]]:
    """The columns of each table: the names of the rows, and as many others as there is room for."""
    names, parts = list(columns[:n_names]), [list(columns[:n_names])]
    for column in columns[n_names:]:
        if _needed([own.narrowest for own in [*parts[-1], column]]) > width and len(parts[-1]) > n_names:
            parts.append(list(names))
        parts[-1].append(column)
    return parts


def _table(title: str, columns: Sequence[Column], rows: Rows, width: int, style: box.Box) -> Table:
    widths = _widths(columns, width)
    table = Table(title=title or None, title_justify="left", box=style, pad_edge=style is not box.SIMPLE_HEAD)
    for column, own in zip(columns, widths, strict=True):
        names_choices = style is box.SIMPLE_HEAD and column is columns[0]
        left = column.is_prose or names_choices or column.heading in LEFT
        table.add_column(column.heading, justify="left" if left else "right", overflow="fold", width=own)
    for row in rows:
        table.add_row(*(row.get(column.heading, "") for column in columns))
    return table


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """As narrow as columns may be, and what is left to those that would be wider, in turn."""
    widths = [column.narrowest for column in columns]
    left = width - _needed(widths)
    while left > 0 and (wanting := [i for i, column in enumerate(columns) if widths[i] < column.widest]):
        for i in wanting[:left]:
            widths[i] += 1
            left -= 1
    return widths
