"""The largest learning rate of a plain relu network, over depth and over width (Jelassi et al. 2023).

It is the rate at which one step of gradient descent on one example would change the pre-activations of the last hidden
layer by 1 in the mean square, were the change in proportion to the rate.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, exact, over_runs
from experiments.mup2022 import law
from xinit.analysis.intervals import mean_interval
from xinit.analysis.scaling import exponent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("response",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`depth.<check>`, p in largest rate = constant x size^p; `depth.law`, p of the closed form at the same depths."""
    checks = found["response"]
    own = {f"depth.{label}": over_runs(exponent(check["sizes"], largest(check))) for label, check in checks.items()}
    depths = np.array(checks["depth"]["sizes"])
    return own | {"depth.law": exact(float(np.polyfit(np.log(depths), np.log(_law(depths)), 1)[0]))}


def largest(check: Mapping[str, Any]) -> np.ndarray:
    """(size, seed) the rate at which the mean squared change after one step is 1."""
    return np.array(check["change"]) ** -0.5


def _law(depths: np.ndarray) -> np.ndarray:
    return np.array([law.change(int(depth)) ** -0.5 for depth in depths])


def draw(found: Mapping[str, Any]) -> "Figure":
    """The largest rate over depth left, over width right, both with equal axes."""
    checks = found["response"]
    figure = drawing.figure(8.4, 3.9)
    left, right = figure.subplots(1, 2, sharey=True)
    sizes, level = _points(left, checks["depth"])
    expected = _law(sizes)
    middle = np.exp(np.log(level / expected).mean())
    left.plot(sizes, middle * expected, color="0.3", lw=1.1, label="closed form of wide layers, S(L)^-1/2")
    left.plot(sizes, level[-1] * (sizes / sizes[-1]) ** -1.5, color="0.5", ls=":", lw=1.2, label="L^-3/2")
    left.set(xlabel="hidden layers L", ylabel="largest learning rate")
    sizes, level = _points(right, checks["width"])
    right.plot(sizes, np.full(len(sizes), np.exp(np.log(level).mean())), color="0.5", ls=":", lw=1.2, label="width^0")
    right.set(xlabel="width")
    for axes in (left, right):
        axes.legend(frameon=False, loc="upper right")
    drawing.caption(
        figure,
        f"Plain relu networks, Var W = 2/fan-in, muP over width; one step on one example. Points: means of "
        f"logarithms over {checks['depth']['seeds']} networks with 95 % intervals. Left: width "
        f"{checks['depth']['width']}; right: {checks['width']['depth']} hidden layers.",
    )
    return figure


def _points(axes: "Axes", check: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The sizes and the geometric means of the rates, which are drawn."""
    sizes, logs = np.array(check["sizes"]), mean_interval(np.log(largest(check)).T)
    mean, low, high = (np.exp(end) for end in (logs.mean, logs.low, logs.high))
    drawing.points(axes, sizes, mean, low, high, drawing.look(0))
    axes.set_xscale("log", base=2)
    drawing.logarithmic(axes.yaxis)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    return sizes, mean
