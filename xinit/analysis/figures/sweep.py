"""What a sweep found, in one figure, from its dataset alone."""

import functools
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from xinit.analysis.figures import sweep_lines
from xinit.analysis.figures.comparison import CHANCE, COLOURS, DASHES, MARKERS, SPREAD
from xinit.analysis.figures.palette import places
from xinit.analysis.figures.run import decades, step_axis
from xinit.analysis.figures.sweep_lines import Line, Lines
from xinit.analysis.intervals import mean_interval
from xinit.core.readings import share_of

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

    from xinit.core.figure import Figure

AT_START = (("act", "the activations"), ("grad_pre", "dL/dz"))
MARK = {"ms": 4, "lw": 1.3}
Move = Callable[[float, Any], Any]  # a place, or a column of them, moved by a share of the least distance


def sweep_figure(readings: "xarray.Dataset") -> "Figure":
    """Test error over what was tuned, learning curves, and the sizes of signal and gradient at initialisation.

    The lines are those of `sweep_lines.lines`; all panels but the first show each where it was chosen. Means over seeds
    with Student's 95 % intervals. A run that diverged is marked, and counts with the error of chance.

    >>> sweep_figure(sweep).axes[0].get_title()
    'test error, %'
    """
    from xinit.core.figure import Figure

    lines = sweep_lines.lines(readings)
    of = share_of(readings.attrs.get("error_is"))
    panels: list[Callable[[Axes], None]] = [lambda axes: _errors(axes, lines, of)]
    if "valid_error" in readings:
        panels.append(lambda axes: _curves(axes, readings, lines, of))
    if "act_std" in readings and readings.step[0] == 0:
        at_start = functools.partial(_at_start, readings=readings, lines=lines)
        panels += [functools.partial(at_start, name=name, quantity=quantity) for name, quantity in AT_START]
    shape, size = ((1, 1), (6, 4.6)) if len(panels) == 1 else ((2, 2), (9.6, 7.2))
    figure = Figure(figsize=size, layout="constrained")
    for axes, draw in zip(figure.subplots(*shape, squeeze=False).ravel(), panels, strict=False):
        draw(axes)
    _explain(figure, readings, lines)
    return figure


def _colours(lines: Lines) -> list[str]:
    """A colour for each line; that of a scheme is the same in every figure."""
    return [COLOURS[place] for place in places([line.label for line in lines.shown], len(COLOURS))]


def _look(i: int, colour: str) -> dict[str, Any]:
    again = i // 8
    return {"color": colour, "marker": MARKERS[(i + again) % 8], "ls": DASHES[(i + again) % 8], **MARK}


def _errors(axes: "Axes", lines: Lines, of: str) -> None:
    """Over what was tuned, the lines a little apart; where that is nothing, one beside the other."""
    n = len(lines.shown)
    move: Move = _axis_along(axes, lines, lines.along) if lines.along else _axis_of_labels(axes, lines)
    colours = _colours(lines)
    for i, line in enumerate(lines.shown):
        share = SPREAD * (i - (n - 1) / 2) / max(n, 4)
        place = functools.partial(move, share)
        where = line.runs[lines.along] if lines.along else 0 * line.runs.error_percent + i
        _line_of_errors(axes, line, where, place, _look(i, colours[i]))
        if lines.is_tuned:
            ring: dict[str, Any] = {"ms": 10, "mfc": "none", "mec": colours[i]}
            axes.plot(place(line.place), line.chosen.error_percent.mean(), "o", **ring)
    _limits(axes, lines, np.concatenate([line.runs.error_percent for line in lines.shown]))
    axes.set_title(f"test error, %{of}")


