"""What a branch is multiplied with: deep residual networks without normalisation, at every rate of a grid.

A label is a rule and the number of branches: scale 1; 1/sqrt(L); learned from 0 on, which is SkipInit (De & Smith 2020)
and ReZero (Bachlechner et al. 2020); Fixup (Zhang et al. 2019).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import drawing, runs
from experiments.claims import Metrics, number, over_runs
from experiments.modern import trained
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("alphas",)
RULES = {"one": "scale 1", "root": "scale 1/√L", "learned": "scale learned, from 0", "fixup": "Fixup"}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`alphas.<model>`: test error at the best rate, percent."""
    own = found["alphas"]
    if cut := runs.unfinished(own):
        return {"alphas": cut}
    measured = {}
    for label, model in own["models"].items():
        measured[f"alphas.{label}"] = over_runs(mean_interval(trained.only_row(model)["test"]))
    return measured


def draw(found: Mapping[str, Any]) -> "Figure":
    """Validation error against the learning rate, a panel for each depth."""
    own = found["alphas"]
    depths = sorted({model["depth"] for model in own["models"].values()})
    figure = drawing.figure(4.2 * len(depths) + 0.4, 3.8)
    panels = figure.subplots(1, len(depths), sharey=True, squeeze=False)[0]
    for axes, depth in zip(panels, depths, strict=True):
        _panel(axes, {label: model for label, model in own["models"].items() if model["depth"] == depth})
        axes.set(title=f"{depth} branches of two weight layers", xlabel="learning rate", xscale="log")
        axes.set_xticks(own["rates"], [number(rate) for rate in own["rates"]])
        axes.xaxis.minorticks_off()
    panels[0].set_ylabel("validation error, %")
    drawing.logarithmic(panels[0].yaxis)
    panels[0].set_ylim(3, 120)
    drawing.legend(figure, panels[-1])  # the deepest, where every rule is
    words = "Lines: means over seeds; dotted: chance, where a run that diverges counts."
    drawing.caption(figure, f"{words} {trained.scale(own)}")
    return figure


def _panel(axes: "Axes", models: Mapping[str, Any]) -> None:
    for label, model in models.items():
        rule = label.rstrip("0123456789")
        look = drawing.look(list(RULES).index(rule))
        row = trained.only_row(model)
        rates, errors = zip(*((float(rate), error) for rate, error in row["valid"].items()), strict=True)
        axes.plot(rates, errors, color=look.colour, ls=look.dashes, marker=look.marker, ms=5, lw=1.3, label=RULES[rule])
        axes.axhline(row["chance"], color="0.45", lw=0.8, ls=(0, (1, 1.5)))


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each model: its test error and the rate."""
    return [
        {"branches": str(model["depth"]), "scale": RULES[label.rstrip("0123456789")]}
        | trained.cells(trained.only_row(model))
        for label, model in found["alphas"]["models"].items()
    ]
