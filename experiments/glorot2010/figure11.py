"""Figure 11: error on Shapeset while the models learn, against examples seen."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from experiments.glorot2010 import learning, published
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("sigmoid", "shapeset", "pretraining")
DRAWS_SO_FAR = True
CHANCE = 100 * 5 / 6


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`figure11.<model>`, test error in percent, and `figure11.<a>-<b>`, paired: campaigns share seeds and batches.

    `figure11.tanh-softsign.gain`: by how much more the normalised initialisation gains under tanh than under softsign.
    """
    scores = {model: learning.errors(found[stage], model) for stage in STAGES for model in found[stage]["models"]}
    metrics = learning.compared("figure11", scores)
    if {"tanh", "tanh_n", "softsign", "softsign_n"} <= scores.keys() and "figure11" not in metrics:
        gains = [scores[name] - scores[f"{name}_n"] for name in ("tanh", "softsign")]
        metrics["figure11.tanh-softsign.gain"] = over_runs(mean_interval(gains[0] - gains[1]))
    return metrics


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
    drawing.legend(figure, ours)
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
