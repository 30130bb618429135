"""A Sphinx extension: a page for each notebook of the lectures, with the outputs that are stored in it.

Nothing is executed. Markdown cells are the page's text, code cells its code; of an output the picture, the table or the
text is shown, in this order of preference.
"""

import base64
import itertools
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "experiments" / "lecture"
COLOURS = re.compile(r"\x1b\[[\d;]*m")
PICTURE, TABLE, TEXT = "image/png", "text/html", "text/plain"
STYLE = re.compile(r"<style.*?</style>", re.DOTALL)  # which pandas puts beside each table


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for its files."""
    del app
    write_pages(ROOT / "docs" / "lectures")
    return {"parallel_read_safe": True}


def write_pages(folder: pathlib.Path) -> None:
    """A page for each notebook, its pictures beside it; files that are the same stay untouched."""
    folder.mkdir(exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        pictures: dict[str, bytes] = {}
        text = "\n\n".join(part for cell in cells for part in _cell(cell, path.stem, pictures)) + "\n"
        for name, data in {f"{path.stem}.md": text.encode(), **pictures}.items():
            if not (folder / name).exists() or (folder / name).read_bytes() != data:
                (folder / name).write_bytes(data)


def _cell(cell: Mapping[str, Any], stem: str, pictures: dict[str, bytes]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    shown = [(_kind(output), output) for output in cell["outputs"]]
    for kind, group in itertools.groupby(shown, key=lambda pair: pair[0]):
        outputs = [output for _, output in group]
        if kind == TEXT:
            yield f"```text\n{''.join(map(_text, outputs)).rstrip()}\n```"
        elif kind == TABLE:
            yield from map(_table, outputs)
        else:
            for output in outputs:
                name = f"{stem}-{cell['id']}-{len(pictures)}.png"
                pictures[name] = base64.b64decode("".join(output["data"][PICTURE]))
                yield f"![What the cell above draws]({name})"


def _kind(output: Mapping[str, Any]) -> str:
    """How an output is shown; what rich prints has HTML too, but is text."""
    data = output.get("data", {})
    if PICTURE in data:
        return PICTURE
    return TABLE if "<table" in "".join(data.get(TABLE, "")) else TEXT


def _text(output: Mapping[str, Any]) -> str:
    return COLOURS.sub("", "".join(output.get("text") or output["data"][TEXT]))


def _table(output: Mapping[str, Any]) -> str:
    lines = STYLE.sub("", "".join(output["data"][TABLE])).splitlines()
    table = "\n".join(line.strip() for line in lines).replace('border="1" class="dataframe"', 'class="docutils"')
    return f'```{{raw}} html\n<div class="table-wrapper">{table}</div>\n```'
