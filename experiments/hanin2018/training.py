"""The stages that train: after how many epochs a network has left chance, for weights and shapes (Figure 1b).

A stage trains every kind of weights at every shape, each at the learning rate of least validation error when the budget
ends. A network has started once its validation accuracy passes 20 % (Hanin & Rolnick's mark); when its error falls
below 20 % is kept as well. One that never gets there counts with the whole budget.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments import runs
from experiments.claims import NotRun
from experiments.hanin2018 import drawn

if TYPE_CHECKING:
    from experiments.study import Place

MARKS = {"accuracy20": 80.0, "error20": 20.0}  # in percent of validation error
TRAIN_EXAMPLES = 50_000  # of MNIST


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]] | NotRun:
    """Check the configs of all runs; what is returned trains them.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    own = settings[name]
    for weights in own["weights"].values():
        drawn.weights_of(weights)
    if lacking := runs.lacks_data("mnist", place):
        return lacking
    models = {
        f"{weights}-{shape}": _config(f"{name}-{weights}-{shape}", own, weights, shape, place)
        for weights in own["weights"]
        for shape in own["shapes"]
    }
    asked = runs.grid(models, own["rates"], range(own["seeds"]))
    runs.check(asked)
    return lambda: _measured(own, asked)


def _config(name: str, own: Mapping[str, Any], weights: str, shape: str, place: "Place") -> dict[str, Any]:
    shared = {"data": "mnist", "activation": "relu", "steps": own["steps"], "batch_size": own["batch_size"]}
    probe = {"probe": "economy", "probe.schedule": "linear", "probe.points": own["points"], "probe.examples": 50}
    scheme = {
        "scheme": "xinit.initializers:variance_scaling",
        "scheme.kwargs": {**own["weights"][weights], "fan": "in"},
    }
    return runs.config(name, {**shared, **probe, **scheme, **own["shapes"][shape]}, place)


def _measured(own: Mapping[str, Any], asked: Mapping[runs.Run, Mapping[str, Any]]) -> dict[str, Any]:
    results = runs.train(asked)
    choices = runs.choose(results)
    models = {}
    for model, choice in choices.items():
        shown = [result for run, result in results.items() if run[:2] == (model, choice.learning_rate)]
        models[model] = {"rate": choice.learning_rate, "edge": choice.edge, **_starts(shown, own)}
    kept = ("weights", "shapes", "steps", "batch_size", "seeds", "rates")
    progress = runs.progress(results, own["steps"])
    return {**{name: own[name] for name in kept}, **progress, "epochs": _epochs(own["steps"], own), "models": models}


def _epochs(step: float, own: Mapping[str, Any]) -> float:
    return step * own["batch_size"] / TRAIN_EXAMPLES


def _starts(shown: Sequence[runs.Result], own: Mapping[str, Any]) -> dict[str, Any]:
    """By seed: the epoch at which each mark was passed, or the budget, and whether it was; the validation errors."""
    found: dict[str, Any] = {"diverged": sum(result.diverged for result in shown)}
    courses = [(result.readings["step"], 100 * result.readings["valid_error"]) for result in shown]
    for mark, error in MARKS.items():
        passed = [steps_T[errors_T < error] for steps_T, errors_T in courses]
        found[f"{mark}_reached"] = [len(steps) > 0 for steps in passed]
        found[mark] = [_epochs(float(steps[0]) if len(steps) else own["steps"], own) for steps in passed]
    return found | {"valid": [result.valid for result in shown]}
