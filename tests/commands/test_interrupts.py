"""Ctrl-C in every command, at several moments: one sentence, exit code 130, runs that go on."""

import ast
import pathlib
import signal
import subprocess
import sys

import pytest

from experiments import study
from xinit import train
from xinit.core import interrupts
from xinit.runs import record

pytestmark = pytest.mark.heavy
ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = [path for package in ("xinit", "experiments") for path in sorted((ROOT / package).rglob("*.py"))]
COMMANDS = [path for path in FILES if 'if __name__ == "__main__":' in path.read_text()]
NOISE = "import time:"  # what -X importtime prints of each module once it is imported
MOMENTS = [  # command, and the import at whose end ctrl-c comes
    (["xinit.train"], "xinit.commands.cli"),  # the first
    (["xinit.train"], "jax._src.dtypes"),  # in the midst of jax, with its extension modules
    (["xinit.inspect"], "xinit.training.problem"),
    (["xinit.compare"], "hydra.main"),
    (["xinit.theory", "activation=tanh"], "numpy"),
    (["xinit.list", "schemes"], "rich.console"),
    (["xinit.report", "nowhere"], "xinit.commands.cli"),
    (["experiments.glorot2010", "tier=init"], "experiments.claims"),
    (["experiments.compromise", "tier=init"], "jax"),
]


@pytest.mark.parametrize(("command", "awaited"), MOMENTS, ids=lambda part: part if isinstance(part, str) else part[0])
def test_ctrl_c_is_one_sentence_and_130_from_the_first_import_on(tmp_path, command, awaited):
    arguments = [sys.executable, "-X", "importtime", "-m", *command]
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        for line in iter(process.stderr.readline, ""):
            if line.split("|")[-1].strip() == awaited:
                break
        process.send_signal(signal.SIGINT)
        errors = [line for line in process.stderr if not line.startswith(NOISE)]
    assert errors == ["xinit: interrupted.\n"]
    assert process.returncode == interrupts.INTERRUPTED == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_hears_ctrl_c_before_its_imports(path):
    _, first, second, *_ = ast.parse(path.read_text()).body
    assert ast.unparse(first) == "from xinit.core import interrupts"
    assert ast.unparse(second) == "if __name__ == '__main__':\n    interrupts.end_at_once()"


def test_a_run_that_ctrl_c_stops_while_it_compiles_says_so(tmp_path):
    """In the program, which has begun the run, before the supervisor asks for a moment between two steps."""
    code = (
        "import os, signal\n"
        "from xinit.core import interrupts\n"
        "interrupts.end_at_once()\n"
        "from xinit.training import population; from xinit import train\n"
        "population.Ahead.compile = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "raise SystemExit(train.main())\n"
    )
    small = ["data=synthetic", "width=8", "depth=2", "steps=20", "data.test=50", "data.valid=50", "probe.examples=50"]
    done = subprocess.run([sys.executable, "-c", code, *small], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (interrupts.INTERRUPTED, "xinit: interrupted.\n")
    (status,) = tmp_path.glob("runs/*/*/status.json")
    assert record.read_json(status)["state"] == "interrupted"


def test_libraries_with_processes_of_their_own_get_the_exception(monkeypatch, capfd):
    before = signal.getsignal(signal.SIGINT)
    try:
        interrupts.end_at_once()
        with interrupts.raised(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is interrupts._end
    finally:
        signal.signal(signal.SIGINT, before)

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("xinit.runs.runner.execute", stopped)
    monkeypatch.setattr(sys, "argv", ["xinit.train"])
    assert train.main() == interrupts.INTERRUPTED
    assert study.run_command("", ["tier=init"], stopped) == interrupts.INTERRUPTED
    assert capfd.readouterr().err == "xinit: interrupted.\n" * 2
