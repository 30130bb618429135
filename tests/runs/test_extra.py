"""Readings of the user's in whole runs: in files, across a cut, in populations and sweeps, in frames and trackers."""

import shutil
import sys

import numpy as np
import pytest

import xinit
from xinit.core import netcdf
from xinit.core.errors import InputError
from xinit.runs import record
from xinit.runs.run_directory import path_of
from xinit.runs.trackers.points import MOST_NUMBERS, point_of
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training.inspection import inspect_config

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
MODULE = '''
import jax
import jax.numpy as jnp

print("imported")

def per_layer(params, batch, outputs):
    """Largest activation."""
    return {"peak": jnp.stack([jnp.max(h) for h in outputs.post]), "spread": jnp.std(outputs.logits)}

def table(params, batch, outputs):
    label = jax.nn.one_hot(batch[1], 10)
    return {"answers": label.T @ jax.nn.softmax(outputs.logits)}

table.axes = {"answers": ("label", "answer")}
'''
SMALL = {"data": "synthetic", "width": 8, "depth": 2, "steps": 40, "scheme": "xavier", "probe": "economy",
         "probe.points": 4, "data.valid": 200, "data.test": 200, "probe.examples": 50, "figure": False}  # fmt: skip
OWN = {"probe.extra": ["my_readings:per_layer", "my_readings:table"]}
NAMES = {"peak", "spread", "answers"}


