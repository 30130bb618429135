"""Signal and gradient over depth, for every scheme and width profile: exact, and measured in networks that were drawn.

With r = n_out / n_in of a layer, fan-in, fan-out and the geometric mean multiply signal or gradient by a power of r, so
that a product over layers depends on the two end widths alone (He et al. 2015). Glorot's harmonic mean multiplies their
product by less than 1, the mean of variances by more, in every layer whose fans differ.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics, NotRun, exact, number, with_interval
from experiments.compromise import linear
from experiments.study import Place
from xinit.analysis.intervals import bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("propagation",)
TELESCOPING = ("fan_in", "fan_out", "geometric")
ZIGZAG_LAYERS = 20  # of the published example; even, so that both ends are wide and the telescoping schemes give 1
MARKERS = 10  # of a curve at most; those of different schemes stand at different layers


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What measures, its schemes and profiles checked."""
    linear.check(settings)
    return functools.partial(measure, settings)


def measure(tier: Mapping[str, Any]) -> dict[str, Any]:
    """Exact and measured second moments of every profile and scheme, at every layer from the input to the output."""
    shapes = {
        label: linear.widths_of(profile, tier["ratio"], tier["depth"], tier["width"])
        for label, profile in tier["profiles"].items()
    }
    pairs = enumerate(itertools.product(shapes.items(), tier["schemes"].items()))
    found = {label: {"widths": list(widths), "schemes": {}} for label, widths in shapes.items()}
    for i, ((profile, widths), (label, name)) in pairs:
        seeds = range(i * tier["networks"], (i + 1) * tier["networks"])  # no network serves two rows
        found[profile]["schemes"][label] = _scheme(
            linear.scheme_named(name), widths, seeds, tier["propagation"]["orders"]
        )
    zigzag = found["alternating"]["schemes"].items() if tier["depth"] >= ZIGZAG_LAYERS else ()
    return {
        "depth": tier["depth"],
        "networks": tier["networks"],
        "profiles": found,
        "zigzag_layers": ZIGZAG_LAYERS,
        "zigzag_exact": {label: own["signal"]["exact"][ZIGZAG_LAYERS] for label, own in zigzag},
    }


def _scheme(scheme: linear.Scheme, widths: Sequence[int], seeds: range, orders: int) -> dict[str, Any]:
    signal_SL, gradient_SL = linear.drawn(scheme, widths, seeds)
    return {
        "signal": beside(linear.signal(scheme, widths), linear.scatter_of_signal(widths), signal_SL),
        "gradient": beside(linear.gradient(scheme, widths), linear.scatter_of_gradient(widths), gradient_SL),
        "order": _matter_of_order(scheme, widths, orders),
    }


def beside(exact_L: np.ndarray, scatter_L: np.ndarray, drawn_SL: np.ndarray) -> dict[str, list[float]]:
    """The exact values, the mean over networks with its interval, and how many of its standard errors lie between."""
    measured = bootstrap_interval(drawn_SL)
    error_L = exact_L * scatter_L / np.sqrt(len(drawn_SL))
    z_L = np.divide(measured.mean - exact_L, error_L, out=np.zeros_like(exact_L), where=error_L > 0)
    arrays = {"exact": exact_L, "mean": measured.mean, "low": measured.low, "high": measured.high, "z": z_L}
    return {name: array.tolist() for name, array in arrays.items()}


def _matter_of_order(scheme: linear.Scheme, widths: Sequence[int], n: int) -> float:
    """The largest factor between the signals at the output of networks with their inner widths in n orders."""
    random, inner = np.random.default_rng(0), np.array(widths[1:-1])
    orders = [inner, *(random.permutation(inner) for _ in range(n))]
    outputs = [linear.signal(scheme, (widths[0], *order.tolist(), widths[-1]))[-1] for order in orders]
    return float(max(outputs) / min(outputs))


def metrics(found: Mapping[str, Any]) -> Metrics:
    """What the claims are about: the zig-zag's signal, agreement with what is exact, and what a product depends on."""
    results = found["propagation"]
    profiles = results["profiles"]
    curves = [
        own[side] for one in profiles.values() for own in one["schemes"].values() for side in ("signal", "gradient")
    ]
    largest = max(np.abs(curve["z"]).max() for curve in curves)
    orders = [profile["schemes"][label]["order"] for profile in profiles.values() for label in TELESCOPING]
    return _zigzag(results) | {
        "propagation.agreement": exact(float(largest)),
        "propagation.order.telescoping": exact(max(orders) - 1),
        "propagation.order.xavier": exact(profiles["alternating"]["schemes"]["xavier"]["order"]),
        "propagation.he": exact(max(_from_he(profile) for profile in profiles.values()) - 1),
    }


