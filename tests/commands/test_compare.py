"""The fair comparison: its command line, its protocol, and its statistics on real training runs."""

import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from xinit import compare
from xinit.analysis import comparison
from xinit.analysis.comparison import Comparison, Trial
from xinit.analysis.finding import Finding
from xinit.analysis.outcomes import Outcome
from xinit.commands import cli, comparing, sweeping
from xinit.core.errors import InputError
from xinit.runs import record
from xinit.settings.compose import compose
from xinit.settings.parse import parse
from xinit.training.population import Population, choose_strategy, stream_count
from xinit.training.problem import initial_run, load, plan

SMALL = ["data=synthetic", "width=16", "depth=2", "steps=100", "probe=economy", "probe.points=4", "data.test=1000",
         "data.valid=1000"]  # fmt: skip
MINE = "def my_init(key, shape, dtype):\n    import jax\n    return 0.001 * jax.random.normal(key, shape, dtype)\n"


@pytest.mark.slow
def test_a_scheme_of_ones_own_among_ours(tmp_path, monkeypatch, capsys):
    (tmp_path / "of_a_user.py").write_text(MINE)
    arguments = ["schemes=[of_a_user:my_init,xavier]", "learning_rates=[0.1,0.3]", "score_seeds=5", "search_seeds=1"]
    command = [sys.executable, "-m", "xinit.compare", *SMALL, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == cli.DONE, done.stderr
    assert "xavier beats of_a_user:my_init by" in done.stdout
    assert "the highest of the grid" in done.stdout
    (folder,) = tmp_path.glob("runs/comparisons/*")
    names = [
        "comparison.pdf",
        "comparison.png",
        "conclusions.txt",
        "differences.csv",
        "runs.csv",
        "schemes.csv",
        "table.tex",
    ]
    assert sorted(path.name for path in folder.iterdir()) == names
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    runs = [record.read_json(path) for path in tmp_path.glob("runs/*/*/summary.json")]
    assert len(runs) == 2 * 2 * 1 + 2 * 5
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["xinit.compare", *SMALL, *arguments])
    assert compare.main() == cli.DONE
    assert capsys.readouterr().out.count("are done already") == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["schemes=[xavier]"], "at least two different schemes"),
        (["schemes=[xavier,xavier]"], "at least two different schemes"),
        (["schemes=[xavier,nix]"], "Unknown scheme 'nix'"),
        (["scheme=he"], "a comparison takes a list"),
        (["learning_rates=[0.1,-1]"], "different numbers above 0"),
        (["score_seeds=1"], "score_seeds is 1; it must be a whole number, at least 2"),
        (["init_seed=3"], "a comparison counts its seeds from seed"),
        (["depth=0"], "depth is 0"),
    ],
)
def test_a_mistake_is_one_sentence_before_any_work(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["xinit.compare", *SMALL, *arguments])
    assert compare.main() == cli.BAD_INPUT
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.startswith("xinit: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([("OK", "chance"), ("WARN", "early")], False),
        ([("WARN", "early"), ("WARN", "early")], True),
        ([("FAIL", "chance"), ("WARN", "early"), ("FAIL", "diverged")], True),
        ([("FAIL", "chance"), ("FAIL", "diverged")], False),  # long enough to tell
    ],
)
def test_a_comparison_is_too_short_where_no_run_has_left_chance_and_some_had_no_time_to(found, told):
    summary = {"steps": 10, "examples": 100, "learning_rate": 0.1, "sound_examples": 5_000}
    config = parse(compose("train", ["data=synthetic"]))
    outcomes = [
        Outcome(config, pathlib.Path(), "done", summary, [Finding("OK", "signal", ""), Finding(*finding, "")], {})
        for finding in found
    ]
    assert comparing._tell(outcomes) == (2_000 if told else None)


def test_no_seed_serves_both_the_search_and_the_score():
    raw = {"schemes": ["a", "b"], "learning_rates": [0.3, 0.1], "search_seeds": 2, "score_seeds": 3, "seed": 7}
    protocol, rest = comparing.take_protocol(raw | {"init_seed": 7, "data_seed": 7})
    assert (list(protocol.seeds_of_search), list(protocol.seeds_of_score)) == ([7, 8], [9, 10, 11])
    assert protocol.learning_rates == (0.1, 0.3)
    assert "schemes" not in rest
    with pytest.raises(InputError, match="search_seeds is 0"):
        comparing.take_protocol(raw | {"init_seed": 7, "data_seed": 7, "search_seeds": 0})


@pytest.fixture(scope="module")
def errors():
    """Test errors of 1,600 real runs of one scheme that differ in their seeds alone."""
    n = 1600
    raw = compose("train", [*SMALL, "scheme=xavier", "optimizer.learning_rate=0.3", "probe=off"])
    configs = sweeping.parse_all([raw | {"init_seed": seed, "data_seed": seed} for seed in range(n)])
    planned = plan(configs)
    data = load(planned)
    runs = [initial_run(planned, i, data) for i in range(n)]
    keys = [tuple(jax.random.key_data(run.data_key).tolist()) for run in runs]
    strategy = choose_strategy("map", planned.problem, 2)
    population = Population(planned.problem, data, strategy, n, stream_count(keys, 2))
    arrays = jax.tree.map(lambda *a: np.stack(a), *[(run.params, run.state, run.hyper) for run in runs])
    params, network_state, hyper = population.place(arrays)
    state = population.start(params, network_state, hyper)
    arguments = (*population.streams(keys), hyper, population.data, np.int32(0), np.int32(100))
    state = population.segment(state, *arguments)
    return population.take(population.evaluate(state.params, state.state, population.data))["test_error"].astype(float)


def difference(errors_a, errors_b, planted=0.0):
    seeds = range(1000, 1000 + len(errors_a))
    scores = [Trial("a", 0.1, seed, error, False) for seed, error in zip(seeds, errors_a, strict=True)]
    scores += [Trial("b", 0.1, seed, error + planted, False) for seed, error in zip(seeds, errors_b, strict=True)]
    found = Comparison("", 0.9, "", ("a", "b"), (0.1,), (), tuple(scores), {})
    return comparison.differences(found)[0]


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.heavy
def test_a_scheme_compared_with_itself_covers_zero_and_a_planted_difference_is_found(errors, n):
    """100 comparisons on seeds of their own: no difference in 90 to 99, and one of 3 points in the pooled seeds."""
    groups = errors[: 200 * n].reshape(100, 2, n)
    covered = sum(not difference(a, b).real for a, b in groups)
    assert 90 <= covered <= 99
    found = [difference(a, b, planted=0.03) for a, b in groups]
    assert np.mean([own.interval.low <= -0.03 <= own.interval.high for own in found]) >= 0.9
    pooled = difference(groups[:10, 0].ravel(), groups[:10, 1].ravel(), planted=0.03)
    assert pooled.real
    assert pooled.interval.high < 0
