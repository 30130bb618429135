"""Which gain a tanh residual network can start from, over its depth: Yang & Schoenholz 2017 have s_w sqrt(L) decide.

A label is a scale of the branches, 1 or 1/sqrt(L), and their number.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Measured, Metrics, NotRun, exact, over_runs
from experiments.modern import trained
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("depths",)
SCHEME = "lecun"  # N(0, 1/n), so that the gain is the paper's s_w
SCALES = ("one", "root")


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`depths.<scale>.exponent`: power of the depth of the largest gain that trains, fitted seed by seed.

    At that gain the test error passes half of chance for good, interpolated in its logarithm.
    """
    own = found["depths"]
    if cut := runs.unfinished(own):
        return {"depths": cut}
    return {f"depths.{scale}.exponent": _exponent(_of(own, scale)) for scale in SCALES}


def _of(own: Mapping[str, Any], scale: str) -> list[Mapping[str, Any]]:
    return [model for label, model in own["models"].items() if label.rstrip("0123456789") == scale]


def _exponent(models: list[Mapping[str, Any]]) -> Measured | NotRun:
    depths_M = np.log2([model["depth"] for model in models])
    largest_MS = np.array([largest(model) for model in models])
    if not np.isfinite(largest_MS).all():
        return exact(math.nan)
    return over_runs(mean_interval(np.polyfit(depths_M, largest_MS, 1)[0]))


def largest(model: Mapping[str, Any]) -> np.ndarray:
    """(S,) log2 of the largest gain that trains; nan where the error is on one side of half of chance everywhere."""
    gains_G, tests_SG = trained.tests_by_gain(model, SCHEME)
    half = next(iter(model["starts"][SCHEME].values()))["chance"] / 2
    return np.array([_crossing(np.log2(gains_G), tests_G, half) for tests_G in tests_SG])


def _crossing(logs_G: np.ndarray, errors_G: np.ndarray, level: float) -> float:
    below = np.flatnonzero(errors_G < level)
    if len(below) == 0 or below[-1] == len(errors_G) - 1:
        return math.nan
    i = int(below[-1])
    return float(np.interp(level, errors_G[i : i + 2], logs_G[i : i + 2]))


def draw(found: Mapping[str, Any]) -> "Figure":
    """Test error against the gain and against the gain times the root of the depth; then with scaled branches."""
    own = found["depths"]
    figure = drawing.figure(11, 3.8)
    plain, together, scaled = figure.subplots(1, 3, sharey=True)
    _curves(plain, _of(own, "one"), 0.0)
    _curves(together, _of(own, "one"), 0.5)
    _curves(scaled, _of(own, "root"), 0.0)
    for axes, title, words in (
        (plain, "scale 1", "gain $s_w$"),
        (together, "scale 1", r"$s_w \sqrt{L}$"),
        (scaled, r"scale $1/\sqrt{L}$", "gain $s_w$"),
    ):
        axes.set(title=title, xlabel=words)
    plain.set(ylabel="test error, %", ylim=(0, 95))
    drawing.legend(figure, plain)
    drawing.caption(figure, f"Lines: means over seeds, bands: all seeds; dotted: chance. {trained.scale(own)}")
    return figure


def _curves(axes: "Axes", models: list[Mapping[str, Any]], power: float) -> None:
    for i, model in enumerate(models):
        gains_G, tests_SG = trained.tests_by_gain(model, SCHEME)
        look, x_G = drawing.look(i), gains_G * model["depth"] ** power
        axes.plot(x_G, tests_SG.mean(0), color=look.colour, ls=look.dashes, marker=look.marker, ms=5, lw=1.5,
                  label=f"{model['depth']} branches")  # fmt: skip
        axes.fill_between(x_G, tests_SG.min(0), tests_SG.max(0), color=look.colour, alpha=0.15, lw=0)
        chance = next(iter(model["starts"][SCHEME].values()))["chance"]
        axes.axhline(chance, color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each network: the largest gain that trains, and that gain times the root of the depth."""
    rows = []
    for scale, words in zip(SCALES, ("1", "1/√L"), strict=True):
        for model in _of(found["depths"], scale):
            gain, depth = 2 ** float(np.mean(largest(model))), model["depth"]
            rows.append({"scale": words, "branches": str(depth), "largest gain that trains": f"{gain:.2f}",
                         "times √L": f"{gain * math.sqrt(depth):.2f}"})  # fmt: skip
    return rows
