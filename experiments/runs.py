"""Trains many configs at once, as populations: every model at every learning rate with every seed.

A model is a config of `python -m xinit.train` without its rate and seed. A stage that compares two schemes at two
depths, and takes each at the learning rate of least validation error, as most papers do:

    def prepare(name, settings, place):
        own = settings[name]                                          # the stage's mapping in the tier's YAML
        if lacking := runs.lacks_data(own["data"], place):
            return lacking                                            # NotRun: needs data_dir=FOLDER
        models = {
            f"{scheme}{depth}": runs.config(f"{name}-{scheme}{depth}", {
                "data": own["data"], "depth": depth, "width": own["width"], "steps": own["steps"],
                "activation": "relu", "scheme": scheme,
            }, place)
            for scheme in ("he", "lecun") for depth in (22, 30)
        }
        asked = runs.grid(models, own["rates"], range(own["seeds"]))  # {Run(model, rate, seed): config}
        runs.check(asked)                                             # before any work

        def measure():
            results = runs.train(asked)                               # {Run(model, rate, seed): Result}
            return {**runs.progress(results, own["steps"]), "models": runs.at_best_rate(results)}

        return measure

Errors are in percent; a run that diverged has the error of chance. The runs lie below `place.out / "runs"` and are not
done twice. Where the command's `stop_after` ends them early, `progress` says so in the results and the metrics of every
part that reads them are NOT RUN.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.claims import NotRun
from xinit.analysis.comparison import Choice, Trial, choose_rates
from xinit.analysis.outcomes import Outcome
from xinit.commands import sweeping
from xinit.core.errors import InputError
from xinit.runs.grouping import program_of
from xinit.runs.record import read_readings
from xinit.runs.run_directory import RunDirectory
from xinit.settings.compose import compose, overrides_from
from xinit.training.problem import plan

if TYPE_CHECKING:
    from experiments.study import Place

NO_DATA = NotRun("needs its data: data_dir=FOLDER")
GENERATED = ("shapeset", "synthetic")  # data that need no folder


class Run(NamedTuple):
    """One training run that is asked for."""

    model: str
    rate: float
    seed: int


class Result(NamedTuple):
    """What came of a run: errors in percent, test None where it was stopped early; updates done; readings by name."""

    valid: float
    test: float | None
    chance: float
    diverged: bool
    updates: int
    readings: Mapping[str, np.ndarray]


def lacks_data(data: str, place: "Place") -> NotRun | None:
    """Why a data set cannot be trained on: it lies in a folder that was not given. None where it can."""
    return None if data in GENERATED or place.data_dir else NO_DATA


def config(name: str, settings: Mapping[str, Any], place: "Place") -> dict[str, Any]:
    """A model's config: settings of `python -m xinit.train` by name, dots between the parts of a name.

    `scheme` is one of conf/scheme, or "module:factory" with its options under `scheme.kwargs`. The runs lie below
    `place.out`, in a folder `name`; `data.dir` and `stop_after` are the command's. Readings are off unless asked for.

    Raises:
      InputError: there is no such setting.
    """
    own = {key: value for key, value in settings.items() if not key.startswith("scheme")}
    shared = {"figure": False, "probe": "off", "name": name, "out": str(place.out / "runs")}
    shared |= {} if own.get("data", "shapeset") in GENERATED else {"data.dir": place.data_dir}
    shared |= {"stop_after": place.stop_after} if place.stop_after else {}
    raw = compose("train", overrides_from(shared | own))
    return raw | {"scheme": scheme(settings.get("scheme", "standard"), settings.get("scheme.kwargs"))}


def scheme(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a config says of a scheme: one of conf/scheme, or "module:factory" with its options."""
    if ":" in name:
        return {"fn": name, "gain": 1.0, "kwargs": dict(options or {})}
    return compose("train", [f"scheme={name}", *overrides_from(options or {}, "scheme.")])["scheme"]


