"""Training many configs at once: grids, choices, scores on fresh seeds, and training that is stopped early."""

import numpy as np
import pytest

from experiments import runs
from experiments.runs import Result, Run
from experiments.study import Place
from xinit.core.errors import InputError

pytestmark = pytest.mark.usefixtures("compile_quickly")
SMALL = {"data": "synthetic", "activation": "linear", "depth": 2, "width": 8, "steps": 20}
HUGE = 1e30  # a learning rate at which every run diverges


def configs(out, stop_after=None, **more):
    place = Place(out, None, stop_after)
    return {name: runs.config(f"test-{name}", {**SMALL, **more, "scheme": name}, place) for name in ("he", "xavier")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two models at two rates, one of them hopeless, on two seeds; and the folder."""
    out = tmp_path_factory.mktemp("runs")
    return runs.train(runs.grid(configs(out, probe="economy"), [0.1, HUGE], range(2))), out


@pytest.mark.heavy
def test_a_run_that_diverged_has_the_error_of_chance(trained):
    results, _ = trained
    assert len(results) == 8
    for run, result in results.items():
        assert result.diverged == (run.rate == HUGE)
        assert 0 < result.valid <= 100
        assert (result.valid == result.test == result.chance) == result.diverged
    assert results["he", 0.1, 0].updates == 20


@pytest.mark.heavy
def test_each_model_is_shown_at_its_best_rate(trained):
    results, _ = trained
    shown = runs.at_best_rate(results)
    assert list(shown) == ["he", "xavier"]
    own = shown["he"]
    assert (own["rate"], own["edge"], own["runs"], own["diverged"]) == (0.1, "lowest", 4, 2)
    assert own["test"] == [results["he", 0.1, seed].test for seed in range(2)]
    assert own["valid"]["0.1"] == pytest.approx(np.mean([results["he", 0.1, seed].valid for seed in range(2)]))
    assert own["valid"]["1e+30"] == own["chance"]


@pytest.mark.heavy
def test_courses_go_as_far_as_all_that_did_not_diverge(trained):
    results, _ = trained
    of = lambda *rates: [result for run, result in results.items() if run.model == "he" and run.rate in rates]
    found = runs.courses(of(0.1, HUGE), ["valid_error", "act_std"])
    assert found["step"][0] == 0
    assert found["step"][-1] == 20
    assert np.shape(found["valid_error"]) == (2, len(found["step"]))
    assert np.shape(found["act_std"]) == (2, len(found["step"]), 2)
    assert np.shape(runs.courses(of(HUGE), ["valid_error"])["valid_error"])[0] == 2  # all diverged: those


@pytest.mark.heavy
def test_scores_are_of_fresh_seeds_and_nothing_is_trained_twice(trained, capsys):
    results, out = trained
    search, scores = runs.search_and_score(configs(out, probe="economy"), [0.1, HUGE], range(2), [7])
    assert list(scores) == [Run("he", 0.1, 7), Run("xavier", 0.1, 7)]
    assert {run: result.test for run, result in search.items()} == {run: one.test for run, one in results.items()}
    assert "2 runs" in capsys.readouterr().out
    shown = runs.at_best_rate(search, scores)["he"]
    assert shown["test"] == [scores["he", 0.1, 7].test]
    assert (shown["runs"], shown["diverged"]) == (5, 2)
    same = [runs.train(runs.grid({"he": configs(out)["he"]}, [0.1], [0])) for _ in range(2)]
    assert same[0]["he", 0.1, 0].test == same[1]["he", 0.1, 0].test


@pytest.mark.heavy
def test_training_that_was_stopped_early_says_so_and_goes_on(tmp_path):
    search, scores = runs.search_and_score(configs(tmp_path, "10"), [0.1], range(1), [7])
    assert scores == {}
    assert {result.test for result in search.values()} == {None}
    assert runs.at_best_rate(search)["he"]["test"] is None
    progress = runs.progress(search, 20)
    assert progress == {"steps": 20, "done": 10}
    assert runs.unfinished(progress).why == "stopped after 10 of 20 updates"
    search, scores = runs.search_and_score(configs(tmp_path), [0.1], range(1), [7])
    assert runs.unfinished(runs.progress(search | scores, 20)) is None
    assert runs.unfinished({"no": "training"}) is None


@pytest.mark.heavy
def test_halving_leaves_the_worse_rates_behind_and_trains_the_best_as_if_alone(tmp_path):
    models = configs(tmp_path / "halved", probe="economy", **{"probe.schedule": "linear", "probe.points": 5})
    asked = runs.grid(models, [1e-6, 0.1, HUGE], range(1))
    rungs = [(5, 2), (10, 1)]
    final, left = runs.train_halving(asked, rungs)
    assert {run[:2] for run in final} == {("he", 0.1), ("xavier", 0.1)}
    assert {run.rate: result.updates for run, result in left.items()} == {HUGE: 5, 1e-6: 10}
    alone = runs.train(runs.grid(configs(tmp_path / "alone"), [0.1], range(1)))
    assert {run: result.test for run, result in final.items()} == {run: one.test for run, one in alone.items()}
    again, left_again = runs.train_halving(asked, rungs)
    assert {run: result.test for run, result in again.items()} == {run: result.test for run, result in final.items()}
    assert left_again.keys() == left.keys()


@pytest.mark.heavy
def test_halving_that_is_stopped_below_a_rung_leaves_nothing_behind(tmp_path):
    asked = runs.grid(configs(tmp_path, "3", probe="economy"), [0.01, 0.1], range(1))
    final, left = runs.train_halving(asked, [(5, 1)])
    assert (len(final), left) == (4, {})
    assert runs.progress(final, 20) == {"steps": 20, "done": 3}


def test_runs_that_diverged_do_not_count_as_unfinished():
    lost, done = Result(90, 90, 90, True, 3, {}), Result(20, 20, 90, False, 20, {})
    assert runs.progress({"a": lost, "b": done}, 20) == {"steps": 20, "done": 20}
    assert runs.progress({"a": lost}, 20) == {"steps": 20, "done": 20}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"widht": 8}, "widht"),
        ({"scheme": "nix"}, "Unknown scheme 'nix'"),
        ({"activation": "tahn"}, "Unknown activation 'tahn'; did you mean tanh?"),
        ({"data": "mnist"}, "/nowhere/at/all"),
    ],
)
def test_a_wrong_config_is_said_before_any_work(tmp_path, settings, words):
    def prepare():
        asked = runs.config("test", SMALL | settings, Place(tmp_path, "/nowhere/at/all"))
        runs.check(runs.grid({"one": asked}, [0.1], [0]))

    with pytest.raises(InputError, match=words):
        prepare()
    assert not list(tmp_path.iterdir())


def test_data_in_a_folder_need_it(tmp_path):
    assert runs.lacks_data("mnist", Place(tmp_path)) == runs.NO_DATA
    assert runs.lacks_data("mnist", Place(tmp_path, "folder")) is None
    assert runs.lacks_data("shapeset", Place(tmp_path)) is None


def test_a_scheme_has_its_options():
    assert runs.scheme("he", {"fan": "out"})["fan"] == "out"
    assert runs.scheme("mine:factory", {"a": 1}) == {"fn": "mine:factory", "gain": 1.0, "kwargs": {"a": 1}}
