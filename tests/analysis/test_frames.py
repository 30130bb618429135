"""Runs and sweeps as pandas tables and as figures: what is shown is what was stored."""

import dataclasses
import inspect
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import xinit
from xinit.analysis import sweeps
from xinit.analysis.figures import sweep_lines
from xinit.analysis.verdict import Finding
from xinit.commands import sweeping
from xinit.runs.run_directory import RunDirectory
from xinit.settings.compose import compose_many, overrides_from

CHANCE = 0.8
STEPS = {3: [0, 5, 50], 5: [0, 10, 100]}  # by depth


def made_run(config, path, i, error, diverged_at):
    """An outcome of a run that was never trained: random readings, the test error that is asked for."""
    rng, depth = np.random.default_rng(i), len(config.widths)
    steps = np.array([step for step in STEPS[depth] if step < (diverged_at or np.inf)])
    drawn = lambda *shape: rng.uniform(0.1, 0.9, (len(steps), *shape)).astype(np.float32)
    readings = {name: drawn(depth) for name in ("act_mean", "act_std", "act_slope", "grad_pre_mean", "grad_pre_std")}
    readings |= {"act_inactive": np.full((len(steps), depth), np.nan), "update_ratio": drawn(depth + 1), "step": steps}
    readings |= {"train_error": drawn(), "valid_error": drawn(), "act_rms_predicted": rng.uniform(0.1, 0.9, depth)}
    summary = dict.fromkeys(("test_error", "valid_error", "test_loss"), None if diverged_at else error)
    summary |= {"chance_error": CHANCE, "diverged_at": diverged_at, "verdict": "WARN: it is made up.", "name": "made"}
    found = [Finding("WARN", "learned", "it is made up.")]
    return SimpleNamespace(config=config, path=path, readings=readings, summary=summary, findings=found, extra={})


def made_sweep(out, jobs, errors, diverged=()):
    """Outcomes and the folder of their sweep; the runs whose numbers are in `diverged` did so at step 7."""
    shared = {"data": "synthetic", "width": 8, "depth": 3, "out": str(out)}
    configs = sweeping.parse_all(compose_many("train", [overrides_from(shared | job) for job in jobs]))
    facts = zip(configs, errors, strict=True)
    runs = [made_run(one, out / f"run{i}", i, e, 7 if i in diverged else None) for i, (one, e) in enumerate(facts)]
    return runs, sweeps.write(runs)


RATES = [{"scheme": scheme, "optimizer.learning_rate": rate, "seed": seed}
         for scheme in ("standard", "he") for rate in (0.01, 0.1, 1.0) for seed in (0, 1)]  # fmt: skip
ERRORS = [0.7, 0.72, 0.6, 0.5, 0.75, 0.74, 0.3, 0.34, 0.4, 0.44, 0.2, 0.1]


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    """Two schemes at three learning rates with two seeds each; of He's best rate a run diverged."""
    return made_sweep(tmp_path_factory.mktemp("rates"), RATES, ERRORS, diverged=(10,))


@pytest.fixture(scope="module")
def depths(tmp_path_factory):
    jobs = [{"depth": depth, "seed": seed} for depth in (3, 5) for seed in (0, 1, 2)]
    return made_sweep(tmp_path_factory.mktemp("depths"), jobs, [0.1, 0.2, 0.3, 0.5, 0.6, 0.7])


@pytest.fixture(scope="module")
def run(tmp_path_factory, depths):
    """The folder of a run."""
    path, outcome = tmp_path_factory.mktemp("run"), depths[0][0]
    directory = RunDirectory(path)
    directory.write_readings(outcome.readings, {"name": "made"})
    directory.write_json("summary.json", outcome.summary)
    return path


# ---- tables


def test_a_row_for_each_run(rates):
    runs, path = rates
    table = xinit.frame(path)
    assert list(table.columns)[:3] == ["seed", "scheme", "learning_rate"]
    assert [tuple(row) for row in table[["scheme", "learning_rate", "seed"]].values] == [
        tuple(j.values()) for j in RATES
    ]
    expected = [np.nan if i == 10 else error for i, error in enumerate(ERRORS)]
    np.testing.assert_array_equal(table.test_error, expected)
    assert list(table.diverged_at.dropna()) == [7]
    assert set(table.verdict) == {"WARN"}
    assert list(table.path) == [str(outcome.path) for outcome in runs]


