"""What ReLU and sigmoid change: the factor that each layer of equal width puts on signal and gradient.

The two conditions are averaged under f'(0) = 1. ReLU halves the second moment, E relu(z)^2 = q / 2, and half of its
slopes are zero, so that n Var W = 1 becomes n Var W = 2 (He et al. 2015). Sigmoid has f'(0) = 1/4: near 0 its gradients
lose a factor of 16 in variance a layer, and its mean of 1/2 makes up for the signal.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.claims import Measured, Metrics, with_interval
from experiments.study import Place
from xinit.analysis.intervals import bootstrap_interval
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training import ensemble
from xinit.training.problem import Plan, load, plan

STAGES = ("nonlinear",)


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What draws and measures the networks of each row, their settings checked."""
    own = settings[name]
    plans = {label: plan([parse(_config(own, **row))]) for label, row in own["rows"].items()}
    return functools.partial(measure, own, plans)


def _config(shared: Mapping[str, Any], activation: str, scheme: str) -> dict[str, Any]:
    width, n = shared["width"], shared["examples"]
    data = {"data": "synthetic", "data.inputs": width, "data.classes": width, "data.valid": n, "data.test": n}
    probe = {"probe": "economy", "probe.examples": n}
    settings = data | probe | {"depth": shared["depth"], "width": width, "activation": activation, "scheme": scheme}
    return compose("train", overrides_from(settings))


def measure(shared: Mapping[str, Any], plans: Mapping[str, Plan]) -> dict[str, Any]:
    """What one layer does to signal and gradient in the networks of each row."""
    rows = {label: row | _factors(plans[label], shared["networks"]) for label, row in shared["rows"].items()}
    return {"depth": shared["depth"], "width": shared["width"], "networks": shared["networks"], "rows": rows}


def _factors(planned: Plan, networks: int) -> dict[str, Any]:
    """Factors a layer of the second moments of z upwards and of dL/dz downwards: means over drawn networks."""
    readings = ensemble.measure(planned, load(planned), range(networks))
    return {"signal": _a_layer(readings, "pre", 0, -1), "gradient": _a_layer(readings, "grad_pre", -1, 0)}


def _a_layer(readings: Mapping[str, np.ndarray], name: str, start: int, end: int) -> dict[str, float]:
    """The factor a layer by which the second moment of a reading changes from layer `start` to layer `end`."""
    second_SL = readings[f"{name}_mean"].astype(float) ** 2 + readings[f"{name}_std"].astype(float) ** 2
    change = bootstrap_interval(second_SL[:, end] / second_SL[:, start])
    root = lambda value: float(value ** (1 / (second_SL.shape[1] - 1)))
    return {"mean": root(change.mean), "low": root(change.low), "high": root(change.high)}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """The factors, `nonlinear.<row>.signal` and `.gradient`."""
    results = found["nonlinear"]
    return {
        f"nonlinear.{label}.{side}": Measured(
            *(row[side][part] for part in ("mean", "low", "high")), results["networks"]
        )
        for label, row in results["rows"].items()
        for side in ("signal", "gradient")
    }


def table(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A line for each row."""
    return [
        {"activation": row["activation"], "scheme": row["scheme"]}
        | {side: with_interval(row[side]) for side in ("signal", "gradient")}
        for row in found["nonlinear"]["rows"].values()
    ]
