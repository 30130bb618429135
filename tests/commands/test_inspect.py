"""`python -m xinit.inspect`: prediction beside measurement, the verdict, and the exit code that guards a pipeline."""

import json
import sys

import numpy as np
import pytest

import xinit
from xinit import inspect
from xinit.analysis.figures import inspection as inspection_figures
from xinit.commands import cli, inspection_table
from xinit.core.errors import InputError
from xinit.settings.compose import compose
from xinit.settings.parse import parse
from xinit.training import inspection

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
QUICK = ["width=64", "seeds=4", "data.valid=50", "data.test=50", "probe.examples=50", "figure=false"]


def inspected(tmp_path, monkeypatch, capsys, *arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["xinit.inspect", *QUICK, *arguments])
    code = inspect.main()
    return code, *capsys.readouterr()


def configured(*overrides):
    return parse(compose("train", ["data.valid=50", "data.test=50", "probe.examples=50", *overrides]))


HE = 'kernel_init=nn.initializers.variance_scaling(2.0, "fan_in", "normal") (scheme=he)'


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["scheme=he", "activation=relu", "depth=30"], cli.DONE, ["the gradient keeps its size over depth"]),
        (["scheme=xavier", "activation=relu", "depth=50"], cli.FAILED, ["the signal vanishes", f"Try {HE}"]),
        (
            ["scheme=standard", "activation=sigmoid"], cli.FAILED,
            ["the gradient vanishes over depth", "but networks drawn so fail: layers 2, 3", "Try activation=tanh with"],
        ),
        (
            ["scheme=constant", "scheme.value=0.01", "activation=relu", "depth=3"], cli.FAILED,
            ["layers 1, 2, 3 are made of copies", f"Try {HE}"],
        ),
        (["scheme=xavier", "depth=8"], cli.DONE, ["WARN", "the signal fades"]),
        (["scheme=xavier", "depth=8", "strict=true"], cli.WARNED, ["WARN"]),
        (["scheme=he", "activation=relu", "depth=10", "width=4", "seeds=16"], cli.FAILED,
         ["of such networks are born dead", "no band and no z"]),
        (["scheme=he", "scheme.gain=1.0e+9", "activation=relu"], cli.FAILED, ["zero or not finite", f"Try {HE}"]),
    ],
)  # fmt: skip
def test_the_verdict_and_the_exit_code(tmp_path, monkeypatch, capsys, arguments, code, words):
    came, out, errors = inspected(tmp_path, monkeypatch, capsys, *arguments)
    assert came == code, out
    assert all(word in out.replace("\n", " ") for word in words), out
    assert errors == ""
    (folder,) = (tmp_path / "runs" / "inspections").iterdir()
    assert json.loads((folder / "inspection.json").read_text())["verdict"].partition(":")[0] in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["depth=1"], "depth is 1; a slope over depth needs at least 2 hidden layers"),
        (["seeds=1"], "seeds is 1; it must be a whole number, at least 2"),
        (["scheme=hee"], "did you mean he?"),
        (["dept=3"], "Unknown setting dept; did you mean depth?"),
        (["scheme=custom", "scheme.fn=nobody.there:init"], "there is no module 'nobody.there'"),
    ],
)
def test_a_mistake_is_one_sentence_before_any_work(tmp_path, monkeypatch, capsys, arguments, words):
    code, out, errors = inspected(tmp_path, monkeypatch, capsys, *arguments)
    assert (code, out) == (cli.BAD_INPUT, "")
    assert errors.startswith("xinit: ")
    assert words in errors
    assert not list(tmp_path.iterdir())


def test_inputs_that_are_not_finite_are_refused(monkeypatch):
    config = configured("depth=2", "width=8", "data=synthetic")
    planned, data = inspection.prepare(config)
    data["probe"] = data["probe"]._replace(x=data["probe"].x.at[0, 0].set(np.nan))
    with pytest.raises(InputError, match="infinite or not numbers"):
        inspection.examples(planned.problem, data)