@pytest.mark.parametrize(
    ("by", "axes", "name"),
    [("step", [], "valid_error"), ("layer", ["layer"], "act_std"), ("weight", ["weight"], "update_ratio")],
)
def test_a_row_for_each_step_layer_or_weight_that_a_run_has(depths, by, axes, name):
    runs, path = depths
    table = xinit.frame(path, by)
    assert list(table.columns)[: 3 + len(axes)] == ["seed", "depth", "step", *axes]
    assert len(table) == sum(outcome.readings[name].size for outcome in runs)
    for outcome, (_, own) in zip(runs, table.groupby(["depth", "seed"]), strict=True):
        assert list(own.step.unique()) == list(outcome.readings["step"])
        np.testing.assert_array_equal(own[name], outcome.readings[name].ravel())


def test_a_run_is_a_table_of_its_layers(run, depths):
    table, stored = xinit.frame(run), depths[0][0].readings
    assert list(table.columns[:2]) == ["step", "layer"]
    np.testing.assert_array_equal(table.act_std, stored["act_std"].ravel())
    np.testing.assert_array_equal(table.layer, np.tile([1, 2, 3], 3))
    assert not set(table.columns) & {"act_rms_predicted", "valid_error", "update_ratio"}  # of other axes
    pd.testing.assert_frame_equal(table, xinit.frame(xinit.open(run), "layer"))
    alone = xinit.frame(run, "run")
    assert (len(alone), alone.test_error[0], alone.verdict[0], alone.path[0]) == (1, 0.1, "WARN", str(run))


def test_a_run_picked_from_a_sweep_is_a_run(rates):
    picked = xinit.open(rates[1]).isel(replica=3)
    assert xinit.frame(picked, "run").equals(xinit.frame(rates[1]).iloc[[3]].reset_index(drop=True))
    np.testing.assert_array_equal(xinit.frame(picked).act_std, rates[0][3].readings["act_std"].ravel())


def test_a_sweep_of_which_no_run_is_over_is_said_to_be_one(rates, tmp_path):
    unfinished = [SimpleNamespace(**vars(rates[0][i]) | {"summary": {}, "findings": []}) for i in (0, 1)]
    for one in unfinished:
        one.config = dataclasses.replace(one.config, out=str(tmp_path))
    with pytest.raises(xinit.InputError, match="a sweep of which no run is over"):
        xinit.figure(sweeps.write(unfinished))


def test_a_table_survives_a_csv_file(depths, tmp_path):
    table = xinit.frame(depths[1], "layer")
    table.to_csv(tmp_path / "layers.csv", index=False)
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "layers.csv"), check_dtype=False)


@pytest.mark.parametrize(
    ("source", "by", "words"),
    [
        ("run", "layers", "Unknown by='layers'; did you mean layer?"),
        ("run", "jacobian", "no readings by jacobian; a run measures them with probe=full"),
        ("nowhere", None, "nowhere is no run directory"),
        (7, None, "source is 7; it must be the folder of a run or a sweep"),
    ],
)
def test_what_cannot_be_a_table_is_said(run, source, by, words):
    with pytest.raises(xinit.InputError, match=words.replace("?", r"\?")):
        xinit.frame(run if source == "run" else source, by)


