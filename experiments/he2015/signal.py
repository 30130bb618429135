"""Signal and gradient over depth: He's N(0, 2/n) keeps both, N(0, 1/n) halves both second moments in every layer.

Left a multilayer perceptron, right a convnet, whose zeros around the image cost both schemes a share that the paper's
products leave out.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, untrained
from experiments.claims import Measured, Metrics
from experiments.he2015 import drawn, equations
from xinit.analysis.intervals import Interval, bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.study import Place

STAGES = ("signal",)
SIDES = ("signal", "gradient")
NAMES = {"he": "He, N(0, 2/n)", "xavier": "N(0, 1/n)"}  # the paper calls the second one Xavier


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """Networks of each kind under each scheme, checked.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    plans = {
        kind: untrained.plans({label: _run(own, network, scheme) for label, scheme in own["schemes"].items()})
        for kind, network in own["networks"].items()
    }

    def measure() -> dict[str, Any]:
        return {
            kind: {
                "title": own["networks"][kind]["title"],
                "side": _last_side(own["networks"][kind], planned),
                "schemes": drawn.measured(planned, own["networks"][kind]["draws"]),
            }
            for kind, planned in plans.items()
        }

    return measure


def _run(own: Mapping[str, Any], network: Mapping[str, Any], scheme: str) -> dict[str, Any]:
    shared = {"data": own["data"], "activation": "relu", "scheme": scheme}
    shared |= {"probe": "economy", "probe.examples": network["examples"]}
    return shared | {key: network[key] for key in network if key not in ("title", "draws", "examples")}


def _last_side(network: Mapping[str, Any], planned: Mapping[str, Any]) -> int:
    """The side of the image that most convolutions read; 0 without any."""
    if network["network"] != "convnet":
        return 0
    (side, *_) = next(iter(planned.values())).problem.dataset.shape
    for _ in network["network.halve"]:
        side = -(-side // 2)
    return side


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Factors a layer of second moments, means over networks.

    `signal.<kind>.<scheme>.<side>`: measured, upwards of the signal and downwards of the gradient.
    `signal.<kind>.<scheme>.<side>.expected`: measured over what `equations` expects.
    `signal.<kind>.halvings`: how often a layer of N(0, 1/n) halves the signal that He's keep, in the same networks.
    """
    own: dict[str, Measured] = {}
    for kind, results in found["signal"].items():
        for scheme, moments in results["schemes"].items():
            for side in SIDES:
                first, last = (0, -1) if side == "signal" else (-1, 0)
                ratios_SL, expected_L = np.array(moments[side]), np.array(moments[f"expected_{side}"])
                factor = bootstrap_interval(ratios_SL[:, last] / ratios_SL[:, first])
                name = f"signal.{kind}.{scheme}.{side}"
                own[name] = a_layer(factor, len(expected_L))
                own[f"{name}.expected"] = a_layer(factor, len(expected_L), expected_L[last] / expected_L[first])
        own[f"signal.{kind}.halvings"] = _halvings(*(np.array(results["schemes"][s]["signal"]) for s in NAMES))
    return own


def a_layer(change: Interval, layers: int, of: float = 1.0) -> Measured:
    """The factor of one layer, from a change over all of them, relative to a change `of`."""
    ends = (float((part / of) ** (1 / (layers - 1))) for part in (change.mean, change.low, change.high))
    return Measured(*ends, change.n)


def _halvings(he_SL: np.ndarray, xavier_SL: np.ndarray) -> Measured:
    """At the top, in the mean over pairs of networks of one seed: log2 of the ratio of second moments, a layer."""
    halvings = bootstrap_interval(np.log2(he_SL[:, -1] / xavier_SL[:, -1]) / he_SL.shape[1])
    return Measured(float(halvings.mean), float(halvings.low), float(halvings.high), halvings.n)


def draw(found: Mapping[str, Any]) -> "Figure":
    """Signal above, gradient below; lines are the equations', markers means over networks with their intervals."""
    figure = drawing.figure(9, 5.4)
    panels = figure.subplots(2, len(found["signal"]), sharex="col", sharey="row", squeeze=False)
    for column, results in zip(panels.T, found["signal"].values(), strict=True):
        for axes, side in zip(column, SIDES, strict=True):
            for i, (scheme, moments) in enumerate(results["schemes"].items()):
                _curve(axes, moments, side, drawing.look(i), NAMES[scheme])
            axes.set_yscale("log")
            axes.axhline(1, color="0.85", lw=0.8, zorder=0)
        column[0].set_title(results["title"])
        column[1].set_xlabel("layer")
    _without_border(panels, found["signal"])
    panels[0, 0].set_ylabel("signal: E z² over the inputs'")
    panels[1, 0].set_ylabel("gradient: E (dL/dz)²\nover the top layer's")
    drawing.legend(figure, panels[0, 0])
    draws = " and ".join(str(len(own["schemes"]["he"]["signal"])) for own in found["signal"].values())
    drawing.caption(
        figure,
        "Rectifier networks at initialisation. Lines: eqs. 9 and 13, at every position. Markers: means over "
        f"{draws} networks, left and right, with 95 % intervals.",
    )
    return figure


def _curve(axes: "Axes", moments: Mapping[str, Any], side: str, look: drawing.Look, label: str) -> None:
    expected_L, measured = np.array(moments[f"expected_{side}"]), bootstrap_interval(np.array(moments[side]))
    layers = np.arange(1, len(expected_L) + 1)
    axes.plot(layers, expected_L, color=look.colour, ls=look.dashes, lw=1.2)
    shown = layers[:: max(1, len(layers) // 10)] - 1
    drawing.points(axes, layers[shown], measured.mean[shown], measured.low[shown], measured.high[shown], look, label)


def _without_border(panels: np.ndarray, results: Mapping[str, Any]) -> None:
    """What He's signal would be without a border, beside that of a convnet."""
    for axes, own in zip(panels[0], results.values(), strict=True):
        if own["side"]:
            words = (
                f"a border of zeros around {own['side']} x {own['side']} positions\n"
                f"leaves {equations.lasting(own['side']):.3f} of the second moment a layer"
            )
            axes.text(0.03, 0.05, words, transform=axes.transAxes, fontsize=7.5)
