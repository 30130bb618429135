"""The tutorials do what they say: files and commands of each page, one after the other, in an empty folder.

In a page, Python whose first line is a comment with a name, `# mine.py`, is that file. A console block is as in the other
pages. Where a command ends with an exit code other than 0, the page says so behind it: `# exit code 4`.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.test_captured import find, words

ROOT = pathlib.Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"# (\w+\.py)\n")
EXIT_CODE = re.compile(r"  # exit code (\d)$")

pytestmark = pytest.mark.heavy


def run(command, folder):
    """What a command of our own page prints, and its exit code; `python` is this one."""
    environment = os.environ | {"COLUMNS": "120", "PYTHONPATH": str(ROOT)}
    command = command.replace("python", sys.executable, 1)
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def follow(page, folder):
    for language, text in BLOCK.findall((TUTORIALS / page).read_text()):
        if language == "python":
            (folder / NAME.match(text)[1]).write_text(text)
            continue
        command, _, output = text.removeprefix("$ ").partition("\n")
        code = EXIT_CODE.search(command)
        returned, printed = run(EXIT_CODE.sub("", command), folder)
        assert returned == (int(code[1]) if code else 0), printed
        at = 0
        for piece in re.split(r"^\.\.\.\n", output, flags=re.MULTILINE):
            at = find(words(piece), words(printed), at)
            assert at is not None, f"{piece}\nis not in\n{printed}"


@pytest.mark.parametrize(
    "page",
    [
        "no-training.md",
        *(pytest.param(f"{name}.md", marks=pytest.mark.slow) for name in ("first-run", "own-scheme", "sweep")),
    ],
)
def test_a_tutorial_does_what_it_says(page, tmp_path):
    follow(page, tmp_path)


def test_every_tutorial_with_commands_is_followed():
    followed = {"no-training", "first-run", "own-scheme", "sweep"}
    assert {page.stem for page in TUTORIALS.glob("*.md") if "```console" in page.read_text()} == followed
