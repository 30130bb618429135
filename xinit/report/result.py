"""The page of a comparison, an inspection, a coordinate check or a transfer: what was found, its figure, its tables."""

import csv
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xinit.core import files
from xinit.core.errors import InputError
from xinit.core.files import printable
from xinit.report import page as html
from xinit.report.page import Markup

LARGEST = 16_000_000  # bytes of a picture
MOST = 200  # rows of a table
TITLES = {
    "comparison": "Schemes compared",
    "inspection": "Inspection of an initialisation",
    "coordinates": "Coordinate check",
    "transfer": "Transfer of the learning rate",
}
HOW = {
    "comparison": "On the left the errors over the learning rates that were tried, on the right the errors at each "
    "scheme's own best rate, on fresh seeds. Where intervals overlap much, these seeds do not tell which is better.",
    "inspection": "Each row of a panel is a layer, the first at the bottom: what theory predicts with the band in "
    "which 95 % of networks lie, and the mean that was measured. It is bad if sizes change much from layer to layer.",
    "coordinates": "Each line is a layer: its size, or the change of it, over width or depth. Level lines are sound.",
    "transfer": "Each line is a size of network: its loss over the learning rates. It is sound if the lowest points "
    "lie one below the other.",
}
TABLES = {
    "comparison": {"schemes.csv": "The schemes", "differences.csv": "Their differences, seed by seed"},
    "inspection": {},
    "coordinates": {"coordinates.csv": "The exponents"},
    "transfer": {"transfer.csv": "The best learning rates"},
}


def page(path: pathlib.Path, kind: str) -> str:
    """The page of the folder of that kind.

    Raises:
      InputError: the folder cannot be read.
    """
    content = [*_found(path, kind), *_figure(path, kind), *_tables(path, kind)]
    return html.whole(TITLES[kind], content, f"Made by xinit.report from {path.resolve().name}.")


def _found(path: pathlib.Path, kind: str) -> Iterator[Markup]:
    """The verdict, or what a comparison concluded."""
    if kind == "comparison":
        text = files.read(path, "conclusions.txt") or b""
        yield from (html.paragraph(printable(line)) for line in text.decode(errors="replace").splitlines())
        return
    found: Mapping[str, Any] = files.read_json(path, f"{kind}.json")
    level, _, sentence = printable(str(found.get("verdict", ""))).partition(": ")
    yield html.findings([(level, f"{sentence[:1].upper()}{sentence[1:]}")])


def _figure(path: pathlib.Path, kind: str) -> Iterator[Markup]:
    content = files.read(path, f"{kind}.png", LARGEST)
    yield html.section(
        "The figure",
        html.picture(TITLES[kind], content, HOW[kind])
        if content
        else html.paragraph("None was drawn: figure=true draws one."),
    )


def _tables(path: pathlib.Path, kind: str) -> Iterator[Markup]:
    for name, title in TABLES[kind].items():
        content = files.read(path, name)
        if content is None:
            raise InputError(f"{path / name} cannot be read: it is absent.")
        rows = list(csv.DictReader(io.StringIO(content.decode(errors="replace"))))[:MOST]
        if rows:
            yield html.section(title, html.table([_row(row) for row in rows]))


def _row(row: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    return {str(name).replace("_", " "): _shown(printable(str(value))) for name, value in row.items()}


def _shown(text: str) -> str:
    """A number with four digits; other text as it is."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text
