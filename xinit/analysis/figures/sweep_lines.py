"""The lines of a sweep's figure: which settings tell them apart, and which runs each is drawn from."""

from typing import TYPE_CHECKING, Any, NamedTuple

from xinit.analysis import frames
from xinit.analysis.swept import SEEDS, as_text

if TYPE_CHECKING:
    import pandas
    import xarray

ALONG = ("learning_rate", "depth", "width")  # what errors are drawn over, in this order; else another number
SIZES = ("depth", "width")  # nobody looks for the best of them: the largest is shown
MOST = 12  # lines that can be told apart


class Line(NamedTuple):
    """The runs of one combination of settings: all of them, and those at `place`, the chosen value along the axis.

    Both are tables of `frames.frame`, indexed by the replica, with two columns more: `error_percent` on the test
    and `valid_percent` on the validation set, chance where a run diverged.
    """

    label: str
    runs: "pandas.DataFrame"
    place: Any
    chosen: "pandas.DataFrame"


class Lines(NamedTuple):
    """The lines that are shown, of n; the setting along the first panel's axis, if any; those that name a line."""

    shown: list[Line]
    n: int
    along: str | None
    names: list[str]

    @property
    def is_tuned(self) -> bool:
        """Whether the setting along the axis is one whose best value is looked for."""
        return self.along is not None and self.along not in SIZES


def lines(readings: "xarray.Dataset") -> Lines:
    """A line for each combination of settings but the seeds and the one along the axis.

    That one is the learning rate if it varies, else depth, width or another number. Chosen along it is the least
    validation error, or the largest size. Of more than MOST lines those of the least validation error are shown.

    >>> lines(sweep).n  # the seeds are repetitions of one line
    1
    """
    runs = frames.frame(readings, "run")
    runs["error_percent"] = 100 * runs.test_error.fillna(runs.chance_error)
    runs["valid_percent"] = 100 * runs.final_valid_error.fillna(runs.chance_error)
    swept = [name for name in readings.attrs["swept"].split() if name not in SEEDS]
    along = next((name for name in (*ALONG, *swept) if name in swept and _is_scale(runs[name])), None)
    names = [name for name in swept if name != along]
    groups = [rows for _, rows in runs.groupby(names, sort=False, dropna=False)] if names else [runs]
    candidates = [_line(rows, names, along) for rows in groups]
    best = sorted(candidates, key=lambda line: line.chosen.valid_percent.mean())[:MOST]
    return Lines(best if len(candidates) > MOST else candidates, len(candidates), along, names)


def _is_scale(values: "pandas.Series") -> bool:
    """Whether a setting is a number that all runs have and that varies."""
    return values.dtype.kind in "if" and values.notna().all() and values.nunique() > 1


def _line(rows: "pandas.DataFrame", names: list[str], along: str | None) -> Line:
    label = ", ".join(as_text(rows[name].iloc[0]) for name in names)
    if along is None:
        return Line(label, rows, None, rows)
    place = rows[along].max() if along in SIZES else rows.groupby(along).valid_percent.mean().idxmin()
    return Line(label, rows, place, rows[rows[along] == place])
