"""A fair comparison of initialisation schemes: which rate each one gets, and which differences are real.

Every scheme gets the same grid of learning rates and the same budget. The rate is chosen by the validation error over
the search's seeds; the score is the test error on fresh seeds at that rate. Schemes see the same batches for a seed, so
differences are taken seed by seed. A diverged run counts with the chance error. All errors are shares: of examples
misclassified, or of the targets' variance that is left, 1 - R^2.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis.intervals import Interval, bootstrap_interval, mean_interval
from xinit.core.readings import ERROR_IS

# Below eight runs the bootstrap covers less often than Student's interval: on normal data 91 % of the time at 5 runs
# and 50 % at 2 (it cannot pass the extremes), and no more on skewed data. From eight on it does better on skewed data.
BOOTSTRAP_FROM = 8
FEW = 5  # fewer seeds than this are worth a warning: at 4 Student's factor is 3.2, at 2 it is 12.7


class Trial(NamedTuple):
    """The error of one training run; where it diverged, the chance error."""

    scheme: str
    learning_rate: float
    seed: int
    error: float
    diverged: bool


@dataclass(frozen=True)
class Comparison:
    """All that was measured: validation errors of the search, test errors of the scoring runs, and their curves.

    `curves` holds for a scheme the examples seen (T) and the validation error while training (S, T), a row for each
    scoring run, nan from where it diverged. `budget` is in words, such as "20,000 steps of 10", and `error_is` says
    what an error is. `tell` is the step by which a sound network has left chance, where no scoring run has and they
    were too short for that.

    Raises:
      ValueError: a scoring run used a seed of the search, so its score would not be fresh.
    """

    title: str
    chance: float
    budget: str
    schemes: tuple[str, ...]
    rates: tuple[float, ...]
    search: tuple[Trial, ...]
    scores: tuple[Trial, ...]
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]]
    error_is: str = ERROR_IS["labels"]
    tell: int | None = None

    def __post_init__(self) -> None:
        reused = {trial.seed for trial in self.search} & {trial.seed for trial in self.scores}
        if reused:
            raise ValueError(f"Scores need fresh seeds; {_listed(reused)} served the search too.")


class Choice(NamedTuple):
    """The learning rate of least mean validation error, that error, and the end of the grid it lies at, if any."""

    learning_rate: float
    error: float
    edge: str


class Difference(NamedTuple):
    """Test error of the first scheme minus the second's over shared seeds, and whether the interval excludes 0."""

    first: str
    second: str
    interval: Interval
    real: bool


def choose_rates(search: Iterable[Trial], schemes: Sequence[str], rates: Sequence[float]) -> dict[str, Choice]:
    """Each scheme's best rate by mean validation error; of equal ones the lower.

    >>> choose_rates(comparison.search, comparison.schemes, comparison.rates)["he"]
    Choice(learning_rate=0.3, error=0.2, edge='highest')

    Raises:
      ValueError: a scheme was not tried at some rate, so the grid was not the same for all.
    """
    errors: dict[tuple[str, float], list[float]] = {}
    for trial in search:
        errors.setdefault((trial.scheme, trial.learning_rate), []).append(trial.error)
    missing = [f"{scheme} at {rate:g}" for scheme in schemes for rate in rates if (scheme, rate) not in errors]
    if missing:
        raise ValueError(f"Every scheme needs a run at every rate; none came for {_listed(missing)}.")
    grid, choices = sorted(set(rates)), {}
    for scheme in schemes:
        means = [round(float(np.mean(errors[scheme, rate])), 12) for rate in grid]  # equal whatever the seeds' order
        best = int(np.argmin(means))
        edge = {0: "lowest", len(grid) - 1: "highest"}.get(best, "") if len(grid) > 1 else ""
        choices[scheme] = Choice(grid[best], means[best], edge)
    return choices


def score(comparison: Comparison, scheme: str) -> Interval:
    """The test error of a scheme over its fresh seeds, with Student's interval.

    >>> f"{score(comparison, 'he').mean:.1%}"
    '20.5%'
    """
    return mean_interval([trial.error for trial in comparison.scores if trial.scheme == scheme])


def differences(comparison: Comparison) -> list[Difference]:
    """Every pair of schemes, in the order given, over the seeds that both have.

    The interval is the bootstrap's from `BOOTSTRAP_FROM` seeds on, Student's below.

    >>> [(pair.first, pair.second, pair.real) for pair in differences(comparison)]
    [('he', 'xavier', True)]
    """
    by_seed: dict[str, dict[int, float]] = {scheme: {} for scheme in comparison.schemes}
    for trial in comparison.scores:
        by_seed[trial.scheme][trial.seed] = trial.error
    pairs = []
    for first, second in combinations(comparison.schemes, 2):
        seeds = sorted(by_seed[first].keys() & by_seed[second].keys())
        paired = [by_seed[first][seed] - by_seed[second][seed] for seed in seeds]
        interval = bootstrap_interval(paired) if len(paired) >= BOOTSTRAP_FROM else mean_interval(paired)
        pairs.append(Difference(first, second, interval, bool(interval.low > 0 or interval.high < 0)))
    return pairs


