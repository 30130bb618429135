"""How the settings of a sweep fare, in one line: medians over seeds, at each one's best rate, whatever trains when."""

import numpy as np
import pytest
from rich.console import Console

from xinit.commands.console import SweepReporter
from xinit.commands.standing import Standing
from xinit.settings.compose import compose_many
from xinit.settings.parse import parse

LAST = 100


def sweep(*jobs):
    """Configs by the names of runs: "0", "1" and so on."""
    base = ["data=synthetic", f"steps={LAST}"]
    raws = compose_many("train", [[*base, *job.split()] for job in jobs])
    return {str(i): parse(raw) for i, raw in enumerate(raws)}


def line(jobs, batches, most=100):
    """The line after `batches` of (first run, step, errors); an error above 1 is that of a run that diverged."""
    standing = Standing(sweep(*jobs))
    for first, step, errors in batches:
        members = [str(first + r) for r in range(len(errors))]
        standing.add(members, step, np.array(errors), np.array(errors) > 1)
    return standing.line(most)


SEEDS = ["seed=0", "seed=1", "seed=2"]
PAIR = [f"scheme={scheme} {seed}" for scheme in ("standard", "xavier") for seed in SEEDS]
RATES = [f"optimizer.learning_rate={rate} {seed}" for rate in (0.01, 0.1) for seed in SEEDS]
BOTH = [f"scheme={scheme} {job}" for scheme in ("standard", "xavier") for job in RATES]
DEPTHS = [f"depth={depth} {seed}" for depth in (1, 2) for seed in SEEDS[:2]]


@pytest.mark.parametrize(
    ("jobs", "batches", "words"),
    [
        (PAIR, [(0, 9, [0.8, 0.82, 0.5, 0.7, 0.71, 0.9])], "valid xavier 71.0%, standard 80.0% (median of 3)"),
        (PAIR, [(0, 9, [0.1, 9, 9, 0.7, 0.7, 0.7])], "valid xavier 70.0%, standard diverged (median of 3)"),
        (BOTH, [(0, 9, [0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.6, 0.6, 0.6, 0.1, 9, 9])],
         "valid xavier 60.0%, standard 70.0% (median of 3, best rate)"),
        (RATES, [(0, 9, [0.8, 0.7, 0.7, 0.6, 0.6, 0.1])],
         "valid learning_rate=0.1 60.0%, learning_rate=0.01 70.0% (median of 3)"),
        (SEEDS, [(0, 9, [0.8, 0.7, 0.1])], "valid 70.0% (median of 3)"),
        (["seed=0"], [(0, 9, [0.8])], "valid 80.0%"),
        (["scheme=he activation=relu", "scheme=xavier"], [(0, 9, [0.8, 0.7])],
         "valid xavier activation=tanh 70.0%, he activation=relu 80.0%"),
        (DEPTHS, [(0, LAST, [0.6, 0.5]), (2, 9, [0.8, 0.9])],
         "valid depth=2 85.0%, depth=1 55.0% when done (median of 2)"),
        (DEPTHS, [(0, LAST, [0.6, 0.5]), (2, LAST, [0.5, 0.4])], "valid depth=2 45.0%, depth=1 55.0% (median of 2)"),
        (PAIR, [(0, LAST, [0.8]), (1, 9, [0.1, 0.1]), (3, LAST, [0.7, 0.6])],
         "valid xavier 65.0%, standard 80.0% (median of up to 2)"),
        (PAIR, [(0, 9, [0.8] * 6), (0, 50, [0.8, 0.8, 0.8, np.nan, 0.3, 0.3])],
         "valid xavier 30.0%, standard 80.0% (median of 3)"),
        (PAIR, [], ""),
    ],
)  # fmt: skip
def test_how_settings_fare(jobs, batches, words):
    assert line(jobs, batches) == words


@pytest.mark.parametrize(("most", "shown"), [(200, 10), (110, 6), (60, 3), (10, 1)])
def test_of_many_the_best_are_named_and_the_rest_counted(most, shown):
    jobs = [f"scheme=xavier scheme.gain={gain}" for gain in range(10, 0, -1)]
    words = line(jobs, [(0, 9, [gain / 20 for gain in range(10, 0, -1)])], most)
    assert len(words) <= most or shown == 1
    assert words.count("%") == shown
    assert words.startswith("valid gain=1 5.0%")
    assert words.endswith(f"and {10 - shown} more") or shown == 10


def test_a_line_of_progress_fits_a_terminal_and_counts_what_diverged(capsys):
    jobs = [f"scheme={scheme} {job}" for scheme in ("standard", "xavier", "he", "lecun", "orthogonal") for job in RATES]
    reporter, configs = SweepReporter(Console(width=500)), sweep(*jobs)
    reporter.begin(configs, 0, 1)
    reporter.expect(len(configs) * LAST * 8.0)
    reporter.enter(list(configs), "side by side", 8.0)
    reporter.start(configs["0"], 0, "a device")
    reporter.advance(10, 12_345.0)
    errors = np.linspace(0.9, 0.3, len(configs))
    reporter.probe(10, {"valid_error": errors}, np.arange(len(configs)) < 2, None)
    reporter.probe(20, {"train_error": errors}, np.zeros(len(configs), bool), None)
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first.startswith("step      10  valid orthogonal 32.1%, and 4 more (median of 3, best rate)  ")
    assert ("  2 diverged  370,350 steps/s, 0 s left" in first, len(first) <= 120) == (True, True)
    assert second.startswith("step      20  valid orthogonal 32.1%, ")
