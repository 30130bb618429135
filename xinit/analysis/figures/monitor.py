"""The figure of a monitor: what each layer of a model did while it was trained."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from xinit.analysis.layer_marks import positive

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from xinit.core.figure import Figure

MOST = 12  # layers that are drawn
PANELS = {
    "signal": "z, root mean square", "gradient": "dL/dz, root mean square", "update_ratio": "update over weights",
    "loss": "loss", "act_saturated": "saturated", "grad_pre_zero_units": "units without gradient",
}  # fmt: skip
SHARES = ("act_saturated", "grad_pre_zero_units")


def figure(readings: "xarray.Dataset") -> "Figure":
    """Six panels over the training steps, with a line for each layer, of many layers for twelve of them.

    Signal, gradient, update ratio and loss are on logarithmic axes.

    >>> len(figure(xinit.open("watched")).axes)
    6
    """
    import matplotlib

    from xinit.core.figure import Figure

    drawn = Figure(figsize=(12, 7), layout="constrained")
    grid = drawn.subplots(2, 3, sharex=True).ravel()
    steps, names = readings.step.values, [str(name) for name in readings.layer_name.values]
    shown = np.unique(np.linspace(0, len(names) - 1, min(MOST, len(names))).round().astype(int))
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(shown)))
    for axes, (name, title) in zip(grid, PANELS.items(), strict=True):
        axes.set_title(title)
        values = _values(readings, name)
        if values.ndim == 1:
            axes.plot(steps, positive(values), ".-", color="0.3", lw=1.2)
        for l, colour in zip(shown if values.ndim == 2 else (), colours, strict=False):
            axes.plot(steps, values[:, l], ".-", color=colour, lw=1.2, ms=4, label=names[l])
        if not np.isfinite(values).any():
            axes.text(0.5, 0.5, "no layer has it", transform=axes.transAxes, ha="center", color="0.4")
        _scales(axes, steps, name in SHARES, values)
    handles, labels = grid[0].get_legend_handles_labels()
    legend = drawn.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False, title="layer")
    for text in legend.get_texts():
        text.set_parse_math(False)
    drawn.suptitle(textwrap.shorten(readings.attrs.get("verdict", ""), 150, placeholder=" ..."), fontsize=10)
    return drawn


def _values(readings: "xarray.Dataset", name: str) -> np.ndarray:
    """(step,) or (step, layer); of what has a logarithmic axis nan where it is not above 0."""
    if name in ("signal", "gradient"):
        stem = {"signal": "pre", "gradient": "grad_pre"}[name]
        return positive(np.hypot(readings[f"{stem}_mean"].values, readings[f"{stem}_std"].values))
    values: np.ndarray = readings[name].values
    return values if name in SHARES else positive(values)


def _scales(axes: "Axes", steps: np.ndarray, is_share: bool, values: np.ndarray) -> None:
    axes.set_xscale("symlog", linthresh=max(1, int(steps[1])) if len(steps) > 1 else 1)
    axes.set_xlim(left=min(0, int(steps[0])))
    axes.set_xlabel("training step")
    if is_share:
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    elif np.isfinite(values).any():
        axes.set_yscale("log")
