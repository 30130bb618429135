"""A stage of networks of several sizes, each trained at every rate of a grid with every seed, as populations.

What is kept of every model is `loss`, (size, seed, rate): over validation examples at the end of training, and at most
that of an answer by chance, which a run that diverged has too.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from experiments import runs
from experiments.claims import NotRun
from experiments.mup2022.schemes import scheme_of
from xinit.analysis.scaling import check_sizes
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

if TYPE_CHECKING:
    from experiments.study import Place

CHANCE = math.log(10)  # the loss where each of ten classes gets 1/10
SCALES = {"one": 1.0, "root": "1/sqrt(L)", "inverse": "1/L"}  # of the branches of residual networks
SHARED = ("data", "network", "activation", "width", "depth", "batch_size", "steps", "optimizer")
KEPT = ("over", "data", "batch_size", "rates", "seeds", "width", "depth", "title")


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]] | NotRun:
    """Every model at every size, with every rate and seed, checked.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    own = settings[name]
    if lacking := runs.lacks_data(own["data"], place):
        return lacking
    sizes = check_sizes(own["over"], own["sizes"])
    raws = {label: runs.config(name, _settings(own, model), place) for label, model in own["models"].items()}
    configs = {
        f"{label}-{size}": {**raw, "name": f"{name}-{label}-{size}", own["over"]: size}
        for label, raw in raws.items()
        for size in sizes
    }
    asked = runs.grid(configs, sorted(own["rates"]), range(own["seeds"]))
    runs.check(asked)
    return lambda: _measured(own, sizes, runs.train(asked))


def _settings(own: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    probe = {"probe": "economy", "probe.points": 2, "probe.examples": 10}
    scale = {"network.scale": _scale(model["scale"])} if own["network"] == "residual" else {}
    shared = {key: own[key] for key in SHARED if key in own}
    shared |= {"data.inputs": own["inputs"]} if "inputs" in own else {}
    return {**shared, **probe, **scale, **scheme_of(own, model["scheme"])}


def _scale(name: str) -> float | str:
    if name not in SCALES:
        raise InputError(f"Unknown scale of branches {name!r}; {allowed_words(name, SCALES)}")
    return SCALES[name]


def _measured(
    own: Mapping[str, Any], sizes: tuple[int, ...], results: Mapping[runs.Run, runs.Result]
) -> dict[str, Any]:
    rates = sorted(map(float, own["rates"]))
    loss_at = lambda model, seed, rate: _loss(results[runs.Run(model, rate, seed)])
    models = {
        label: {"loss": [[[loss_at(f"{label}-{size}", seed, rate) for rate in rates]
                          for seed in range(own["seeds"])] for size in sizes]}
        for label in own["models"]
    }  # fmt: skip
    kept = {key: own[key] for key in KEPT if key in own} | {"sizes": sizes, "rates": rates}
    return {**kept, **runs.progress(results, own["steps"]), "models": models}


def _loss(result: runs.Result) -> float:
    loss = float(result.readings["valid_loss"][-1])
    return CHANCE if result.diverged or not math.isfinite(loss) else min(loss, CHANCE)
