"""The figure and the files of an inspection, from its arrays alone."""

import io
import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xinit.analysis import verdict
from xinit.analysis.inspection import Inspection, growth_over_branches, measured, predicted
from xinit.core import extra, netcdf
from xinit.core.files import write_atomically, writing
from xinit.core.readings import PLACES

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
SUMS = ("pre_second", "pre-activations, rms", True)  # of a residual network in place of the first
SCORED = (("act_second", "activations", "o"), ("grad_pre_second", "dL/dz", "s"), ("grad_w_second", "dL/dW", "^"))
AXES = {"grad_w_second": "weight", "jacobian_sv_mean": "jacobian"}  # of the others: layer


def figure(inspection: Inspection, title: str) -> "Figure":
    """Every layer in a row of each panel, the first at the bottom: the prediction with its band, the seeds' mean.

    Of a residual network a row is a branch: the sum behind it, and in thin lines what lies within.

    >>> [axes.get_title() for axes in figure(inspection, "xavier").axes[:3]]
    ['activations, rms', 'dL/dz, rms', 'dL/dW, rms']
    """
    from xinit.core.figure import Figure

    drawn = Figure(figsize=(11, 7), layout="constrained")
    panels = drawn.subplots(2, 3).ravel()
    shown = [SUMS, *PANELS[1:]] if inspection.layout.has_skips else PANELS
    for axes, (name, heading, logarithmic) in zip(panels, shown, strict=False):
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
    value, least, most = predicted(inspection, name)
    curves = _curves(inspection, name)
    for place, chosen, within in curves:
        _curve(axes, place, [band[chosen] for band in (value, least, most, mean, low, high)], within)
    shown = np.concatenate([mean, *[ends[np.isfinite(ends)] for ends in (least, most)]])
    if logarithmic and np.all(shown > 0) and np.max(shown) > 30 * np.min(shown):
        axes.set_xscale("log")
    elif logarithmic:  # there is no decade to label
        axes.set_xlim(left=0)
        axes.ticklabel_format(axis="x", scilimits=(-2, 3))
    else:
        axes.set_xlim(min(0, np.min(mean)) - 0.03, 1.03)
    _layer_axis(axes, np.concatenate([place for place, *_ in curves]), _axis_title(inspection, name))


def _curve(axes: "Axes", places: np.ndarray, bands: Sequence[np.ndarray], within: bool) -> None:
    """What was predicted, with its band, and what was measured; thinner `within` branches."""
    value, least, most, mean, low, high = bands
    where, thin = (", within branches", 0.5) if within else ("", 1.0)
    if np.isfinite(value).any():
        label = None if within else "where 95 % of networks lie"
        axes.fill_betweenx(places, least, most, color=PREDICTED, alpha=0.2 * thin, lw=0, label=label)
        axes.plot(value, places, "-" if thin == 1 else ":", color=PREDICTED, lw=1.4 * thin, label=f"predicted{where}")
    reach = np.maximum(np.stack([mean - low, high - mean]), 0)
    label = "measured, mean of the seeds" if not within else f"measured{where}"
    axes.errorbar(mean, places, xerr=reach, fmt="o", ms=3 * thin, lw=thin, color=MEASURED, label=label)


def _curves(inspection: Inspection, name: str) -> list[tuple[np.ndarray, np.ndarray, bool]]:
    """The rows of a panel, the entries that lie there, and whether they lie within branches: a curve each."""
    layout = inspection.layout
    if name in AXES or not layout.has_skips:
        n = len(inspection.measured[name][0])
        return [(np.arange(1, n + 1), np.arange(n), False)]
    within = np.flatnonzero(~layout.main)
    main = np.arange(int(layout.main.sum())), np.flatnonzero(layout.main), False
    return [main, *([(layout.branch[within] - 0.5, within, True)] if len(within) else [])]


def _axis_title(inspection: Inspection, name: str) -> str:
    if name == "grad_w_second":
        return "weight matrix"
    return "branch" if inspection.layout.has_skips else "layer"


def _scores(axes: "Axes", inspection: Inspection) -> None:
    if not any(np.isfinite(scores).any() for scores in inspection.scores.values()):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no intervals are predicted\nto compare this with", ha="center", va="center")
        return
    axes.axvspan(-2, 2, color="0.92", lw=0)
    residual = inspection.layout.has_skips
    scored = [part for part in SCORED if not (residual and part[0] in AXES)]  # whose rows are others
    for (name, label, marker), colour in zip(scored, ("C0", "C1", "C2"), strict=False):
        scores = inspection.scores[name]
        if np.isfinite(scores).any():
            for i, (places, chosen, _) in enumerate(_curves(inspection, name)):
                axes.plot(scores[chosen], places, marker, ms=3.5, label=None if i else label, color=colour)
    shown = [inspection.scores[name] for name, *_ in scored]
    reach = max([3.0, *[np.nanmax(np.abs(scores)) for scores in shown if np.isfinite(scores).any()]])
    axes.set_xlim(-1.1 * reach, 1.1 * reach)
    axes.set_title("measured - predicted, standard errors")
    if axes.lines:
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    places = np.concatenate([places for places, *_ in _curves(inspection, "act_second")])
    _layer_axis(axes, places, _axis_title(inspection, "act_second"))


def _layer_axis(axes: "Axes", places: np.ndarray, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylabel(label)
    axes.set_ylim(np.min(places) - 0.7, np.max(places) + 0.7)
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
    for name, values in inspection.places.items():
        add(name, *PLACES[name], values)
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
        **_of_branches(inspection),
    }


def _of_branches(inspection: Inspection) -> dict[str, object]:
    """Of a network that is no plain stack: what its layers and weights are called, and how sizes go over branches."""
    if not inspection.about:
        return {}
    sides = {"measured": measured, "predicted": predicted}
    sizes = ("pre_second", "grad_pre_second")
    found = {name: {side: growth_over_branches(inspection, name, of) for side, of in sides.items()} for name in sizes}
    growth = {name: {side: own._asdict() for side, own in both.items() if own} for name, both in found.items()}
    return {
        "layers": inspection.about["layers"],
        "weights": inspection.about["weights"],
        "branch": inspection.layout.branch.tolist() if inspection.layout.is_known else None,
        **({"growth_over_branches": growth} if inspection.layout.has_skips else {}),
    }
