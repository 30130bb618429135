"""The figure of a probe: what its layers' signal, gradient, units and weights look like, in the order of the layers."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from xinit.analysis import layer_marks
from xinit.analysis.layer_marks import Marks, positive
from xinit.analysis.probe_report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xinit.core.figure import Figure

FIRST, SECOND, BAD = "#0072B2", "#E69F00", "#D62728"  # Okabe and Ito's, told apart by colour-blind eyes; what is bad
CROWDED = 60  # layers from which on points would hide the line
NAMED = 14  # layers that are named along the axis; of more their numbers
LONGEST = 22  # characters of a name there
MIDDLE = {"half": (3, 5), "nearly all": (1, 7)}  # of the quantiles, the ends of the middle 50 and 96 %
SHARES = (  # reading, label, colour
    ("grad_pre_zero_units", "units that pass no gradient", "#000000"),
    ("act_dead", "dead units", "#009E73"),
    ("act_saturated", "saturated", FIRST),
    ("act_inactive", "inactive", SECOND),
)
MARGIN = 3.0  # beyond the ends of a logarithmic axis, which then spans a decade at least
ZERO = "all weights 0"
SCHEMES = {1.0: "1 (LeCun)", 2.0: "2 (He)"}  # what keeps the variance of a linear layer, and that of a rectifier
RULES = {  # which panel shows what a rule marks
    "signal": ("finite", "signal", "cosine"),
    "gradient": ("gradient", "reach"),
    "shares": ("dead", "saturated"),
}


def figure(report: Report) -> "Figure":
    """Four panels over the layers: signal, gradient, dead and saturated units, n_in Var W; red is what is bad.

    >>> [axes.get_title() for axes in figure(report).axes]
    ['signal, root mean square', 'dL/dz, root mean square', 'units', 'n_in Var W of the kernels']
    """
    from xinit.core.figure import Figure

    drawn = Figure(figsize=(11, 8), layout="constrained")
    signal, gradient, shares, variances = drawn.subplots(2, 2, sharex=True).ravel()
    found = layer_marks.marks(report)
    signal.set_title("signal, root mean square")
    _size(signal, report, "pre", "z, what a layer gives", FIRST)
    _line(signal, positive(layer_marks.inputs(report)), "h, what it reads", SECOND)
    gradient.set_title("dL/dz, root mean square")
    _size(gradient, report, "grad_pre", "dL/dz, per example", FIRST)
    _shares(shares, report)
    _variances(variances, report)
    shown = {rule for rules in RULES.values() for rule in rules}
    rest = tuple(rule for rule in found if rule not in shown)
    for axes, rules in zip((signal, gradient, shares), RULES.values(), strict=True):
        _mark(axes, {rule: found[rule] for rule in rules if rule in found})
    _mark(variances, {rule: found[rule] for rule in rest})
    for axes in (signal, gradient, variances):
        _decades(axes)
    for axes in (signal, gradient, shares, variances):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
    for axes in (shares, variances):
        _layer_axis(axes, report)
    worst = [f"{finding.level}: {finding.sentence}" for finding in report.findings if finding.level != "OK"]
    lines = worst or [report.verdict]
    drawn.suptitle("\n".join(textwrap.shorten(line, 150, placeholder=" ...") for line in lines[:4]), fontsize=10)
    return drawn


def _size(axes: "Axes", report: Report, name: str, label: str, colour: str) -> None:
    """A root mean square, and between which half-widths the middle half and nearly all of the values lie."""
    size = layer_marks.signal(report) if name == "pre" else layer_marks.gradient(report)
    _line(axes, positive(size), label, colour)
    quantiles = report.readings.get(f"{name}_quantile")
    if quantiles is not None:
        low, high = (positive((quantiles[:, b] - quantiles[:, a]) / 2) for a, b in MIDDLE.values())
        place = np.arange(1, len(low) + 1)
        low = np.where(np.isfinite(high) & np.isnan(low), np.finfo(float).tiny, low)  # half of the values are 0
        label = "from half the width of the middle 50 % to that of 96 %"
        axes.fill_between(place, low, high, color=colour, alpha=0.18, lw=0, label=label)


def _line(axes: "Axes", values: np.ndarray, label: str, colour: str) -> None:
    if np.isfinite(values).any():
        place = np.arange(1, len(values) + 1)
        marker = "o" if len(values) <= CROWDED else ""
        axes.plot(place, values, lw=1.3, color=colour, label=label, marker=marker, ms=3.5)


def _shares(axes: "Axes", report: Report) -> None:
    axes.set_title("units")
    for name, label, colour in SHARES:
        if name in report.readings and np.isfinite(report.readings[name]).any():
            _line(axes, report.readings[name], label, colour)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")


def _variances(axes: "Axes", report: Report) -> None:
    axes.set_title("n_in Var W of the kernels")
    for (value, words), line in zip(SCHEMES.items(), ("--", ":"), strict=True):
        axes.axhline(value, color="0.45", lw=1, ls=line, label=words)
    values = positive(layer_marks.variances(report))
    place = np.arange(1, len(values) + 1)
    axes.plot(place, values, "o", ms=4 if len(values) <= CROWDED else 2, color=FIRST, label="n_in E W^2")
    zero = np.flatnonzero([row.zero for row in report.kernels])
    if len(zero):
        bottom = axes.get_xaxis_transform()  # a logarithmic axis has no 0
        axes.plot(zero + 1, [0.02] * len(zero), "x", ms=6, color=BAD, transform=bottom, label=ZERO)


def _mark(axes: "Axes", found: Marks) -> None:
    """Red behind the layers that rules mark."""
    for rule, marked in found.items():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], marked, [0]])))
        for i, (begin, end) in enumerate(edges.reshape(-1, 2)):
            axes.axvspan(begin + 0.5, end + 0.5, color=BAD, alpha=0.13, lw=0, label="_" if i else f"bad: {rule}")


def _decades(axes: "Axes") -> None:
    """A logarithmic axis that spans a decade at least, whose numbers can be read."""
    from matplotlib.ticker import LogLocator, NullLocator

    in_data = [line for line in axes.get_lines() if line.get_label() != ZERO]
    shown = np.concatenate([np.zeros(0), *[np.asarray(line.get_ydata(), float) for line in in_data]])
    shown = shown[np.isfinite(shown)]
    axes.set_yscale("log")
    if len(shown):
        low, high = shown.min() / MARGIN, shown.max() * MARGIN
        axes.set_ylim(low, high)
        if high < 300 * low:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")


def _layer_axis(axes: "Axes", report: Report) -> None:
    from matplotlib.ticker import MaxNLocator

    n = len(report.names)
    axes.set_xlim(0.5, n + 0.5)
    if n <= NAMED:
        shortened = [name if len(name) <= LONGEST else f"...{name[-LONGEST + 3 :]}" for name in report.names]
        axes.set_xticks(range(1, n + 1), shortened, rotation=90 if n > 6 else 30, fontsize=8)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("center" if n > 6 else "right")
            label.set_parse_math(False)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(f"layer, in the order of the calls: 1 is {report.names[0]}, {n} is {report.names[-1]}")
