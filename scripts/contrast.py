"""The README's picture: one network from two initialisations, side by side on the same axes.

    make train                                     # writes a sweep of two runs into runs/sweeps
    python scripts/contrast.py runs/sweeps/HASH    # draws experiments/first_run/contrast.png

Both rows share their axes, so that sizes can be compared between the initialisations too.
"""

import pathlib
import sys
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps

import xinit
from xinit.analysis.figures.run import step_axis
from xinit.core.figure import Figure

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

PLACE = pathlib.Path(__file__).resolve().parents[1] / "experiments" / "first_run" / "contrast.png"


TITLES = ("signal: std of the activations", "gradient: std of dL/dz", "error on new examples, %")


def contrast(sweep: pathlib.Path) -> Figure:
    """A row for each run: what signal, gradient and error do while it trains."""
    runs = xinit.open(sweep)
    figure = Figure(figsize=(10, 5), layout="constrained")
    rows = figure.subplots(len(runs.replica), len(TITLES), sharex=True, sharey="col")
    for row, replica in zip(rows, runs.replica, strict=True):
        run = runs.sel(replica=replica)
        _draw(run, *row)
        row[0].set_ylabel(run.scheme.item(), fontsize=13)
    for first, last, title in zip(rows[0], rows[-1], TITLES, strict=True):
        first.set_title(title, fontsize=11)
        last.set_xlabel("training step")
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", title="layer", frameon=False)
    return figure


def _draw(run: "xarray.Dataset", signal: "Axes", gradient: "Axes", error: "Axes") -> None:
    colours = colormaps["viridis"](np.linspace(0, 0.9, run.sizes["layer"]))
    for axes, values_TL, ticks in (
        (signal, run.act_std.values, (0.02, 0.05, 0.1, 0.2, 0.5, 1)),
        (gradient, run.grad_pre_std.values, (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)),
    ):
        for l, colour in enumerate(colours):
            axes.plot(run.step, values_TL[:, l], color=colour, label=str(l + 1))
        axes.set_yscale("log")
        axes.set_yticks(ticks, labels=map(str, ticks))
        axes.minorticks_off()
    error.plot(run.step, 100 * run.valid_error, color="tab:blue")
    chance = 100 * float(run.chance_error)
    error.axhline(chance, color="0.4", ls="--", lw=1)
    error.text(1, chance + 1, "chance", color="0.4", va="bottom", ha="left")
    error.set_ylim(60, 95)
    for axes in (signal, gradient, error):
        step_axis(axes, run.step.values)
        axes.set_xlabel("")


if __name__ == "__main__":
    contrast(pathlib.Path(sys.argv[1])).savefig(PLACE, dpi=110)
    print(PLACE)
