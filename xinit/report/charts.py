"""How the page's figures look, and what they are built from: one look a layer, ink that follows the page's."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

# Of middle lightness, for white and black paper alike, and told apart by the colour-blind.
SERIES = ("#3b7dd8", "#e8743b", "#2a9d6f", "#b95fc4", "#b08d1e", "#d6455d", "#4f9fb0", "#8f7260")
LAYERS = np.array([(0x3B, 0x7D, 0xD8), (0xA3, 0x5B, 0xB8), (0xE8, 0x74, 0x3B)])  # from the input up
INK = "currentColor"
HEIGHT = 220
DIGITS = 4  # of a number in a page


def chart(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> alt.Chart:
    """A chart of columns of equal length, kept as columns: as rows they would fill three times as much of the page."""
    values = alt.InlineData(values=[{name: [_short(value) for value in column] for name, column in columns.items()}])
    return alt.Chart(values).transform_flatten(list(columns))


def _short(value: Any) -> Any:
    """A cell as JSON: numbers with few digits, what is not finite as null."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value


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
        .configure_axis(**ink, domainColor=INK, tickColor=INK, gridColor=INK, gridOpacity=0.12, domainOpacity=0.5)
        .configure_legend(**ink, orient="bottom", symbolStrokeWidth=2)
        .configure_title(color=INK, fontSize=12, fontWeight="normal", anchor="start")
    )