def _zigzag(results: Mapping[str, Any]) -> Metrics:
    """The signal after `ZIGZAG_LAYERS` of the alternating profile, by scheme."""
    if results["depth"] < ZIGZAG_LAYERS:
        return {"propagation.zigzag": NotRun(f"needs depth={ZIGZAG_LAYERS} or more")}
    schemes = results["profiles"]["alternating"]["schemes"]
    at = lambda signal: (signal[name][ZIGZAG_LAYERS] for name in ("mean", "low", "high"))
    after = {label: Measured(*at(own["signal"]), results["networks"]) for label, own in schemes.items()}
    values, lows, highs, n = zip(*(after[label] for label in TELESCOPING), strict=True)
    furthest = max(values, key=lambda value: abs(np.log(value)))
    together = {"propagation.zigzag.telescoping": Measured(furthest, min(lows), max(highs), n[0])}
    return {f"propagation.zigzag.{label}": measured for label, measured in after.items()} | together


def _from_he(profile: Mapping[str, Any]) -> float:
    """Largest factor between the end-to-end products and the ratio of end widths that He et al. reduce them to."""
    first, last = profile["widths"][0], profile["widths"][-1]
    fan_in, fan_out = (profile["schemes"][label] for label in ("fan_in", "fan_out"))
    factors = fan_in["gradient"]["exact"][0] / (last / first), fan_out["signal"]["exact"][-1] / (first / last)
    return max(max(factor, 1 / factor) for factor in factors)


def draw(found: Mapping[str, Any]) -> "Figure":
    """Signal above, gradient below; a column for each profile; lines exact, markers measured with their intervals."""
    results = found["propagation"]
    figure = drawing.figure(11, 5.6)
    panels = figure.subplots(2, len(results["profiles"]), sharex=True, sharey=True, squeeze=False)
    for j, (label, profile) in enumerate(results["profiles"].items()):
        for axes, side in zip(panels[:, j], ("signal", "gradient"), strict=True):
            _panel(axes, profile["schemes"], side)
        _he(panels[:, j], profile["widths"])
        panels[0, j].set_title(f"{label}\n{_in_words(profile['widths'])}")
        panels[1, j].set_xlabel("layer")
    panels[0, 0].set_ylabel("signal: E z² over the input's")
    panels[1, 0].set_ylabel("gradient: E g² over the output's")
    drawing.legend(figure, panels[0, 0])
    return figure


def _panel(axes: "Axes", schemes: Mapping[str, Any], side: str) -> None:
    axes.axhline(1, color="0.85", lw=0.8, zorder=0)
    for i, (label, own) in enumerate(schemes.items()):
        look, found = drawing.look(i), {name: np.array(values) for name, values in own[side].items()}
        layers = np.arange(len(found["exact"]))
        axes.plot(layers, found["exact"], color=look.colour, ls=look.dashes, lw=1.2)
        every = max(len(schemes) - 1, layers[-1] // MARKERS)
        shown = layers[i % every :: every]
        drawing.points(axes, shown, *(found[name][shown] for name in ("mean", "low", "high")), look, label)
    axes.set_yscale("log")


def _he(panels: Sequence["Axes"], widths: Sequence[int]) -> None:
    """The ratio of end widths at the end of the curve that comes to it."""
    first, last = widths[0], widths[-1]
    if first != last:
        notes = (
            (f"fan out: $n_0/n_L$ = {first / last:g}", len(widths) - 1, first / last, "right"),
            (f"fan in: $n_L/n_0$ = {last / first:g}", 0, last / first, "left"),
        )
        for axes, (words, x, y, side) in zip(panels, notes, strict=True):
            above = 1 if y > 1 else -1
            axes.annotate(words, (x, y), (0, 9 * above), textcoords="offset points", ha=side, va="center")


def _in_words(widths: Sequence[int]) -> str:
    middle = widths[len(widths) // 2]
    return f"{widths[0]}, {widths[1]} … {middle} … {widths[-1]}"


def table(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A line for each profile and scheme: the signal at the output and the gradient at the input."""
    return list(_rows(found["propagation"]))


def _rows(results: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for profile, found in results["profiles"].items():
        ends = f"{found['widths'][0]} to {found['widths'][-1]}"
        for scheme, own in found["schemes"].items():
            row = {"profile": profile, "end widths": ends, "scheme": scheme}
            for side, at in (("signal", -1), ("gradient", 0)):
                values = {name: array[at] for name, array in own[side].items()}
                row |= {f"{side}, exact": number(values["exact"]), f"{side}, drawn": with_interval(values)}
            yield row
