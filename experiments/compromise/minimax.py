"""Which variance comes nearest to n_in V = 1 and n_out V = 1 at once: Glorot's, if errors are counted as differences.

max(|n_in V - 1|, |n_out V - 1|) is least where the two errors are opposite and equal,

    V = 2 / (n_in + n_out), both off by |n_in - n_out| / (n_in + n_out);

counted as ratios, max(|ln n_in V|, |ln n_out V|) is least at V = 1 / sqrt(n_in n_out), both off by (1/2) |ln(n_out /
n_in)|. The minimum is found here by search, without these formulas.
"""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar

from experiments import drawing
from experiments.claims import Metrics, exact
from experiments.compromise import linear
from experiments.study import Place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("minimax",)
# Errors of n V, as differences and as ratios, and the scheme of least worst error.
ERRORS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "difference": ("xavier", lambda nv: np.abs(nv - 1)),
    "ratio": ("geometric", lambda nv: np.abs(np.log(nv))),
}
PAIRS = ((784, 100), (100, 784), (1024, 9), (256, 64), (300, 300), (1, 4096))  # fans from equal to far apart
POINTS = 201  # of a curve


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What measures, its schemes and profiles checked."""
    linear.check(settings)
    return functools.partial(measure, settings)


def measure(tier: Mapping[str, Any]) -> dict[str, Any]:
    """The two error curves of one layer against V, and the least worst error for many pairs of fans."""
    fans = tuple(tier["minimax"]["fans"])
    return {
        "fans": list(fans),
        "variances": np.geomspace(0.6 / max(fans), 1.6 / min(fans), POINTS).tolist(),
        "schemes": {label: _variance(name, *fans) for label, name in tier["schemes"].items()},
        **{kind: _kind(kind, fans, tier["schemes"][scheme]) for kind, (scheme, _) in ERRORS.items()},
    }


def _variance(name: str, n_in: int, n_out: int) -> float:
    return float(linear.variances(linear.scheme_named(name), (n_in, n_out))[0])


def _kind(kind: str, fans: tuple[int, int], name: str) -> dict[str, Any]:
    """Where the worse of the two errors is least for these fans, and how far off the scheme is over all pairs."""
    found = {pair: least(kind, *pair) for pair in (fans, *PAIRS)}
    off = max(abs(_variance(name, *pair) / variance - 1) for pair, (variance, _) in found.items())
    variance, error = found[fans]
    return {"variance": variance, "error": error, "scheme": name, "off": off, "pairs": len(PAIRS)}


def worst(kind: str, variance: np.ndarray, n_in: int, n_out: int) -> np.ndarray:
    """The larger of the errors of n_in V and n_out V."""
    error = ERRORS[kind][1]
    return np.maximum(error(n_in * variance), error(n_out * variance))


def least(kind: str, n_in: int, n_out: int) -> tuple[float, float]:
    """The variance of least `worst` error, and that error; it lies between 1/n_in and 1/n_out, both 0 at equal fans."""
    ends = np.log([0.9 / max(n_in, n_out), 1.1 / min(n_in, n_out)])
    # The worst error falls, then rises, also over ln V: a bounded search cannot miss its minimum.
    found = minimize_scalar(
        lambda log: worst(kind, np.exp(log), n_in, n_out), bounds=ends, method="bounded", options={"xatol": 1e-12}
    )
    return float(np.exp(found.x)), float(found.fun)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """How far the minimum that was found lies from the scheme's variance, relative, at worst over the pairs."""
    results = found["minimax"]
    return {f"minimax.{kind}": exact(results[kind]["off"]) for kind in ERRORS}


def draw(found: Mapping[str, Any]) -> "Figure":
    """The two errors against V, counted as differences and as ratios, with the least of the worse one."""
    results = found["minimax"]
    figure = drawing.figure(9.5, 3.8)
    left, right = figure.subplots(1, 2)
    _panel(left, results, "difference")
    _panel(right, results, "ratio")
    left.set(title="errors counted as differences", ylabel="|n V - 1|")
    right.set(title="errors counted as ratios", ylabel="|ln n V|")
    drawing.legend(figure, left)
    return figure


def _panel(axes: "Axes", results: Mapping[str, Any], kind: str) -> None:
    (n_in, n_out), variances = results["fans"], np.array(results["variances"])
    error, found = ERRORS[kind][1], results[kind]
    axes.plot(variances, error(n_in * variances), color="0.5", lw=1.2, label=f"n = {n_in}, the inputs")
    axes.plot(variances, error(n_out * variances), color="0.5", lw=1.2, ls="--", label=f"n = {n_out}, the outputs")
    axes.plot(variances, worst(kind, variances, n_in, n_out), color="black", lw=4, alpha=0.2, label="the worse one")
    axes.plot(found["variance"], found["error"], "o", color="black", ms=6, label="its least, by search")
    axes.set_xscale("log")
    axes.set_ylim(0, 2.5 * found["error"])
    axes.set_xlabel("V = Var W")
    names = [label.replace("_", " ") for label in results["schemes"]]
    above = axes.secondary_xaxis("top")
    above.set_xticks(list(results["schemes"].values()), names, rotation=25, ha="left", minor=False)
    above.minorticks_off()
    for i, (variance, name) in enumerate(zip(results["schemes"].values(), above.get_xticklabels(), strict=True)):
        axes.axvline(variance, color=drawing.look(i).colour, lw=0.9, ls=drawing.look(i).dashes, zorder=0)
        name.set_color(drawing.look(i).colour)
