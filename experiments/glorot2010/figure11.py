"""Figure 11: error on Shapeset while the models learn, against examples seen."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, number
from experiments.glorot2010 import learning, published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("sigmoid", "shapeset", "pretraining")
DRAWS_SO_FAR = True
CHANCE = 100 * 5 / 6
FIRST = 2.5e6  # examples, at which the printed curves were first read


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`figure11.<model>`, test error in percent, and `figure11.<a>-<b>`, paired: campaigns share seeds and batches.

    `figure11.tanh-softsign.gain`: by how much more the normalised initialisation gains under tanh than under softsign.
    `figure11.first...`: the same of validation errors after 2.5 million examples, where the printed curves begin.
    """
    of_models = [(stage, model) for stage in STAGES if stage in found for model in found[stage]["models"]]
    ends = {model: learning.errors(found[stage], model) for stage, model in of_models}
    firsts = {model: learning.errors_at(found[stage], model, FIRST) for stage, model in of_models}
    return {**_compared("figure11", ends), **_compared("figure11.first", firsts)}


def _compared(prefix: str, scores: Mapping[str, Any]) -> Metrics:
    metrics = dict(learning.compared(prefix, scores))
    if {"tanh", "tanh_n", "softsign", "softsign_n"} <= scores.keys() and prefix not in metrics:
        gains = [scores[name] - scores[f"{name}_n"] for name in ("tanh", "softsign")]
        metrics[f"{prefix}.tanh-softsign.gain"] = learning.over_seeds(gains[0] - gains[1])
    return metrics


def draw(found: Mapping[str, Any]) -> "Figure":
    """Ours on the left, validation errors along the way and test errors at the end; the printed curves on the right."""
    figure = drawing.figure(9.5, 4.4)
    ours, printed = figure.subplots(1, 2, sharey=True)
    campaigns = [found[stage] for stage in STAGES if stage in found]
    for campaign in campaigns:
        for model in campaign["models"]:
            learning.curve(ours, campaign, model, "millions")
            _printed_here(ours, campaign, model)
    _printed(printed)
    for axes in (ours, printed):
        axes.axhline(CHANCE, color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    ours.set(title="measured", ylabel="error, %", ylim=(0, 90))
    drawing.legend(figure, ours)
    drawing.caption(figure, f"{learning.seeds(campaigns[0])} {learning.scale(campaigns)}")
    return figure


def _printed_here(axes: "Axes", campaign: Mapping[str, Any], model: str) -> None:
    """The printed values as far as the campaign got, if it is of the paper's network: open markers."""
    values = published.load("figure11").get(model)
    if values is None or campaign["width"] != published.load("training")["width"]:
        return
    look, seen = learning.look(model), campaign["done"] * campaign["batch_size"]
    for examples, value in zip(published.load("figure11")["examples"], values, strict=True):
        if examples <= seen:
            axes.plot([examples / 1e6], [value], look.marker, color=look.colour, ms=7, mfc="white", clip_on=False)


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each model: its error after 2.5 million examples as printed and as measured, or as far as it got."""
    paper, rows = published.load("figure11"), []
    for stage in (stage for stage in STAGES if stage in found):
        campaign = found[stage]
        seen = min(FIRST, campaign["done"] * campaign["batch_size"])
        for model, own in campaign["models"].items():
            measured = learning.errors_at(campaign, model, seen)
            printed = paper[model][0] if model in paper else ""
            rows.append({"model": own["label"], "printed at 2.5 million examples, %": str(printed),
                         "measured, %": f"{measured.mean():.1f}", "after examples": f"{seen:,.0f}",
                         "learning rate": f"{learning.EDGES[own['edge']]}{number(own['rate'])}",
                         "seeds": str(len(measured))})  # fmt: skip
    return rows


def _printed(axes: "Axes") -> None:
    curves = dict(published.load("figure11"))
    examples = np.array(curves.pop("examples")) / 1e6
    for model, values in curves.items():
        look = learning.look(model)
        axes.plot(examples, values, color=look.colour, ls=look.dashes, lw=1.3, marker=look.marker, ms=4, mfc="white")
    axes.annotate("pre-training", (examples[-1], curves["pretraining"][-1]), xytext=(-4, -10),
                  textcoords="offset points", ha="right", fontsize=7.5)  # fmt: skip
    axes.set(title="as printed", xlabel="examples seen, millions", xlim=(0, None))