@pytest.fixture(scope="module")
def found():
    return inspection.inspect_config(configured("depth=6", "width=64", "scheme=xavier", "profile=grow"), 8)


def test_prediction_and_measurement_agree_and_a_planted_error_shows(found):
    for name in ("pre_second", "act_second", "grad_pre_second"):
        assert np.nanmax(np.abs(found.scores[name])) < 5, name
    np.testing.assert_allclose(
        np.mean(found.measured["act_slope"], axis=0), found.prediction.values["act_slope"], rtol=0.1
    )
    halved = found.prediction._replace(networks={name: v / 2 for name, v in found.prediction.networks.items()})
    assert inspection._score(halved, "act_second", found.measured["act_second"]).min() > 5


def test_there_is_no_score_without_a_band(found):
    assert np.isnan(found.scores["act_cosine"]).all()
    unbounded = found.prediction._replace(
        networks={n: np.full_like(v, np.nan) for n, v in found.prediction.networks.items()}
    )
    assert np.isnan(inspection._score(unbounded, "act_second", found.measured["act_second"])).all()
    rows = inspection_table.rows(
        found._replace(prediction=unbounded, scores={n: v * np.nan for n, v in found.scores.items()})
    )
    assert all(row["act z"] == "" and "±" not in row["act pred."] for row in rows)


@pytest.mark.slow
def test_gelu_under_he_at_depth_30_is_foreseen():
    """Its fixed point repels: sizes of networks differ a hundredfold, and none is what the mean leads to."""
    found = inspection.inspect_config(configured("scheme=he", "activation=gelu", "depth=30", "width=128"), 8)
    for name in ("act_second", "grad_pre_second"):
        low, high = found.prediction.interval(name)
        assert np.mean((low <= found.measured[name]) & (found.measured[name] <= high)) > 0.8, name
    assert (found.prediction.interval("act_second")[1] / found.prediction.interval("act_second")[0])[15] > 100


def test_the_table_has_a_row_a_layer_and_the_figure_a_panel_a_quantity(found, tmp_path):
    rows = inspection_table.rows(found)
    assert [row["layer"] for row in rows] == list("123456")
    assert all("±" in row["act pred."] and "±" in row["act meas."] and row["act z"] for row in rows)
    assert [len(axes.lines) > 0 for axes in inspection_figures.figure(found, "title").axes] == [True] * 6
    inspection_figures.write(tmp_path / "there", found, "title", draw=True)
    import xarray

    with xarray.open_dataset(tmp_path / "there" / "inspection.nc", engine="h5netcdf") as dataset:
        assert dict(dataset.sizes) == {"layer": 6, "weight": 7, "jacobian": 5, "seed": 8}
        assert bool((dataset.act_second_low < dataset.act_second_high).all())


def test_a_prediction_from_python_is_that_of_the_inspection(found):
    data = {"valid": 50, "test": 50}
    alone = xinit.predict(depth=6, width=64, scheme="xavier", profile="grow", data=data, probe={"examples": 50})
    np.testing.assert_array_equal(alone.values["grad_w_second"], found.prediction.values["grad_w_second"])


def test_weights_that_are_not_random_are_measured_only():
    found = inspection.inspect_config(configured("depth=3", "width=16", "scheme=constant"), 2)
    assert found.prediction.void == "the weights are not random"
    assert found.reach is None
    assert inspection_table.rows(found)[0]["act pred."] == ""


def test_a_scheme_without_a_law_is_predicted_from_what_it_draws():
    config = configured("depth=3", "width=64", "scheme=custom", "scheme.fn=jax.nn.initializers:he_normal",
                        "scheme.kwargs={}", "activation=relu")  # fmt: skip
    found = inspection.inspect_config(config, 4)
    assert found.source == "as drawn: the scheme states none"
    assert np.nanmax(np.abs(found.scores["act_second"])) < 5
    assert inspection.predict_config(config).values["act_second"] == pytest.approx(
        found.prediction.values["act_second"], rel=0.1
    )
