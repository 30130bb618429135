"""The figure and the files of an inspection, from its arrays alone."""

import io
import json
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from xinit.analysis import verdict
from xinit.analysis.inspection import Inspection, measured, predicted
from xinit.core import extra, netcdf
from xinit.core.files import write_atomically, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREDICTED, MEASURED = "#0072B2", "#D55E00"  # Okabe and Ito's, told apart by colour-blind eyes
PANELS = (  # name, title, logarithmic; second moments are shown as their roots
    ("act_second", "activations, rms", True),
    ("grad_pre_second", "dL/dz, rms", True),
    ("grad_w_second", "dL/dW, rms", True),
    ("act_cosine", "cosine between examples", False),
    ("act_slope", "mean slope, share of its maximum", False),
)
SCORED = (("act_second", "activations", "o"), ("grad_pre_second", "dL/dz", "s"), ("grad_w_second", "dL/dW", "^"))
AXES = {"grad_w_second": "weight", "jacobian_sv_mean": "jacobian"}  # of the others: layer


def figure(inspection: Inspection, title: str) -> "Figure":
    """Every layer in a row of each panel, the first at the bottom: the prediction with its band, the seeds' mean.

    >>> [axes.get_title() for axes in figure(inspection, "xavier").axes[:3]]
    ['activations, rms', 'dL/dz, rms', 'dL/dW, rms']
    """
    from xinit.core.figure import Figure

    drawn = Figure(figsize=(11, 7), layout="constrained")
    panels = drawn.subplots(2, 3).ravel()
    for axes, (name, heading, logarithmic) in zip(panels, PANELS, strict=False):
        _panel(axes, inspection, name, logarithmic)
        axes.set_title(heading)
    _scores(panels[-1], inspection)
    handles, labels = panels[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    drawn.suptitle(title)
    return drawn


def write(folder: pathlib.Path, inspection: Inspection, title: str, draw: bool) -> None:
    """inspection.nc, inspection.json and, where asked, inspection.png.

    >>> write(pathlib.Path("inspection"), inspection, "xavier", draw=False)
    >>> sorted(path.name for path in pathlib.Path("inspection").iterdir())
    ['inspection.json', 'inspection.nc']
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "inspection.nc", _netcdf(inspection))
        write_atomically(folder / "inspection.json", (json.dumps(_summary(inspection), indent=2) + "\n").encode())
        if draw:
            content = io.BytesIO()
            figure(inspection, title).savefig(content, dpi=110)
            write_atomically(folder / "inspection.png", content.getvalue())


def _panel(axes: "Axes", inspection: Inspection, name: str, logarithmic: bool) -> None:
    mean, low, high = measured(inspection, name)
    layers = np.arange(1, len(mean) + 1)
    value, least, most = predicted(inspection, name)
    if np.isfinite(value).any():
        axes.fill_betweenx(layers, least, most, color=PREDICTED, alpha=0.2, lw=0, label="where 95 % of networks lie")
        axes.plot(value, layers, color=PREDICTED, lw=1.4, label="predicted")
    reach = np.maximum(np.stack([mean - low, high - mean]), 0)
    axes.errorbar(mean, layers, xerr=reach, fmt="o", ms=3, lw=1, color=MEASURED, label="measured, mean of the seeds")
    shown = np.concatenate([mean, *[ends[np.isfinite(ends)] for ends in (least, most)]])
    if logarithmic and np.all(shown > 0) and np.max(shown) > 30 * np.min(shown):
        axes.set_xscale("log")
    elif logarithmic:  # there is no decade to label
        axes.set_xlim(left=0)
        axes.ticklabel_format(axis="x", scilimits=(-2, 3))
    else:
        axes.set_xlim(min(0, np.min(mean)) - 0.03, 1.03)
    _layer_axis(axes, len(mean), "weight matrix" if name == "grad_w_second" else "layer")


def _scores(axes: "Axes", inspection: Inspection) -> None:
    axes.axvspan(-2, 2, color="0.92", lw=0)
    for name, label, marker in SCORED:
        scores = inspection.scores[name]
        if np.isfinite(scores).any():
            axes.plot(scores, np.arange(1, len(scores) + 1), marker, ms=3.5, label=label)
    scored = [inspection.scores[name] for name, *_ in SCORED]
    reach = max([3.0, *[np.nanmax(np.abs(scores)) for scores in scored if np.isfinite(scores).any()]])
    axes.set_xlim(-1.1 * reach, 1.1 * reach)
    axes.set_title("measured - predicted, standard errors")
    if axes.lines:
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    _layer_axis(axes, len(inspection.widths) - 2, "layer")


def _layer_axis(axes: "Axes", n: int, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylabel(label)
    axes.set_ylim(0.3, n + 0.7)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _netcdf(inspection: Inspection) -> bytes:
    axis = lambda name: AXES.get(name, "layer")
    described, arrays = {}, {}

    def add(name: str, axes: tuple[str, ...], words: str, values: np.ndarray) -> None:
        arrays[name], described[name] = values, (axes, words)

    for name, values in inspection.prediction.values.items():
        add(f"{name}_predicted", (axis(name),), "predicted mean over networks", values)
    for name in inspection.prediction.networks:
        low, high = inspection.prediction.interval(name)
        add(f"{name}_low", (axis(name),), "2.5 % of networks lie below", low)
        add(f"{name}_high", (axis(name),), "2.5 % of networks lie above", high)
    for name, values in inspection.measured.items():
        add(name, ("seed", axis(name)), "measured", values)
        add(f"{name}_z", (axis(name),), "(measured mean - predicted) / standard error", inspection.scores[name])
    for name, (axes, words) in extra.over(inspection.extra, "seed").items():
        add(name, axes, words, inspection.extra_measured[name])
    return netcdf.encode(arrays, described, {"widths": list(inspection.widths), **extra.listed(inspection.extra)})


def _summary(inspection: Inspection) -> dict[str, object]:
    return {
        "verdict": verdict.sentence(inspection.findings, inspection.remedy),
        "findings": [finding._asdict() for finding in inspection.findings],
        "remedy": inspection.remedy,
        "trainable_depth": inspection.reach.products if inspection.reach else None,
        "trainable_depth_correlation": inspection.reach.correlation if inspection.reach else None,
        "void": inspection.prediction.void,
        "unbounded": inspection.prediction.unbounded,
        "dead_networks": inspection.prediction.dead,
        "widths": inspection.widths,
    }
