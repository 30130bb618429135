"""The patches in CONTRIBUTING.md fit the code, and each changes two files at most."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATCHES = dict(
    re.findall(r"^### ([^\n]+)\n(?:(?!^###).)*?```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
)


def test_there_is_one_of_each_kind():
    assert len(PATCHES) == 7


@pytest.mark.parametrize("kind", PATCHES)
def test_a_patch_fits_and_stays_in_one_place(kind):
    assert len(re.findall(r"^\+\+\+ ", PATCHES[kind], re.M)) <= 2
    done = subprocess.run(
        ["git", "apply", "--check", "-"], cwd=ROOT, input=PATCHES[kind], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
