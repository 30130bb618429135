"""The gain that decides in plain networks and hardly matters in normalised residual ones: test error against it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Measured, Metrics, NotRun, over_runs
from experiments.modern import trained
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("gains",)
MODELS = ("plain", "normed", "residual", "both")
LABELS = {"plain": "plain", "normed": "batch norm", "residual": "residual", "both": "residual, batch norm"}
SCHEME = "he"


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Of each network, over seeds: what the gain decides, in points of test error.

    `gains.<network>.range`: the largest minus the least error of all gains. `.small`: the same of the gains up to 1.
    `.at.<gain>`: the error itself, percent.
    """
    own = found["gains"]
    if cut := runs.unfinished(own):
        return {"gains": cut}
    measured: dict[str, Measured | NotRun] = {}
    for label, model in own["models"].items():
        gains_G, tests_SG = trained.tests_by_gain(model, SCHEME)
        measured[f"gains.{label}.range"] = over_runs(mean_interval(np.ptp(tests_SG, axis=1)))
        measured[f"gains.{label}.small"] = over_runs(mean_interval(np.ptp(tests_SG[:, gains_G <= 1], axis=1)))
        for gain, tests_S in zip(gains_G, tests_SG.T, strict=True):
            measured[f"gains.{label}.at.{gain:g}"] = over_runs(mean_interval(tests_S))
    return measured


def draw(found: Mapping[str, Any]) -> "Figure":
    """Test error against the gain, a line for each kind of network."""
    own = found["gains"]
    figure = drawing.figure(6.6, 4.4)
    axes = figure.subplots()
    for i, (label, model) in enumerate(own["models"].items()):
        gains_G, tests_SG = trained.tests_by_gain(model, SCHEME)
        look = drawing.look(i)
        axes.plot(gains_G, tests_SG.mean(0), color=look.colour, ls=look.dashes, marker=look.marker, ms=5, lw=1.5,
                  label=LABELS.get(label, label))  # fmt: skip
        axes.fill_between(gains_G, tests_SG.min(0), tests_SG.max(0), color=look.colour, alpha=0.15, lw=0)
    chance = own["models"]["plain"]["starts"][SCHEME]["1"]["chance"]
    axes.axhline(chance, color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    axes.set(xlabel="gain: standard deviation of the weights over He's", ylabel="test error, %")
    drawing.logarithmic(axes.yaxis)
    axes.set_xscale("log", base=2)
    axes.set_xticks(gains_G, [f"{gain:g}" for gain in gains_G])
    axes.minorticks_off()
    drawing.legend(figure, axes)
    words = f"Lines: means over seeds, bands: all seeds; dotted: chance. 14 weight layers. {trained.scale(own)}"
    drawing.caption(figure, words)
    return figure


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """The best rate at each gain, a line for each kind of network."""
    rows = []
    for label, model in found["gains"]["models"].items():
        by_gain = model["starts"][SCHEME]
        rates = {f"rate at gain {gain}": trained.rate(row) for gain, row in by_gain.items()}
        diverged = sum(row["diverged"] for row in by_gain.values())
        runs_of_all = sum(row["runs"] for row in by_gain.values())
        rows.append({"network": LABELS.get(label, label), **rates, "diverged": f"{diverged} of {runs_of_all}"})
    return rows