def grid(
    models: Mapping[str, Mapping[str, Any]], rates: Sequence[float], seeds: Iterable[int]
) -> dict[Run, dict[str, Any]]:
    """The config of every model at every rate with every seed; runs that share a seed see the same batches."""
    asked = itertools.starmap(Run, itertools.product(models, map(float, rates), seeds))
    return {run: at(models[run.model], run.rate, run.seed) for run in asked}


def at(model: Mapping[str, Any], rate: float, seed: int) -> dict[str, Any]:
    """A model's config with its learning rate and its seed."""
    seeds = dict.fromkeys(("seed", "init_seed", "data_seed"), seed)
    return {**model, **seeds, "optimizer": {**model["optimizer"], "learning_rate": rate}}


def check(asked: Mapping[Run, Mapping[str, Any]]) -> None:
    """Check all configs, and that their data are there, before any work.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    programs = {program_of(parsed): parsed for parsed in sweeping.parse_all(list(asked.values()))}
    for parsed in programs.values():
        plan([parsed])


def train(asked: Mapping[Run, Mapping[str, Any]]) -> dict[Run, Result]:
    """Train what is not trained yet.

    Raises:
      InputError: a run failed.
    """
    outcomes = sweeping.run_all(sweeping.parse_all(list(asked.values())))
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        raise InputError(f"{len(failed)} of {len(outcomes)} runs failed, such as {failed[0].path}; see above.")
    return {run: _result(outcome) for run, outcome in zip(asked, outcomes, strict=True)}


def train_halving(
    asked: Mapping[Run, Mapping[str, Any]], rungs: Sequence[tuple[int, int]]
) -> tuple[dict[Run, Result], dict[Run, Result]]:
    """Train by successive halving (Jamieson & Talwalkar 2016): at each rung a model's worse rates are left behind.

    Args:
      asked: the config of every run.
      rungs: after how many updates, and how many rates of each model then go on: those of least validation error.

    Returns:
      What was trained to its end, or as far as `stop_after` lets it; and what was left behind at a rung.

    Raises:
      InputError: a run failed.
    """
    going, left = dict(asked), dict[Run, Result]()
    for updates, keep in rungs:
        reached = train({run: _until(updates, config) for run, config in going.items()})
        if any(result.updates < updates and not result.diverged for result in reached.values()):
            return reached, left
        kept = _rates_of_least_error(reached, updates, keep)
        left |= {run: result for run, result in reached.items() if run[:2] not in kept}
        going = {run: config for run, config in going.items() if run[:2] in kept}
    return train(going), left


def _until(updates: int, config: Mapping[str, Any]) -> dict[str, Any]:
    (parsed,) = sweeping.parse_all([config])
    return {**config, "stop_after": min(updates, parsed.stop_after or updates)}


def _rates_of_least_error(results: Mapping[Run, Result], updates: int, keep: int) -> set[tuple[str, float]]:
    """(model, rate) of the rates that go on: by the mean over seeds of the validation error at that update."""
    point = max(step for result in results.values() for step in result.readings["step"] if step <= updates)
    errors: dict[str, dict[float, list[float]]] = {}
    for run, result in results.items():
        errors.setdefault(run.model, {}).setdefault(run.rate, []).append(_error_at(point, result))
    ranked = {model: sorted(by_rate, key=lambda rate: np.mean(by_rate[rate])) for model, by_rate in errors.items()}
    return {(model, rate) for model, rates in ranked.items() for rate in rates[:keep]}


def _error_at(point: int, result: Result) -> float:
    """Validation error at a probe point, from 0 to 1; infinite where the run had diverged before it."""
    found = result.readings["valid_error"][result.readings["step"] == point]
    return float(found[0]) if len(found) and np.isfinite(found[0]) else np.inf


def _result(outcome: Outcome) -> Result:
    readings = dict(outcome.readings or read_readings(outcome.path / "readings.nc") or {})
    summary, updates = outcome.summary, RunDirectory(outcome.path).status()["step"]
    if not summary:  # stopped before its end
        valid = 100 * float(readings["valid_error"][-1]) if "valid_error" in readings else np.nan
        return Result(valid, None, np.nan, False, updates, readings)
    diverged, chance = outcome.state == "diverged", 100 * summary["chance_error"]
    errors = (chance if diverged else 100 * summary[f"{name}_error"] for name in ("valid", "test"))
    return Result(*errors, chance, diverged, updates, readings)


def choose(results: Mapping[Run, Result], left: Iterable[Run] = ()) -> dict[str, Choice]:
    """Each model's rate of least mean validation error, of equal ones the lower; that error; the end it lies at.

    `left` are the runs that halving left behind: their rates are of the grid and never the best.
    """
    trials = [Trial(*run, result.valid, result.diverged) for run, result in results.items()]
    trials += [Trial(*run, np.inf, False) for run in left]
    models = dict.fromkeys(trial.scheme for trial in trials)
    return choose_rates(trials, list(models), list({trial.learning_rate for trial in trials}))


def search_and_score(
    models: Mapping[str, Mapping[str, Any]], rates: Sequence[float], search: Iterable[int], score: Iterable[int]
) -> tuple[dict[Run, Result], dict[Run, Result]]:
    """Train every model at every rate with the first seeds, then at its best rate with the others, fresh ones.

    What was trained first and then; the second is empty where the first was stopped early.
    """
    searched = train(grid(models, rates, search))
    if any(result.test is None for result in searched.values()):
        return searched, {}
    best = {model: choice.learning_rate for model, choice in choose(searched).items()}
    asked = itertools.starmap(Run, ((model, rate, seed) for model, rate in best.items() for seed in score))
    return searched, train({run: at(models[run.model], run.rate, run.seed) for run in asked})


def at_best_rate(
    results: Mapping[Run, Result], scores: Mapping[Run, Result] | None = None
) -> dict[str, dict[str, Any]]:
    """Every model at the rate that `choose` finds in `results`; test errors are by seed.

    `scores` are runs at that rate with seeds that the choice has not seen; without them test errors are of the same
    runs.
    """
    found = {}
    for model, choice in choose(results).items():
        own = {run: result for run, result in results.items() if run.model == model}
        shown = [result for run, result in (scores or own).items() if run[:2] == (model, choice.learning_rate)]
        tests = [result.test for result in shown]
        every = [*own.values(), *(shown if scores else [])]
        found[model] = {
            "rate": choice.learning_rate,
            "edge": choice.edge,
            "valid": valid_by_rate(own),
            "test": None if None in tests else tests,
            "chance": shown[0].chance,
            "diverged": sum(result.diverged for result in every),
            "runs": len(every),
        }
    return found


def valid_by_rate(results: Mapping[Run, Result]) -> dict[str, float]:
    """Validation error of one model at each rate, the mean over seeds."""
    by_rate: dict[str, list[float]] = {}
    for run, result in results.items():
        by_rate.setdefault(f"{run.rate:g}", []).append(result.valid)
    return {rate: float(np.mean(errors)) for rate, errors in by_rate.items()}


def courses(shown: Sequence[Result], names: Iterable[str], until: float = np.inf) -> dict[str, list]:
    """`step`, and readings by name with a leading axis of runs, as far as all of them got, or up to an update.

    Runs that diverged are left out, unless all did.
    """
    going = [result.readings for result in shown if not result.diverged] or [result.readings for result in shown]
    n = min(int((readings["step"] <= until).sum()) for readings in going)
    stacked = {name: np.stack([readings[name][:n] for readings in going]).tolist() for name in names}
    return {"step": going[0]["step"][:n].tolist(), **stacked}


def progress(results: Mapping[Run, Result], steps: int) -> dict[str, int]:
    """`steps`, and how many of them all runs have `done` that did not diverge; all of them where none is left."""
    going = (result.updates for result in results.values() if not result.diverged)
    return {"steps": steps, "done": min(going, default=steps)}


def unfinished(results: Mapping[str, Any]) -> NotRun | None:
    """Why a stage's results say nothing about the end of training yet; None where they do."""
    if results.get("done", 0) == results.get("steps", 0):
        return None
    return NotRun(f"stopped after {results['done']:,} of {results['steps']:,} updates")
