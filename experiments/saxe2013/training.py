"""What section 4 suggests and does not show: tanh networks trained from orthogonal weights at gains around 1."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Metrics, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("gains",)
MODELS = ("g090", "g105", "gaussian")


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`training.<model>`, test error in percent at its best rate, and `training.<a>-<b>`, paired by seed."""
    stage = found["gains"]
    if (cut := runs.unfinished(stage)) is not None:
        return {"training": cut}
    tests = {label: np.array(model["test"]) for label, model in stage["models"].items()}
    found_metrics = {f"training.{label}": over_runs(mean_interval(errors)) for label, errors in tests.items()}
    for a, b in itertools.permutations(tests, 2):
        found_metrics[f"training.{a}-{b}"] = over_runs(mean_interval(tests[a] - tests[b]))
    return found_metrics


def draw(found: Mapping[str, Any]) -> "Figure":
    """Test error by gain, each at its best rate; Gaussian weights beside."""
    stage = found["gains"]
    figure = drawing.figure(6.5, 3.8)
    axes = figure.subplots()
    schemes = list(dict.fromkeys(model["scheme"] for model in stage["models"].values()))
    for i, scheme in enumerate(schemes):
        own = [model for model in stage["models"].values() if model["scheme"] == scheme]
        errors = [mean_interval(model["test"]) for model in own]
        gains = np.array([model["gain"] for model in own]) + 0.004 * i
        mean, low, high = (np.array([getattr(error, part) for error in errors]) for part in ("mean", "low", "high"))
        if len(own) > 1:
            axes.plot(gains, mean, color=drawing.look(i).colour, ls=drawing.look(i).dashes, lw=1.2)
        drawing.points(axes, gains, mean, low, high, drawing.look(i), {"lecun": "Gaussian"}.get(scheme, scheme))
    axes.set(xlabel="gain g", ylabel="test error, %", ylim=(0, None))
    drawing.legend(figure, axes)
    drawing.caption(
        figure,
        f"MNIST, {stage['depth']} {stage['activation']} layers of {stage['width']}, {stage['steps']} steps of "
        f"{stage['batch_size']}. Means over {stage['seeds']} seeds with 95 % intervals.",
    )
    return figure


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """Each model's rate and error."""
    return [
        {
            "weights": model["scheme"],
            "gain": f"{model['gain']:g}",
            "rate": f"{model['rate']:g} {model['edge']}".strip(),
            "test error, %": f"{np.mean(model['test']):.1f}",
            "diverged": f"{model['diverged']} of {model['runs']}",
        }
        for model in found["gains"]["models"].values()
        if model["test"]
    ]
