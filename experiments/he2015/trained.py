"""What trains: deep rectifier networks from He's and from smaller weights, at every rate of a grid with every seed.

As in the paper "22 layers" counts the layers with weights, so 21 hidden ones and the last. Of every model the courses
at its best rate are kept, and the least validation error that any of its runs ever had.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Measured, Metrics, NotRun, exact, number, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.study import Place

EDGES = {"lowest": "<", "highest": ">", "": ""}  # a best rate that is an end of its grid
SHARED = ("data", "data.valid", "network", "network.halve", "width", "batch_size", "steps", "optimizer")


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]] | NotRun:
    """Every model of the stage at every rate with every seed, checked.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    own = settings[name]
    if lacking := runs.lacks_data(own["data"], place):
        return lacking
    shared = {key: own[key] for key in SHARED if key in own} | {"activation": "relu"}
    shared |= {"probe": "economy", "probe.schedule": "linear", "probe.points": own["points"], "probe.examples": 50}
    named = own["models"].items()
    models = {label: runs.config(f"{name}-{label}", shared | _model(model), place) for label, model in named}
    asked = runs.grid(models, own["rates"], range(own["seeds"]))
    runs.check(asked)

    def measure() -> dict[str, Any]:
        results = runs.train(asked)
        kept = {key: own[key] for key in ("data", "title", "width", "batch_size", "rates", "seeds")}
        found = runs.at_best_rate(results)
        for label, model in found.items():
            model |= own["models"][label] | _courses(label, model["rate"], results)
        return {**kept, **runs.progress(results, own["steps"]), "models": found}

    return measure


def _model(model: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that a model has for itself; fan-in is what every scheme here has by itself."""
    options = {} if model["fan"] == "in" else {"fan": model["fan"]}
    return {"depth": model["layers"] - 1, "scheme": model["scheme"], "scheme.kwargs": options}


def _courses(label: str, rate: float, results: Mapping[runs.Run, runs.Result]) -> dict[str, Any]:
    """Validation errors in percent at the best rate, (seed, point), and the least of all runs at all rates."""
    shown = [result for run, result in results.items() if (run.model, run.rate) == (label, rate)]
    every = [result.readings["valid_error"] for run, result in results.items() if run.model == label]
    course = runs.courses(shown, ["valid_error"])
    return {
        "step": course["step"],
        "valid_error": (100 * np.array(course["valid_error"])).tolist(),
        "least": 100 * float(min(np.nanmin(errors) for errors in every)),
    }


def metrics(part: str, results: Mapping[str, Any], pairs: Sequence[tuple[str, str]]) -> Metrics:
    """Of the models at their best rates, n seeds; `pairs` are those that are compared, seed by seed.

    `<part>.<model>`: test error, percent. `<part>.<model>.least`: the least validation error at any rate, seed and
    update. `<part>.<a>-<b>`: the difference of test errors. `<part>.<a>-<b>.later`: log2 of how many times as many
    updates a takes until its validation error is half of chance.
    """
    if cut := runs.unfinished(results):
        return {part: cut}
    models = results["models"]
    tests = {label: np.array(model["test"]) for label, model in models.items()}
    found: dict[str, Measured | NotRun] = {}
    for label, test_S in tests.items():
        found[f"{part}.{label}"] = over_runs(mean_interval(test_S))
        found[f"{part}.{label}.least"] = exact(models[label]["least"])
    for a, b in pairs:
        found[f"{part}.{a}-{b}"] = over_runs(mean_interval(tests[a] - tests[b]))
        found[f"{part}.{a}-{b}.later"] = _later(models[a], models[b])
    return found


def _later(a: Mapping[str, Any], b: Mapping[str, Any]) -> Measured | NotRun:
    first, second = updates_to_half(a), updates_to_half(b)
    if len(first) != len(second):
        return NotRun("a run diverged at the best rate, so that seeds cannot be paired")
    ratios_S = np.log2(first) - np.log2(second)
    return over_runs(mean_interval(ratios_S)) if np.isfinite(ratios_S).all() else exact(math.nan)


def updates_to_half(model: Mapping[str, Any]) -> np.ndarray:
    """(S,) updates until the validation error is first below half of chance, interpolated; nan where it never is."""
    return np.array([_crossing(model["step"], errors, model["chance"] / 2) for errors in model["valid_error"]])


def _crossing(steps: Sequence[int], errors: Sequence[float], level: float) -> float:
    below = np.flatnonzero(np.array(errors) < level)
    if len(below) == 0:
        return math.nan
    at = int(below[0])
    if at == 0:
        return float(steps[0])
    return float(np.interp(-level, [-errors[at - 1], -errors[at]], [steps[at - 1], steps[at]]))


def draw(
    results: Mapping[str, Any], panels: Mapping[str, Sequence[str]], looks: Mapping[str, tuple[int, str]]
) -> "Figure":
    """Validation error over updates, a panel for each group of models; `looks`: the look and the label of each."""
    figure = drawing.figure(4.4 * len(panels) + 0.4, 3.6)
    axes_of = dict(zip(panels, figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], strict=True))
    chance = next(iter(results["models"].values()))["chance"]
    for title, axes in axes_of.items():
        for label in panels[title]:
            i, words = looks[label]
            course(axes, results["models"][label], drawing.look(i), words)
        axes.axhline(chance, color="0.45", lw=0.8, ls=(0, (1, 1.5)))
        axes.set(title=title, xlabel="updates", ylim=(0, 95))
    first, *_ = axes_of.values()
    first.set_ylabel("validation error, %")
    drawing.legend(figure, max(axes_of.values(), key=lambda axes: len(axes.get_legend_handles_labels()[0])))
    drawing.caption(figure, f"Lines: means over seeds, bands: all seeds; dotted: chance. {scale(results)}")
    return figure


def course(axes: "Axes", model: Mapping[str, Any], look: drawing.Look, label: str) -> None:
    """Validation error of a model against updates: the mean over seeds, and all seeds as a band."""
    errors_ST = np.array(model["valid_error"])
    axes.plot(model["step"], errors_ST.mean(0), color=look.colour, ls=look.dashes, lw=1.3, marker=look.marker, ms=3.5,
              markevery=max(1, len(model["step"]) // 8), label=label)  # fmt: skip
    axes.fill_between(model["step"], errors_ST.min(0), errors_ST.max(0), color=look.colour, alpha=0.15, lw=0)


def scale(results: Mapping[str, Any]) -> str:
    """How the networks were scaled and which rates they have, for a caption."""
    rates = ", ".join(f"{label} {EDGES[own['edge']]}{number(own['rate'])}" for label, own in results["models"].items())
    return (
        f"{results['data']}, {results['title']}, {results['steps']:,} updates of {results['batch_size']}, "
        f"{results['seeds']} seeds; learning rates by validation error from "
        f"{', '.join(map(number, results['rates']))}: {rates}."
    )


def table(results: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each model: its test error and its validation error at every rate."""
    rows = []
    for label, own in results["models"].items():
        interval = mean_interval(own["test"] or [math.nan])
        test = f"{number(interval.mean)} [{number(interval.low)}, {number(interval.high)}]"
        by_rate = {f"valid at {rate}": number(error) for rate, error in own["valid"].items()}
        rows.append({"model": label, "layers": str(own["layers"]), "scheme": own["scheme"], "test error, %": test,
                     "at rate": f"{EDGES[own['edge']]}{number(own['rate'])}", **by_rate,
                     "diverged": f"{own['diverged']} of {own['runs']}"})  # fmt: skip
    return rows
