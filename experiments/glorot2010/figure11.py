"""Figure 11: error on Shapeset while the models learn, against examples seen."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, NotRun, over_runs
from experiments.glorot2010 import learning, published
from xinit.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("sigmoid", "shapeset", "pretraining")
CHANCE = 100 * 5 / 6


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`figure11.<model>`, test error in percent, and `figure11.<a>-<b>`, paired: campaigns share seeds and batches."""
    scores = {model: learning.errors(found[stage], model) for stage in STAGES for model in found[stage]["models"]}
    if unfinished := [own for own in scores.values() if isinstance(own, NotRun)]:
        return {"figure11": unfinished[0]}
    pairs = itertools.permutations(scores, 2)
    own = {f"figure11.{model}": over_runs(mean_interval(values)) for model, values in scores.items()}
    return own | {f"figure11.{a}-{b}": over_runs(mean_interval(scores[a] - scores[b])) for a, b in pairs}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Ours on the left, validation errors along the way and test errors at the end; the printed curves on the right."""
    figure = drawing.figure(9.5, 4.4)
    ours, printed = figure.subplots(1, 2, sharey=True)
    for stage in STAGES:
        for model in found[stage]["models"]:
            learning.curve(ours, found[stage], model)
    _printed(printed)
    for axes in (ours, printed):
        axes.axhline(CHANCE, color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    ours.set(title="measured", ylabel="error, %", ylim=(0, 90))
    handles, labels = ours.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, handlelength=3)
    drawing.caption(figure, f"Lines: means over seeds, bands: all seeds. {learning.scale(found[s] for s in STAGES)}")
    return figure


def _printed(axes: "Axes") -> None:
    curves = dict(published.load("figure11"))
    examples = np.array(curves.pop("examples")) / 1e6
    for model, values in curves.items():
        look = learning.look(model)
        axes.plot(examples, values, color=look.colour, ls=look.dashes, lw=1.3, marker=look.marker, ms=4, mfc="white")
    axes.annotate("pre-training", (examples[-1], curves["pretraining"][-1]), xytext=(-4, -10),
                  textcoords="offset points", ha="right", fontsize=7.5)  # fmt: skip
    axes.set(title="as printed", xlabel="examples seen, millions", xlim=(0, None))
