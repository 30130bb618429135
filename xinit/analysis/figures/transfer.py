"""The figure of a learning-rate transfer: loss against learning rate for each size, and the best rate over sizes."""

from typing import TYPE_CHECKING

import numpy as np

from xinit.analysis.transfer import Transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xinit.core.figure import Figure


def figure(transfer: Transfer) -> "Figure":
    """Two panels: means over seeds with the range of the seeds, the least marked; and the best rates with intervals.

    >>> from xinit.analysis.transfer import Losses, judge
    >>> loss = np.array([[[2.0, 1.0, 2.0]] * 2] * 2)
    >>> len(figure(judge(Losses("width", (16, 32), (0.1, 0.2, 0.4), loss))).axes)
    2
    """
    from xinit.core.figure import Figure

    drawn = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = drawn.subplots(1, 2)
    _losses(left, transfer)
    _bests(right, transfer)
    drawn.suptitle(f"{transfer.level}: the best learning rate goes as {transfer.law}", fontsize=10, parse_math=False)
    return drawn


def _losses(axes: "Axes", transfer: Transfer) -> None:
    from matplotlib import colormaps

    losses = transfer.losses
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(losses.values)))
    for value, own, colour in zip(losses.values, losses.loss, colours, strict=True):
        mean = own.mean(0)
        shown = np.isfinite(mean)
        rates, mean, own = np.array(losses.rates)[shown], mean[shown], own[:, shown]
        axes.fill_between(rates, own.min(0), own.max(0), color=colour, alpha=0.2, lw=0)
        axes.plot(rates, mean, "o-", color=colour, ms=3, lw=1.3, label=f"{losses.over} {value}")
        if len(mean):
            at = int(np.argmin(mean))
            axes.plot(rates[at], mean[at], "*", color=colour, ms=12, mec="black", mew=0.5)
    axes.set_xscale("log")
    axes.set_ylim(*_range(losses.loss))
    axes.set(title="loss at the end of training, mean of seeds", xlabel="learning rate", ylabel="loss")
    axes.legend(fontsize=8, frameon=False)


def _range(loss: np.ndarray) -> tuple[float, float]:
    """From the least loss to that of the lowest rate; what is about to diverge leaves the panel at the top."""
    finite = loss[np.isfinite(loss)]
    low, first = float(finite.min()), loss[:, :, 0][np.isfinite(loss[:, :, 0])]
    high = max(float(np.quantile(finite, 0.75)), float(first.max(initial=low)))
    room = 0.08 * (high - low) or 0.1
    return low - room, high + room


def _bests(axes: "Axes", transfer: Transfer) -> None:
    values = np.array(transfer.losses.values)
    rates, low, high = (np.array([getattr(best, name) for best in transfer.bests]) for name in ("rate", "low", "high"))
    axes.errorbar(values, rates, [rates - low, high - rates], fmt="o", color="C0", ms=5, capsize=3, lw=1.2)
    middle = np.exp(np.log(values).mean())
    level = np.exp(np.log(rates).mean())
    axes.plot(values, level * (values / middle) ** transfer.exponent.mean, color="C0", lw=1, label=transfer.law)
    axes.plot(
        values, np.full(len(values), level), "--", color="0.5", lw=1, label=f"the same at every {transfer.losses.over}"
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(values, [str(value) for value in values])
    axes.set_ylim(min(transfer.losses.rates), max(transfer.losses.rates))
    axes.set(title="best learning rate, 95 % interval over seeds", xlabel=transfer.losses.over)
    for text in axes.legend(fontsize=8, frameon=False).get_texts():
        text.set_parse_math(False)