def winner(comparison: Comparison) -> str | None:
    """The scheme whose difference from every other one is real and in its favour, if there is one.

    >>> winner(comparison)
    'he'
    """
    lost = dict.fromkeys(comparison.schemes, 0)
    for first, second, interval, real in differences(comparison):
        lost[first] += not (real and interval.mean < 0)
        lost[second] += not (real and interval.mean > 0)
    return next((scheme for scheme in lost if len(lost) > 1 and not lost[scheme]), None)


def conclusions(comparison: Comparison) -> list[str]:
    """What the comparison has shown, what it has not, and what to beware of, a sentence each.

    >>> conclusions(comparison)[0]
    'he beats xavier by 5.0 points [3.8, 6.2] (n = 3 seeds, paired)'
    """
    pairs = differences(comparison)
    sentences = [_sentence(pair) for pair in sorted(pairs, key=lambda pair: not pair.real)]
    notes = _level_notes(pairs) + _edge_notes(comparison) + _diverged_notes(comparison)
    return _early_notes(comparison) + sentences + notes


def _early_notes(comparison: Comparison) -> list[str]:
    if comparison.tell is None:
        return []
    still = f"no run has left chance after {comparison.budget}"
    return [f"too early to tell: {still}; by step {comparison.tell:,} a sound network has, so train for longer"]


def _sentence(pair: Difference) -> str:
    first, second, (mean, _, low, high, n), real = pair
    paired = f"(n = {n} seed{'s' * (n != 1)}, paired)"
    if real and mean < 0:
        return f"{first} beats {second} by {_points(-mean, -high, -low)} {paired}"
    if real:
        return f"{second} beats {first} by {_points(mean, low, high)} {paired}"
    evidence = f"difference {_points(mean, low, high)} {paired}" if n else "they share no seed"
    return f"{first} and {second} cannot be told apart: {evidence}"


def _points(mean: float, low: float, high: float) -> str:
    places = decimals(low, high)
    text = f"{percent(mean, places)} points"
    return text if math.isnan(low) else f"{text} [{percent(low, places)}, {percent(high, places)}]"


def _level_notes(pairs: Sequence[Difference]) -> list[str]:
    if not pairs:
        return []
    fewest, m = min(pair.interval.n for pair in pairs), len(pairs)
    if fewest < 2:
        return [f"n = {fewest}: nothing can be called real on fewer than 2 shared seeds; use {FEW} or more"]
    kind = "bootstrap" if fewest >= BOOTSTRAP_FROM else "Student's"
    levels = f"differences are of test error, first minus second; their {kind} intervals hold at about 95 % each"
    many = f": were all schemes equal, about {m / 20:.2g} of the {m} would be called real" if m > 1 else ""
    few = f"only {fewest} seeds: the intervals are wide and take errors to scatter normally; use {FEW} or more"
    return [levels + many] + [few] * (fewest < FEW)


def _edge_notes(comparison: Comparison) -> list[str]:
    choices = choose_rates(comparison.search, comparison.schemes, comparison.rates)
    return [
        f"the best rate of {scheme}, {choice.learning_rate:g}, is the {choice.edge} of the grid: its score may be too "
        "pessimistic; widen learning_rates"
        for scheme, choice in choices.items()
        if choice.edge
    ]


def _diverged_notes(comparison: Comparison) -> list[str]:
    notes = []
    for scheme in comparison.schemes:
        lost, counts = [], []
        for phase, trials in (("search", comparison.search), ("scoring", comparison.scores)):
            scheme_trials = [trial for trial in trials if trial.scheme == scheme]
            if diverged := [trial for trial in scheme_trials if trial.diverged]:
                lost += diverged
                counts.append(f"{len(diverged)} of {len(scheme_trials)} {phase} runs")
        if lost:
            at = _listed(sorted({trial.learning_rate for trial in lost}))
            where = f"{' and '.join(counts)} (learning rate {at})"
            notes.append(f"{scheme} diverged in {where}; each counts with the chance error, {comparison.chance:.1%}")
    return notes


def n_diverged(comparison: Comparison, scheme: str) -> int:
    """How many of a scheme's scoring runs diverged.

    >>> n_diverged(comparison, "he")
    0
    """
    return sum(trial.diverged for trial in comparison.scores if trial.scheme == scheme)


def decimals(low: float, high: float) -> int:
    """Decimals of a percentage that show its interval's width and on which side of 0 its ends lie: one to three.

    >>> decimals(0.012, 0.034), decimals(0.0121, 0.0123)
    (1, 2)
    """
    shown = [abs(100 * value) for value in ((high - low) / 2, low, high) if value and not math.isnan(value)]
    return next((places for places in (1, 2) if all(round(value, places) for value in shown)), 3) if shown else 1


def percent(share: float, places: int) -> str:
    """A share in percent; without the sign of a zero.

    >>> percent(0.2051, 1), percent(-0.0001, 1)
    ('20.5', '0.0')
    """
    return f"{round(100 * float(share), places) + 0.0:.{places}f}"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
