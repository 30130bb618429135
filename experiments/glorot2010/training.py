"""Stages that train: every model of a campaign at every rate of its grid, with every seed, as populations.

A campaign is a data set, a width profile and a budget, shared by its models. As in the paper, each model is shown at
the learning rate of least validation error; where a model names several depths, at the best depth too. Runs lie below
the study's folder and are not done twice.
"""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.claims import NotRun
from experiments.glorot2010 import schemes
from xinit.analysis.comparison import Trial, choose_rates
from xinit.commands import sweeping
from xinit.core.errors import InputError
from xinit.core.readings import QUANTILES
from xinit.runs.grouping import program_of
from xinit.runs.record import read_readings
from xinit.runs.run_directory import RunDirectory
from xinit.settings.compose import compose, overrides_from
from xinit.training.problem import plan

NO_DATA = NotRun("needs its data: data_dir=FOLDER")
GENERATED = ("shapeset", "synthetic")  # data that need no folder
CENTRAL = [QUANTILES.index(q) for q in (0.01, 0.99)]  # the ends of the paper's central 98 %
# Of a model at its best rate, all seeds: (seed, probe point, layer or weight).
CURVES = ("act_mean", "act_std", "act_saturated", "grad_pre_std", "grad_w_std")


class Cell(NamedTuple):
    """One run that is asked for."""

    model: str
    depth: int
    rate: float
    seed: int


class Campaign(NamedTuple):
    """A campaign's settings, the models in it, and the checked settings of each run."""

    name: str
    own: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    raws: Mapping[Cell, Mapping[str, Any]]


def prepare(
    tier: Mapping[str, Any], name: str, out: pathlib.Path, data_dir: str | None, stop_after: str | None
) -> Campaign:
    """A campaign, every config of it checked and its data found.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    own = tier["campaigns"][name]
    models = {model: tier["models"][model] for model in _models(own, tier)}
    shared = {"data": own["data"], "width": own["width"], "steps": own["steps"], "profile": own["profile"]}
    shared |= {"batch_size": own["batch_size"], "figure": False, "out": str(out / "runs")}
    shared |= {"probe": "standard", "probe.schedule": "linear", "probe.points": own["points"]}
    shared |= {"data.pixel_range": own["pixel_range"]} if own["data"] != "synthetic" else {}
    shared |= {} if own["data"] in GENERATED else {"data.dir": data_dir}
    shared |= {"stop_after": stop_after} if stop_after else {}
    raws = {cell: raw for model in models for cell, raw in _raws(name, own, model, models[model], shared)}
    programs = {program_of(config): config for config in sweeping.parse_all(list(raws.values()))}
    for config in programs.values():
        plan([config])
    return Campaign(name, own, models, raws)


def lacks_data(campaign: Mapping[str, Any], data_dir: str | None) -> bool:
    """Whether a campaign's data lie in a folder that was not given."""
    return campaign["data"] not in GENERATED and not data_dir


def _models(own: Mapping[str, Any], tier: Mapping[str, Any]) -> list[str]:
    if unknown := [model for model in own["models"] if model not in tier["models"]]:
        raise InputError(f"Unknown model {unknown[0]!r} in a campaign; allowed are {', '.join(tier['models'])}.")
    return own["models"]


def unfinished(results: Mapping[str, Any]) -> NotRun | None:
    """Why a stage says nothing about the end of training yet; None where it does."""
    if results.get("done", 0) == results.get("steps", 0):
        return None
    return NotRun(f"stopped after {results['done']:,} of {results['steps']:,} updates")


def depths(model: Mapping[str, Any]) -> list[int]:
    """The depths that a model is tried at."""
    return model["depth"] if isinstance(model["depth"], list) else [model["depth"]]


def _raws(name: str, own: Mapping[str, Any], label: str, model: Mapping[str, Any], shared: Mapping[str, Any]):
    """The config of every run of a model, by its cell."""
    chosen = {"activation": model["activation"], "name": f"{name}-{label}"}
    for depth in depths(model):
        raw = compose("train", overrides_from(shared | chosen | {"depth": depth}))
        raw["scheme"] = schemes.settings(model["scheme"], model.get("options"))
        for rate, seed in itertools.product(own["rates"], range(own["seeds"])):
            seeds = dict.fromkeys(("seed", "init_seed", "data_seed"), seed)
            optimizer = {**raw["optimizer"], "learning_rate": rate}
            yield Cell(label, depth, rate, seed), {**raw, **seeds, "optimizer": optimizer}


