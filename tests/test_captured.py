"""The outputs that README, Start and the how-to pages show are what the commands print, as those of tutorials are."""

import pathlib
import re

import pytest

from tests.test_tutorials import assert_printed, run

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "start.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
BLOCK = re.compile(r"^( *)```console\n *\$ ([^\n]+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
CAPTURED = [(page, *found) for page in PAGES for found in BLOCK.findall(page.read_text())]
MAKE = {"make train": "python -m xinit.train -m +scheme=standard,xavier figure=true"}  # as the Makefile has it

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize(
    ("page", "indent", "command", "shown"),
    [pytest.param(*one, marks=() if "theory" in one[2] else pytest.mark.slow) for one in CAPTURED],
    ids=[f"{page.stem}: {command}" for page, _, command, _ in CAPTURED],
)
def test_what_a_page_shows_is_what_the_command_prints(page, indent, command, shown, tmp_path):
    _, printed = run(MAKE.get(command, command), tmp_path)
    assert_printed(re.sub(rf"^{indent}", "", shown, flags=re.MULTILINE), printed)


def test_make_train_is_the_command_that_is_tried():
    arguments = MAKE["make train"].removeprefix("python ")
    assert f"$(BIN)/python {arguments} $(ARGS)" in (ROOT / "Makefile").read_text()
