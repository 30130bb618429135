"""Where most of the values lie: bands of quantiles, of activations and of the Jacobians' singular values.

`readings` as in `layers`; what is shown follows the page's sliders "at", a probe point, and "layer".
"""

from collections.abc import Mapping

import altair as alt
import numpy as np

from xinit.analysis.layout import axis_title, numbers
from xinit.report import charts
from xinit.report.charts import chosen
from xinit.report.layers import LAYERS, Readings, marker, places

BANDS = {"98 %": (0, 8), "90 %": (2, 6), "50 %": (3, 5)}  # shares of all values, and the places of their quantiles
SHADES = (0.2, 0.3, 0.6)
MEDIAN = 4
MEANS = {"mean": charts.SERIES[1], "mean at step 0, by theory": charts.SERIES[2]}
LOWEST = 1e-4  # of the largest singular value; what is below is drawn there


def bands(readings: Readings, height: int = charts.HEIGHT) -> alt.TopLevelMixin:
    """Where the middle 98, 90 and 50 % of each layer's activations lie, and the median, at the slider's place."""
    shown = chosen(readings["act_std"].shape[1], LAYERS)
    quantiles = readings["act_quantile"][places(readings)][:, shown]
    base = _chart({"layer": np.array(numbers(readings))[shown]}, quantiles, {}, "at").encode(
        x=charts.layer_axis(axis_title(readings))
    )
    y = alt.Y("low:Q", title="activation", scale=charts.spanning(quantiles), axis=alt.Axis(format="~g"))
    return charts.framed(_band(base.mark_bar(), y) + _median(base.mark_tick(thickness=2)), height)


def bands_over_training(readings: Readings, height: int = charts.HEIGHT) -> alt.TopLevelMixin:
    """The same over training, of the layer at which the slider "layer" stands."""
    quantiles = readings["act_quantile"].swapaxes(0, 1)
    base = _chart({"step": readings["step"]}, quantiles, {}, "layer").encode(x=charts.step_axis(readings["step"]))
    y = alt.Y("low:Q", title="activation", scale=charts.spanning(quantiles), axis=alt.Axis(format="~g"))
    drawn = _band(base.mark_area(), y) + _median(base.mark_line(strokeWidth=1.5)) + marker(readings)
    return charts.framed(drawn, height)


def spectra(readings: Readings, height: int = charts.HEIGHT) -> alt.TopLevelMixin:
    """Singular values of the Jacobian from each layer to the next, and from the first to the last.

    At the slider's place: their bands, median and mean, and the mean that theory has of each at step 0.
    """
    at, shown = places(readings), chosen(readings["jacobian_sv_mean"].shape[1], LAYERS)
    join = lambda name: np.concatenate(
        [readings[f"jacobian_sv_{name}"][at][:, shown], readings[f"jacobian_total_sv_{name}"][at][:, None]], axis=1
    )
    quantiles = join("quantile")
    quantiles = np.maximum(quantiles, LOWEST * np.max(quantiles, initial=0, where=np.isfinite(quantiles)))
    predicted = readings.get("jacobian_sv_mean_predicted", np.full(shown[-1] + 1, np.nan))[shown]
    own = numbers(readings)
    fixed = {"layer": [*(f"{own[l]} to {own[l + 1]}" for l in shown), "all"], "theory": [*predicted, np.nan]}
    base = _chart(fixed, quantiles, {"mean": join("mean")}, "at")
    base = base.encode(x=charts.layer_axis("from layer to layer").sort(None))
    y = charts.size_axis("low", "singular value", quantiles)
    point = lambda field, **look: base.mark_point(opacity=1, **look).encode(y=f"{field}:Q")
    mean = charts.named(point("mean", filled=True, size=45), "mean", MEANS)
    theory = charts.named(point("theory", shape="diamond", size=90), "mean at step 0, by theory", MEANS)
    return charts.framed(_band(base.mark_bar(), y) + _median(base.mark_tick(thickness=2)) + mean + theory, height)


def _chart(fixed: charts.Columns, quantiles: np.ndarray, moving: Mapping[str, np.ndarray], slider: str) -> alt.Chart:
    """Of quantiles (place, row, quantile) a row for each of BANDS: low, high, median, and what is fixed or moving."""
    repeated = lambda values: np.repeat(values, len(BANDS), axis=-1)
    low, high = (quantiles[..., list(ends)].reshape(len(quantiles), -1) for ends in zip(*BANDS.values(), strict=True))
    fixed = {name: repeated(np.asarray(column)) for name, column in fixed.items()}
    fixed["share"] = [*BANDS] * quantiles.shape[1]
    moving = {"median": quantiles[..., MEDIAN], **moving}
    return charts.chart_at(fixed, {"low": low, "high": high} | {k: repeated(v) for k, v in moving.items()}, slider)


def _band(mark: alt.Chart, y: alt.Y) -> alt.Chart:
    shades = alt.Scale(domain=list(BANDS), range=list(SHADES))
    legend = alt.Legend(title="share of the values")
    opacity = alt.Opacity("share:O", sort=list(BANDS), scale=shades, legend=legend)
    return mark.encode(y=y, y2="high:Q", opacity=opacity, color=alt.value(charts.SERIES[0]))


def _median(mark: alt.Chart) -> alt.Chart:
    middle = mark.transform_filter("datum.share == '50 %'")
    return middle.encode(y=alt.Y("median:Q"), color=alt.value(charts.INK))
