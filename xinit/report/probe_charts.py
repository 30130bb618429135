"""The charts of a probe's page, and of several: sizes over the layers, bands of quantiles, shares of units."""

from collections.abc import Collection, Mapping

import altair as alt
import numpy as np

from xinit.analysis import layer_marks
from xinit.analysis.probe_report import Report
from xinit.report import charts
from xinit.report.bands import BANDS, MEDIAN, SHADES
from xinit.report.outcomes import coloured

SHARES = {  # reading, and its name in a legend
    "grad_pre_zero_units": "units without gradient", "act_dead": "dead", "act_saturated": "saturated",
    "act_inactive": "inactive",
}  # fmt: skip
KEEP = {"1: linear layers": 1.0, "2: rectifiers": 2.0}  # n_in Var W that keeps the size of a signal
MOST = 60  # layers with a band
X = "layer, in the order of the calls"


def sizes(
    series: Mapping[str, tuple[Report, np.ndarray]], title: str, rules: Collection[str] = ()
) -> alt.TopLevelMixin:
    """Sizes above 0 by layer on a logarithmic axis, a line for each series; red behind the layers that `rules` mark."""
    base, values = _base(series)
    lines = base.mark_line(point=True, strokeWidth=1.5, clip=True).encode(
        x=_x(),
        y=charts.size_axis("value", title, values),
        color=coloured(list(series)),
        tooltip=["name:N", alt.Tooltip("layer:Q"), alt.Tooltip("value:Q", format=".3g"), "bad:N"],
    )
    report = next(iter(series.values()))[0]
    marked = [own for rule, own in layer_marks.marks(report).items() if rule in rules]
    return charts.framed(_shade(np.any(marked, axis=0)) + lines if marked else lines)


def variances(series: Mapping[str, Report]) -> alt.TopLevelMixin:
    """n_in Var W of each layer's kernel, points over the lines at 1 and 2."""
    base, values = _base({label: (report, layer_marks.variances(report)) for label, report in series.items()})
    points = base.mark_point(filled=True, size=35, opacity=1).encode(
        x=_x(),
        y=charts.size_axis("value", "n_in Var W", np.concatenate([values, [*KEEP.values()]])),
        color=coloured(list(series)),
        tooltip=["name:N", alt.Tooltip("layer:Q"), alt.Tooltip("value:Q", format=".3g")],
    )
    lines = charts.chart({"at": [*KEEP.values()], "keeps": [*KEEP]}).mark_rule(strokeDash=[5, 4])
    lines = lines.encode(y="at:Q", color=alt.value(charts.INK), tooltip="keeps:N")
    return charts.framed(points + lines)


def shares(series: Mapping[str, tuple[Report, np.ndarray]]) -> alt.TopLevelMixin:
    """Shares of units or values by layer, a line for each series."""
    base, _ = _base(series, positive=False)
    y = alt.Y("value:Q", title="share", scale=alt.Scale(domain=[-0.03, 1.03], nice=False), axis=alt.Axis(format=".0%"))
    lines = base.mark_line(point=True, strokeWidth=1.5).encode(
        x=_x(),
        y=y,
        color=coloured(list(series)),
        tooltip=["name:N", alt.Tooltip("layer:Q"), alt.Tooltip("value:Q", format=".1%")],
    )
    return charts.framed(lines)


def bands(report: Report, name: str, title: str) -> alt.TopLevelMixin:
    """Where the middle 98, 90 and 50 % of each layer's values lie, and the median; of many layers some."""
    shown = charts.chosen(len(report.names), MOST)
    quantiles = report.readings[f"{name}_quantile"][shown]
    finite = np.where(np.isfinite(quantiles), quantiles, np.nan)
    low, high = (finite[:, list(ends)].ravel() for ends in zip(*BANDS.values(), strict=True))
    n = len(BANDS)
    base = charts.chart({
        "layer": np.repeat(np.array(shown) + 1, n),
        "name": np.repeat([report.names[l] for l in shown], n),
        "share": [*BANDS] * len(shown),
        "low": low,
        "high": high,
        "median": np.repeat(finite[:, MEDIAN], n),
    })  # fmt: skip
    opacity = alt.Opacity(
        "share:O",
        sort=list(BANDS),
        scale=alt.Scale(domain=list(BANDS), range=list(SHADES)),
        legend=alt.Legend(title="share of the values"),
    )
    y = alt.Y("low:Q", title=title, scale=charts.spanning(finite), axis=alt.Axis(format="~g"))
    bars = base.mark_bar().encode(
        x=charts.layer_axis(X), y=y, y2="high:Q", opacity=opacity, color=alt.value(charts.SERIES[0]), tooltip=["name:N"]
    )
    middle = base.mark_tick(thickness=2).transform_filter("datum.share == '50 %'")
    return charts.framed(bars + middle.encode(x="layer:O", y="median:Q", color=alt.value(charts.INK)))


def measured_shares(report: Report) -> dict[str, tuple[Report, np.ndarray]]:
    """The shares that were measured, by their names."""
    found = {words: report.readings.get(name) for name, words in SHARES.items()}
    return {words: (report, own) for words, own in found.items() if own is not None and np.isfinite(own).any()}


def _base(series: Mapping[str, tuple[Report, np.ndarray]], positive: bool = True) -> tuple[alt.Chart, np.ndarray]:
    values = [layer_marks.positive(own) if positive else own for _, own in series.values()]
    rules = [layer_marks.by_layer(layer_marks.marks(report), len(report.names)) for report, _ in series.values()]
    base = charts.chart({
        "layer": np.concatenate([np.arange(1, len(own) + 1) for own in values]),
        "value": np.concatenate(values),
        "name": [name for report, _ in series.values() for name in report.names],
        "series": [label for label, own in zip(series, values, strict=True) for _ in own],
        "bad": [", ".join(words) for own in rules for words in own],
    })  # fmt: skip
    return base, np.concatenate(values)


def _shade(marked: np.ndarray) -> alt.Chart:
    """Red from the first to the last of layers that lie side by side."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked, [0]])))
    drawn = charts.chart({"begin": edges[::2] + 0.5, "end": edges[1::2] + 0.5}).mark_rect(opacity=0.13)
    return drawn.encode(x=_x("begin"), x2="end:Q", color=alt.value(charts.SERIES[5]))


def _x(field: str = "layer") -> alt.X:
    whole = alt.Axis(tickMinStep=1, format="d", grid=False)
    return alt.X(f"{field}:Q", title=X, axis=whole, scale=alt.Scale(nice=False, zero=False, padding=8))
