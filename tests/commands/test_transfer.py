"""`python -m xinit.transfer`: real runs of several widths at several rates, one population a width."""

import json

import pytest

from xinit import transfer as entry
from xinit.core.errors import InputError
from xinit.settings.compose import compose

SMALL = ["data.valid=1000", "data.test=300", "depth=1", "steps=20", "widths=[8,16]", "seeds=2"]


def transferred(*settings):
    return entry.transfer(compose("transfer", [*SMALL, *settings]))


@pytest.mark.slow
def test_the_runs_are_runs_like_any_others_and_are_not_done_twice(tmp_path, capsys):
    settings = ["learning_rates=[0.1,0.01,1]", f"out={tmp_path}"]
    transferred(*settings)
    first = capsys.readouterr().out
    runs = sorted(tmp_path.glob("*/*/summary.json"))
    assert len(runs) == 2 * 2 * 3
    assert first.count("6 runs at once") == 2  # one population for each width
    (folder,) = (tmp_path / "transfers").iterdir()
    stored = json.loads((folder / "transfer.json").read_text())
    assert stored["rates"] == [0.01, 0.1, 1.0]
    assert stored["values"] == [8, 16]
    written = {run: run.stat().st_mtime_ns for run in runs}
    transferred(*settings)
    assert {run: run.stat().st_mtime_ns for run in runs} == written
    assert len(list((tmp_path / "transfers").iterdir())) == 1


def test_the_exit_code_says_what_came_of_it(tmp_path):
    too_low = ["learning_rates=[0.0001,0.0002,0.0004]", f"out={tmp_path}"]  # the least loss is at the highest of them
    assert transferred(*too_low) == 0
    assert transferred(*too_low, "strict=true") == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["widths=[64]"], r"widths is \[64\]; it must be at least two different"),
        (["depths=[4,8]"], "What is compared is widths or depths; give one"),
        (["learning_rates=[0.1,0.2]"], "at least 3 different numbers above 0"),
        (["learning_rates=[0.1,0.1,0.2]"], "at least 3 different numbers above 0"),
        (["learning_rates=[0.1,-1,0.2]"], "at least 3 different numbers above 0"),
        (["seeds=1"], "seeds is 1; it must be a whole number, at least 2"),
        (["init_seed=3"], "a transfer counts its seeds from seed"),
        (["probe=off"], "probe is off; a transfer reads the validation loss"),
        (["steps=-1"], "steps"),
    ],
)
def test_bad_input_is_one_sentence_before_any_run(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        transferred(*settings, f"out={tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()
