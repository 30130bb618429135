"""From the readings of a population to what a tracker is told of one run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xinit.core.extra import NOTHING, Extra, first_place
from xinit.core.readings import QUANTILES, READINGS
from xinit.runs.trackers.contract import Ending, Histogram, Point

Readings = Mapping[str, np.ndarray]  # but for the step, with a leading replica axis
MOST_NUMBERS = 1000  # of a reading that is none of READINGS, at a step: each is a curve of its own
ERRORS = ("test_error", "test_loss", "chance_error")  # of a summary: known at the end alone


def point_of(row: Readings, edges: Readings, r: int, extra: Extra = NOTHING) -> Point:
    """The readings of replica r at a probe point; what means nothing there, and hence is nan, is left out.

    So is a reading described by `extra`, of the user's or of a monitor, of more numbers than there can be curves.
    """
    point = Point(int(row["step"]), {}, {})
    curves = lambda name: row[name][r].size if "bin" not in extra[name][0] else 0
    known = {**READINGS, **{name: extra[name] for name in extra if curves(name) <= MOST_NUMBERS}}
    for name in [name for name in row if name in known]:
        axes, values = known[name][0], row[name][r]
        if "bin" in axes:
            pairs = zip(values, edges[name.replace("_hist", "_edges")][r], strict=True)
            histograms = {_tag(name, axes[:1], (l,)): Histogram(*pair) for l, pair in enumerate(pairs)}
            whole = {tag: made for tag, made in histograms.items() if not np.isnan(made.shares).any()}
            point.histograms.update(whole)
        else:
            numbers = {_tag(name, axes, place): float(value) for place, value in np.ndenumerate(values)}
            point.scalars.update({tag: number for tag, number in numbers.items() if not np.isnan(number)})
    return point


def _tag(name: str, axes: Sequence[str], place: Sequence[int]) -> str:
    """Such as "act_quantile/layer 1 quantile 0.99": the tools make a section of what stands before the slash."""
    label = lambda axis, i: QUANTILES[i] if axis == "quantile" else i + first_place(axis)
    words = [f"{axis} {label(axis, i)}" for axis, i in zip(axes, place, strict=True)]
    return f"{name}/{' '.join(words)}" if words else name


def ending_of(summary: Mapping[str, Any]) -> Ending:
    """What a run's summary says at its end; a run that diverged has no test error."""
    errors = {name: summary[name] for name in ERRORS if summary[name] is not None}
    return Ending(summary["steps"], errors, summary["verdict"])
