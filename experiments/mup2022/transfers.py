"""Learning-rate transfer of the models of a trained stage: metrics, panels and rows that two parts share."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, number, over_runs
from experiments.mup2022.trained import CHANCE
from xinit.analysis.intervals import mean_interval
from xinit.analysis.transfer import Losses, Transfer, best_rate, judge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EDGES = {"lowest": "<", "highest": ">", "": ""}  # a best rate that is an end of its grid


def transfer_of(results: Mapping[str, Any], model: str) -> Transfer:
    """The best rate of each size of a model, its exponent, and what carrying it costs."""
    return judge(Losses(results["over"], tuple(results["sizes"]), tuple(results["rates"]), _loss(results, model)))


def _loss(results: Mapping[str, Any], model: str) -> np.ndarray:
    return np.array(results["models"][model]["loss"])


def exponents(results: Mapping[str, Any], model: str) -> np.ndarray:
    """(seed,) p in best rate = constant x size^p."""
    best = np.array([[best_rate(tuple(results["rates"]), own) for own in size] for size in _loss(results, model)])
    return np.polyfit(np.log(results["sizes"]), np.log(best), 1)[0]


def metrics_of(beginning: str, results: Mapping[str, Any]) -> dict[str, Measured]:
    """Metrics of every model, means over n seeds, and of every pair of models, paired by seed.

    `<beginning>.<model>`: the exponent p of the best rate. `<beginning>.<model>.cost`: the share of its loss that the
    largest size loses at the smallest one's best rate. `<beginning>.<a>-<b>`: |p| of a less that of b, and
    `<beginning>.<a>-<b>.cost`: the cost of a less that of b.
    """
    models = list(results["models"])
    slopes = {model: exponents(results, model) for model in models}
    costs = {model: costs_of(results, model) for model in models}
    own = {f"{beginning}.{model}": over_runs(mean_interval(slopes[model])) for model in models}
    own |= {f"{beginning}.{model}.cost": over_runs(mean_interval(costs[model])) for model in models}
    for a, b in ((a, b) for a in models for b in models if a != b):
        own[f"{beginning}.{a}-{b}"] = over_runs(mean_interval(np.abs(slopes[a]) - np.abs(slopes[b])))
        own[f"{beginning}.{a}-{b}.cost"] = over_runs(mean_interval(costs[a] - costs[b]))
    return own


def costs_of(results: Mapping[str, Any], model: str) -> np.ndarray:
    """(seed,) the largest size's loss at the smallest one's best rate, over that at its own, less 1."""
    loss = _loss(results, model)
    borrowed, own = (int(np.argmin(loss[size].mean(0))) for size in (0, -1))
    return loss[-1, :, borrowed] / loss[-1, :, own] - 1


def panel(axes: "Axes", own: Transfer, title: str) -> None:
    """Loss against learning rate, a line for each size, the least of each marked."""
    losses = own.losses
    for i, (size, loss) in enumerate(zip(losses.values, losses.loss, strict=True)):
        look, mean, label = drawing.layer_look(i), loss.mean(0), f"{losses.over} {size}"
        axes.plot(losses.rates, mean, color=look.colour, marker=look.marker, ms=3.5, lw=1.2, label=label)
        at = int(np.argmin(mean))
        axes.plot(losses.rates[at], mean[at], "*", color=look.colour, ms=11, mec="black", mew=0.5, zorder=3)
    axes.axhline(CHANCE, color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    axes.set_xscale("log", base=2)
    powers = range(math.ceil(math.log2(losses.rates[0])), math.floor(math.log2(losses.rates[-1])) + 1, 2)
    axes.set_xticks([2.0**power for power in powers], [f"$2^{{{power}}}$" for power in powers])
    axes.set(title=title, xlabel="learning rate")


def bests(axes: "Axes", transfers: Mapping[str, Transfer]) -> None:
    """The best rate of each size with its interval over seeds, a colour for each label."""
    for i, (label, own) in enumerate(transfers.items()):
        look, sizes = drawing.look(i), np.array(own.losses.values)
        mean, low, high = (np.array([getattr(best, end) for best in own.bests]) for end in ("rate", "low", "high"))
        drawing.points(axes, sizes, mean, low, high, look, f"{label}: p = {round(own.exponent.mean, 2) + 0:.2f}")
        axes.plot(sizes, mean, color=look.colour, ls=look.dashes, lw=1.2)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(title="best learning rate", xlabel=next(iter(transfers.values())).losses.over)
    axes.legend(frameon=False, fontsize=7.5, handlelength=3.5)


def caption(results: Mapping[str, Any]) -> str:
    """What was trained, and how to read its panels."""
    return (
        f"{results['title']}; {results['steps']:,} steps of {results['batch_size']}, {results['seeds']} seeds. Lines: "
        "means over seeds; stars: the best rate tried; dotted: chance. Right: 95 % intervals over seeds."
    )


def row(label: str, own: Transfer) -> dict[str, str]:
    """A line of a table: the best rate of each size, the exponent, and the cost."""
    rates = {f"{own.losses.over} {best.value}": f"{EDGES[best.edge]}{number(best.rate)}" for best in own.bests}
    p, cost = own.exponent, own.cost
    return {
        "": label,
        **rates,
        "exponent": f"{p.mean:+.2f} [{p.low:+.2f}, {p.high:+.2f}]",
        "cost": f"{cost.mean:.0%} [{cost.low:.0%}, {cost.high:.0%}]",
    }