def run(campaign: Campaign) -> dict[str, Any]:
    """Train what is not trained yet; of every model its choice of rate and depth, its errors, and its readings."""
    configs = sweeping.parse_all(list(campaign.raws.values()))
    outcomes = dict(zip(campaign.raws, sweeping.run_all(configs), strict=True))
    if failed := [outcome for outcome in outcomes.values() if outcome.state == "failed"]:
        raise InputError(f"{len(failed)} runs of {campaign.name} failed, such as {failed[0].path}; see above.")
    cells = {cell: _result(outcome) for cell, outcome in outcomes.items()}
    own, config = campaign.own, next(iter(outcomes.values())).config
    return {
        **{name: own[name] for name in ("data", "width", "profile", "pixel_range", "seeds", "rates", "steps")},
        "batch_size": config.batch_size,
        "done": _done([result for result in cells.values() if not result["diverged"]], own["steps"]),
        "models": {model: _model(model, campaign, cells) for model in campaign.models},
    }


def _done(going: Sequence[Mapping[str, Any]], steps: int) -> int:
    """Updates that all runs have done that did not diverge; all of them where none is left."""
    return min((result["updates"] for result in going), default=steps)


def _result(outcome: Any) -> dict[str, Any]:
    """The readings of a run and its errors; of one that was stopped before its end, those so far."""
    readings = dict(outcome.readings or read_readings(outcome.path / "readings.nc") or {})
    summary, diverged = outcome.summary, outcome.state == "diverged"
    at_end = {name: summary.get(f"{name}_error") for name in ("valid", "test", "chance")}
    if diverged:
        at_end |= {"valid": summary["chance_error"], "test": summary["chance_error"]}
    if at_end["valid"] is None:
        at_end["valid"] = float(readings["valid_error"][-1])
    updates = RunDirectory(outcome.path).status()["step"]  # further than the last probe point, where it was stopped
    return readings | {"at_end": at_end, "diverged": diverged, "updates": updates}


def _model(model: str, campaign: Campaign, cells: Mapping[Cell, Mapping[str, Any]]) -> dict[str, Any]:
    own = {cell: result for cell, result in cells.items() if cell.model == model}
    choices = {depth: _choice(model, depth, campaign.own["rates"], own) for depth in depths(campaign.models[model])}
    depth = min(choices, key=lambda depth: choices[depth].error)
    rate = choices[depth].learning_rate
    shown = [own[Cell(model, depth, rate, seed)] for seed in range(campaign.own["seeds"])]
    tests = [result["at_end"]["test"] for result in shown]
    return {
        **{name: campaign.models[model][name] for name in ("label", "activation", "scheme")},
        "depth": depth,
        "rate": rate,
        "edge": choices[depth].edge,
        "valid": {f"{cell.depth} {cell.rate:g}": _valid(cell, own) for cell in own},
        "test": None if None in tests else [100 * error for error in tests],
        "diverged": sum(result["diverged"] for result in own.values()),
        "runs": len(own),
        **_readings([result for result in shown if not result["diverged"]] or shown),
    }


def _choice(model: str, depth: int, rates: Sequence[float], own: Mapping[Cell, Mapping[str, Any]]) -> Any:
    trials = [
        Trial(model, cell.rate, cell.seed, result["at_end"]["valid"], result["diverged"])
        for cell, result in own.items()
        if cell.depth == depth
    ]
    return choose_rates(trials, [model], rates)[model]


def _valid(cell: Cell, own: Mapping[Cell, Mapping[str, Any]]) -> float:
    """Validation error in percent, the mean over seeds."""
    alike = [result for other, result in own.items() if (other.depth, other.rate) == (cell.depth, cell.rate)]
    return 100 * float(np.mean([result["at_end"]["valid"] for result in alike]))


def _readings(shown: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Courses of seeds that did not diverge, as far as all got, and their histograms there: (seed, layer, bin)."""
    n = min(len(result["step"]) for result in shown)
    together = lambda name: np.stack([result[name][:n] for result in shown])
    quantiles = together("act_quantile")[..., CENTRAL]
    courses = {name: together(name).tolist() for name in CURVES}
    return {
        "step": shown[0]["step"][:n].tolist(),
        "valid_error": (100 * together("valid_error")).tolist(),
        **courses,
        "act_marker": np.abs(quantiles).max(-1).tolist(),
        "act_hist": np.stack([result["act_hist"][n - 1] for result in shown]).tolist(),
        "act_edges": shown[0]["act_edges"].tolist(),
    }
