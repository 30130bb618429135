"""Figure 6B: singular values of products of random matrices."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("products",)


def largest_squared(count: int) -> float:
    """(L + 1)^(L + 1) / L^L, of a product of L wide Gaussian matrices.

    >>> largest_squared(1)
    4.0
    """
    return (count + 1) ** (count + 1) / count**count


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Of the longest product: `largest` squared over the Gaussian law, `spread`, smallest over largest; `median`."""
    stage = found["products"]
    count, metrics = stage["counts"][-1], dict[str, Any]()
    for label, products in stage["products"].items():
        own = {name: np.array(values) for name, values in products[str(count)].items()}
        by_seed = {
            "largest": own["largest"] ** 2 / largest_squared(count),
            "spread": own["smallest"] / own["largest"],
            "median": own["median"],
        }
        metrics |= {f"figure6b.{label}.{name}": over_runs(mean_interval(values)) for name, values in by_seed.items()}
    return metrics


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each number of factors; the law's largest value is a line, the share beyond the axis is said."""
    stage = found["products"]
    figure = drawing.figure(10, 3.4)
    edges = np.array(stage["edges"])
    for axes, count in zip(figure.subplots(1, len(stage["counts"]), sharey=True), stage["counts"], strict=True):
        for i, (label, products) in enumerate(stage["products"].items()):
            density, look = np.array(products[str(count)]["density"]), drawing.look(i)
            axes.stairs(density, edges, color=look.colour, ls=look.dashes, lw=1.3, label=label)
        axes.axvline(
            largest_squared(count) ** 0.5, color="0.4", lw=1, ls=":", label="largest of wide Gaussian ones, by law"
        )
        title = f"{count} {'matrix' if count == 1 else 'matrices'}"
        axes.set(title=title, xlabel="singular value", yscale="log", xlim=(0, edges[-1]), ylim=(1e-3, 40))
    figure.axes[0].set_ylabel("density")
    drawing.legend(figure, figure.axes[0])
    drawing.caption(figure, f"Square matrices of width {stage['width']}, {stage['seeds']} products each.")
    return figure
