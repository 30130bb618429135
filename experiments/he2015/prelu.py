"""PReLU's condition: (1 + a^2)/2 n Var W = 1 keeps the signal at every slope a; what leaves a out lets it grow.

He et al. 2015, eq. 15; a = 0 is the rectifier's condition and a = 1 that of linear networks.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, untrained
from experiments.claims import Measured, Metrics
from experiments.he2015 import drawn
from experiments.he2015.signal import SIDES, a_layer
from xinit.analysis.intervals import bootstrap_interval
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.study import Place

STAGES = ("prelu",)
# What a scheme assumes of the slope, and the factor a layer that follows with slope a.
FACTORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "condition": lambda a: np.ones_like(a),
    "without": lambda a: 1 + a**2,
}
ASSUMED = {"activation": "activation", "zero": 0.0}  # the slope that a scheme is told
NAMES = {"condition": "with a: n Var W = 2 / (1 + a²)", "without": "without: n Var W = 2"}


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """Networks of every slope under each scheme, checked.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    if wrong := [assumed for assumed in own["schemes"].values() if assumed not in ASSUMED]:
        raise InputError(f"{name}.schemes has {wrong[0]!r}; {allowed_words(wrong[0], ASSUMED)}")
    shared = {"data": "synthetic", "data.inputs": own["width"], "depth": own["depth"], "width": own["width"]}
    shared |= {"activation": "prelu", "scheme": "he", "probe": "economy", "probe.examples": own["examples"]}
    networks = {
        (label, a): shared | {"activation.negative_slope": a, "scheme.negative_slope": ASSUMED[assumed]}
        for label, assumed in own["schemes"].items()
        for a in own["slopes"]
    }
    plans = untrained.plans(networks)

    def measure() -> dict[str, Any]:
        found = {cell: _factors(moments, own["depth"]) for cell, moments in drawn.measured(plans, own["draws"]).items()}
        rows = {label: [found[label, a] for a in own["slopes"]] for label in own["schemes"]}
        return {**{key: own[key] for key in ("depth", "width", "draws", "slopes")}, "schemes": rows}

    return measure


def _factors(measured: Mapping[str, list], depth: int) -> dict[str, list[float]]:
    """The factor a layer of signal and gradient, with its interval."""
    found = {}
    for side in SIDES:
        first, last = (0, -1) if side == "signal" else (-1, 0)
        moments_SL = np.array(measured[side])
        found[side] = list(a_layer(bootstrap_interval(moments_SL[:, last] / moments_SL[:, first]), depth))
    return found


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`prelu.<scheme>.<side>`: the measured factor a layer over that of `FACTORS`, at the slope where it is furthest.

    Its interval goes from the lowest low to the highest high of all slopes.
    """
    own, slopes = {}, np.array(found["prelu"]["slopes"])
    for label, rows in found["prelu"]["schemes"].items():
        for side in SIDES:
            value, low, high = np.array([row[side][:3] for row in rows]).T / FACTORS[label](slopes)
            furthest = value[np.argmax(np.abs(np.log(value)))]
            own[f"prelu.{label}.{side}"] = Measured(*map(float, (furthest, low.min(), high.max())), rows[0][side][3])
    return own


def draw(found: Mapping[str, Any]) -> "Figure":
    """The factor a layer over the slope: signal left, gradient right; lines are the condition's."""
    results = found["prelu"]
    figure, slopes = drawing.figure(8, 3.4), np.array(results["slopes"])
    panels, fine = figure.subplots(1, 2, sharey=True), np.linspace(0, 1, 101)
    for axes, side in zip(panels, SIDES, strict=True):
        for i, (label, rows) in enumerate(results["schemes"].items()):
            look = drawing.look(i)
            axes.plot(fine, FACTORS[label](fine), color=look.colour, ls=look.dashes, lw=1.2)
            drawing.points(axes, slopes, *np.array([row[side][:3] for row in rows]).T, look, NAMES[label])
        axes.set(title=side, xlabel="slope a of the negative part")
    panels[0].set_ylabel("factor a layer of the second moment")
    drawing.legend(figure, panels[0])
    drawing.caption(figure, f"{results['depth']} layers of {results['width']} units at initialisation. Lines: eq. 15. "
                            f"Markers: means over {results['draws']} networks with 95 % intervals.")  # fmt: skip
    return figure
