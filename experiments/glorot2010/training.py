"""Stages that train: every model of a campaign at every rate of its grid, with every seed, as populations.

A campaign is a data set, a width profile and a budget, shared by its models. As in the paper, each model is shown at
the learning rate of least validation error; where a model names several depths, at the best depth too.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments import runs
from experiments.claims import NotRun
from experiments.runs import Result, Run
from experiments.study import Place
from xinit.core.errors import InputError
from xinit.core.readings import QUANTILES

CENTRAL = [QUANTILES.index(q) for q in (0.01, 0.99)]  # the ends of the paper's central 98 %
# Of a model at its best rate, all seeds: (seed, probe point, layer or weight).
CURVES = ("act_mean", "act_std", "act_saturated", "grad_pre_std", "grad_w_std")


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]] | NotRun:
    """What trains a campaign, every config of it checked and its data found.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    own = settings[name]
    if lacking := runs.lacks_data(own["data"], place):
        return lacking
    models = models_of(name, settings)
    configs = {
        _label(model, depth): config(f"{name}-{model}", own, chosen | {"depth": depth}, place)
        for model, chosen in models.items()
        for depth in depths(chosen)
    }
    asked = runs.grid(configs, own["rates"], range(own["seeds"]))
    runs.check(asked)
    return functools.partial(measure, own, models, asked)


def models_of(name: str, settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The settings of the models that a stage names.

    Raises:
      InputError: it names one that is not among the tier's.
    """
    asked, known = settings[name]["models"], settings["models"]
    if unknown := [model for model in asked if model not in known]:
        raise InputError(f"Unknown model {unknown[0]!r} in {name}.models; allowed are {', '.join(known)}.")
    return {model: known[model] for model in asked}


def depths(model: Mapping[str, Any]) -> list[int]:
    """The depths that a model is tried at."""
    return model["depth"] if isinstance(model["depth"], list) else [model["depth"]]


def _label(model: str, depth: int) -> str:
    return f"{model}/{depth}"


def config(name: str, own: Mapping[str, Any], model: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """A model's config in a campaign, its runs in a folder `name`."""
    shared = {key: own[key] for key in ("data", "width", "steps", "profile", "batch_size")}
    shared |= {"probe": "standard", "probe.schedule": "linear", "probe.points": own["points"]}
    shared |= {"data.pixel_range": own["pixel_range"]} if own["data"] != "synthetic" else {}
    chosen = {key: model[key] for key in ("activation", "depth", "scheme")}
    return runs.config(name, {**shared, **chosen, "scheme.kwargs": model.get("options")}, place)


def measure(
    own: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]], asked: Mapping[Run, Mapping[str, Any]]
) -> dict[str, Any]:
    """Train what is not trained yet; of every model its choice of rate and depth, its errors, and its readings."""
    results, left = runs.train_halving(asked, own.get("rungs", []))
    kept = ("data", "width", "profile", "pixel_range", "seeds", "rates", "rungs", "batch_size")
    return {
        **{name: own[name] for name in kept if name in own},
        **runs.progress(results, own["steps"]),
        "models": {model: _model(model, chosen, results, left) for model, chosen in models.items()},
    }


def _model(
    model: str, chosen: Mapping[str, Any], results: Mapping[Run, Result], left: Mapping[Run, Result]
) -> dict[str, Any]:
    labels = {depth: _label(model, depth) for depth in depths(chosen)}
    own, behind = ({run: one for run, one in of.items() if run.model in labels.values()} for of in (results, left))
    choices, every = runs.choose(own, behind), behind | own
    depth = min(labels, key=lambda depth: choices[labels[depth]].error)
    rate, _, edge = choices[labels[depth]]
    shown = [result for run, result in own.items() if (run.model, run.rate) == (labels[depth], rate)]
    tests = [result.test for result in shown]
    return {
        **{name: chosen[name] for name in ("label", "activation", "scheme")},
        "depth": depth,
        "rate": rate,
        "edge": edge,
        "valid": {
            f"{tried} {rate}": error
            for tried, label in labels.items()
            for rate, error in runs.valid_by_rate({run: every[run] for run in every if run.model == label}).items()
        },
        "test": None if None in tests else tests,
        "diverged": sum(result.diverged for result in every.values()),
        "runs": len(every),
        **readings(shown),
    }


def readings(shown: Sequence[Result], until: float = np.inf) -> dict[str, Any]:
    """Courses of seeds that did not diverge, as far as all got or up to an update, and their histograms there.

    Histograms are (seed, layer, bin), courses (seed, probe point, layer or weight).
    """
    courses = runs.courses(shown, ("valid_error", *CURVES, "act_quantile", "act_hist"), until)
    quantiles, hist = np.array(courses.pop("act_quantile"))[..., CENTRAL], np.array(courses.pop("act_hist"))
    return {
        **courses,
        "valid_error": (100 * np.array(courses["valid_error"])).tolist(),
        "act_marker": np.abs(quantiles).max(-1).tolist(),
        "act_hist": hist[:, -1].tolist(),
        "act_edges": shown[0].readings["act_edges"].tolist(),
    }
