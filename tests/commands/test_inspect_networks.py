"""`python -m xinit.inspect` of networks that are no plain stack: its words, its names, and what theory it had."""

import json
import sys

import numpy as np
import pytest

from xinit import inspect
from xinit.analysis.figures import inspection as inspection_figures
from xinit.analysis.inspection import growth_over_branches
from xinit.commands import cli, inspection_table
from xinit.settings.compose import compose
from xinit.settings.parse import parse
from xinit.training import inspection

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
QUICK = ["width=32", "seeds=4", "data.valid=50", "data.test=50", "probe.examples=50", "figure=false"]


def inspected(tmp_path, monkeypatch, capsys, *arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["xinit.inspect", *QUICK, *arguments])
    code = inspect.main()
    (folder,) = (tmp_path / "runs" / "inspections").iterdir()
    return code, capsys.readouterr().out.replace("\n", " "), json.loads((folder / "inspection.json").read_text())


RELU = ["data=synthetic", "network=residual", "depth=20", "activation=relu", "scheme=he"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            RELU, cli.FAILED,
            ["the signal explodes over 20 branches", "predicted x 1.41 a branch", 'Try "network.scale=1/sqrt(L)": by',
             "and networks drawn so do not fail"],
        ),
        ([*RELU, "network.scale=1/sqrt(L)"], cli.DONE, ["OK: the signal keeps its size over 20 branches"]),
        ([*RELU, "network.scale=learned"], cli.DONE, ["no gradient comes into 20 branches before"]),
        (
            ["network=convnet", "depth=6", "activation=relu", "scheme=xavier", "width=16", "scheme.gain=0.5"],
            cli.FAILED,
            ["All of this rests on measurement alone", "measured, not predicted", "Try scheme=he: networks drawn so"],
        ),
    ],
)  # fmt: skip
def test_the_verdict_and_the_theory_it_had(tmp_path, monkeypatch, capsys, arguments, code, words):
    came, out, stored = inspected(tmp_path, monkeypatch, capsys, *arguments)
    assert came == code, out
    assert [word for word in words if word not in out] == [], out
    assert len(stored["layers"]) == len(stored["widths"]) - 2
    assert len(stored["weights"]) == len(set(stored["weights"]))
    assert bool(stored["void"]) == ("convnet" in arguments[0])


@pytest.fixture(scope="module")
def found():
    overrides = ["data=synthetic", "data.valid=50", "data.test=50", "probe.examples=50", "network=residual", "depth=40"]
    config = parse(compose("train", [*overrides, "width=48", "activation=tanh", "scheme=xavier"]))
    return inspection.inspect_config(config, 4)


def test_over_skips_sizes_do_not_multiply(found):
    """The signal goes like a power of depth; the gradient changes less in each later half of the network."""
    growth = growth_over_branches(found, "pre_second")
    assert growth.is_power
    assert growth.number == pytest.approx(0.5, abs=0.15)
    logs = np.log(found.interval("grad_pre_second").mean[found.layout.main])
    assert logs[0] - logs[20] > 1.2 * (logs[20] - logs[40]) > 0
    assert any("like the power" in line for line in inspection_table.notes(found))
    assert found.findings[0].level == "OK"
    assert found.reach is None


def test_the_main_path_and_what_lies_within_branches_are_apart(found, tmp_path):
    main, within = inspection_table.rows(found), inspection_table.rows(found, within=True)
    assert [row["sum"] for row in main] == ["input", *map(str, range(1, 41))]
    assert [row["branch"] for row in within] == [f"{b}.1" for b in range(1, 41)]
    drawn = inspection_figures.figure(found, "title")
    labels = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert {"measured, mean of the seeds", "measured, within branches"} <= labels
    inspection_figures.write(tmp_path / "there", found, "title", draw=False)
    import xarray

    with xarray.open_dataset(tmp_path / "there" / "inspection.nc", engine="h5netcdf") as dataset:
        np.testing.assert_array_equal(dataset.act_branch, found.layout.branch)
