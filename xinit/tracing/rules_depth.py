"""How signal and gradient change over the depth of a model, and what of it is at fault.

A model has one size at each depth: of the signal the root mean square over the units of all layers there, of the
gradient the root of the sum over them, so that a wide layer counts for more than a narrow one. A line through its
logarithm against depth says how it changes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy import stats

from xinit.analysis import layer_marks
from xinit.analysis.probe_limits import ASIDE, DIP, EXPLODED, VANISHED
from xinit.analysis.probe_report import Report
from xinit.analysis.verdict import Finding
from xinit.settings.thresholds import thresholds

SURE = 0.05  # p-value below which a slope over depth is one
FEWEST = 3  # depths that a line needs to have any scatter


class Trend(NamedTuple):
    """How a size changes over depth: by `rate` a layer, by `change` in all; `sure` if scatter does not explain it."""

    rate: float
    change: float
    sure: bool


def about(level: str, rule: str, sentence: str, layers: Sequence[bool] | np.ndarray) -> Finding:
    """A finding about the layers that are chosen."""
    return Finding(level, rule, sentence, layers=tuple(np.flatnonzero(layers).tolist()))


def depth_is_known(report: Report) -> bool:
    """Whether there are enough layers one behind the other to speak of depth."""
    return len(_depths(report, compared(report))) >= FEWEST


def over_depth(report: Report) -> Iterable[Finding]:
    """Signal and gradient over depth, where there is any."""
    if not depth_is_known(report):
        n = len(_depths(report, compared(report)))
        words = f"{n or 'no'} layer{'s are' if n != 1 else ' is'} seen one behind the other"
        return [Finding("OK", "depth", f"{words}, so that nothing can be said of how signal and gradient change")]
    signal = layer_marks.signal(report)
    gradient = gradient_size(report)
    main = compared(report) & ~_aside(report, gradient)
    return [
        *_changes("signal", report, signal, profile(report, signal, compared(report), summed=False), upwards=True),
        *_changes("gradient", report, gradient, profile(report, gradient, main, summed=True), upwards=False),
        *_dip(report, gradient, main),
    ]


def compared(report: Report) -> np.ndarray:
    """Whether a layer is one that the rules over depth look at: no table, and no part of a recurrent cell.

    A cell's other layers, which read its input, feed what the recurrent ones feed and have their width. Its gradient is
    shared among the steps of the sequence.
    """
    recurrent, tables = np.array(report.recurrent), np.array([kind == "lookup" for kind in report.kinds])
    in_cell = recurrent.copy()
    for sources in report.fed_by:
        widths = {report.widths[source] for source in sources if recurrent[source]}
        for source in sources:
            in_cell[source] |= report.widths[source] in widths
    return ~in_cell & ~tables


def gradient_size(report: Report) -> np.ndarray:
    """The norm of dL/dz of an example, over all units and positions: the root of their number times the size of one.

    Kernels with n_in Var W = 1 keep it from layer to layer whatever the widths are. The size of one unit's is less by
    sqrt(n_out / n_in) behind them, so that it falls over a narrow head.
    """
    entries = np.array([math.prod(shape) / report.n_examples for shape in report.shapes])
    return report.readings["grad_pre_std"] * np.sqrt(entries)


def profile(report: Report, size: Float[np.ndarray, " layer"], chosen: np.ndarray, summed: bool) -> dict[int, float]:
    """By depth the root of the sum of squares of the chosen layers that have a size, or of their mean over units."""
    depths, widths = np.array(report.depths), np.array(report.widths, float)
    chosen = chosen & np.isfinite(size) & (size > 0)
    sizes = {}
    for depth in sorted(set(depths[chosen].tolist())):
        here = chosen & (depths == depth)
        largest = size[here].max()  # to divide by: squares of what has vanished are 0
        squares = (size[here] / largest) ** 2
        square = squares.sum() if summed else np.average(squares, weights=widths[here])
        sizes[depth] = float(largest * math.sqrt(square))
    return sizes


def _depths(report: Report, chosen: np.ndarray) -> set[int]:
    return {depth for depth, one in zip(report.depths, chosen, strict=True) if one}


def _aside(report: Report, size: Float[np.ndarray, " layer"]) -> np.ndarray:
    """Layers beside the main path: what they give only weighs, in a softmax or a gate, what another layer gives.

    They feed a layer together with one that has far more gradient and that they do not feed; of those before them, from
    which a skip leads past them, the nearest counts. So are layers that feed nothing but such.
    """
    above: list[set[int]] = []
    readers: list[set[int]] = [set() for _ in report.names]
    aside = np.zeros(len(report.names), bool)
    for number, sources in enumerate(report.fed_by):
        before = [source for source in sources if source < number]
        above.append(set(before).union(*(above[source] for source in before)))
        for one in before:
            readers[one].add(number)
            beside = [other for other in before if other not in above[one] and one not in above[other]]
            passed = [other for other in before if other in above[one]]
            beside += [max(passed, key=lambda other: report.depths[other])] if passed else []
            aside[one] |= any(size[other] > ASIDE * size[one] for other in beside)
    for number in reversed(range(len(report.names))):
        aside[number] |= bool(readers[number]) and all(aside[reader] for reader in readers[number])
    return aside


def _changes(
    rule: str, report: Report, size: np.ndarray, sizes: Mapping[int, float], upwards: bool
) -> Iterable[Finding]:
    """How a size of layers, by depth `sizes`, changes in the direction in which it travels."""
    found = trend(np.array(list(sizes)) * (1 if upwards else -1), np.array(list(sizes.values())))
    if found is None:
        return []  # no gradient comes so far; the rule of reach says why
    per_layer = f"x {found.rate:.2f} a layer"
    if not found.sure:
        return [Finding("OK", rule, f"the {rule} changes over depth by no more than its scatter ({per_layer})")]
    change, rate = max(found.change, 1 / found.change), max(found.rate, 1 / found.rate)
    fault = 1 / VANISHED if found.rate < 1 else EXPLODED
    limits = thresholds()
    # Over skips sizes add up, so that they go like a power of the number of layers, which is no harm.
    allowed = (1 + max(sizes) - min(sizes)) ** limits["branch_power"] if report.skips else 1.0
    fastest = limits["rate_fail_normalised" if any(report.normalised) and not report.skips else "rate_fail"]
    way = "from the first layer to the last" if upwards else "from the last layer to the first"
    detail = f"over depth: x {found.change:.2g} {way} ({per_layer})"
    if change > fault * allowed and rate > fastest:
        words = f"the {rule} {'vanishes' if found.rate < 1 else 'explodes'} {detail}"
        return [about("FAIL", rule, words, _apart(size, sizes, upwards))]
    if change < limits["signal_fail"] * allowed:
        return [Finding("OK", rule, f"the {rule} keeps its size over depth ({per_layer})")]
    level = "OK" if any(report.normalised) and not report.skips else "WARN"
    words = f"the {rule} {'fades' if found.rate < 1 else 'grows'} slowly {detail}"
    return [about(level, rule, words, _apart(size, sizes, upwards))]


def _apart(size: np.ndarray, sizes: Mapping[int, float], upwards: bool) -> np.ndarray:
    """Where a size is further than a factor from that at the depth from which it travels, or 0."""
    start = sizes[min(sizes) if upwards else max(sizes)]
    factor = thresholds()["signal_fail"]
    return np.asarray((size > factor * start) | (size < start / factor))


def trend(depth: Num[np.ndarray, " layer"], size: Float[np.ndarray, " layer"]) -> Trend | None:
    """The line through log size against depth, by least squares; None with fewer than three depths."""
    if len(set(depth.tolist())) < FEWEST:
        return None
    line = stats.linregress(depth, np.log(size))
    span = float(depth.max() - depth.min())
    return Trend(math.exp(line.slope), math.exp(line.slope * span), bool(line.pvalue < SURE))


def _dip(report: Report, gradient: Float[np.ndarray, " layer"], main: np.ndarray) -> Iterable[Finding]:
    """A gradient that is far smaller in the middle than before and behind it, as deep within a U-Net."""
    if not report.skips:  # without which no gradient comes past the middle
        return
    sizes = profile(report, gradient, main, summed=True)
    depths, values = list(sizes), np.array(list(sizes.values()))
    before, behind = np.maximum.accumulate(values), np.maximum.accumulate(values[::-1])[::-1]
    ratio = values / np.minimum(before, behind)
    least = int(np.argmin(ratio)) if len(ratio) else 0
    if len(ratio) and ratio[least] < DIP:
        here = [depth == depths[least] for depth in report.depths]
        name = report.names[here.index(True)]
        words = f"the gradient dips to x {ratio[least]:.1g} of what it is before and behind {name}, which learns last"
        yield about("WARN", "dip", words, here)
