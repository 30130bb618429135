"""The tutorials do what they say: files and commands of each page, one after the other, in an empty folder.

In a page, Python whose first line is a comment with a name, `# mine.py`, is that file. In a block of `console` a line
behind `$` is a command, and what follows is what it printed: the same words in the same order, broken into lines as the
page likes, and numbers about as large; a line `...` stands for whatever else was printed. Where a command ends with an
exit code other than 0, the page says so behind it.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"# (\w+\.py)\n")
HASH = re.compile(r"\b[0-9a-f]{12}\b")
TIMES = re.compile(r"[\d,]+ (?:steps/s|s left)")
TOKEN = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?%?|[^\W\d_]\w*")
EXIT_CODE = re.compile(r"  # exit code (\d)$")
LIMIT_S = 1800  # on a machine that others use too
FACTOR, POINTS, NEAR_0 = 1.5, 6, 0.05  # what numbers may differ by on another processor: the second for percentages

pytestmark = pytest.mark.heavy
QUICK = ("no-training.md",)
SLOW = ("first-run.md", "own-scheme.md", "sweep.md")


def commands(block):
    """Of a console block: each command, its exit code, and what it printed."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, printed = part.rstrip().partition("\n")
        code = EXIT_CODE.search(command)
        yield EXIT_CODE.sub("", command), int(code[1]) if code else 0, printed


def run(command, folder):
    """What a command prints, and its exit code; `python` is this one."""
    program, *arguments = shlex.split(command)
    assert program == "python", command
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )
    return done.returncode, done.stdout + done.stderr


def tokens(text):
    """The words and numbers of a text, without what differs each time: hashes and times."""
    return TOKEN.findall(HASH.sub("", TIMES.sub("", text)))


def alike(shown, printed):
    """Whether two words are the same, or two numbers about as large; of two that are near 0 beside 1, any."""
    if not (shown[-1].isdigit() or shown.endswith("%")) or shown[0].isalpha() or printed[0].isalpha():
        return shown == printed
    a, b = (float(text.rstrip("%").replace(",", "")) for text in (shown, printed))
    if shown.endswith("%"):
        return printed.endswith("%") and abs(a - b) <= max(POINTS, abs(a) * (FACTOR - 1))
    return a == b or max(abs(a), abs(b)) < NEAR_0 or (a * b > 0 and 1 / FACTOR < a / b < FACTOR)


def assert_printed(shown, printed):
    """That the parts of a page between lines `...` are parts of what was printed, in their order."""
    rest = tokens(printed)
    for part in re.split(r"^\.\.\.$", shown, flags=re.MULTILINE):
        wanted = tokens(part)
        starts = range(len(rest) - len(wanted) + 1)
        at = next((i for i in starts if all(map(alike, wanted, rest[i : i + len(wanted)]))), None)
        assert at is not None, f"not printed:\n{part}\nbut:\n{printed}"
        rest = rest[at + len(wanted) :]


def follow(page, folder):
    blocks = BLOCK.findall((TUTORIALS / page).read_text())
    assert blocks
    for language, text in blocks:
        if language == "python":
            if name := NAME.match(text):
                (folder / name[1]).write_text(text)
            continue
        for command, code, shown in commands(text):
            returned, printed = run(command, folder)
            assert returned == code, printed
            assert_printed(shown, printed)


def test_a_quick_tutorial_does_what_it_says(tmp_path):
    for page in QUICK:
        follow(page, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_a_tutorial_does_what_it_says(page, tmp_path):
    follow(page, tmp_path)


def test_every_tutorial_with_commands_is_followed():
    with_commands = {page.name for page in TUTORIALS.glob("*.md") if "```console" in page.read_text()}
    assert with_commands == {*QUICK, *SLOW}


def test_another_number_or_word_is_seen():
    shown = "│ xavier │ 65.4% │ 20,000 │\n...\nrun directory: runs/x/2acb3c099700"
    assert_printed(shown, "┃ xavier ┃ 66.1% ┃\n20,100\nmore 3 s left\nrun directory: runs/x/3acb3c099701")
    for printed in ("xavier 15.4% 20,000", "he 65.4% 20,000", "xavier 65.4", "xavier 65.4% more 20,000", ""):
        with pytest.raises(AssertionError):
            assert_printed(shown.splitlines()[0], printed)
