"""Table 1: test errors of five models with five hidden layers."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Metrics, NotRun, number, over_runs
from experiments.glorot2010 import learning, published
from experiments.glorot2010.figure12 import TITLES
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("sigmoid", "shapeset", "mnist", "cifar10")
DRAWS_SO_FAR = True
WIDE = 10  # a factor between errors that only a logarithmic axis shows
COLUMNS = {"shapeset": "Shapeset", **TITLES}


def columns(found: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray | NotRun]]:
    """Test errors by data set and model, in percent, by seed; Shapeset's sigmoid is trained apart."""
    held = {name: [found[name]] for name in COLUMNS if name in found}
    if "sigmoid" in found and "shapeset" in held:
        held["shapeset"].append(found["sigmoid"])
    return {
        name: {
            model: learning.errors(campaign, model)
            for campaign in campaigns
            for model in campaign["models"]
            if model in published.load("table1")[name]
        }
        for name, campaigns in held.items()
    }


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`table1.<data>.<model>`, test errors, and `table1.<data>.order`, the rank correlation with the printed ones."""
    measured: dict[str, Any] = {f"table1.{name}": runs.NO_DATA for name in COLUMNS}
    for name, column in columns(found).items():
        del measured[f"table1.{name}"]
        for model, scores in column.items():
            alone = scores if isinstance(scores, NotRun) else over_runs(mean_interval(scores))
            measured[f"table1.{name}.{model}"] = alone
        measured[f"table1.{name}.order"] = _order(name, column)
    return measured


def _order(name: str, column: Mapping[str, np.ndarray | NotRun]) -> Any:
    """Spearman's correlation between our errors and the printed ones over the models, seed by seed."""
    from scipy.stats import spearmanr

    if unfinished := [scores for scores in column.values() if isinstance(scores, NotRun)]:
        return unfinished[0]
    printed = [published.load("table1")[name][model] for model in column]
    by_seed = zip(*column.values(), strict=True)
    return over_runs(mean_interval([float(spearmanr(scores, printed).statistic) for scores in by_seed]))


def table(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A line for each model: ours with the interval over seeds, and the printed value, for each data set."""
    return list(_rows(columns(found)))


def _rows(held: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for model, label in (("softsign", "softsign"), ("softsign_n", "softsign N"), ("tanh", "tanh"), ("tanh_n", "tanh N"),
                         ("sigmoid", "sigmoid")):  # fmt: skip
        row = {"model": label}
        for name, column in held.items():
            row[COLUMNS[name]] = _cell(column.get(model, runs.NO_DATA))
            row[f"{COLUMNS[name]}, printed"] = f"{published.load('table1')[name][model]:.2f}"
        yield row


def _cell(scores: np.ndarray | NotRun) -> str:
    if isinstance(scores, NotRun):
        return scores.why
    interval = mean_interval(scores)
    return f"{number(float(interval.mean))} [{number(float(interval.low))}, {number(float(interval.high))}]"


def draw(found: Mapping[str, Any]) -> "Figure":
    """Ours with the interval over seeds, and the printed errors, a panel for each data set."""
    held = columns(found)
    figure = drawing.figure(3.4 * len(held), 3)
    panels = figure.subplots(1, len(held), sharey=True, squeeze=False)[0]
    for axes, (name, column) in zip(panels, held.items(), strict=True):
        _panel(axes, name, column)
    panels[0].plot([], [], "o", color="0.3", ms=4, label="measured, 95 % interval over seeds")
    panels[0].plot([], [], "x", color="0.3", ms=6, label="printed")
    drawing.legend(figure, panels[0])
    drawing.caption(figure, learning.scale(found[stage] for stage in STAGES if stage in found))
    return figure


def _panel(axes: "Axes", name: str, column: Mapping[str, Any]) -> None:
    printed = published.load("table1")[name]
    for row, model in enumerate(reversed(printed)):
        colour = learning.look(model).colour
        axes.plot(printed[model], row, "x", color=colour, ms=6)
        if not isinstance(scores := column.get(model, runs.NO_DATA), NotRun):
            interval = mean_interval(scores)
            reach = [[interval.mean - interval.low], [interval.high - interval.mean]]
            axes.errorbar(interval.mean, row, xerr=reach, fmt="o", color=colour, ms=4, elinewidth=1)
    axes.set_yticks(range(len(printed)), [model.replace("_n", " N") for model in reversed(printed)])
    axes.set(title=COLUMNS[name], xlabel="test error, %")
    low, high = axes.get_xlim()
    if low <= 0 or high > WIDE * low:
        drawing.logarithmic(axes.xaxis)
