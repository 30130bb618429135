"""What the notebooks show: Figures 6 to 8, tables of theory beside them, sizes over depth, kept figures."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import xinit
from experiments import drawing, publishing, study, tiers
from experiments.glorot2010 import initial
from experiments.study import Place

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

SCHEMES = {"standard": "standard", "normalised": "xavier"}  # the paper's names for eqs. 1 and 16, and ours


def networks(width: int, seeds: int) -> dict[str, Any]:
    """Five tanh layers under eq. 1 and under eq. 16, measured: what `draw` of Figures 6, 7 and 8 takes.

    The settings are those of `python -m experiments.glorot2010 tier=init`, with fewer Jacobians and these schemes.
    """
    settings = tiers.load("glorot2010", "init")["initial"]
    settings |= {"width": width, "seeds": seeds, "schemes": SCHEMES, "jacobian_examples": 1}
    return {"initial": initial.prepare("initial", {"initial": settings}, Place(pathlib.Path()))()}


def beside(found: Mapping[str, Any], quantity: str) -> "pandas.DataFrame":
    """Standard deviations by layer: what theory predicts before a network is drawn, beside the networks' mean.

    Args:
      found: what `networks` returned.
      quantity: "activation", "gradient" or "weight_gradient".
    """
    import pandas

    columns = {}
    for label, own in found["initial"]["schemes"].items():
        columns[label, "predicted"] = own["predicted"][f"{quantity}_std"]
        columns[label, "measured"] = np.mean(own[f"{quantity}_std"], axis=0)
    layers = range(1, found["initial"]["depth"] + 1)
    return pandas.DataFrame(columns, index=pandas.Index(layers, name="layer"))


def over_depth(schemes: Sequence[str], **network: Any) -> "Figure":
    """Signal and gradient that theory predicts in each layer, over those of layer 1 and of the top layer."""
    return drawn_over_depth({scheme: {"scheme": scheme, **network} for scheme in schemes})


def drawn_over_depth(networks: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """The same of networks that differ in any setting, by label."""
    figure = drawing.figure(9.5, 3.6)
    left, right = figure.subplots(1, 2, sharey=True)
    for i, (label, settings) in enumerate(networks.items()):
        values, look = xinit.predict(**settings).values, drawing.look(i)
        signal, gradient = (np.sqrt(values[name]) for name in ("act_second", "grad_pre_second"))
        layers = range(1, len(signal) + 1)
        for axes, sizes in ((left, signal / signal[0]), (right, gradient / gradient[-1])):
            axes.plot(layers, sizes, color=look.colour, ls=look.dashes, lw=1.6, label=label)
    left.set(title="signal, over that of layer 1", xlabel="layer", ylabel="root mean square", yscale="log")
    right.set(title="gradient dL/dz, over that of the top layer", xlabel="layer", yscale="log")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.xaxis.get_major_locator().set_params(integer=True)
    drawing.legend(figure, left)
    return figure


@functools.cache
def kept_results(name: str) -> tuple[study.Study, dict[str, Any]]:
    """A study, and the results of its stages that are kept."""
    own = study.load(name)
    return own, publishing.read(own, own.results)[1]


def kept_figure(name: str, part: str) -> "Figure":
    """A figure of a study, drawn from the results that are kept of it."""
    own, found = kept_results(name)
    return own.module(part).draw(publishing.own_results(own, part, found))
