"""Figures from stored readings alone."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xinit.analysis.layout import axis_title, numbers, part
from xinit.core.errors import InputError
from xinit.core.files import write_atomically
from xinit.core.readings import share_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from xinit.core.figure import Figure

THIN = {"lw": 0.6, "ls": ":", "label": "_"}  # of layers within branches
FEW = 3.0  # times, from which on a logarithmic axis has a tick at 1, 2 or 5 to show


def layers_figure(readings: Mapping[str, np.ndarray], summary: Mapping[str, Any], name: str) -> "Figure":
    """What every layer does while it trains: activations, flatness and gradients, one colour a layer.

    Of a residual network those on the main path; layers within branches are dotted lines.

    >>> drawn = layers_figure(outcomes[0].readings, outcomes[0].summary, "xavier")
    >>> [axes.get_title() for axes in drawn.axes if axes.get_title()][-2:]
    ['mean slope, share of its maximum', 'std of dL/dz']
    """
    from xinit.core.figure import Figure

    within, readings = part(readings, within=True), part(readings)
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    (start, end, error), (spread, slope, gradient) = figure.subplots(2, 3)
    if "act_hist" in readings:
        _density(start, readings, 0, "activations at initialisation")
        _density(end, readings, -1, f"activations after {int(readings['step'][-1]):,} steps")
    else:
        for axes in (start, end):
            axes.set_axis_off()
    for axes, reading, title in (
        (spread, "act_std", "std of the activations"),
        (slope, "act_slope", "mean slope, share of its maximum"),
        (gradient, "grad_pre_std", "std of dL/dz"),
    ):
        _over_training(axes, readings, reading, title)
        if axis_title(within) == "branch":
            _lines(axes, within, reading, THIN)
    slope.set_ylim(0, 1.05)
    decades(gradient, readings["grad_pre_std"])
    _error(error, readings, summary)
    handles, labels = spread.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", title=axis_title(readings), frameon=False)
    level = summary.get("verdict", "").partition(":")[0]  # none of a run that goes on
    figure.suptitle(f"{name}: {level}" if level else name)
    return figure


def run_figure(readings: "xarray.Dataset") -> "Figure":
    """`layers_figure` of the dataset of a run, that goes on or is over.

    >>> run_figure(run).axes[-1].get_xlabel()
    'training step'

    Raises:
      InputError: the run measured no layers.
    """
    if "act_std" not in readings:
        where = readings.attrs.get("path", "This dataset")
        raise InputError(f"{where} has no readings by layer to draw; a run measures them with probe=economy or more.")
    arrays = {str(name): variable.values for name, variable in readings.variables.items()}
    return layers_figure(arrays, readings.attrs, readings.attrs.get("name", "a run"))


def save_layers(path: pathlib.Path, readings: Mapping[str, np.ndarray], summary: Mapping[str, Any], name: str) -> None:
    """Write `layers_figure` as a PNG.

    >>> save_layers(pathlib.Path("figures", "layers.png"), outcomes[0].readings, {}, "xavier")
    >>> pathlib.Path("figures", "layers.png").exists()
    True
    """
    content = io.BytesIO()
    layers_figure(readings, summary, name).savefig(content, dpi=110)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, content.getvalue())


def _colours(n_layers: int) -> np.ndarray:
    """From the first layer, dark, to the top, bright: colour-blind safe and ordered in print too."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0, 0.9, n_layers))


def _labelled(l: int, places: Sequence[int]) -> str:
    """A legend of at most ten layers."""
    n_layers = len(places)
    return str(places[l]) if n_layers <= 10 or l % -(-n_layers // 10) == 0 or l == n_layers - 1 else "_"


def _density(axes: "Axes", readings: Mapping[str, np.ndarray], at: int, title: str) -> None:
    shares, edges = readings["act_hist"][at], readings["act_edges"]
    for l, colour in enumerate(_colours(len(shares))):
        centres = (edges[l, 1:] + edges[l, :-1]) / 2
        axes.plot(centres, shares[l] / np.diff(edges[l]), color=colour, lw=1.2)
    axes.set(title=title, xlabel="activation", ylabel="density")
    if np.isnan(readings["act_inactive"][at]).all():
        axes.set_ylim(bottom=0)
    else:  # beside a rectifier's spike at zero everything else would be flat
        axes.set_yscale("log")
        axes.set_ylim(bottom=1e-3)


def _over_training(axes: "Axes", readings: Mapping[str, np.ndarray], name: str, title: str) -> None:
    _lines(axes, readings, name, {"lw": 1.4})
    axes.set_title(title)
    step_axis(axes, readings["step"])


def _lines(axes: "Axes", readings: Mapping[str, np.ndarray], name: str, look: Mapping[str, Any]) -> None:
    places = numbers(readings)
    for l, colour in enumerate(_colours(len(places))):
        axes.plot(readings["step"], readings[name][:, l], color=colour, **{"label": _labelled(l, places), **look})


def _error(axes: "Axes", readings: Mapping[str, np.ndarray], summary: Mapping[str, Any]) -> None:
    steps = readings["step"]
    axes.plot(steps, 100 * readings["train_error"], color="0.6", lw=1.2, label="train (running)")
    axes.plot(steps, 100 * readings["valid_error"], color="tab:blue", lw=1.6, label="valid")
    if "chance_error" in summary:
        axes.axhline(100 * summary["chance_error"], color="tab:red", lw=1, ls="--", label="chance")
    axes.set(title=f"error, %{share_of(summary.get('error_is'))}")
    most = max(np.nan_to_num(readings["valid_error"], nan=0, posinf=2).max(), summary.get("chance_error", 0))
    axes.set_ylim(0, 100 if most <= 1 else min(105 * most, 210))  # a regression may err by more than the variance
    axes.legend(frameon=False, loc="lower left")
    step_axis(axes, steps)


def step_axis(axes: "Axes", steps: np.ndarray) -> None:
    """Steps on a logarithmic axis that still shows step 0.

    >>> from xinit.core.figure import Figure
    >>> axes = Figure().subplots()
    >>> step_axis(axes, np.array([0, 1, 10, 100]))
    >>> axes.get_xscale(), axes.get_xlabel()
    ('symlog', 'training step')
    """
    axes.set_xlabel("training step")
    if len(steps) > 1:
        axes.set_xscale("symlog", linthresh=float(steps[1]) or 1.0)
        axes.set_xlim(0, float(steps[-1]))


def decades(axes: "Axes", values: np.ndarray) -> None:
    """Logarithmic, with ticks that can be read, where the largest value is a few times the least; else from 0.

    >>> from xinit.core.figure import Figure
    >>> axes = Figure().subplots()
    >>> decades(axes, np.array([1e-3, 1.0]))
    >>> axes.get_yscale()
    'log'
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    finite = values[np.isfinite(values)]
    low, high = finite.min(initial=np.inf), finite.max(initial=0)
    if not 0 < FEW * low < high:
        axes.set_ylim(bottom=0)
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
