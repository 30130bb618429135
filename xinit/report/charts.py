"""How the page's figures look, and what they are built from: one look a layer, ink that follows the page's."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from xinit.analysis.figures.palette import SCHEMES_IN_ORDER

Columns = Mapping[str, Sequence[Any] | np.ndarray]

# Of middle lightness, for white and black paper alike, and told apart by the colour-blind.
SERIES = ("#3b7dd8", "#e8743b", "#2a9d6f", "#b95fc4", "#b08d1e", "#d6455d", "#4f9fb0", "#8f7260")
LAYERS = np.array([(0x3B, 0x7D, 0xD8), (0xA3, 0x5B, 0xB8), (0xE8, 0x74, 0x3B)])  # from the input up
SCHEMES = dict(zip(SCHEMES_IN_ORDER, SERIES, strict=False))
INK = "currentColor"
HEIGHT = 220
APART = {"labelFlush": False, "labelOverlap": "greedy", "labelSeparation": 5}  # labels of an axis
MARGIN = 1.15  # beyond the ends of a logarithmic axis
PHONE = 40  # characters of a legend's line on a phone
DIGITS = 4  # of a number in a page


def chart(columns: Columns) -> alt.Chart:
    """A chart of columns of equal length, kept as columns: as rows they would fill three times as much of the page."""
    values = alt.InlineData(values=[{name: [_short(value) for value in column] for name, column in columns.items()}])
    return alt.Chart(values).transform_flatten(list(columns))


def chart_at(fixed: Columns, moving: Mapping[str, np.ndarray], slider: str = "at") -> alt.Chart:
    """A chart of the columns that `fixed` has and of those of `moving`, (place, row), at the place of the slider."""
    parts = {f"{name}_{i}": column for name, columns in moving.items() for i, column in enumerate(columns)}
    start = len(next(iter(moving.values()))) - 1
    shown = chart({**fixed, **parts}).add_params(follows(slider, start))
    return shown.transform_calculate(**{name: f"datum['{name}_' + {slider}]" for name in moving})


def _short(value: Any) -> Any:
    """A cell as JSON: numbers with few digits, what is not finite as null."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value


def step_axis(steps: np.ndarray) -> alt.X:
    """Training steps on a logarithmic axis that still shows step 0."""
    last = max(int(steps[-1]), 1)
    decades = [0, *(10**power for power in range(len(str(last))))]
    scale = alt.Scale(type="symlog", constant=float(steps[1]) if len(steps) > 1 else 1.0, domain=[0, last], nice=False)
    axis = alt.Axis(values=decades, format=",d", grid=False)
    return alt.X("step:Q", title="training step", scale=scale, axis=axis)


def layer_axis(title: str = "layer") -> alt.X:
    """Layers side by side, from the input up; the field is `layer`."""
    return alt.X("layer:O", title=title, axis=alt.Axis(labelAngle=0))


def by_layer(n: int, title: str | None = None) -> alt.Color:
    """The colours of n layers; with a legend where it has a title."""
    legend = alt.Legend(title=title, columns=PHONE // 7) if title else None
    return alt.Color("layer:O", scale=alt.Scale(range=layer_colours(n)), legend=legend)


def named(mark: alt.Chart, name: str, colours: Mapping[str, str]) -> alt.Chart:
    """A mark as one of some series, with its colour and its name in the legend; the names are ours, never a run's."""
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    legend = alt.Legend(title=None, symbolOpacity=1, columns=legend_columns(list(colours)))
    marked = mark.transform_calculate(series=json.dumps(name))
    return marked.encode(color=alt.Color("series:N", sort=None, scale=scale, legend=legend))


def series_colours(names: Sequence[str]) -> list[str]:
    """A colour for each of at most as many series as there are colours; that of a scheme is the same on every page."""
    own = [next((SCHEMES[word] for word in re.findall(r"\w+", name) if word in SCHEMES), None) for name in names]
    taken: list[str] = []
    for colour in own:
        left = [one for one in SERIES if one not in taken]
        free = [one for one in left if one not in own]
        taken.append(colour if colour in left else (free or left or [*SERIES])[0])
    return taken


def legend_columns(names: Sequence[str]) -> int:
    """How many of these names stand side by side in a legend that fits a phone."""
    return max(1, PHONE // (max(map(len, names), default=0) + 3))


def spanning(values: np.ndarray, log: bool = False) -> alt.Scale:
    """An axis for all of the values, wherever a slider stands; with `log` for those above 0, a decade at least."""
    seen = values[np.isfinite(values) & ((values > 0) | (not log))]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (1.0, 1.0)
    if log and high < 10 * low:
        low, high = (low * high / 10) ** 0.5, (low * high * 10) ** 0.5
    return (
        alt.Scale(type="log", domain=[low / MARGIN, high * MARGIN], nice=False)
        if log
        else alt.Scale(domain=[low, high], zero=False)
    )


def size_axis(field: str, title: str | None, values: np.ndarray) -> alt.Y:
    """A logarithmic axis for those of the values that are above 0, wherever a slider stands."""
    scale = spanning(values, log=True)
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=_decades(scale))


def _decades(scale: alt.Scale) -> alt.Axis:
    """Some eight ticks of a logarithmic axis at most, and no line for each of the numbers between."""
    low, high = scale.domain
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    multiples = (1, 2, 5) if high < 100 * low else (1,)
    ticks = [n * 10.0**power for power in powers[:: -(-len(powers) // 8)] for n in multiples]
    shown = [float(f"{tick:.0e}") for tick in ticks if low <= tick <= high]
    return alt.Axis(values=shown, format="~g" if low >= 1e-4 and high <= 1e5 else "~e")


def along(chart: alt.TopLevelMixin, side: str, scale: alt.Scale) -> alt.TopLevelMixin:
    """The chart with that scale on its axis x or y, as charts beside it have; of its layers the first one decides."""
    channel = getattr(chart, "layer", [chart])[0].encoding[side]
    channel["scale"] = scale
    if scale.type == "log":
        channel["axis"] = _decades(scale)
    return chart


def chosen(n: int, most: int) -> list[int]:
    """At most so many of n indices, evenly spaced, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()


def follows(name: str, start: int = 0) -> alt.Parameter:
    """The parameter that holds the place of the page's slider of that name."""
    return alt.param(name, value=start, bind=alt.BindDirect(element=f"#{name}", event="input"))


def layer_colours(n: int) -> list[str]:
    """From the first layer to the last."""
    places = np.linspace(0, len(LAYERS) - 1, n)
    parts = [np.interp(places, range(len(LAYERS)), channel).round().astype(int) for channel in LAYERS.T]
    return ["#" + "".join(f"{part:02x}" for part in colour) for colour in zip(*parts, strict=True)]


def framed(chart: alt.TopLevelMixin, height: int = HEIGHT) -> alt.TopLevelMixin:
    """A chart as wide as the page gives it, in the page's ink."""
    ink = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
    return (
        chart.properties(width="container", height=height, background="transparent")
        .configure(font="system-ui, sans-serif", view=alt.ViewConfig(stroke=None))
        .configure_axis(
            **ink, domainColor=INK, tickColor=INK, gridColor=INK, gridOpacity=0.12, domainOpacity=0.5, **APART
        )
        .configure_legend(**ink, orient="bottom", symbolStrokeWidth=2)
        .configure_title(color=INK, fontSize=12, fontWeight="normal", anchor="start")
    )
