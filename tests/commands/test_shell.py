"""The commands in a shell: bare YAML from --cfg, tab completion, colours on a terminal alone."""

import contextlib
import functools
import importlib
import os
import re
import shutil
import subprocess
import sys
import types

import pytest
import yaml
from rich.console import Console

from xinit import train
from xinit.commands import cli
from xinit.commands.console import Reporter
from xinit.settings.compose import compose, overrides_from

pytestmark = pytest.mark.usefixtures("compile_quickly")
ENTRIES = ("train", "inspect", "compare", "theory.__main__")
SMALL = ["data=synthetic", "width=8", "depth=2", "steps=20", "probe=economy", "probe.points=3", "probe.examples=50",
         "data.test=50", "data.valid=50", "figure=false"]  # fmt: skip
MOVES = re.compile(r"\x1b\[[\d?;]*[^\d?;m]")  # of the cursor, and whatever else is no colour


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """A terminal with colours, and nobody who asks for others."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def printed(monkeypatch, capsys, entry, *arguments):
    """What a command prints on stdout, if it ends well and says nothing on stderr."""
    monkeypatch.setattr(sys, "argv", [f"xinit.{entry}", *arguments])
    assert importlib.import_module(f"xinit.{entry}").main() == cli.DONE
    out, err = capsys.readouterr()
    assert err == ""
    return out


# ---- --cfg job


@pytest.mark.parametrize("entry", ENTRIES)
def test_cfg_prints_the_settings_as_yaml_and_nothing_else(monkeypatch, capsys, tmp_path, entry):
    monkeypatch.chdir(tmp_path)
    given = ["activation=relu", "depth=7"]
    settings = yaml.safe_load(printed(monkeypatch, capsys, entry, *given, "--cfg", "job"))
    assert (settings["activation"]["fn"], settings["depth"]) == ("relu", 7)
    own = yaml.safe_load(printed(monkeypatch, capsys, entry, *given, "--cfg", "job", "-p", "activation"))
    assert own == settings["activation"]
    resolved = printed(monkeypatch, capsys, entry, *given, "--cfg", "job", "--resolve")
    assert "${" not in resolved
    assert yaml.safe_load(resolved).keys() == settings.keys()
    assert not list(tmp_path.iterdir())


def test_what_cfg_printed_can_be_given_again(monkeypatch, capsys):
    """Resolved, as overrides, it is what it was."""
    arguments = ["scheme=he", "seed=3", "width=[9,8]", "optimizer=adam", "--cfg", "job", "--resolve"]
    settings = yaml.safe_load(printed(monkeypatch, capsys, "train", *arguments))
    assert compose("train", overrides_from(settings)) == settings


def test_cfg_of_a_package_that_is_none_is_bad_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["xinit.train", "--cfg", "job", "-p", "optimiser"])
    assert train.main() == cli.BAD_INPUT
    assert capsys.readouterr() == ("", "package 'optimiser' not found in config\n")


# ---- tab completion


@pytest.mark.parametrize(
    ("typed", "answers"),
    [
        ("+scheme=xa", ["+scheme=xavier", "+scheme=xavier_gain"]),
        ("scheme=xa", ["scheme=xavier", "scheme=xavier_gain"]),
        ("scheme=xavier activation=softs", ["activation=softsign"]),  # a word before that Hydra would refuse
        ("-m scheme=xavier,he seed=0,1 optimizer.l", ["optimizer.learning_rate="]),
        ("optimizer=adam optimizer.b", ["optimizer.b1=", "optimizer.b2="]),
        ("hydra/launcher=population_j", ["hydra/launcher=population_joblib"]),
        ("optimizer=nix optimizer.l", []),  # a command line that cannot be composed
        ("nothing_of_the_kind", []),
    ],
)
def test_hydra_completes_our_spelling(monkeypatch, capsys, typed, answers):
    monkeypatch.setenv("COMP_LINE", f"xinit.train {typed}")
    assert printed(monkeypatch, capsys, "train", "-sc", "query=fish").split() == answers


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash, which is absent")
@pytest.mark.heavy
def test_completion_in_bash(tmp_path):
    """As documented: evaluated, then asked as readline asks, which takes an answer's part behind the last = or :."""
    script = """
        eval "$("$PYTHON" -m xinit.train -sc install=bash)"
        for line in "python -m xinit.inspect depth=3 +scheme=xa" "python -m http.ser" "python3 -m xinit.theory act"; do
            COMP_LINE="$line$NOT_YET" COMP_POINT=${#line} COMP_WORDS=("$PYTHON") COMPREPLY=()
            _xinit
            echo "${COMPREPLY[*]}"
        done
        complete -p python
    """
    environment = os.environ | {"PYTHON": sys.executable, "NOT_YET": "vier depth=2"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    completed = "complete -o bashdefault -o default -F _xinit python"
    assert done.stdout.splitlines() == ["xavier xavier_gain", "", "activation. activation=", completed]


def test_other_shells_are_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["xinit.train", "-sc", "install=fish"])
    assert train.main() == cli.BAD_INPUT
    assert capsys.readouterr().err.endswith("it must be -sc install=bash.\n")


# ---- colours


@pytest.mark.heavy
def test_a_pipe_gets_colours_only_if_forced_and_never_a_moving_cursor(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    sweep = ["-m", "scheme=constant,xavier", "force=true", *SMALL]
    assert "\x1b" not in printed(monkeypatch, capsys, "train", *sweep)
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = printed(monkeypatch, capsys, "train", *sweep)
    assert "\x1b[1m" in coloured
    assert not MOVES.search(coloured)
    assert not [path for path in tmp_path.rglob("log.txt") if "\x1b" in path.read_text()]


def sent_to_a_terminal(act):
    """What arrives at a terminal of what `act(its file)` writes to it."""
    master, slave = os.openpty()
    with open(slave, "w") as terminal:
        act(terminal)
    sent = b""
    with contextlib.suppress(OSError):  # the end of a terminal that nobody writes to any more
        while part := os.read(master, 4096):
            sent += part
    os.close(master)
    return sent.decode()


def report(terminal):
    """The begin of a run, and a verdict."""
    reporter = Reporter(Console(file=terminal, highlight=False))
    reporter.start(types.SimpleNamespace(name="a-run", steps=9, batch_size=1), 0, "cpu")
    reporter.stop()
    reporter.verdict("FAIL: no signal.")


def test_a_terminal_has_colours_and_a_bar_that_stays_in_place(monkeypatch):
    sent = sent_to_a_terminal(report)
    assert "\x1b[31mFAIL\x1b[0m: no signal." in sent
    assert MOVES.search(sent)
    monkeypatch.setenv("NO_COLOR", "1")
    uncoloured = sent_to_a_terminal(report)
    assert not re.search(r"\x1b\[3\d", uncoloured)
    assert MOVES.search(uncoloured)
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in sent_to_a_terminal(report)


@pytest.mark.heavy
def test_the_list_is_plain_in_a_pipe_and_has_a_bold_heading_on_a_terminal(tmp_path):
    listing = functools.partial(
        subprocess.run, [sys.executable, "-m", "xinit.list", "probes"], cwd=tmp_path, check=True
    )
    assert b"\x1b" not in listing(capture_output=True).stdout
    assert "\x1b[1m" in sent_to_a_terminal(lambda terminal: listing(stdout=terminal))
