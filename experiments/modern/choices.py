"""What to use: for each kind of network and activation the usual schemes, each at its best learning rate."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Measured, Metrics, NotRun, over_runs
from experiments.modern import trained
from xinit.analysis.intervals import Interval, mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("choices",)
USUAL = "standard"  # U(-1/sqrt(n), 1/sqrt(n)), what PyTorch's layers start from by themselves


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`choices.<cell>.<scheme>`: how many points of test error the usual scheme loses to it, paired by seed.

    `.best`: the same of the scheme of least validation error. `.spread`: the largest minus the least error of all
    schemes, over seeds. `.usual`: the usual scheme's error, percent.
    """
    own = found["choices"]
    if cut := runs.unfinished(own):
        return {"choices": cut}
    measured: dict[str, Measured | NotRun] = {}
    for label, model in own["models"].items():
        tests = tests_of(model)
        for scheme in tests:
            measured[f"choices.{label}.{scheme}"] = over_runs(lost(model, scheme))
        measured[f"choices.{label}.best"] = over_runs(lost(model, best(model)))
        measured[f"choices.{label}.spread"] = over_runs(spread(model))
        measured[f"choices.{label}.usual"] = over_runs(mean_interval(tests[USUAL]))
    return measured


def tests_of(model: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Test errors of each scheme by seed, percent."""
    return {scheme: np.array(row["test"]) for scheme, row in trained.rows_at_gain_1(model).items()}


def best(model: Mapping[str, Any]) -> str:
    """The scheme whose validation error at its best rate is least."""
    rows = trained.rows_at_gain_1(model)
    return min(rows, key=lambda scheme: min(rows[scheme]["valid"].values()))


def lost(model: Mapping[str, Any], scheme: str) -> Interval[float]:
    """Points of test error that the usual scheme loses to another, paired by seed."""
    tests = tests_of(model)
    return mean_interval(tests[USUAL] - tests[scheme])


def spread(model: Mapping[str, Any]) -> Interval[float]:
    """Points of test error between the best and the worst scheme, over seeds."""
    return mean_interval(np.ptp(list(tests_of(model).values()), axis=0))


def draw(found: Mapping[str, Any]) -> "Figure":
    """Test error of every scheme, a line for each kind of network."""
    own = found["choices"]
    figure = drawing.figure(8, 0.55 * len(own["models"]) + 1.9)
    axes = figure.subplots()
    schemes = _schemes(own)
    for i, scheme in enumerate(schemes):
        look, offset = drawing.look(i), 0.6 * (i / (len(schemes) - 1) - 0.5)
        for row, model in enumerate(own["models"].values()):
            tests_S = tests_of(model).get(scheme, np.array([]))
            axes.plot(tests_S, np.full(len(tests_S), row + offset), look.marker, color=look.colour, ms=4,
                      label=scheme if row == 0 else None)  # fmt: skip
    for row in range(len(own["models"]) - 1):
        axes.axhline(row + 0.5, color="0.85", lw=0.8)
    drawing.logarithmic(axes.xaxis)
    axes.set_yticks(range(len(own["models"])), [model["title"] for model in own["models"].values()])
    axes.invert_yaxis()
    axes.set_xlabel("test error, %")
    drawing.legend(figure, axes)
    drawing.caption(figure, f"One marker a seed. {trained.scale(own)}")
    return figure


def _schemes(own: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(scheme for model in own["models"].values() for scheme in model["starts"]))


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each cell: the test error of every scheme, the best one, and what the usual one loses to it."""
    rows, schemes = [], _schemes(found["choices"])
    for model in found["choices"]["models"].values():
        tests, chosen = tests_of(model), best(model)
        points = lost(model, chosen)
        by_scheme = {scheme: f"{tests_S.mean():.2f}" for scheme, tests_S in tests.items()}
        rows.append({"network": model["title"], **{scheme: by_scheme.get(scheme, "") for scheme in schemes},
                     "best": chosen,
                     f"lost by {USUAL}": f"{points.mean:.2f} [{points.low:.2f}, {points.high:.2f}]"})  # fmt: skip
    return rows
