"""What commands say to a newcomer: --help, the names that other libraries have for things, a reader who has left."""

import os
import pathlib
import subprocess
import sys

import pytest

from xinit import __main__ as overview
from xinit.commands import cli, help
from xinit.core import interrupts, names
from xinit.core.factories import allowed_words
from xinit.settings.compose import conf_dir, normalise

ENTRIES = tuple(help.SHOWN)


@pytest.mark.parametrize("entry", ENTRIES)
def test_help_is_short_and_explains_every_setting_it_names(entry, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    text = help.text(entry, "short")
    assert len(text.splitlines()) <= 30
    settings = [line for line in text.splitlines() if line.startswith("  ") and not line.startswith("  python")]
    assert len(settings) >= 6
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("entry", ENTRIES)
def test_help_all_has_every_setting_and_every_choice(entry):
    text = help.text(entry, "all")
    for setting in help.settings_in(conf_dir() / f"{entry}.yaml"):
        assert f"  {setting.name}=" in text
    assert "optimizer.learning_rate=" in text or entry == "theory"
    assert "xavier_gain" in text
    assert "$" not in text.replace("${seed}", "").replace('"$(', "")


def test_every_setting_of_a_run_has_its_line():
    assert not [setting.name for setting in help.settings_in(conf_dir() / "run.yaml") if not setting.comment]


@pytest.mark.parametrize(
    ("arguments", "which"),
    [(["--help"], "short"), (["-h", "depth=3"], "short"), (["--help", "all"], "all"), (["depth=3"], None)],
)
def test_which_help_is_asked_for(arguments, which):
    assert help.asked(arguments) == which


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("scheme=glorot", "+scheme=xavier"),
        ("+scheme=kaiming", "+scheme=he"),
        ("scheme=standard,glorot_uniform", "+scheme=standard,xavier"),
        ("schemes=[glorot,kaiming]", "++schemes=[xavier,he]"),
        ("activation=swish", "activation=silu"),
        ("activation=[tanh,swish]", "++activation.fn=[tanh,silu]"),
        ("lr=0.1", "++optimizer.learning_rate=0.1"),
        ("learning_rate=0.1,0.3", "++optimizer.learning_rate=0.1,0.3"),
        ("name=glorot", "++name=glorot"),
    ],
)
def test_names_that_other_libraries_have_are_understood(given, ours):
    assert normalise([given]) == [ours]


@pytest.mark.parametrize(
    ("word", "allowed", "meant"),
    [
        ("seeds", ["seed", "score_seeds", "search_seeds"], "score_seeds"),
        ("batch", ["batch_size", "data"], "batch_size"),
        ("glorot_normal", ["xavier", "he"], "xavier scheme.distribution=normal"),
        ("epochs", ["steps", "probe"], "steps"),
    ],
)
def test_others_are_answered_with_the_right_word(word, allowed, meant):
    assert allowed_words(word, allowed).startswith(f"did you mean {meant}? ")


def test_what_is_taken_for_a_choice_exists():
    for group, words in names.CHOICES.items():
        assert not [name for name in words.values() if not (conf_dir() / group / f"{name}.yaml").is_file()]
        assert not [word for word in words if (conf_dir() / group / f"{word}.yaml").is_file()]


def test_without_a_command_xinit_names_them_all(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["xinit"])
    assert overview.main() == cli.DONE
    out = capsys.readouterr().out
    assert all(f"python -m xinit.{name}" in out for name in overview.COMMANDS)
    monkeypatch.setattr(sys, "argv", ["xinit", "list", "probe"])
    assert overview.main() == cli.DONE
    assert "probe=NAME" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["xinit", "trane"])
    assert overview.main() == cli.BAD_INPUT
    assert "did you mean train?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--depth=10", "settings have no dashes here: depth=10."),
        ("--batch-size=3", "settings have no dashes here: batch_size=3."),
        ("--lr=3", "settings have no dashes here: optimizer.learning_rate=3."),
        ("--bogus", "--help shows how it is written."),
    ],
)
def test_a_setting_with_dashes_is_answered_with_the_right_spelling(given, words):
    with pytest.raises(cli.InputError, match="cannot be read") as error:
        cli.in_order([given])
    assert str(error.value).endswith(words)


@pytest.mark.heavy
@pytest.mark.parametrize("command", [["xinit.list", "schemes"], ["xinit.theory", "figure=false"]])
def test_a_command_whose_reader_has_left_says_nothing(tmp_path, command):
    reader, writer = os.pipe()
    os.close(reader)
    path = os.pathsep.join([str(pathlib.Path(overview.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    call = [sys.executable, "-m", *command]
    done = subprocess.run(call, stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, env=environment)
    os.close(writer)
    assert (done.returncode, done.stderr) == (interrupts.READER_LEFT, b"")
