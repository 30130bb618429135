"""The right variance is not enough: He's weights at one depth and several widths, trained."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Measured, Metrics, NotRun, over_runs
from experiments.hanin2018 import start
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("equal", "narrow")


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`width.<shape>`, epochs until accuracy passes 20 %; `width.narrow`, the narrowest deep ones less the widest."""
    own = _shapes(found)
    if reason := runs.unfinished(found["equal"]) or runs.unfinished(found["narrow"]):
        return {"width": reason}
    metrics: dict[str, Measured | NotRun] = {
        f"width.{label}": over_runs(mean_interval(np.array(model["accuracy20"]))) for label, (_, model) in own.items()
    }
    deepest = max(shape["depth"] for shape, _ in own.values())
    by_width = sorted((shape["width"], label) for label, (shape, _) in own.items() if shape["depth"] == deepest)
    narrow, wide = (np.array(own[label][1]["accuracy20"]) for label in (by_width[0][1], by_width[-1][1]))
    return metrics | {"width.narrow": over_runs(mean_interval(narrow - wide))}


def _shapes(found: Mapping[str, Any]) -> dict[str, Any]:
    """The shape and what came of He's weights at it, of both stages, by "depth x width"."""
    return {
        f"{shape['depth']}x{shape['width']}": (shape, found[stage]["models"][f"he-{label}"])
        for stage in STAGES
        for label, shape in found[stage]["shapes"].items()
    }


def draw(found: Mapping[str, Any]) -> "Figure":
    """Epochs until each mark against sum 1/n_l = depth / width."""
    own = _shapes(found)
    figure = drawing.figure(7, 4)
    axes = figure.subplots()
    sums = np.array([shape["depth"] / shape["width"] for shape, _ in own.values()])
    order = np.argsort(sums, kind="stable")
    for i, mark in enumerate(start.TITLES):
        values = np.array([model[mark] for _, model in own.values()])
        look = drawing.look(i)
        at = sums * 1.02 ** (i - 0.5)
        drawing.points(axes, at, values.mean(1), values.min(1), values.max(1), look, start.TITLES[mark])
    axes.axhline(found["narrow"]["epochs"], color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    for j in order:
        label, (_, model) = list(own.items())[j]
        place = sums[j], np.mean(model["accuracy20"])
        axes.annotate(label, place, xytext=(6, 4), textcoords="offset points", fontsize=7.5)
    axes.set(xlabel="Σ 1/n = depth / width", ylabel="epochs", ylim=(0, 1.08 * found["narrow"]["epochs"]))
    drawing.legend(figure, axes)
    drawing.caption(figure, f"Labels: depth x width. {start.caption(found['narrow'])}")
    return figure
