"""Patterns for slash paths: * within a name, ** across names, as in **/Dense_*."""

import functools
import re
from collections.abc import Callable, Iterable, Sequence

from xinit.core.errors import InputError

_PARTS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@functools.cache
def compiled(pattern: str) -> re.Pattern:
    """The regular expression of a pattern; **/ also stands for no folder at all."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(_PARTS.get(part, re.escape(part)) for part in parts))


def matches(pattern: str, path: str) -> bool:
    """Whether the whole path fits the pattern."""
    return compiled(pattern).fullmatch(path) is not None


def matcher(patterns: str | Sequence[str]) -> Callable[[str], bool]:
    """Whether a path fits any of the patterns."""
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    return lambda path: any(matches(pattern, path) for pattern in patterns)


def no_match(patterns: object, kind: str, paths: Iterable[str]) -> InputError:
    """The error of patterns that fit nothing, which lists what there is."""
    return InputError(f"No {kind} fits {patterns!r}; there are: {', '.join(sorted(filter(None, paths))) or 'none'}.")
