"""Networks trained all over (s_w^2, depth), with one learning rate, as populations: one program for each depth.

As in the paper a network is trained for a few hundred steps, enough for what can be trained at all to leave chance.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from experiments import runs
from experiments.claims import NotRun
from experiments.schoenholz2017 import plane

if TYPE_CHECKING:
    from experiments.study import Place

KEPT = ("activation", "bias_variance", "weight_variances", "depths", "seeds", "width", "data", "steps", "batch_size")


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]] | NotRun:
    """The stage, its configs checked; NotRun without the data.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    if lacking := runs.lacks_data(own["data"], place):
        return lacking
    plane.ascending(own["weight_variances"], f"{name}.weight_variances")
    plane.ascending(own["depths"], f"{name}.depths")
    shared = {key: own[key] for key in ("activation", "width", "data", "steps", "batch_size")}
    shared |= {} if own["data"] == "synthetic" else {"data.valid": own["examples"], "data.test": own["examples"]}
    points = [(depth, w) for depth in own["depths"] for w in own["weight_variances"]]
    models = {
        f"{depth}-{w:g}": runs.config(f"{name}-{depth}", shared | {"depth": depth}, place)
        | {"scheme": plane.scheme(w, own["bias_variance"])}
        for depth, w in points
    }
    asked = runs.grid(models, [own["rate"]], range(own["seeds"]))
    runs.check(asked)
    return lambda: _measure(own, asked)


def _measure(own: Mapping[str, Any], asked: Mapping[runs.Run, Mapping[str, Any]]) -> dict[str, Any]:
    results = runs.train(asked)
    by_point = {(run.model, run.seed): result for run, result in results.items()}
    accuracy = lambda result: None if result.test is None else 100 - result.test
    return {
        **runs.progress(results, own["steps"]),
        **{name: own[name] for name in KEPT},
        "rate": own["rate"],
        "chance": 100 - next(iter(results.values())).chance,
        "diverged": sum(result.diverged for result in results.values()),
        "accuracy": [  # (depth, s_w^2, seed), of test examples in percent
            [
                [accuracy(by_point[f"{depth}-{w:g}", seed]) for seed in range(own["seeds"])]
                for w in own["weight_variances"]
            ]
            for depth in own["depths"]
        ],
        "theory": plane.theory(own["activation"], own["weight_variances"], own["bias_variance"]),
        "curve": plane.curve(own["activation"], own["weight_variances"], own["bias_variance"]),
    }
