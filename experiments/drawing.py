"""How the figures of all studies look alike: a scheme or a layer has one look, told apart in grey print too."""

import io
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xinit.analysis.figures.comparison import COLOURS, DASHES, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FONTS = {"font.size": 8.5, "axes.titlesize": 9, "axes.labelsize": 8.5, "legend.fontsize": 8.5}
DPI = 110
LAYER_COLOURS = ("#D55E00", "#009E73", "#0072B2", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8A8A2B")
LAYER_MARKERS = ("o", "s", "^", "D", "v", "P", "<", ">")


class Look(NamedTuple):
    """How a scheme or a layer is drawn everywhere."""

    colour: str
    marker: str
    dashes: Any


def look(i: int) -> Look:
    """The look of the i-th scheme."""
    return Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])


def layer_look(l: int) -> Look:
    """The look of hidden layer l, from 0."""
    return Look(LAYER_COLOURS[l % len(LAYER_COLOURS)], LAYER_MARKERS[l % len(LAYER_MARKERS)], "-")


def figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches."""
    from xinit.core.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def points(
    axes: "Axes", x: np.ndarray, mean: np.ndarray, low: np.ndarray, high: np.ndarray, look: Look, label: str = ""
) -> None:
    """Means with their intervals [low, high]; the label, if there is one, stands for the scheme's line too."""
    errors = np.abs([np.subtract(mean, low), np.subtract(high, mean)])
    axes.errorbar(x, mean, errors, fmt=look.marker, color=look.colour, ms=4, lw=0, elinewidth=1, zorder=3)
    if label:
        axes.plot([], [], color=look.colour, ls=look.dashes, lw=1.2, marker=look.marker, ms=4, label=label)


def legend(figure: "Figure", axes: "Axes") -> None:
    """The labels of one panel, above all of them; in two lines where there are many."""
    handles, labels = axes.get_legend_handles_labels()
    labels, columns = (
        [label.replace("_", " ") for label in labels],
        len(labels) if len(labels) < 6 else -(-len(labels) // 2),
    )
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, handlelength=3.5)


def logarithmic(axis: "Axis") -> None:
    """A logarithmic axis on which both a tenth and chance can be read."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if axis.axis_name == "x" else (1, 1.5, 2, 3, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def caption(figure: "Figure", text: str) -> None:
    """A small text below all panels: what was scaled, and how many seeds stand behind it."""
    figure.supxlabel(textwrap.fill(text, round(17 * figure.get_figwidth())), fontsize=7.5, color="0.35")


def rendered(figure: "Figure", kind: str = "png") -> bytes:
    """The figure as PNG or SVG."""
    import matplotlib

    content, unknown = io.BytesIO(), {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with matplotlib.rc_context({"svg.hashsalt": "xinit"}):
        figure.savefig(content, format=kind, dpi=DPI, metadata=unknown[kind])
    return content.getvalue()
