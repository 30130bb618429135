"""What came of the runs of a sweep, drawn: errors over what was swept, and errors over training, with intervals."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from xinit.analysis.intervals import mean_interval
from xinit.analysis.swept import as_text, label
from xinit.report import charts
from xinit.report.groups import Group, rate

Readings = Mapping[str, np.ndarray]

TEST, VALID = "test error, %", "validation error, %"
ROW = 24  # pixels of a line of text
BESIDE = alt.Scale(paddingInner=0.8, paddingOuter=0.5)  # series stand close together, and apart from the next place's


def along(groups: Sequence[Group]) -> str | None:
    """What errors are drawn over: the learning rate where it was swept, else another number that all groups have."""
    names = dict.fromkeys(name for group in groups for name in group.settings)
    numbers = [name for name in names if _is_scale([group.settings.get(name) for group in groups])]
    swept_rate = rate(dict.fromkeys(numbers))
    return swept_rate or next(iter(numbers), None)


def _is_scale(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values) and len(set(values)) > 1


def over_setting(groups: Sequence[Group], name: str) -> alt.TopLevelMixin:
    """Mean test errors with their intervals over a number, a line for each combination of the other settings.

    Of more than there are colours for, those of the least validation error are shown.
    """
    ranked = dict.fromkeys(_but(group, name) for group in sorted(groups, key=Group.rank))
    kept = [*ranked][: len(charts.SERIES)]
    names = [series for series in dict.fromkeys(_but(group, name) for group in groups) if series in kept]
    shown = sorted((group for group in groups if _but(group, name) in kept), key=lambda group: group.settings[name])
    columns = _errors(shown) | {
        "at": [as_text(group.settings[name]) for group in shown],
        "series": [_but(group, name) for group in shown],
    }
    x = alt.X(
        "at:O", sort=None, title=name.replace("_", " "), scale=BESIDE, axis=alt.Axis(labelAngle=0, labelOverlap=True)
    )
    base = charts.chart(columns).encode(x=x, xOffset=alt.XOffset("series:N", sort=names), color=coloured(names))
    parts: list[Any] = [_with_intervals(base, columns, "y"), _chance([group.chance for group in shown], TEST)]
    if _has_any(columns["error"]):
        y = alt.Y("error:Q", title=TEST, scale=alt.Scale(zero=False))
        parts.insert(0, base.mark_line(strokeWidth=1.5, opacity=0.6).encode(y=y))
    return charts.framed(alt.layer(*parts))


def _but(group: Group, name: str) -> str:
    return label({key: value for key, value in group.settings.items() if key != name}) or "all runs"


def side_by_side(groups: Mapping[str, Group]) -> alt.TopLevelMixin:
    """Mean test errors with their intervals, a row for each group by its name."""
    columns = _errors(groups.values()) | {"group": list(groups)}
    y = alt.Y("group:N", sort=None, title=None, axis=alt.Axis(labelLimit=160))
    base = charts.chart(columns).encode(y=y, color=alt.value(charts.SERIES[0]))
    lines = _chance([group.chance for group in groups.values()], TEST, "x")
    return charts.framed(_with_intervals(base, columns, "x") + lines, ROW * (len(groups) + 1))


def _errors(groups: Collection[Group]) -> dict[str, list[Any]]:
    """In percent; a group of which some runs diverged has a mark at the error of chance."""
    intervals = [group.errors() for group in groups]
    return {
        "error": [100 * float(interval.mean) for interval in intervals],
        "low": [100 * float(interval.low) for interval in intervals],
        "high": [100 * float(interval.high) for interval in intervals],
        "lost": [100 * group.chance if group.diverged else None for group in groups],
        "runs": [f"{len(group.members)}, {group.diverged} of them diverged" for group in groups],
    }


def _with_intervals(base: alt.Chart, errors: charts.Columns, side: str) -> Any:
    """Points with the ends of their intervals along the axis `side`, and crosses where runs diverged."""
    axis, end = (alt.Y, alt.Y2) if side == "y" else (alt.X, alt.X2)
    told = [*(alt.Tooltip(f"{field}:Q", format=".3") for field in ("error", "low", "high")), "runs:N"]
    place = lambda field: {side: axis(f"{field}:Q", title=TEST, scale=alt.Scale(zero=False))}
    points = base.mark_point(filled=True, size=50, opacity=1).encode(**place("error"), tooltip=told)
    rules = base.mark_rule(strokeWidth=2).encode(**place("low"), **{f"{side}2": end("high:Q")}, tooltip=told)
    crosses = base.mark_point(shape="cross", filled=True, size=90, angle=45).encode(**place("lost"), tooltip=told)
    marks = {"error": points, "low": rules, "lost": crosses}
    return alt.layer(*(mark for field, mark in marks.items() if _has_any(errors[field])))


def _has_any(column: Sequence[Any] | np.ndarray) -> bool:
    """Whether there is something to draw: without it Vega knows no extent and says so."""
    return any(value is not None and np.isfinite(value) for value in column)


def _chance(values: Sequence[float], title: str, side: str = "y") -> alt.Chart:
    """A dashed line at the error of the best constant answer, or at those of several data sets."""
    levels = sorted({round(100 * value, 1) for value in values})
    axis = alt.Y if side == "y" else alt.X
    place = axis("chance:Q", title=title, scale=alt.Scale(zero=False))
    lines = charts.chart({"chance": levels}).mark_rule(strokeDash=[4, 4], opacity=0.6, color=charts.INK)
    return lines.encode(**{side: place}, tooltip=[alt.Tooltip("chance:Q", format=".3")])


def coloured(names: Sequence[str]) -> alt.Color:
    """A colour for each of the series; a legend where they are several."""
    columns = charts.legend_columns(names)
    legend = alt.Legend(title=None, labelLimit=280, columns=columns, symbolOpacity=1) if len(names) > 1 else None
    colours = alt.Scale(domain=list(names), range=charts.series_colours(names))
    return alt.Color("series:N", sort=None, scale=colours, legend=legend)


def followed(readings: Readings, groups: Mapping[str, Group]) -> dict[str, Group]:
    """Those groups whose validation errors were measured over training."""
    if "valid_error" not in readings:
        return {}
    known: np.ndarray = np.any(np.isfinite(readings["valid_error"]), axis=1)
    return {name: group for name, group in groups.items() if known[group.places].all()}


def drawn(names: Collection[str]) -> list[str]:
    """Those of the names that have a line: as many as there are colours, evenly spaced."""
    return [list(names)[i] for i in charts.chosen(len(names), len(charts.SERIES))]


def left_out(n: int) -> str:
    """What a caption says where not all of n have a line."""
    return f" Of {n} these are {len(charts.SERIES)}." if n > len(charts.SERIES) else ""


def over_training(courses: Mapping[str, charts.Columns], chances: Sequence[float]) -> alt.TopLevelMixin:
    """Validation errors over training, a line for each name; columns as of `course`."""
    shown = {name: courses[name] for name in drawn(courses)}
    parts = list(shown.values())
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["series"] = [name for name, part in shown.items() for _ in part["step"]]
    base = charts.chart(columns).encode(x=charts.step_axis(np.unique(columns["step"])), color=coloured(list(shown)))
    return charts.framed(_banded(base, columns, scale_of(shown.values(), chances)) + _chance(chances, VALID))


def by_seed(readings: Readings, group: Group, scale: alt.Scale, height: int) -> alt.TopLevelMixin:
    """Validation errors over training of one group: each of its runs a thin line, their mean a thick one."""
    shown = [(member.place, np.isfinite(readings["valid_error"][member.place])) for member in group.members]
    runs = charts.chart({
        "step": np.concatenate([readings["step"][known] for _, known in shown]),
        "error": np.concatenate([100 * readings["valid_error"][place, known] for place, known in shown]),
        "run": np.concatenate([np.full(known.sum(), place) for place, known in shown]),
    })  # fmt: skip
    columns, x = course(readings, group), charts.step_axis(readings["step"])
    y = alt.Y("error:Q", title=VALID, scale=scale)
    thin = runs.mark_line(strokeWidth=0.7, opacity=0.6, color=charts.INK).encode(x=x, y=y, detail="run:N")
    mean = charts.chart(columns).encode(x=x, color=alt.value(charts.SERIES[0]))
    return charts.framed(thin + _banded(mean, columns, scale) + _chance([group.chance], VALID), height)


def scale_of(courses: Collection[charts.Columns], chances: Sequence[float]) -> alt.Scale:
    """An axis for errors with their intervals, and for chance."""
    ends = [np.asarray(own[name]) for own in courses for name in ("error", "low", "high")]
    return charts.spanning(np.concatenate([*ends, [100 * chance for chance in chances]]))


def course(readings: Readings, group: Group) -> dict[str, np.ndarray]:
    """Columns step and, in percent, error, low, high: mean and interval over `group.places`.

    An interval of Student's t may go on beyond what an error can be: it is cut at 0, and at 100 or the largest error.
    """
    errors = 100 * readings["valid_error"][group.places]
    known = np.isfinite(errors).all(axis=0)
    interval = mean_interval(errors[:, known])
    most = np.max(errors[:, known], initial=100.0)
    low, high = (np.clip(end, 0, most) for end in (interval.low, interval.high))
    return {"step": readings["step"][known], "error": interval.mean, "low": low, "high": high}


def _banded(base: alt.Chart, columns: charts.Columns, scale: alt.Scale) -> Any:
    place = lambda field: alt.Y(f"{field}:Q", title=VALID, scale=scale)
    line = base.mark_line(strokeWidth=2, clip=True).encode(y=place("error"))
    band = base.mark_area(opacity=0.12, clip=True).encode(y=place("low"), y2="high:Q")
    return band + line if _has_any(columns["low"]) else alt.layer(line)
