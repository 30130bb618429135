"""The gradient's depth scale: in the ordered phase it vanishes, in the chaotic one it explodes, both exponentially.

A layer multiplies the mean square of dL/dz by chi_1, so that it changes by a factor e over 1 / |log chi_1| layers. In
the ordered phase, where c* = 1, that is xi_c; in the chaotic one it is another scale.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics, over_runs
from experiments.schoenholz2017 import scales
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("signal",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`<phase>`, measured log of a layer's factor over log chi_1, the mean over a phase.

    `<phase>.factor`, the factor itself, with the ends of all intervals of the phase; `equal`, xi_c of the same networks
    over the gradient's scale, the mean over the ordered phase.
    """
    signal, measured = found["signal"], {}
    for phase, own in signal["phases"].items():
        rate_WS, theory_W = scales.gradient_rates(signal, phase), np.log(own["theory"]["chi_1"])
        measured[f"gradient.{phase}"] = over_runs(mean_interval(np.mean(rate_WS / theory_W[:, None], axis=0)))
        interval = mean_interval(np.exp(rate_WS).T)
        ends = float(np.min(interval.low)), float(np.max(interval.high))
        measured[f"gradient.{phase}.factor"] = Measured(float(np.mean(interval.mean)), *ends, interval.n)
    xi_WS, _ = scales.correlation_scales(signal, "ordered")
    ratios_S = np.mean(-scales.gradient_rates(signal, "ordered") * xi_WS, axis=0)
    return measured | {"gradient.equal": over_runs(mean_interval(ratios_S))}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left the gradient over depth, networks as markers and chi_1 as lines; right the scales of both phases."""
    signal = found["signal"]
    figure = drawing.figure(9.5, 4)
    left, right = figure.subplots(1, 2)
    _courses(left, signal)
    _depth_scale(right, signal)
    count = signal["seeds"] * signal["networks"]
    text = (
        f"{signal['activation']}, s_b² = {signal['bias_variance']:g}. Markers: means over {count} networks of width "
        f"{signal['width']}, with 95 % intervals over {signal['seeds']} groups of them. Lines: theory of wide networks."
    )
    drawing.caption(figure, text)
    return figure


def _courses(axes: "Axes", signal: Mapping[str, Any]) -> None:
    layers, depth = np.arange(1, signal["depth"] + 1), signal["depth"]
    points = [(own, i) for own in signal["phases"].values() for i in range(len(own["weight_variances"]))]
    for k, ((own, i), colour) in enumerate(zip(points, scales.colours(len(points)), strict=True)):
        gradient_L = np.mean(own["starts"][0]["gradient"][i], axis=0)
        axes.plot(layers, np.array(own["theory"]["chi_1"][i]) ** (depth - layers), color=colour, lw=1)
        label, marker = f"{own['weight_variances'][i]:g}", drawing.LAYER_MARKERS[k % 8]
        axes.plot(layers[::3], gradient_L[::3], marker, color=colour, ms=3.5, label=label)
    axes.set(title="from the top down", xlabel="layer", ylabel="mean square of dL/dz, over the top's", yscale="log")
    axes.legend(frameon=False, fontsize=7.5, title="s_w²", title_fontsize=7.5, loc="upper right", ncols=2)


def _depth_scale(axes: "Axes", signal: Mapping[str, Any]) -> None:
    curve = signal["curve"]
    axes.plot(curve["weight_variance"], curve["xi_gradient"], color="0.4", lw=1.2, label="1 / |log χ₁|, theory")
    axes.plot(curve["weight_variance"], curve["xi_c"], color="0.4", lw=1.2, ls=":", label="ξ_c, for comparison")
    for i, (phase, own) in enumerate(signal["phases"].items()):
        interval, look = mean_interval(1 / np.abs(scales.gradient_rates(signal, phase)).T), drawing.look(i)
        drawing.points(axes, own["weight_variances"], interval.mean, interval.low, interval.high, look)
        axes.plot([], [], look.marker, color=look.colour, ms=4, label=f"networks, {phase}")
    axes.set(title="depth scale of the gradient", xlabel="s_w²", ylabel="layers", yscale="log", ylim=(2, 200))
    axes.legend(frameon=False, fontsize=7.5)