@pytest.mark.parametrize("function", [xinit.frame, xinit.figure])
def test_the_examples_run(function, rates, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    block = inspect.cleandoc(function.__doc__).split("\n\n")[1]
    source = inspect.cleandoc(block).replace("runs/shapeset-tanh-5x256-xavier/...", str(run))
    exec(source, {"xinit": xinit, "sweep": xinit.open(rates[1]), "run": xinit.open(run)})
    assert len(list(tmp_path.iterdir())) == 1


# ---- figures


def panel(figure, title):
    (axes,) = [axes for axes in figure.axes if axes.get_title().startswith(title)]
    return axes


def bars(axes):
    """The lines of means with their intervals: label to (x, y)."""
    return {bar.get_label(): bar.lines[0].get_data() for bar in axes.containers}


def test_a_tuned_sweep_is_drawn_over_its_learning_rate(rates):
    runs, path = rates
    figure = xinit.figure(path)
    assert isinstance(figure, Figure)
    errors, chance = np.array(ERRORS), 100 * CHANCE
    errors[10] = CHANCE  # diverged
    for label, own in (("standard", slice(0, 6)), ("he", slice(6, 12))):
        mean = 100 * errors[own].reshape(3, 2).mean(1)
        np.testing.assert_allclose(bars(panel(figure, "test error"))[label][1], mean)
    rings = [line.get_ydata()[0] for line in panel(figure, "test error").lines if line.get_markersize() == 10]
    np.testing.assert_allclose(rings, [55, 32])  # the best rate; not the one where a run diverged
    curves = [line.get_ydata() for line in panel(figure, "validation error").lines[:2]]
    for curve, chosen in zip(curves, [(2, 3), (6, 7)], strict=True):
        expected = 100 * np.mean([runs[i].readings["valid_error"] for i in chosen], axis=0)
        np.testing.assert_allclose(curve, expected, rtol=1e-6)
    assert panel(figure, "test error").lines[-1].get_ydata()[0] == pytest.approx(chance)
    assert "crosses: diverged" in figure.get_supxlabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["standard", "he"]


@pytest.mark.parametrize(("title", "name"), [("rms of the activations", "act"), ("rms of dL/dz", "grad_pre")])
def test_over_depths_the_largest_is_shown_layer_by_layer(depths, title, name):
    runs, path = depths
    figure = xinit.figure(path)
    (errors,) = bars(panel(figure, "test error")).values()
    np.testing.assert_allclose(np.array(errors, float), [[3, 5], [20, 60]])
    own = [np.hypot(one.readings[f"{name}_mean"][0], one.readings[f"{name}_std"][0]) for one in runs[3:]]
    ((layers, mean),) = bars(panel(figure, title)).values()
    np.testing.assert_array_equal(layers, [1, 2, 3, 4, 5])
    np.testing.assert_allclose(mean, np.mean(own, axis=0), rtol=1e-6)
    broad = [line.get_ydata() for line in panel(figure, title).lines if line.get_linewidth() == 5]
    assert len(broad) == (name == "act")
    for theory in broad:
        np.testing.assert_allclose(theory, runs[3].readings["act_rms_predicted"])


def test_settings_that_are_no_numbers_stand_side_by_side(tmp_path, monkeypatch):
    """Where lines are too many the best are shown, best first, and all are counted."""
    monkeypatch.setattr(sweep_lines, "MOST", 3)
    jobs = [{"scheme": scheme, "activation": f} for scheme in ("standard", "he") for f in ("tanh", "relu")]
    figure = xinit.figure(made_sweep(tmp_path, jobs, [0.5, 0.3, 0.6, 0.2])[1])
    labels = [text.get_text() for text in panel(figure, "test error").get_xticklabels()]
    assert labels == ["he, relu", "standard, relu", "standard, tanh"]
    assert "of 4 lines the 3 of the least validation error" in figure.get_supxlabel().replace("\n", " ")
    looks = {(line.get_color(), line.get_marker()) for line in panel(figure, "validation error").lines}
    assert len(looks) == 4  # with chance


def test_where_layers_were_not_measured_errors_are_drawn(rates, run):
    sweep = xinit.open(rates[1])
    figure = xinit.figure(sweep.drop_vars([name for name in sweep if name.startswith(("act_", "grad_", "valid_"))]))
    assert [axes.get_title() for axes in figure.axes] == ["test error, %"]
    with pytest.raises(xinit.InputError, match="no readings by layer to draw; a run measures them with probe=economy"):
        xinit.figure(xinit.open(run).drop_vars("act_std"))


@pytest.mark.heavy
def test_a_notebook_shows_a_figure_by_itself_and_pyplot_has_no_part_in_it(run):
    code = f"import sys, xinit; png = xinit.figure({str(run)!r})._repr_png_(); assert png.startswith(b'\\x89PNG')"
    code += "; assert not {'matplotlib.pyplot', 'jax'} & set(sys.modules), 'loaded'"
    subprocess.run([sys.executable, "-c", code], check=True)
