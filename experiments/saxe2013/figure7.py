"""Figure 7: singular values of the Jacobian of a hundred tanh layers, by gain and input variance."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("jacobians",)
BINS = np.linspace(-8, 3, 45)  # of log10 of a singular value
LEAST = 0.01  # what counts as of order one after a hundred layers


def label(gain: str) -> str:
    """A gain as a name: 0.95 is g095."""
    return f"g{round(100 * float(gain)):03d}"


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`<gain>.<variance>`: `share` of singular values above `LEAST`; `median`; `spread`, log10 of largest by median."""
    metrics: dict[str, Any] = {}
    for gain, by_variance in found["jacobians"]["jacobians"].items():
        for variance, values in by_variance.items():
            own_SN = np.array(values)
            median_S = np.median(own_SN, axis=1)
            by_seed = {
                "share": (own_SN > LEAST).mean(1),
                "median": median_S,
                "spread": np.log10(own_SN.max(1) / median_S),
            }
            where = f"figure7.{label(gain)}.q{round(10 * float(variance)):02d}"
            metrics |= {f"{where}.{name}": over_runs(mean_interval(values)) for name, values in by_seed.items()}
    return metrics


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each input variance; densities over log10, so that what is tiny can be seen."""
    stage = found["jacobians"]
    figure = drawing.figure(10.5, 3.8)
    panels = figure.subplots(1, len(stage["variances"]), sharey=True, squeeze=False)[0]
    for axes, variance in zip(panels, stage["variances"], strict=True):
        for i, gain in enumerate(stage["gains"]):
            values = np.log10(np.array(stage["jacobians"][f"{gain:g}"][f"{variance:g}"]).ravel())
            density, _ = np.histogram(np.clip(values, BINS[0], None), BINS)
            look = drawing.layer_look(i)
            axes.stairs(
                density / len(values) / (BINS[1] - BINS[0]), BINS, color=look.colour, lw=1.2, label=f"gain {gain:g}"
            )
        axes.axvline(0, color="0.6", lw=0.8, ls=":")
        axes.set(title=f"inputs of variance {variance:g}", xlabel="log10 of a singular value", xlim=(BINS[0], BINS[-1]))
        axes.set_yscale("log")
    panels[0].set_ylabel("density")
    drawing.legend(figure, panels[0])
    drawing.caption(
        figure,
        f"{stage['layers']} layers of {stage['width']} units, weights {stage['scheme']}, {stage['seeds']} networks. "
        "What is smaller than the axis is in its first bin.",
    )
    return figure
