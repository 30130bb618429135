"""A monitor's points sent to the trackers of runs, and the loops of docs/howto/monitor.md as they stand there."""

import importlib.util
import re
import threading

import jax
import numpy as np
import pytest

import xinit
from tests.runs.test_monitor import ROOT, X, Y, drawn, scaled, train, two_layers
from tests.runs.test_trackers import tensorboard_of, wandb_of
from xinit.core.errors import InputError
from xinit.core.readings import READINGS
from xinit.runs.trackers import Tracker

pytestmark = pytest.mark.usefixtures("compile_quickly")
LOOPS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "howto" / "monitor.md").read_text(), re.DOTALL)

# On a machine that is busy they may take as long as it takes.
TENSORBOARD = {"fn": "tensorboard", "patience": 100}
WANDB = {"fn": "wandb", "mode": "offline", "project": "own", "patience": 100}


def kept(run):
    """A tracker that remembers."""
    kept.runs.append((run, seen := []))
    return Tracker(seen.append, seen.append)


@pytest.fixture(autouse=True)
def nothing_kept():
    kept.runs = []


def assert_arrived(found, folder):
    """Every number that the record has is among those that a tracker was told, under the name that a run gives it."""
    readings, (numbers, shares) = xinit.open(folder), found
    assert sorted(numbers) == sorted(shares) == readings.step.values.tolist()
    for i, step in enumerate(readings.step.values):
        scalars, histograms = numbers[step], shares[step]
        assert scalars["loss"] == pytest.approx(float(readings.loss[i]), rel=1e-6)
        for name, axis in {"pre_std": "layer", "grad_w_norm": "weight", "update_ratio": "weight"}.items():
            expected = {f"{name}/{axis} {l + 1}": v for l, v in enumerate(readings[name].values[i]) if not np.isnan(v)}
            assert {tag: own for tag, own in scalars.items() if tag.startswith(name)} == pytest.approx(
                expected, rel=1e-5
            )
        assert scalars["pre_quantile/layer 2 quantile 0.5"] == pytest.approx(
            float(readings.pre_quantile[i, 1, 4]), 1e-5
        )
        assert histograms.keys() == {f"{name}/layer {l}" for name in ("pre_hist", "grad_pre_hist") for l in (1, 2)}
        names = {tag.partition("/")[0] for tag in (*scalars, *histograms)} - {"loss", "level"}
        assert names <= {name for name in readings.data_vars if not name.endswith("_edges")}
        assert len(names & READINGS.keys()) >= 6


def test_every_point_arrives_in_tensorboard_also_of_a_record_that_is_continued(tmp_path):
    train(tmp_path, 0, 4, every=1, tracker=TENSORBOARD)
    assert train(tmp_path, 2, 6, every=1, tracker=TENSORBOARD) == [0, 1, 2, 3, 4, 5]
    found, ends, texts = tensorboard_of(tmp_path)
    assert_arrived(found, tmp_path)
    assert not ends
    assert texts["verdict/text_summary"] == xinit.open(tmp_path).attrs["verdict"]
    assert "    layers:\n    - first\n    - last\n" in texts["config/text_summary"]


def test_every_point_arrives_in_wandb(tmp_path):
    train(tmp_path / "mine", 0, 3, every=1, tracker=WANDB)
    found, summary, about = wandb_of(tmp_path / "mine")
    assert_arrived(found, tmp_path / "mine")
    assert (about.run_group, about.project) == ("mine", "own")
    assert summary["verdict"] == xinit.open(tmp_path / "mine").attrs["verdict"]


def test_a_function_of_ones_own_hears_all_points_once_more_where_the_training_went_back(tmp_path):
    params = drawn()
    with xinit.Monitor(two_layers, (X, Y), tmp_path / "mine", variables=params, every=1, tracker=kept) as monitor:
        for step in (0, 1, 2, 3, 1, 2):
            monitor(step, scaled(params, 1.1**step))
    (first, early), (second, late) = kept.runs
    assert [getattr(point, "step", None) for point in early] == [0, 1, 2, 3, None]
    assert [point.step for point in late] == [0, 1, 2, 2]
    assert late[-1].verdict == xinit.open(tmp_path / "mine").attrs["verdict"]
    assert (first.id, first.name, first.config) == (
        second.id,
        "mine",
        {"layers": ["first", "last"], "functions": ["tanh", None]},
    )


def failing(run):
    raise OSError("no space left\non device")


def hanging(run):
    threading.Event().wait()


@pytest.mark.parametrize(("tracker", "words"), [
    (failing, "xinit: tracker=failing gave up (OSError: no space left). Results are not affected."),
    (hanging, "xinit: tracker=hanging was not done and left after 0.3 s (tracker.patience): it had taken 0 of 5"),
])  # fmt: skip
def test_a_tracker_that_fails_or_hangs_stops_nothing_and_is_named_once(tmp_path, tracker, words, capfd, monkeypatch):
    monkeypatch.setattr("xinit.runs.monitor_tracking.PATIENCE", 0.3)
    assert train(tmp_path, 0, 4, every=1, tracker=tracker) == [0, 1, 2, 3]
    noted = capfd.readouterr().err
    assert words in noted
    assert noted.count("xinit:") == 1


@pytest.mark.parametrize(("tracker", "words"), [
    ("tensorbord", "Unknown tracker 'tensorbord'; did you mean tensorboard"),
    ({"fn": "wandb", "projct": "a"}, r"Unknown setting tracker\.projct; did you mean project"),
    ({"fn": "tensorboard", "patience": -1}, r"tracker\.patience is -1; it must be a number of seconds"),
    ({"project": "a"}, "tracker is .*; it must be the name of a tracker, a mapping with its name as fn, or a function"),
    (3, "tracker is 3; it must be the name"),
])  # fmt: skip
def test_a_mistake_is_said_before_any_work(tmp_path, tracker, words):
    with pytest.raises(InputError, match=words):
        xinit.Monitor(two_layers, X, tmp_path / "no", variables=drawn(), tracker=tracker)
    assert not (tmp_path / "no").exists()


def test_an_absent_package_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"the package tensorboardX, which is absent"):
        xinit.Monitor(two_layers, X, tmp_path / "no", variables=drawn(), tracker="tensorboard")


@pytest.mark.parametrize("block", LOOPS[:3], ids=["nnx", "linen", "equinox"])
def test_a_loop_of_the_docs(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with jax.numpy_rank_promotion("allow"):  # as it is for whoever copies it
        exec(compile(block, "docs/howto/monitor.md", "exec"), {"__name__": "copied"})
    (folder,) = tmp_path.iterdir()
    readings = xinit.open(folder)
    assert readings.attrs["state"] == "closed"
    assert len(readings.step) >= 2
    assert np.isfinite(readings.update_ratio.values[1:]).all()
    assert readings.loss[-1] < readings.loss[0] or len(readings.step) < 4
    assert xinit.figure(folder).axes
    assert len(xinit.frame(folder)) == readings.update_ratio.size
    assert capsys.readouterr().out


def test_the_tracker_of_the_docs(tmp_path):
    names = {}
    exec(compile(LOOPS[3], "docs/howto/monitor.md", "exec"), names)
    steps = train(tmp_path, 0, 3, every=1, tracker=names["lines"])
    lines = (tmp_path / "loss.txt").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == steps
    np.testing.assert_allclose([float(line.split()[1]) for line in lines], xinit.open(tmp_path).loss)
