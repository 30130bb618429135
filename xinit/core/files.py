"""Files of a folder that may come from a stranger: nothing below it is opened through a link, and sizes are bounded.

The folder itself is where its owner says, link or not; the names below it are checked part by part.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import pathlib
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO, TypeVar, overload

from xinit.core.errors import InputError

Kind = TypeVar("Kind")

LARGEST_TEXT = 64 << 20  # bytes of a JSON or YAML file; a sweep of a hundred thousand runs has 50 MB of them

LARGEST_YAML = 1 << 20  # which is read a thousand times slower
DEEPEST = 30  # levels of a JSON or YAML file; a config has 4


class DamagedError(InputError):
    """A file that is there and can be read, but does not hold what xinit writes into it."""


def inside(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The path of `name` below `folder`.

    Raises:
      InputError: the name leads out of the folder, or a part of it is a link.
    """
    path, parts = pathlib.Path(folder), pathlib.PurePath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"{printable(name)} does not lie inside {path}; nothing is read or written there.")
    for part in parts.parts:
        path = path / part
        with reading(path):
            if path.is_symlink():
                raise InputError(
                    f"{path} is a link, through which nothing is opened: put the file itself there, or remove the link."
                )
    return path


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Turn an operating-system error into one sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Turn an operating-system error into one sentence; whatever was written before stays."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The run folder {path} cannot be written: {error.strerror or error}; "
            "choose another with out=DIR or make room there. What was written before is kept."
        ) from error


def read(folder: pathlib.Path, name: str, largest: int = LARGEST_TEXT) -> bytes | None:
    """The content of a file below `folder`; None where there is none.

    Raises:
      InputError: it is a link, no regular file or larger than `largest` bytes, or the system cannot read it.
    """
    with _opened(folder, name, largest) as file:
        return None if file is None else file.read()


def checksum(folder: pathlib.Path, name: str) -> str | None:
    """The SHA-256 of a file of any size below `folder`; None where there is none. Raises as `read`."""
    with _opened(folder, name, None) as file:
        return None if file is None else hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _opened(folder: pathlib.Path, name: str, largest: int | None) -> Iterator[io.BufferedReader | None]:
    path = inside(folder, name)
    with reading(path), contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb", opener=_opener))
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        _check(os.fstat(file.fileno()), path, largest)
        yield file


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)  # a named pipe would wait for its other end


def _check(status: os.stat_result, path: pathlib.Path, largest: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} cannot be read: it is no regular file.")
    if largest is not None and (size := status.st_size) > largest:
        raise InputError(f"{path} cannot be read: it has {size:,} bytes, where at most {largest:,} are read.")


@overload
def read_json(folder: pathlib.Path, name: str) -> dict[str, Any]: ...
@overload
def read_json(folder: pathlib.Path, name: str, kind: type[list[Any]]) -> list[Any]: ...
def read_json(folder: pathlib.Path, name: str, kind: type[Any] = dict) -> Any:
    """The content of a JSON file below `folder`, a mapping or a list as `kind` says; empty where there is no file.

    Raises:
      DamagedError: it is cut short, no JSON, or of another kind.
      InputError: as `read`.
    """
    content, path = read(folder, name), pathlib.Path(folder, name)
    if content is None:
        return kind()
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} cannot be read: it is cut short, or no JSON ({_reason(error)}).") from error
    return _of_kind(found, kind, path)


def check_format(facts: Mapping[str, Any], path: pathlib.Path, newest: int) -> None:
    """Refuse what a JSON file holds if its `format` is no number, or one that this version of xinit does not know.

    Raises:
      DamagedError, InputError: as said.
    """
    version = facts.get("format")
    if type(version) is not int:
        raise DamagedError(f"{path} is none of xinit's files: its format is not a number.")
    if version > newest:
        raise InputError(f"{path} is of format {version}, made by a newer xinit; this one knows up to {newest}.")


def read_yaml(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """The mapping in a YAML file below `folder`, of plain values alone; empty where there is no file.

    Raises:
      DamagedError: it is cut short, no YAML, no mapping, or holds aliases, by which a short file can mean a huge one.
      InputError: as `read`.
    """
    content, path = read(folder, name, LARGEST_YAML), pathlib.Path(folder, name)
    return {} if content is None else parse_yaml(content, path)


def parse_yaml(content: bytes | str, path: pathlib.Path) -> dict[str, Any]:
    """As `read_yaml`, of a text that comes from the file `path`."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML states no types
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it holds an alias")
            return super().compose_node(parent, index)

    try:
        found = yaml.load(content, Loader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise DamagedError(f"{path} cannot be read: it is no YAML of plain values ({_reason(error)}).") from error
    return _of_kind(found, dict, path)


def _of_kind(found: object, kind: type[Kind], path: pathlib.Path) -> Kind:
    if not isinstance(found, kind):
        expected = "a mapping" if issubclass(kind, dict) else "a list"
        held = printable(repr(found)[:40])
        raise DamagedError(f"{path} cannot be read: it holds {held} where {expected} is expected.")
    level: list[object] = [found]
    for _ in range(DEEPEST):
        level = [child for node in level for child in _children(node)]
    if level:
        raise DamagedError(f"{path} cannot be read: it is nested more than {DEEPEST} levels deep.")
    return found


def _children(node: object) -> Iterable[object]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()))[:200]


def printable(text: str) -> str:
    """A foreign text on one line of a terminal or a log: line breaks and control characters as Python writes them."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Fill a temporary name beside `path`, then rename: readers see the old or the new, never a part.

    A link at `path` is replaced, and what it points to stays as it is.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)  # of a process that was killed and had the same number
    try:
        with open(temporary, "xb") as file:
            file.write(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def as_csv(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The text of a CSV file; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([headings, *rows])
    return text.getvalue()


def append_line(path: pathlib.Path, text: str) -> None:
    """Add a line to a text file; raises as `open_to_append`."""
    with open_to_append(path) as file:
        file.write(printable(text) + "\n")


def open_to_append(path: pathlib.Path) -> TextIO:
    """Open a text file at its end, and make it where there is none; raises OSError where it is a link."""
    return open(path, "a", encoding="utf-8", errors="backslashreplace", opener=_opener)
