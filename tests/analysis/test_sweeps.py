"""What varies in a sweep, its table, and its one dataset."""

import numpy as np
import pytest

import xinit
from xinit.analysis import sweeps, swept
from xinit.commands import sweeping
from xinit.commands.console import SweepReporter
from xinit.commands.tables import cell_rows
from xinit.runs import runner
from xinit.settings.compose import compose_many, overrides_from

pytestmark = pytest.mark.usefixtures("compile_quickly")
SMALL = {"data": "synthetic", "width": 16, "depth": 2, "steps": 60, "probe.points": 4, "data.test": 1000,
         "data.valid": 1000}  # fmt: skip


def configs(*jobs, out="runs"):
    overrides = [overrides_from(SMALL | {"out": str(out)} | job) for job in jobs]
    return sweeping.parse_all(compose_many("train", overrides))


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([{"seed": 0}, {"seed": 1}], [{"seed": 0}, {"seed": 1}]),
        ([{"data_seed": 0}, {"data_seed": 1}], [{"data_seed": 0}, {"data_seed": 1}]),
        ([{"scheme": "xavier"}, {"scheme": "he"}], [{"scheme": "xavier"}, {"scheme": "he"}]),
        (  # an option tells runs of one scheme apart, and a scheme's own default tells nothing
            [{"scheme": "xavier"}, {"scheme": "xavier", "scheme.distribution": "normal"}, {"scheme": "orthogonal"}],
            [
                {"scheme": "xavier", "distribution": "uniform"},
                {"scheme": "xavier", "distribution": "normal"},
                {"scheme": "orthogonal"},
            ],
        ),
        ([{"optimizer": "sgd"}, {"optimizer": "adam"}], [{"optimizer": "sgd"}, {"optimizer": "adam"}]),
        (
            [{"optimizer.learning_rate": 0.1}, {"optimizer.learning_rate": 0.2, "scheme.gain": 2}],
            [{"gain": 1.0, "learning_rate": 0.1}, {"gain": 2.0, "learning_rate": 0.2}],
        ),
        ([{"depth": 2}, {"depth": 3}], [{"depth": 2}, {"depth": 3}]),
        ([{"width": [9, 8]}, {"width": [8, 8]}], [{"width": "9 8"}, {"width": 8, "depth": 2}]),
        ([{"activation": "relu"}, {"activation": "tanh"}], [{"activation": "relu"}, {"activation": "tanh"}]),
        ([{"activation": "leaky_relu", "activation.negative_slope": slope} for slope in (0.1, 0.2)],
         [{"negative_slope": 0.1}, {"negative_slope": 0.2}]),
        ([{"data_seed": 0, "batch_size": 20}, {"data_seed": 1}],
         [{"batch_size": 20, "data_seed": 0}, {"batch_size": 10, "data_seed": 1}]),
        ([{}], [{}]),
    ],
)  # fmt: skip
def test_what_was_swept(jobs, expected):
    assert swept.swept(configs(*jobs)) == expected


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    """Two depths and two lengths, one run diverged, one not done."""
    jobs = [{"scheme": "he", "activation": "relu", "seed": seed, "depth": depth} for seed in (0, 1) for depth in (2, 3)]
    jobs[3]["optimizer.learning_rate"] = 1e30
    jobs.append(jobs[0] | {"steps": 30})
    jobs.append(jobs[0] | {"steps": 31, "stop_after": 10})
    return runner.execute_all(configs(*jobs, out=tmp_path_factory.mktemp("ragged")), SweepReporter(quiet=True))


@pytest.mark.heavy
def test_cells_are_over_seeds_and_count_what_diverged(ragged):
    rows = sweeps.cells(ragged[:4])
    assert [(row["depth"], row["test_error"].n, row["diverged"]) for row in rows] == [(2, 2, 0), (3, 1, 0), (3, 0, 1)]
    errors = [ragged[i].summary["test_error"] for i in (0, 2)]
    assert rows[0]["test_error"].mean == pytest.approx(np.mean(errors))
    assert rows[0]["test_error"].std == pytest.approx(np.std(errors, ddof=1))
    assert rows[2]["verdicts"] == "FAIL 1"
    shown = cell_rows(ragged)
    assert [row["test error"] for row in shown].count("-") == 2
    assert shown[-1]["unfinished"] == "1"


@pytest.mark.heavy
def test_the_dataset_of_runs_that_differ_in_steps_and_depth(ragged):
    dataset = xinit.open(sweeps.write(ragged))
    assert dataset.sizes["replica"] == 5
    assert dataset.sizes["layer"] == 3
    assert dataset.sizes["step"] == len(set(np.concatenate([run.readings["step"] for run in ragged[:5]])))
    assert set(dataset.coords) >= {"seed", "depth", "steps", "learning_rate", "path"}
    for r, run in enumerate(ragged[:5]):
        own = dataset.isel(replica=r).sel(step=run.readings["step"])
        for name in ("act_std", "act_hist", "valid_error", "act_edges"):
            inside = {axis: slice(0, run.readings[name].shape[own[name].dims.index(axis)]) for axis in own[name].dims}
            np.testing.assert_array_equal(own[name].isel(inside), run.readings[name].astype(np.float32), err_msg=name)
        beyond = dataset.act_std.isel(replica=r).sel(layer=slice(len(run.config.widths) + 1, None))
        assert np.isnan(beyond).all()
    assert np.isnan(dataset.test_error[3])
    assert dataset.diverged_at[3] == ragged[3].summary["diverged_at"]


@pytest.mark.heavy
def test_the_aggregate_depends_on_its_members_alone(ragged):
    one, other = sweeps.write(ragged[:3]), sweeps.write(ragged[:2])
    assert one != other
    files = {path.name: path.read_bytes() for path in one.iterdir() if path.suffix != ".nc"}
    assert sweeps.write(ragged[:3]) == one
    assert {path.name: path.read_bytes() for path in one.iterdir() if path.suffix != ".nc"} == files
