"""The stage that trains tanh networks on MNIST from orthogonal weights at gains around 1, and from Gaussian ones."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from experiments import runs

if TYPE_CHECKING:
    from experiments.claims import NotRun
    from experiments.study import Place

SHARED = ("data", "data.valid", "depth", "width", "steps", "batch_size", "activation")


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> "Callable[[], dict[str, Any]] | NotRun":
    """What trains the networks; NotRun without data.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    own = settings[name]
    if lacking := runs.lacks_data(own["data"], place):
        return lacking
    shared = {key: own[key] for key in SHARED}
    models = {
        label: runs.config(
            f"{name}-{label}", shared | {"scheme": model["scheme"], "scheme.kwargs": {"gain": model["gain"]}}, place
        )
        for label, model in own["models"].items()
    }
    asked = runs.grid(models, own["rates"], range(own["seeds"]))
    runs.check(asked)

    def measure() -> dict[str, Any]:
        results = runs.train(asked)
        best = runs.at_best_rate(results)
        return {
            **{key: own[key] for key in (*SHARED, "rates", "seeds")},
            **runs.progress(results, own["steps"]),
            "models": {label: own["models"][label] | best[label] for label in models},
        }

    return measure
