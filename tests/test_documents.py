"""The Python in docs/ does what its page says: every page's blocks run, one after the other, in an empty folder."""

import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parents[1] / "docs" / "howto"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = ("scaling.md",)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(BLOCK.findall((DOCS / page).read_text()))
    exec(compile(code, page, "exec"), {"__name__": "__main__"})  # our own page
