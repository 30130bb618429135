"""Runs that another version of xinit has made: older ones are read and are done, newer ones are refused."""

import json
import pathlib
import shutil

import pytest

import xinit
from xinit.commands.console import Reporter, SweepReporter
from xinit.core.errors import InputError
from xinit.runs import record, runner
from xinit.runs.run_directory import RunDirectory
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse

KEPT = pathlib.Path(__file__).parents[1] / "data"
# What the kept runs were made with.
SETTINGS = {
    "scheme": "xavier", "depth": 2, "width": 8, "steps": 60, "batch_size": 10, "figure": False,
    "data": "synthetic", "data.inputs": 8, "data.classes": 3, "data.valid": 200, "data.test": 200,
    "probe.points": 2, "probe.examples": 20, "probe.jacobian_examples": 4,
}  # fmt: skip
FOLDER = "synthetic-tanh-2x8-xavier/d1c33486dfcb"


@pytest.fixture
def out(tmp_path):
    """The kept run of format 0, to write beside."""
    return pathlib.Path(shutil.copytree(KEPT / "run_of_format_0", tmp_path / "out"))


def config(out, **more):
    return parse(compose("train", overrides_from(SETTINGS | {"out": str(out)} | more)))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change_status(folder, **more):
    status = record.read_json(folder / "status.json")
    (folder / "status.json").write_text(json.dumps(status | more))


def compute_nothing(*_, **__):
    raise AssertionError("this run is done")


def test_a_run_of_format_0_is_read(out):
    assert "format" not in record.read_json(out / FOLDER / "status.json")
    with xinit.open(out / FOLDER) as readings:
        assert readings.sizes["layer"] == 2
        assert readings["step"].values.tolist() == [0, 60]
        assert float(readings["act_std"][0, 0]) == pytest.approx(0.59, abs=0.01)
        assert readings.attrs["test_error"] == pytest.approx(0.145, abs=1e-6)


@pytest.mark.parametrize("many", [False, True])
def test_a_run_of_format_0_is_done(out, monkeypatch, many):
    monkeypatch.setattr(runner, "_compute", compute_nothing)
    before = contents(out)
    if many:
        outcome = runner.execute_all([config(out)], SweepReporter(quiet=True))[0]
    else:
        outcome = runner.execute(config(out), Reporter(quiet=True))
    assert outcome.path == out / FOLDER
    assert (outcome.state, outcome.findings[0].level) == ("done", "OK")
    assert contents(out) == before


def test_a_run_carries_its_format(tmp_path):
    folder = tmp_path / "name" / ("0" * 12)
    folder.mkdir(parents=True)
    RunDirectory(folder).write_status("running")
    assert record.read_status(folder)["format"] == record.FORMAT
    assert not record.is_finished(folder)


@pytest.mark.parametrize("force", [False, True])
def test_a_run_of_a_newer_xinit_is_refused_and_left_as_it_is(out, force):
    change_status(out / FOLDER, format=record.FORMAT + 1)
    before = contents(out)
    words = f"is of format {record.FORMAT + 1}, made by a newer xinit; this one knows formats up to {record.FORMAT}"
    for use in (
        lambda: runner.execute(config(out, force=force), Reporter(quiet=True)),
        lambda: xinit.open(out / FOLDER),
        lambda: record.is_finished(out / FOLDER),
    ):
        with pytest.raises(InputError, match=words):
            use()
    assert {name: text for name, text in contents(out).items() if name != ".lock"} == before


def test_a_format_that_is_no_number_is_damage(out):
    change_status(out / FOLDER, format="newest")
    with pytest.raises(InputError, match="its format is not a number"):
        xinit.open(out / FOLDER)
    assert not record.is_finished(out / FOLDER)
