"""A Sphinx extension: what the site shows of the kept results and of the code, read when it is built.

A page asks for a part by a line `<!-- generated: NAME -->`, and `fill` puts Markdown in its place. The page of each
study is written as a file, since Sphinx reads files.
"""

import ast
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from experiments import kept, practical, publishing, study

ROOT = pathlib.Path(__file__).resolve().parents[1]
ASKED = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
STUDY_PAGE = re.compile(r"(?:\.\./)*experiments/(\w+)/results/(?:(\w+)/)?page\.md")


def setup(app: Any) -> dict[str, bool]:
    """Write the pages of the studies and connect to the reading of every page."""
    write_study_pages(ROOT / "docs" / "papers")
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}


def fill(app: object, docname: str, source: list[str]) -> None:
    """Put what is generated into a page, and lead links to the page of a study to its place on the site."""
    del app
    text = ASKED.sub(lambda asked: PARTS[asked[1]](), source[0])
    source[0] = STUDY_PAGE.sub(lambda link: f"/papers/{_document(link[1], link[2] or '')}.md", text)


def write_study_pages(folder: pathlib.Path) -> None:
    """A page for each run that is kept of a study; files that are the same stay untouched."""
    folder.mkdir(exist_ok=True)
    for name, below in kept.runs():
        path, page = folder / f"{_document(name, below)}.md", _study_page(name, below)
        if not path.exists() or path.read_text() != page:
            path.write_text(page)


def _document(name: str, below: str) -> str:
    """What the site calls the page of a kept run."""
    return f"{name}-{below}" if below else name


def _study_page(name: str, below: str) -> str:
    folder = study.load(name).results / below
    other = lambda link: f"]({_document(name, link[1] if link[1] != '..' else '')}.md)"
    shown = re.sub(r"\]\((\.\.|\w+)/page\.md\)", other, (folder / "page.md").read_text())
    return re.sub(r"\]\((\w+\.png)\)", rf"](../../{folder.relative_to(ROOT)}/\1)", shown)


def every_claim() -> str:
    """The claims of every kept run: where and when it was, and each beside its bound."""
    return "\n\n".join(_claims(name, below) for name, below in kept.runs())


def _claims(name: str, below: str) -> str:
    own = study.load(name)
    about, checked = kept.results(name, below)
    return f"## {_title(name, below)} ({own.source})\n\n{publishing.summary(own, about, checked)}"


def _title(name: str, below: str) -> str:
    title = study.load(name).title
    return f"{title}, tier={kept.results(name, below)[0]['tier']}" if below else title


def gallery() -> str:
    """The figures of every kept run, each with the title that its page gives it."""
    return "\n".join(line for name, below in kept.runs() for line in _figures(name, below))


def _figures(name: str, below: str) -> Iterator[str]:
    own = study.load(name)
    folder = own.results / below
    yield f"## {_title(name, below)}\n\n{own.source}. [Page of the study](/papers/{_document(name, below)}.md).\n\n"
    for title, alt, picture in _pictures((folder / "page.md").read_text()):
        yield f"### {title}\n\n![{alt}](../{folder.relative_to(ROOT)}/{picture})\n"


def _pictures(page: str) -> Iterator[tuple[str, str, str]]:
    """Of each picture on a page: the heading above it, what it shows, its file."""
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        for alt, picture in re.findall(r"^!\[(.*?)\]\((\w+\.png)\)", section, re.MULTILINE):
            yield section.splitlines()[0], alt, picture


def packages() -> str:
    """The packages in the order in which they may import each other, with the first sentence of each docstring."""
    order = _order()
    rows = [f"| `{name}` | {_first_line(ROOT / 'xinit' / name / '__init__.py')} |" for names in order for name in names]
    return "\n".join(["| package | holds |", "| --- | --- |", *rows])


def _order() -> list[list[str]]:
    """The order that the layering test holds the packages to."""
    tree = ast.parse((ROOT / "tests" / "test_layering.py").read_text())
    (value,) = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER"
    ]
    return [sorted(names) for names in ast.literal_eval(value)]


def _first_line(path: pathlib.Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.splitlines()[0]


PARTS: dict[str, Callable[[], str]] = {
    "claims": every_claim,
    "practical": practical.table,
    "gallery": gallery,
    "packages": packages,
}
