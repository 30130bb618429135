"""The end layers apart from the hidden ones: what the step from the inputs and the step to the classes cost.

They are there at any depth. Under Glorot's mean they cost -ln sech s each; under a telescoping scheme the whole
network, whatever its hidden layers, multiplies signal or gradient by the ratio of its ends.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics, NotRun, exact
from experiments.compromise import linear
from experiments.compromise.roughness import loss
from experiments.study import Place
from xinit.analysis.intervals import bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("ends",)
SHALLOW = 5  # hidden layers, as in Glorot & Bengio's networks: linear.LEAST layers with the last
FIRST_SEED = 2_000_000  # networks of their own


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What measures, its schemes and profiles checked."""
    linear.check(settings)
    return functools.partial(measure, settings)


def measure(tier: Mapping[str, Any]) -> dict[str, Any]:
    """Costs over depth with the ends of the first data set, and the ends' ratios of all of them."""
    glorot = linear.scheme_named(tier["schemes"]["xavier"])
    (inputs, outputs), depths = next(iter(tier["ends"].values())), list(range(2, tier["longest"] + 1))
    hidden = {
        label: [linear.widths_of(name, tier["ratio"], depth - 1, tier["width"]) for depth in depths]
        for label, name in tier["profiles"].items()
    }
    return {
        "inputs": inputs,
        "outputs": outputs,
        "depths": depths,
        "costs": {label: _costs(glorot, inputs, shapes, outputs) for label, shapes in hidden.items()},
        "shallow": SHALLOW,
        "networks": tier["networks"],
        "whole": _whole(tier, inputs, outputs),
        "ratios": {label: _ratios(tier, ends) for label, ends in tier["ends"].items()},
    }


def _costs(scheme: linear.Scheme, inputs: int, shapes: Sequence[Sequence[int]], outputs: int) -> dict[str, list[float]]:
    """-ln of the loss in the hidden layers, and in the two end layers together, for each of the hidden shapes."""
    cost = lambda widths: abs(round(float(np.log(loss(scheme, widths))), 12))  # a telescoping scheme's is 0, not 1e-16
    ends = [cost((inputs, widths[0])) + cost((widths[-1], outputs)) for widths in shapes]
    return {"hidden": [cost(widths) for widths in shapes], "ends": ends}


def _whole(tier: Mapping[str, Any], inputs: int, outputs: int) -> dict[str, Any]:
    """Signal and gradient through a whole shallow network of equal hidden widths, exact and measured, by scheme."""
    widths, found = (inputs, *[tier["width"]] * SHALLOW, outputs), {}
    for i, (label, name) in enumerate(tier["schemes"].items()):
        scheme = linear.scheme_named(name)
        first = FIRST_SEED + i * tier["networks"]
        signal_SL, gradient_SL = linear.drawn(scheme, widths, range(first, first + tier["networks"]))
        found[label] = {
            "signal": _beside(linear.signal(scheme, widths)[-1], signal_SL[:, -1]),
            "gradient": _beside(linear.gradient(scheme, widths)[0], gradient_SL[:, 0]),
        }
    return found


def _beside(exact: float, drawn_S: np.ndarray) -> dict[str, float]:
    measured = bootstrap_interval(drawn_S)
    return {"exact": float(exact), **{name: float(getattr(measured, name)) for name in ("mean", "low", "high")}}


def _ratios(tier: Mapping[str, Any], ends: Sequence[int]) -> dict[str, float]:
    """n_0 / n_L, and the least and largest signal that fan-out leaves at the output over all profiles and depths."""
    scheme, (inputs, outputs) = linear.scheme_named(tier["schemes"]["fan_out"]), ends
    hidden = [
        linear.widths_of(name, tier["ratio"], depth - 1, tier["width"])
        for name in tier["profiles"].values()
        for depth in range(2, tier["longest"] + 1)
    ]
    signals = [float(linear.signal(scheme, (inputs, *widths, outputs))[-1]) for widths in hidden]
    return {"ratio": inputs / outputs, "least": min(signals), "largest": max(signals)}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """The ends' cost, in mean hidden layers of a shallow zig-zag and over all of them, and the ratios of the ends."""
    results = found["ends"]
    costs, at = results["costs"]["alternating"], results["depths"].index(results["shallow"])
    ends, hidden = costs["ends"][at], costs["hidden"][at]
    ratios = {
        f"ends.{label}": Measured(own["ratio"], own["least"], own["largest"])
        for label, own in results["ratios"].items()
    }
    if not hidden:
        return ratios | dict.fromkeys(["ends.over_hidden", "ends.over_mean"], NotRun("no hidden layer costs anything"))
    mean = hidden / (results["shallow"] - 1)
    return ratios | {"ends.over_hidden": exact(ends / hidden), "ends.over_mean": exact(ends / mean)}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left what Glorot's mean costs over depth, ends and hidden layers; right every scheme through a whole network."""
    results = found["ends"]
    figure = drawing.figure(9.5, 3.8)
    left, right = figure.subplots(1, 2)
    for i, (label, own) in enumerate(results["costs"].items()):
        left.plot(results["depths"], own["hidden"], color=drawing.look(i).colour, lw=1.6, label=f"hidden, {label}")
    shown = results["costs"]["constant"]["ends"]
    words = f"ends: {results['inputs']} inputs, {results['outputs']} outputs"
    left.plot(results["depths"], shown, color="black", lw=1.6, ls="--", label=words)
    left.set(title="cost of Glorot's mean", xlabel="hidden layers", ylabel="-ln ∏ sech s", ylim=(-0.1, 4))
    left.legend(frameon=False, fontsize=7.5)
    for i, (label, own) in enumerate(results["whole"].items()):
        for x, side in enumerate(("signal", "gradient")):
            x, look = x + 0.12 * (i - 2), drawing.look(i)
            right.plot([x - 0.05, x + 0.05], 2 * [own[side]["exact"]], color=look.colour, lw=1.6)
            values = ([own[side][name]] for name in ("mean", "low", "high"))
            drawing.points(right, [x], *values, look, label.replace("_", " ") if side == "signal" else "")
    right.axhline(1, color="0.85", lw=0.8, zorder=0)
    right.set_yscale("log")
    right.set_xticks([0, 1], ["signal", "gradient"])
    right.set(
        title=f"through {results['shallow']} equal hidden layers, end to end", ylabel="second moment, out over in"
    )
    right.legend(frameon=False, fontsize=7.5)
    return figure