def _axis_along(axes: "Axes", lines: Lines, along: str) -> Move:
    """Scale and ticks; what moves a place by a share of the least distance between two."""
    values = np.unique(np.concatenate([line.runs[along] for line in lines.shown]))
    is_log = values[0] > 0 and values[-1] >= 8 * values[0]
    shown = values[:: -(-len(values) // 7)]
    axes.set(xlabel=along.replace("_", " "), xscale="log" if is_log else "linear")
    axes.set_xticks(shown, [f"{value:g}" for value in shown])
    axes.minorticks_off()
    gap = np.diff(np.log(values) if is_log else values).min()
    return lambda share, x: x * np.exp(share * gap) if is_log else x + share * gap


def _axis_of_labels(axes: "Axes", lines: Lines) -> Move:
    turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if len(lines.shown) > 3 else {}
    axes.set_xticks(range(len(lines.shown)), [line.label for line in lines.shown], **turned)
    axes.set_xlim(-0.6, len(lines.shown) - 0.4)
    return lambda share, x: x


def _line_of_errors(axes: "Axes", line: Line, where: "pandas.Series", place: Callable, look: dict[str, Any]) -> None:
    intervals = [(place(x), mean_interval(errors)) for x, errors in line.runs.error_percent.groupby(where)]
    mean, low, high = np.array([(interval.mean, interval.low, interval.high) for _, interval in intervals]).T
    axes.errorbar([x for x, _ in intervals], mean, [mean - low, high - mean], elinewidth=1, label=line.label, **look)
    for which, marker, size in ((line.runs.test_error.notna(), ".", 20), (line.runs.test_error.isna(), "x", 40)):
        seen = {"marker": marker, "s": size, "alpha": 0.6, "color": look["color"]}
        axes.scatter(place(where[which]), line.runs.error_percent[which], **seen)


def _limits(axes: "Axes", lines: Lines, percents: np.ndarray) -> None:
    """What was measured, and chance: the wide intervals of a few runs must not flatten the means."""
    chance = 100 * lines.shown[0].runs.chance_error.iloc[0]
    axes.axhline(chance, **CHANCE)
    low, high = min(percents.min(), chance), max(percents.max(), chance)
    margin = 0.08 * max(high - low, 1.0)
    axes.set_ylim(low - margin, high + margin)


def _curves(axes: "Axes", readings: "xarray.Dataset", lines: Lines, of: str) -> None:
    """Validation error while the runs train; from where one diverged on, chance."""
    steps = readings.step.values
    colours = _colours(lines)
    for i, line in enumerate(lines.shown):
        stopped_RT = line.chosen.diverged_at.fillna(np.inf).to_numpy()[:, None] <= steps
        chance_R1 = 100 * line.chosen.chance_error.to_numpy()[:, None]
        error_RT = 100 * readings.valid_error.values[line.chosen.index]
        interval = mean_interval(np.where(stopped_RT, chance_R1, error_RT))
        seen = np.isfinite(interval.mean)  # other lines may have other steps
        axes.plot(steps[seen], interval.mean[seen], **_look(i, colours[i]))
        if interval.n > 1:
            pale = min(0.15, 0.5 / len(lines.shown))
            low, high = interval.low[seen], interval.high[seen]
            axes.fill_between(steps[seen], low, high, color=colours[i], alpha=pale, lw=0)
    _limits(axes, lines, np.concatenate([drawn.get_ydata() for drawn in axes.lines]))
    axes.set_title(f"validation error, %{of}")
    step_axis(axes, steps)


def _at_start(axes: "Axes", readings: "xarray.Dataset", lines: Lines, name: str, quantity: str) -> None:
    """Root mean squares of every layer at step 0 with their range; broad and pale what theory predicts, if it does."""
    from matplotlib.ticker import MaxNLocator

    start, predicted = readings.isel(step=0), f"{name}_rms_predicted"
    rms_RL = np.hypot(start[f"{name}_mean"].values, start[f"{name}_std"].values)
    rms_RL[np.isinf(rms_RL)] = np.nan  # a signal may have left the range of floats
    colours = _colours(lines)
    for i, line in enumerate(lines.shown):
        line_RL = rms_RL[line.chosen.index]
        line_RL = line_RL[:, np.isfinite(line_RL).any(0)]
        layers, mean = np.arange(1, line_RL.shape[1] + 1), np.nanmean(line_RL, axis=0)
        if predicted in readings:
            theory = readings[predicted].values[line.chosen.index[0], : len(layers)]
            axes.plot(layers, theory, color=colours[i], lw=5, alpha=0.25, solid_capstyle="round")
        reach, every = [mean - np.nanmin(line_RL, 0), np.nanmax(line_RL, 0) - mean], -(-len(layers) // 12)
        axes.errorbar(layers, mean, reach, elinewidth=1, markevery=every, errorevery=every, **_look(i, colours[i]))
    axes.set(title=f"rms of {quantity} at initialisation", xlabel="layer")
    axes.set_xlim(left=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    decades(axes, np.concatenate([drawn.get_ydata() for drawn in axes.lines]))


def _explain(figure: "Figure", readings: "xarray.Dataset", lines: Lines) -> None:
    """Title and legend, and below what the marks mean."""
    spoken = lambda names: ", ".join(names).replace("_", " ")
    swept = spoken(readings.attrs["swept"].split())
    figure.suptitle(f"{readings.sizes['replica']} runs over {swept}" if swept else "one run")
    at_start = ", at initialisation with the range" if len(figure.axes) > 2 else ""
    marks = [f"mean over seeds with its 95 % interval{at_start}", "dotted: chance"]
    if len(lines.shown) < lines.n:
        marks.append(f"of {lines.n} lines the {len(lines.shown)} of the least validation error")
    if lines.along and len(figure.axes) > 1:
        place = f"at the largest {lines.along}" if not lines.is_tuned else "at the rings, the best on validation"
        marks.append(f"other panels: {place}")
    marks += ["crosses: diverged, counted as chance"] if readings.test_error.isnull().any() else []
    marks += ["broad and pale: theory"] if "act_rms_predicted" in readings else []
    width = round(13.5 * figure.get_figwidth())  # letters
    figure.supxlabel(textwrap.fill("; ".join(marks), width), fontsize=8, color="0.35")
    if lines.names:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", title=spoken(lines.names), frameon=False)
