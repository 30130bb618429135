"""xi_c: over how many layers two inputs forget how alike they were.

The cosine of two inputs settles at c*, 1 in the ordered phase and less in the chaotic one; what is left of its
deviation falls as exp(-l / xi_c), xi_c = -1 / log of the c-map's slope at c*.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, exact, over_runs
from experiments.schoenholz2017 import scales
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("signal",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`<phase>`, measured xi_c over the c-map's in the same layers, the mean over a phase.

    `divergence`, xi_c nearest to the edge of chaos over that furthest from it, in the ordered phase; `ordered.settled`,
    1 - cosine in the last layer furthest from the edge, and `chaotic.settled`, the mean over the phase less 1 - c*, of
    the pairs that began below c* or of those above it, which are further from it;
    `fit`, of xi_c read off the c-map over its asymptotic value, the one furthest from 1.
    """
    signal, measured, fits = found["signal"], {}, []
    for phase, own in signal["phases"].items():
        xi_WS, map_W = scales.correlation_scales(signal, phase)
        measured[f"correlation.{phase}"] = over_runs(mean_interval(np.mean(xi_WS / map_W[:, None], axis=0)))
        fits += (map_W / np.array(own["theory"]["xi_c"])).tolist()
        last_KWS = np.array([start["distance"] for start in own["starts"]])[..., -1]
        if phase == "ordered":
            measured["correlation.divergence"] = over_runs(mean_interval(xi_WS[-1] / xi_WS[0]))
            measured["correlation.ordered.settled"] = over_runs(mean_interval(last_KWS.mean(0)[0]))
        else:
            from_theory_KS = (last_KWS - (1 - np.array(own["theory"]["c_star"]))[:, None]).mean(1)
            furthest_S = max(from_theory_KS, key=lambda of_start: abs(of_start.mean()))
            measured["correlation.chaotic.settled"] = over_runs(mean_interval(furthest_S))
    return measured | {"correlation.fit": exact(max(fits, key=lambda fit: abs(np.log(fit))))}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Cosines over depth in either phase, networks as markers and the c-map as lines; and xi_c over s_w^2."""
    signal = found["signal"]
    figure = drawing.figure(11, 4)
    ordered, chaotic, right = figure.subplots(1, 3)
    _distances(ordered, signal)
    _cosines(chaotic, signal)
    _depth_scale(right, signal)
    count = signal["seeds"] * signal["networks"]
    text = (
        f"{signal['activation']}, s_b² = {signal['bias_variance']:g}. Markers: means over {count} networks of width "
        f"{signal['width']}. Lines: the c-map of wide networks. Right: with 95 % intervals over {signal['seeds']} "
        "groups of them; bars: the same fit to the c-map."
    )
    drawing.caption(figure, text)
    return figure


def _distances(axes: "Axes", signal: Mapping[str, Any]) -> None:
    own, layers = signal["phases"]["ordered"], np.arange(1, signal["depth"] + 1)
    (start,) = own["starts"]
    for i, colour in enumerate(scales.colours(len(own["weight_variances"]))):
        axes.plot(layers, start["expected"][i], color=colour, lw=1)
        label, marker = f"{own['weight_variances'][i]:g}", drawing.LAYER_MARKERS[i % 8]
        axes.plot(layers[::3], np.mean(start["distance"][i], axis=0)[::3], marker, color=colour, ms=3.5, label=label)
    axes.set(title="ordered phase: inputs become one", xlabel="layer", ylabel="1 - cosine of two inputs", yscale="log")
    _legend(axes, "lower left")


def _cosines(axes: "Axes", signal: Mapping[str, Any]) -> None:
    own, layers = signal["phases"]["chaotic"], np.arange(1, signal["depth"] + 1)
    for i, colour in enumerate(scales.colours(len(own["weight_variances"]))):
        for first, start in enumerate(own["starts"]):
            axes.plot(layers, 1 - np.array(start["expected"][i]), color=colour, lw=1)
            label = None if first else f"{own['weight_variances'][i]:g}"
            cosine_L, marker = 1 - np.mean(start["distance"][i], axis=0), drawing.LAYER_MARKERS[i % 8]
            axes.plot(layers[::3], cosine_L[::3], marker, color=colour, ms=3.5, label=label)
    axes.set(title="chaotic phase: they settle apart", xlabel="layer", ylabel="cosine of two inputs", ylim=(-0.2, 1.2))
    _legend(axes, "upper right")


def _legend(axes: "Axes", place: str) -> None:
    axes.legend(frameon=False, fontsize=7.5, title="s_w²", title_fontsize=7.5, loc=place, ncols=2)


def _depth_scale(axes: "Axes", signal: Mapping[str, Any]) -> None:
    curve = signal["curve"]
    axes.plot(curve["weight_variance"], curve["xi_c"], color="0.4", lw=1.2, label="ξ_c, theory")
    for i, (phase, own) in enumerate(signal["phases"].items()):
        xi_WS, map_W = scales.correlation_scales(signal, phase)
        interval, look = mean_interval(xi_WS.T), drawing.look(i)
        drawing.points(axes, own["weight_variances"], interval.mean, interval.low, interval.high, look)
        axes.plot([], [], look.marker, color=look.colour, ms=4, label=f"networks, {phase}")
        axes.plot(own["weight_variances"], map_W, "_", color="black", ms=10, mew=1.2)
    axes.set(title="depth scale of the cosine", xlabel="s_w²", ylabel="layers", yscale="log", ylim=(2, 200))
    axes.legend(frameon=False, fontsize=7.5)
