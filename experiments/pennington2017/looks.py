"""How the kinds of networks look in every figure of the study."""

from typing import TYPE_CHECKING

from experiments import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = {
    "tanh_gaussian": "tanh, Gaussian",
    "tanh_orthogonal": "tanh, orthogonal",
    "tanh_large_q": "tanh, orthogonal, large q*",
    "relu_gaussian": "relu, Gaussian",
    "relu_orthogonal": "relu, orthogonal",
}


def look(label: str) -> drawing.Look:
    """The look of a kind; one that has no place here has the last."""
    names = list(LABELS)
    return drawing.look(names.index(label) if label in names else len(names))


def words(label: str) -> str:
    """A kind's name in a legend."""
    return LABELS.get(label, label.replace("_", " "))


def legend(figure: "Figure", axes: "Axes") -> None:
    """The labels of one panel, above all of them, three in a line."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, handlelength=3.5)
