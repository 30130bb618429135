"""How the figures of the study look alike: one colour, marker and dash a scheme, told apart in grey print too."""

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xinit.comparison_plots import COLOURS, DASHES, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONTS = {"font.size": 8.5, "axes.titlesize": 9, "axes.labelsize": 8.5, "legend.fontsize": 8.5}
DPI = 110


class Look(NamedTuple):
    """How a scheme is drawn everywhere."""

    colour: str
    marker: str
    dashes: Any


def look(i: int) -> Look:
    """The look of the i-th scheme."""
    return Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])


def figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure

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


def rendered(figure: "Figure") -> bytes:
    """The figure as PNG."""
    content = io.BytesIO()
    figure.savefig(content, dpi=DPI, metadata={"Software": None})
    return content.getvalue()
