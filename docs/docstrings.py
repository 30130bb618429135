"""A Sphinx extension: docstrings, written for `help()` with code in backticks as in Markdown, as reStructuredText."""

import re
from typing import Any, NamedTuple

CODE = re.compile(r"(`[^`]*`)")
SPECIAL = re.compile(r"[*|]|(?<=\w)_(?!\w)")  # emphasis, substitutions, references: `name_`


def setup(app: Any) -> dict[str, bool]:
    """Connect to autodoc, before napoleon reads the sections of a docstring."""
    app.connect("autodoc-process-docstring", as_rst, priority=400)
    app.connect("autodoc-skip-member", is_plain_field)
    return {"parallel_read_safe": True}


def as_rst(app: object, what: str, name: str, documented: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring's lines in place: indented code becomes a literal block, and special signs are escaped."""
    del app, what, name, documented, options
    written: list[str] = []
    literal = False
    for before, line in zip(["", *lines], lines, strict=False):
        indented = line.startswith(" ")
        if not literal and indented and not before and not _last(written).startswith(" "):
            written += ["::", ""]
            literal = True
        literal = literal and (indented or not line)
        written.append(line if literal or line.lstrip().startswith((">>>", "...")) else _escaped(line))
    lines[:] = written


def is_plain_field(app: object, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Skip the fields of a NamedTuple: its signature lists them, and its docstring says what they are."""
    del app, what, name, skip, options
    return True if isinstance(member, type(_Fields.field)) else None


class _Fields(NamedTuple):
    field: int


def _last(written: list[str]) -> str:
    return next((line for line in reversed(written) if line), "")


def _escaped(line: str) -> str:
    parts = CODE.split(line)
    return "".join(part if part.startswith("`") else SPECIAL.sub(r"\\\g<0>", part) for part in parts)
