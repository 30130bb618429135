"""What a run shows over training, drawn from its readings: errors, a reading of each layer, sizes of updates.

`readings` as in `layers`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from xinit.analysis.layout import axis_title, numbers
from xinit.core.readings import READINGS
from xinit.report import charts, layers
from xinit.report.charts import chosen
from xinit.report.layers import LAYERS, Readings

ERRORS = {
    "valid": charts.SERIES[0], "train, running": charts.SERIES[1], "test, at the end": charts.SERIES[3],
    "chance": charts.INK,
}  # fmt: skip
FLOWS = {"signal, last layer over first": charts.SERIES[0], "gradient, first layer over last": charts.SERIES[1]}
SIZES = {"signal: activations": charts.SERIES[0], "gradient: dL/dz": charts.SERIES[1]}
SHARES = ("act_saturated", "act_inactive", "act_dead")
LINE: dict[str, Any] = {"strokeWidth": 1.5, "point": alt.OverlayMarkDef(size=10)}
LINEAR = alt.Scale(zero=False)
THRESHOLDS = ("update_high", "update_low")


def errors(
    readings: Readings, summary: Mapping[str, Any], height: int = charts.HEIGHT, slider: bool = False
) -> alt.TopLevelMixin:
    """Errors over training, on training and validation examples; of the test set at the end, beside chance.

    `summary`: test_error and chance_error where they are known. `slider`: mark the step where the page's stands, here
    as below.
    """
    steps = readings["step"]
    test, chance = (summary.get(name) for name in ("test_error", "chance_error"))
    courses: dict[str, tuple[np.ndarray, Sequence[float] | np.ndarray | None]] = {
        "valid": (steps, readings.get("valid_error")),
        "train, running": (steps, readings.get("train_error")),
        "chance": (steps[[0, -1]], None if chance is None else [chance] * 2),
        "test, at the end": (steps[-1:], None if test is None else [test]),
    }
    measured = {name: (at, own) for name, (at, own) in courses.items() if own is not None}
    known = {name: course for name, course in measured.items() if not np.all(np.isnan(course[1]))}
    colours = {name: colour for name, colour in ERRORS.items() if name in known}
    drawn = [charts.named(_course(name, *own), name, colours) for name, own in known.items()]
    x = charts.step_axis(steps)
    y = alt.Y("value:Q", title="error", axis=alt.Axis(format=".0%"), scale=alt.Scale(zero=True))
    return charts.framed(_marked(alt.layer(*drawn).encode(x=x, y=y), readings, slider), height)


def _course(name: str, steps: np.ndarray, values: Sequence[float] | np.ndarray) -> alt.Chart:
    base = charts.chart({"step": steps, "value": values})
    dash = [4, 4] if name == "chance" else [1, 0]
    mark = base.mark_line(strokeDash=dash, point=alt.OverlayMarkDef(size=60 if len(steps) == 1 else 14))
    tooltip = [alt.Tooltip("step:Q", format=","), alt.Tooltip("value:Q", title=name, format=".1%")]
    return mark.encode(tooltip=tooltip)


def over_training(
    readings: Readings, name: str, height: int = charts.HEIGHT, log: bool = False, slider: bool = False
) -> alt.TopLevelMixin:
    """A reading of each layer against the training step, a line a layer; with `log`, on a logarithmic axis."""
    return charts.framed(_marked(_lines(readings, name, log), readings, slider), height)


def _marked(chart: Any, readings: Readings, slider: bool) -> Any:
    return alt.layer(chart, layers.marker(readings)) if slider else chart


def _lines(readings: Readings, name: str, log: bool) -> alt.Chart:
    of_weights, n = READINGS[name][0] == ("weight",), readings[name].shape[1]
    shown = chosen(n, LAYERS)
    places = list(range(1, n + 1)) if of_weights else numbers(readings)
    values = readings[name][:, shown]
    columns = {
        "step": np.repeat(readings["step"], len(shown)),
        "layer": np.tile(np.array(places)[shown], len(values)),
        "value": np.where((values > 0) | (not log), values, np.nan).ravel(),
    }
    axis = alt.Axis(format=".0%") if name in SHARES else alt.Axis()
    y = charts.size_axis("value", None, values) if log else alt.Y("value:Q", title=None, scale=LINEAR, axis=axis)
    mark = charts.chart(columns).mark_line(**LINE)
    return mark.encode(
        x=charts.step_axis(readings["step"]),
        y=y,
        color=charts.by_layer(len(shown), "weight matrix" if of_weights else axis_title(readings)),
        tooltip=["layer:O", alt.Tooltip("step:Q", format=","), alt.Tooltip("value:Q", format=".3g")],
    )


def flow(readings: Readings, height: int = charts.HEIGHT, slider: bool = False) -> alt.TopLevelMixin:
    """What is left, over all layers, of the standard deviations of signal and gradient, against the training step."""
    act, grad = readings["act_std"], readings["grad_pre_std"]
    with np.errstate(divide="ignore", invalid="ignore"):  # a layer may be constant
        ratios = np.array([act[:, -1] / act[:, 0], grad[:, 0] / grad[:, -1]])
    ratios = np.where(ratios > 0, ratios, np.nan)
    y = charts.size_axis("value", "ratio", np.append(ratios, 1.0))
    line = lambda own: charts.chart({"step": readings["step"], "value": own}).mark_line(**LINE)
    drawn = [charts.named(line(own).encode(y=y), name, FLOWS) for name, own in zip(FLOWS, ratios, strict=True)]
    lines = alt.layer(*drawn).encode(x=charts.step_axis(readings["step"]))
    return charts.framed(_marked(alt.layer(lines, _rule(1.0)), readings, slider), height)


def over_depth(readings: Readings, height: int = charts.HEIGHT) -> alt.TopLevelMixin:
    """Sizes of signal and gradient in each layer before training, over those at the end that they start from."""
    act, grad = readings["act_std"][0], readings["grad_pre_std"][0]
    with np.errstate(divide="ignore", invalid="ignore"):  # a layer may be constant
        ratios = np.array([act / act[0], grad / grad[-1]])
    ratios = np.where(np.isfinite(ratios) & (ratios > 0), ratios, np.nan)
    y = charts.size_axis("value", "size, first in its direction = 1", np.append(ratios, 1.0))
    x = charts.layer_axis(axis_title(readings))
    line = lambda own: charts.chart({"layer": numbers(readings), "value": own}).mark_line(**LINE)
    drawn = [charts.named(line(own).encode(x=x, y=y), name, SIZES) for name, own in zip(SIZES, ratios, strict=True)]
    return charts.framed(alt.layer(*drawn, _rule(1.0)), height)


def update_ratios(
    readings: Readings, limits: Mapping[str, float], height: int = charts.HEIGHT, slider: bool = False
) -> alt.TopLevelMixin:
    """Each weight matrix's last update over its norm, against the training step.

    `limits`: the verdict's thresholds, update_high and update_low, which are drawn as lines.
    """
    thresholds = [float(limits[name]) for name in THRESHOLDS if name in limits]
    y = charts.size_axis("value", None, np.append(readings["update_ratio"], thresholds))
    lines = _lines(readings, "update_ratio", log=True).encode(y=y)
    return charts.framed(_marked(alt.layer(lines, *map(_rule, thresholds)), readings, slider), height)


def _rule(value: float) -> alt.Chart:
    return (
        charts.chart({"value": [value]}).mark_rule(strokeDash=[4, 4], opacity=0.6, color=charts.INK).encode(y="value:Q")
    )
