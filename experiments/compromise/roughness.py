"""What Glorot's mean costs over depth, against how rough the widths are.

With s = (1/2) ln (n_out / n_in) a layer under Var W = 2 / (n_in + n_out) multiplies the signal by e^-s sech s and the
gradient by e^s sech s. The factors e^-+s telescope; the loss that is left over depth is

    prod sech s_l, about exp(-sum (ln r_l)^2 / 8) with r_l = n_out / n_in.

Smooth tapers cut the sum into many small squares, (ln R)^2 / (8 L) over L layers: it goes to nothing with depth. A
zig-zag pays the same in every layer.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics, exact
from experiments.compromise import linear
from experiments.study import Place
from xinit.analysis.intervals import bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("roughness",)
FINE = np.linspace(1, 8, 57)  # ratios at which a curve is drawn
FIRST_SEED = 1_000_000  # networks of their own


def loss(scheme: linear.Scheme, widths: Sequence[int]) -> float:
    """Signal times gradient over all layers, its square root: prod sech s_l under Glorot's mean, 1 if it telescopes."""
    return float(np.sqrt(linear.signal(scheme, widths)[-1] * linear.gradient(scheme, widths)[0]))


def roughness(widths: Sequence[int]) -> float:
    """sum (ln r_l)^2 / 8: what Glorot's mean costs in ln of the signal's second moment, up to the fourth order."""
    return float(np.sum(np.diff(np.log(widths)) ** 2) / 8)


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What measures, its schemes and profiles checked."""
    linear.check(settings)
    return functools.partial(measure, settings)


def measure(tier: Mapping[str, Any]) -> dict[str, Any]:
    """The loss over depth for each profile, and at one depth over the ratio of widths, there also measured."""
    glorot = linear.scheme_named(tier["schemes"]["xavier"])
    profiles, depths = tier["profiles"], list(range(2, tier["longest"] + 1, 2))
    of_depth = lambda n, name: linear.widths_of(name, tier["ratio"], n, tier["width"])
    of_ratio = lambda ratio, name: linear.widths_of(name, float(ratio), tier["depth"], tier["width"])
    return {
        "depth": tier["depth"],
        "longest": tier["longest"],
        "ratio": tier["ratio"],
        "networks": tier["networks"],
        "depths": depths,
        "over_depth": {label: _curve(glorot, [of_depth(n, name) for n in depths]) for label, name in profiles.items()},
        "ratios": FINE.tolist(),
        "over_ratio": {label: _curve(glorot, [of_ratio(r, name) for r in FINE]) for label, name in profiles.items()},
        "drawn": [
            _drawn(glorot, of_ratio(ratio, profiles["alternating"]), tier["networks"], i) | {"ratio": ratio}
            for i, ratio in enumerate(tier["roughness"]["ratios"])
        ],
    }


def _curve(scheme: linear.Scheme, shapes: Sequence[Sequence[int]]) -> dict[str, list[float]]:
    return {"loss": [loss(scheme, w) for w in shapes], "roughness": [roughness(w) for w in shapes]}


def _drawn(scheme: linear.Scheme, widths: Sequence[int], networks: int, i: int) -> dict[str, Any]:
    """The loss in drawn networks: their signal at the output over what the end widths alone would make of it."""
    seeds = range(FIRST_SEED + i * networks, FIRST_SEED + (i + 1) * networks)
    signal_SL, _ = linear.drawn(scheme, widths, seeds)
    measured = bootstrap_interval(signal_SL[:, -1] / np.sqrt(widths[0] / widths[-1]))
    error = loss(scheme, widths) * linear.scatter_of_signal(widths)[-1] / np.sqrt(networks)
    z = (measured.mean - loss(scheme, widths)) / error
    return {"mean": float(measured.mean), "low": float(measured.low), "high": float(measured.high), "z": float(z)}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """The loss at the greatest depth, that of a pair of layers, and how good the approximation is."""
    results = found["roughness"]
    deepest = {label: curve["loss"][-1] for label, curve in results["over_depth"].items()}
    zigzag = results["over_depth"]["alternating"]
    smooth = [deepest[label] for label in ("taper", "grow", "bottleneck")]
    shares = np.log(zigzag["loss"]) / -np.array(zigzag["roughness"]) if zigzag["roughness"][0] else np.array([np.nan])
    at_ratio = min(results["drawn"], key=lambda one: abs(one["ratio"] - results["ratio"]))
    return {
        "roughness.smooth": exact(min(smooth)),
        "roughness.alternating": exact(deepest["alternating"]),
        "roughness.pair": exact(float(np.exp(np.diff(np.log(zigzag["loss"])).max()))),
        "roughness.approximation": Measured(float(shares[-1]), float(shares.min()), float(shares.max())),
        "roughness.drawn": Measured(at_ratio["mean"], at_ratio["low"], at_ratio["high"], results["networks"]),
        "roughness.agreement": exact(max(abs(one["z"]) for one in results["drawn"])),
    }


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left the cost, -ln of the loss, over depth; right the loss over the ratio of widths, there also drawn."""
    results = found["roughness"]
    figure = drawing.figure(9.5, 3.8)
    left, right = figure.subplots(1, 2)
    _curves(left, results["depths"], results["over_depth"], lambda loss: -np.log(loss))
    left.set_xscale("log")
    left.set_xticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"], minor=False)
    left.minorticks_off()
    left.set(title=f"widths {results['ratio']:g}:1", xlabel="layers", ylabel="cost: -ln ∏ sech s")
    _curves(right, results["ratios"], results["over_ratio"], lambda loss: loss)
    drawn = [[one[name] for one in results["drawn"]] for name in ("ratio", "mean", "low", "high")]
    drawing.points(right, *map(np.array, drawn), drawing.Look("black", "o", "-"))
    right.plot([], [], "o", color="black", ms=4, label=f"{results['networks']} networks drawn")
    right.set(title=f"{results['depth']} layers", xlabel="widest layer over narrowest", ylabel="loss: ∏ sech s")
    for axes in (left, right):
        axes.set_yscale("log")
    drawing.legend(figure, right)
    return figure


def _curves(
    axes: "Axes",
    x: Sequence[float],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    shown: Callable[[np.ndarray], np.ndarray],
) -> None:
    for i, (label, curve) in enumerate(curves.items()):
        look = drawing.look(i)
        axes.plot(x, shown(np.array(curve["loss"])), color=look.colour, ls=look.dashes, lw=1.6, label=label)
        axes.plot(x, shown(np.exp(-np.array(curve["roughness"]))), color=look.colour, ls=":", lw=1.2)
    axes.plot([], [], color="0.4", ls=":", lw=1.2, label="exp(-Σ (ln r)²/8)")
