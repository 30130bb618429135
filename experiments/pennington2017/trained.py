"""Deep networks trained from the same point of the edge of chaos, with Gaussian and with orthogonal weights.

Each kind of network is shown at the learning rate of least validation error, with the same budget for all.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from experiments import runs
from experiments.claims import NotRun
from experiments.pennington2017.spectra import row_of
from experiments.schoenholz2017 import plane
from xinit.theory.prediction import on_one_core

if TYPE_CHECKING:
    from experiments.study import Place

KEPT = ("data", "width", "depth", "batch_size", "steps", "rates", "seeds")


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]] | NotRun:
    """The stage, its configs checked; NotRun without the data.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    if lacking := runs.lacks_data(own["data"], place):
        return lacking
    shared = {key: own[key] for key in ("data", "width", "depth", "batch_size", "steps")}
    shared |= {} if own["data"] == "synthetic" else {"data.valid": own["examples"], "data.test": own["examples"]}
    models = {}
    for label, model in own["models"].items():
        edge = row_of(**model).edge
        config = runs.config(f"{name}-{label}", shared | {"activation": model["activation"]}, place)
        models[label] = config | {"scheme": plane.scheme(edge.weight_variance, edge.bias_variance, model["weights"])}
    asked = runs.grid(models, own["rates"], range(own["seeds"]))
    runs.check(asked)
    return lambda: _measure(own, asked)


@on_one_core  # orthogonal weights are drawn by LAPACK: see the spectra
def _measure(own: Mapping[str, Any], asked: Mapping[runs.Run, Mapping[str, Any]]) -> dict[str, Any]:
    results = runs.train(asked)
    kept = {name: own[name] for name in KEPT}
    return {**kept, **runs.progress(results, own["steps"]), "models": runs.at_best_rate(results)}
