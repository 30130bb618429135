"""The outputs that README and docs show are what the commands print, but for times and what processors change.

A console block of a page is a command and a part of its output; `...` stands for what is left out.
Numbers may differ by a third: after thousands of steps of training a last digit has become a percent.
"""

import math
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "start.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
BLOCK = re.compile(r"```console\n *\$ ([^\n]+)\n(.*?)```", re.DOTALL)
CAPTURED = {
    f"{page.relative_to(ROOT)}: {command}": (command, output)
    for page in PAGES
    for command, output in BLOCK.findall(page.read_text())
}
MAKE = {"make train": "python -m xinit.train -m +scheme=standard,xavier figure=true"}  # as the Makefile has it
DRAWN = re.compile(r"[━─┏┓┗┛┡┩└┘┳╇┴╷╵╶╴┼│┃]")
NUMBER = re.compile(r"\d[\d,]*\.?\d*(?:e[-+]?\d+)?|\.\d+")
OF_THE_MACHINE = re.compile(r"[\d,.]+ (s left|steps/s|seconds|minutes)|\(\d+ cores\)|on \d+ devices")
TOLERANCE = 1 / 3

pytestmark = pytest.mark.heavy


def words(text):
    """The words of an output, without the frames of tables and what depends on the machine."""
    return DRAWN.sub(" ", OF_THE_MACHINE.sub(" ", text)).split()


def alike(shown, printed):
    """Whether two words are the same but for their numbers, and these nearly."""
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    values = [(float(one.replace(",", "")), float(other.replace(",", ""))) for one, other in pairs]
    return all(math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1.0) for one, other in values)


def find(shown, printed, start):
    """Where the words shown end among those printed, or None."""
    for at in range(start, len(printed) - len(shown) + 1):
        if all(map(alike, shown, printed[at:])):
            return at + len(shown)
    return None


@pytest.mark.parametrize(("shown", "same"), [("83.6%", True), ("50%", False), ("83.6", False), ("x84.1%", False)])
def test_a_number_may_differ_by_a_third_and_a_word_not_at_all(shown, same):
    assert alike(shown, "84.1%") == same


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if "theory" in command else pytest.mark.slow)
        for name, (command, _) in CAPTURED.items()
    ],
)
def test_what_a_page_shows_is_what_the_command_prints(name, tmp_path):
    command, output = CAPTURED[name]
    command = MAKE.get(command, command).replace("python", sys.executable, 1)
    environment = os.environ | {"COLUMNS": "120", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, executable="/bin/bash"
    )  # our own pages' commands
    printed, at = words(done.stdout + done.stderr), 0
    for piece in re.split(r"^ *\.\.\.\n", output, flags=re.MULTILINE):
        at = find(words(piece), printed, at)
        assert at is not None, f"{piece}\nis not in\n{done.stdout}{done.stderr}"
