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
    """Epochs until accuracy passes 20 %, every seed a point, by sum 1/n_l = depth / width."""
    own = sorted(_shapes(found).values(), key=lambda one: (one[0]["depth"] / one[0]["width"], one[0]["depth"]))
    figure = drawing.figure(7, 4)
    axes = figure.subplots()
    look = drawing.look(0)
    for i, (_, model) in enumerate(own):
        epochs = np.array(model["accuracy20"])
        beside = i + 0.08 * (np.arange(len(epochs)) - (len(epochs) - 1) / 2)
        axes.plot(beside, epochs, look.marker, color=look.colour, ms=5)
        axes.hlines(epochs.mean(), i - 0.3, i + 0.3, color="0.3", lw=1.2)
    axes.axhline(found["narrow"]["epochs"], color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    words = [
        f"{shape['depth']} layers of {shape['width']}\nΣ 1/n = {shape['depth'] / shape['width']:g}" for shape, _ in own
    ]
    axes.set_xticks(range(len(own)), words)
    axes.set(ylabel="epochs until accuracy passes 20 %", ylim=(0, 1.08 * found["narrow"]["epochs"]))
    drawing.caption(figure, f"Points are seeds, lines their means. {start.caption(found['narrow'])}")
    return figure
