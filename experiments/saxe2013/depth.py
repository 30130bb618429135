"""Section 2: decoupled modes at depth, beside eq. 15; their best step sizes, and the learning times at these."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, exact

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("modes",)
DEEP = 10  # layers from which on the step size is said to fall as 1 / N_l


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`deviation` from eq. 15; `slope` of ln step size in ln L; `growth` of steps over the last tenfold of depth."""
    stage = found["modes"]
    layers = np.array(stage["best_layers"])
    tenth = int(np.argmin(np.abs(np.log(10 * layers / layers[-1]))))
    deviations = [np.abs(np.subtract(own["network"], own["closed"])).max() for own in stage["courses"].values()]
    return {
        "depth.deviation": exact(float(max(deviations))),
        "depth.slope": exact(slope(layers, np.array(stage["rate"]))),
        "depth.growth": exact(stage["needed"][-1] / stage["needed"][tenth]),
        "depth.deepest": exact(float(layers[-1])),
        "depth.tenth": exact(float(layers[tenth])),
        "depth.predicted": exact(stage["time"][-1] / stage["time"][tenth]),
    }


def slope(layers: np.ndarray, rate: np.ndarray) -> float:
    """Slope of ln rate in ln L, L = N_l - 1, over networks of `DEEP` layers and more that learnt."""
    deep = (layers >= DEEP) & np.isfinite(rate)
    return float(np.polyfit(np.log(layers[deep] - 1), np.log(rate[deep]), 1)[0]) if deep.sum() > 1 else np.nan


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left, a mode in networks of several depths; then best step sizes, and steps until the mode is learnt."""
    stage = found["modes"]
    figure = drawing.figure(10.5, 3.7)
    courses, rates, times = figure.subplots(1, 3)
    for i, (layers, own) in enumerate(stage["courses"].items()):
        look = drawing.look(i)
        courses.plot(own["time"], own["closed"], color=look.colour, lw=1.2, ls=look.dashes, label=f"{layers} layers")
        courses.plot(own["time"][::8], own["network"][::8], look.marker, color=look.colour, ms=3.5)
    courses.set(
        title="one mode at depth", xlabel="($N_l$ - 1) t / τ", ylabel="strength u", xscale="log", xlim=(0.05, None)
    )
    courses.legend(frameon=False, loc="upper left")
    layers = np.array(stage["best_layers"])
    rates.plot(layers, stage["rate"], "o", color="#0072B2", ms=4, label="found")
    rates.plot(layers, 2 / (layers - 1), color="0.5", lw=1, ls="--", label="limit, 2 / ($N_l$ - 1)")
    rates.set(title="best step size", xlabel="layers $N_l$", ylabel="step size x s²", xscale="log", yscale="log")
    rates.legend(frameon=False)
    scale = np.nanmean(np.array(stage["rate"]) * (layers - 1))
    times.plot(layers, stage["needed"], "o", color="#0072B2", ms=4, label="found")
    times.plot(layers, np.array(stage["time"]) / scale, color="0.5", lw=1, ls="--", label="eq. 15")
    times.axhline(stage["infinite"] / scale, color="0.5", lw=0.8, ls=":", label="eq. 17, infinitely deep")
    times.set(title="steps until learnt", xlabel="layers $N_l$", ylabel="steps", xscale="log", ylim=(0, None))
    times.legend(frameon=False, loc="lower right")
    start = f"{stage['strength']:g} to {stage['reach']:g}"
    drawing.caption(
        figure, f"Lines left: eq. 15; markers: gradient descent on whole matrices. Strength from {start}, s = 1."
    )
    return figure
