"""Several networks beside each other: what their layers do, a small figure each, on common axes and with one slider."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import altair as alt
import numpy as np

from xinit.analysis.layout import numbers
from xinit.report import charts, layers, seeds
from xinit.report import page as html
from xinit.report.outcomes import coloured, drawn
from xinit.report.page import Markup

Readings = Mapping[str, np.ndarray]

SMALL = 170  # height of a small figure
MOST = 12  # networks that are shown
FLAT = ("act_saturated", "act_inactive", "act_slope")  # the first that was measured is shown
RIDGES = {
    "act": "Each ridge is a layer's distribution at the slider's step, layer 1, next to the input, at the bottom; "
    "heights are roots of densities, each scaled to its own largest. Bad signs are ridges that grow narrower from "
    "layer to layer, or pile up at the ends of a bounded activation.",
    "grad_pre": "The same of the gradient that comes back, dL/dz. Bad signs are ridges much narrower at the bottom "
    "than at the top, so that the lower layers learn slowly, or the reverse.",
}
PREDICTED = {
    "act": "How large the signal is: root mean squares of the activations, points, over what theory predicts, ticks, "
    "and the bars that hold 95 % of networks. Bad signs are sizes that fall or rise by more than a factor of two from "
    "the first layer to the last; points off the bars, where the weights are not those that the scheme states.",
    "grad_pre": "The same of the gradient that comes back, dL/dz, on its way from the last layer to the first.",
}
HEAT = (
    "Time goes from left to right. The stronger the colour, the larger the share of units in the flat tails of a "
    "function that saturates, where hardly any gradient passes, or of units that are off in a rectifier, of which "
    "half is as it should be. It is bad if layers take on the full colour and keep it."
)
TITLES = {"act": "Activations over training", "grad_pre": "Gradients over training"}


class Network(NamedTuple):
    """What is shown of a run, or of the mean of several seeds; `kind`: a filter's classes."""

    label: str
    kind: str
    readings: Readings


def measured(networks: Sequence[Network], *names: str) -> list[Network]:
    """Those that have all of these readings."""
    has = lambda network, name: name in network.readings and not np.all(np.isnan(network.readings[name]))
    return [network for network in networks if all(has(network, name) for name in names)]


def sections(networks: Sequence[Network]) -> list[Markup]:
    """What was measured of the layers: over training, at initialisation beside theory, and where they are flat."""
    return [part for make in (distributions, theory, flatness) for part in make(networks)]


def distributions(networks: Sequence[Network]) -> list[Markup]:
    """Histograms of activations and gradients over training, all at the place of one slider; nothing without them."""
    shown = measured(networks, "act_hist", "grad_pre_hist")
    if not shown:
        return []
    steps = seeds.common_steps([network.readings for network in shown], layers.PLACES)
    moving = [network._replace(readings=seeds.at_steps(network.readings, steps)) for network in shown]
    words = [f"step {step:,}" for step in steps]
    slider = html.slider("at", "training step", words, len(words) - 1)
    rows = [small(TITLES[name], RIDGES[name], moving, _ridges(name, moving)) for name in TITLES]
    return [html.section("What the layers do over training", slider, *rows)]


def _ridges(name: str, networks: Sequence[Network]) -> Callable[[Readings], alt.TopLevelMixin]:
    scale = charts.spanning(np.concatenate([_ends(network.readings, name) for network in networks]))
    return lambda readings: charts.along(layers.histograms(readings, name, SMALL), "x", scale)


def _ends(readings: Readings, name: str) -> np.ndarray:
    """The ends of the bins that each layer has something in."""
    shares, edges = readings[f"{name}_hist"], readings[f"{name}_edges"]
    return np.ravel([layers.thinned(shares[:, l], edges[l])[1][[0, -1]] for l in range(len(edges))])


def theory(networks: Sequence[Network]) -> list[Markup]:
    """Sizes of signal and gradient at initialisation, theory beside measurement."""
    rows = []
    for name, title in (("act", "Signal at initialisation"), ("grad_pre", "Gradient at initialisation")):
        shown = [network for network in measured(networks, f"{name}_std") if network.readings["step"][0] == 0]
        if shown:
            rows.append(small(title, PREDICTED[name], shown, _sizes(name, shown)))
    return [html.section("At initialisation, beside theory", *rows)] if rows else []


def _sizes(name: str, networks: Sequence[Network]) -> Callable[[Readings], alt.TopLevelMixin]:
    values = [column for network in networks for column in layers.beside_theory(network.readings, name).values()]
    scale = charts.spanning(np.concatenate(values), log=True)
    return lambda readings: charts.along(layers.prediction(readings, name, SMALL), "y", scale)


def flatness(networks: Sequence[Network]) -> list[Markup]:
    """Which layers saturate, or are off, and when."""
    shown = measured(networks, "act_slope")
    draw = lambda readings: layers.heat(readings, _flat(readings), SMALL)
    return [html.section("Flat layers", small("Saturated or inactive units", HEAT, shown, draw))] if shown else []


def _flat(readings: Readings) -> str:
    return next(name for name in FLAT if name in readings and not np.all(np.isnan(readings[name])))


def small(
    title: str, how_to_read: str, networks: Sequence[Network], draw: Callable[[Readings], alt.TopLevelMixin]
) -> Markup:
    """A heading, how to read it, and a small figure for each network."""
    shown = [html.figure(network.label, draw(network.readings), kind=network.kind) for network in networks]
    heading = Markup("<h3>{}</h3>").format(title)
    return html.join([heading, html.paragraph(how_to_read, "quiet"), html.figures(*shown, small=True)])


def size(readings: Readings, name: str, i: int) -> np.ndarray:
    """(layer,) a reading at probe point i where it has a logarithm, else nan, as where a run diverged."""
    values = readings[name][i]
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def over_depth(networks: Sequence[Network], name: str, i: int, title: str) -> alt.TopLevelMixin:
    """A reading by layer at probe point i, a line for each network, on an axis for the first and the last point."""
    named = {network.label: network for network in networks}
    shown = [named[name] for name in drawn(named)]
    values = [size(network.readings, name, i) for network in shown]
    base = charts.chart({
        "layer": np.concatenate([numbers(network.readings) for network in shown]),
        "value": np.concatenate(values),
        "series": [network.label for network, part in zip(shown, values, strict=True) for _ in part],
    })  # fmt: skip
    ends = np.concatenate([network.readings[name][[0, -1]].ravel() for network in shown])
    whole = alt.Axis(tickMinStep=1, format="d", grid=False)
    lines = base.mark_line(point=True, strokeWidth=1.5, clip=True).encode(
        x=alt.X("layer:Q", axis=whole, scale=alt.Scale(nice=False, zero=False, padding=8)),
        y=charts.size_axis("value", title, ends),
        color=coloured([network.label for network in shown]),
    )
    return charts.framed(lines)