@pytest.fixture(scope="module", autouse=True)
def my_readings(tmp_path_factory):
    """The module of a user, importable."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_readings.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("my_readings", None)


def run(out, **settings):
    return xinit.run(out=str(out), progress=False, **SMALL | OWN | settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


def test_a_run_has_them_labelled(whole):
    assert set(whole.attrs["extra"].split()) == NAMES
    assert {name: whole[name].dims for name in NAMES} == {
        "peak": ("step", "layer"),
        "spread": ("step",),
        "answers": ("step", "label", "answer"),
    }
    assert whole.peak.attrs["long_name"] == "Largest activation (my_readings:per_layer)"
    assert whole.answers.attrs["long_name"] == "my_readings:table"
    np.testing.assert_array_equal(whole.peak, whole.act_max)
    labels = whole.answers.sum("answer")
    np.testing.assert_allclose(labels, np.broadcast_to(labels[0], labels.shape), rtol=1e-5)
    assert float(labels[0].sum()) == pytest.approx(50)


def test_frames_have_a_column_for_each(whole):
    np.testing.assert_array_equal(xinit.frame(whole, "layer").peak, whole.peak.values.ravel())
    np.testing.assert_array_equal(xinit.frame(whole, "step").spread, whole.spread)


def test_the_file_says_all_of_it_and_nothing_is_imported_to_read_it(whole, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "my_readings", raising=False)
    path = shutil.copytree(whole.attrs["path"], tmp_path / "a-run")
    capsys.readouterr()
    found = xinit.open(path)
    assert found.answers.dims == whole.answers.dims
    assert "my_readings" not in sys.modules
    assert capsys.readouterr().out == ""
    import xarray

    plain = xarray.load_dataset(path / "readings.nc", engine="h5netcdf")
    for name in NAMES:
        xarray.testing.assert_identical(plain[name].drop_attrs(), found[name].drop_attrs())
        assert plain[name].attrs["long_name"] == found[name].attrs["long_name"]


def test_a_run_that_was_cut_has_them_from_its_beginning(whole, tmp_path):
    run(tmp_path, stop_after=20)
    [path] = tmp_path.glob("*/*/readings.nc")
    assert xinit.open(path.parent).sizes["step"] < whole.sizes["step"]
    found = run(tmp_path)
    for name in NAMES:
        np.testing.assert_array_equal(found[name], whole[name], strict=True)


def test_a_population_has_those_of_each_run(whole, tmp_path):
    settings = SMALL | OWN | {"population.strategy": "vmap"}
    sweep = xinit.sweep({"seed": [0, 1, 2]}, out=str(tmp_path), progress=False, **settings)
    assert sweep.answers.dims == ("replica", "step", "label", "answer")
    assert sweep.peak.attrs["long_name"] == whole.peak.attrs["long_name"]
    for name in NAMES:
        np.testing.assert_allclose(sweep[name][0], whole[name], rtol=1e-3, atol=1e-5)
    assert not np.array_equal(sweep.spread[0], sweep.spread[1])
    assert list(xinit.frame(sweep, "layer")[["seed", "peak"]].dropna().seed.unique()) == [0, 1, 2]


def test_runs_that_differ_in_them_share_a_sweep_and_no_program(whole, tmp_path):
    """A run without a reading has nan; what was swept and is called as a reading gets another name."""
    (tmp_path / "more_readings.py").write_text(
        "def rates(*_):\n    return {'learning_rate': 1.0, 'rows': [1, 2, 3, 4]}\n"
    )
    sys.path.insert(0, str(tmp_path))
    own = [["my_readings:per_layer"], ["more_readings:rates"]]
    swept = {"optimizer.learning_rate": [0.1, 0.2], "probe.extra": own}
    sweep = xinit.sweep(swept, out=str(tmp_path / "runs"), progress=False, **SMALL)
    sys.path.remove(str(tmp_path))
    lacking = np.array(["more" in text for text in sweep.extra.values])
    assert lacking.sum() == 2
    assert np.isnan(sweep.peak[lacking]).all()
    assert np.isfinite(sweep.spread[~lacking]).any(axis=1).all()
    assert sweep.rows.dims == ("replica", "step", "rows_0")
    assert sorted(sweep.swept_learning_rate.values) == [0.1, 0.1, 0.2, 0.2]
    np.testing.assert_array_equal(np.isfinite(sweep.learning_rate[:, 0]), lacking)


def test_an_edited_function_is_another_run(whole, my_readings, tmp_path):
    config = parse(compose("train", overrides_from(SMALL | OWN | {"out": str(tmp_path)})))
    assert path_of(config).name == whole.attrs["run"]
    path = my_readings / "my_readings.py"
    path.write_text(MODULE.replace("jnp.max(h)", "jnp.min(h)"))
    edited = path_of(config).name
    path.write_text(MODULE)
    assert edited != whole.attrs["run"]


def test_an_inspection_has_them_of_each_network(tmp_path):
    config = parse(compose("train", overrides_from(SMALL | OWN | {"out": str(tmp_path)})))
    found = inspect_config(config, 3)
    assert {name: values.shape for name, values in found.extra_measured.items()} == {
        "peak": (3, 2),
        "spread": (3,),
        "answers": (3, 10, 10),
    }


def test_trackers_get_them_by_their_places():
    extra = {"peak": (("layer",), ""), "spread": ((), ""), "answers": (("label", "answer"), ""), "many": (("x",), "")}
    row = {"step": np.int64(7), "peak": np.array([[1.0, np.nan]]), "spread": np.ones(1),
           "answers": np.arange(6.0).reshape(1, 2, 3), "many": np.ones((1, MOST_NUMBERS + 1))}  # fmt: skip
    scalars = point_of(row, {}, 0, extra).scalars
    answers = {f"answers/label {i} answer {j}": 3.0 * i + j for i in range(2) for j in range(3)}
    assert scalars == {"peak/layer 1": 1.0, "spread": 1.0} | answers


def described(**others):
    return record.DESCRIBED | {"peak": (("step", "layer"), "a peak"), **others}


STRANGE = {  # the names that a file says are the user's, what it describes, and how it was damaged
    "a path": ("/peak", described()),
    "a path that leads elsewhere": ("a/../peak", described()),
    "our name": ("act_std", described()),
    "no array": ("nowhere", described()),
    "an axis of ours of another length": ("peak", described(act_std=(("step", "units"), ""))),
    "without steps": ("peak", described(peak=(("label", "layer"), ""))),
    "an axis that cannot be": ("peak", described(peak=(("step", "path"), ""))),
}


@pytest.mark.parametrize(("names", "labels"), STRANGE.values(), ids=STRANGE)
def test_what_a_stranger_calls_a_reading_of_his_is_refused(tmp_path, names, labels):
    arrays = {"step": np.arange(3), "peak": np.ones((3, 4)), "act_std": np.ones((3, 4))}
    if "units" in labels["act_std"][0]:
        arrays["act_std"] = np.ones((3, 2))
    (tmp_path / "readings.nc").write_bytes(netcdf.encode(arrays, labels, {"extra": names}))
    with pytest.raises(InputError, match=r"readings.nc (cannot be read|is no file of readings)"):
        xinit.open(tmp_path)


def test_what_a_file_does_not_call_so_is_left_out(tmp_path):
    (tmp_path / "readings.nc").write_bytes(
        netcdf.encode({"step": np.arange(3), "peak": np.ones((3, 2))}, described(), {})
    )
    assert set(xinit.open(tmp_path).data_vars) == set()
