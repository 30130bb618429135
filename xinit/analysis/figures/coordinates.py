"""The figure of a coordinate check: sizes of layers and of their changes against the width or the depth."""

from typing import TYPE_CHECKING

import numpy as np

from xinit.analysis.coordinates import START, Coordinates

if TYPE_CHECKING:
    from xinit.core.figure import Figure

LONGEST = 28  # characters of a layer's name in the legend
MOST_NAMED = 12  # layers in the legend


def figure(check: Coordinates) -> "Figure":
    """Two panels with logarithmic axes, a line for each layer: the mean over seeds, and the seeds as points.

    >>> from xinit.analysis.coordinates import Sizes, judge
    >>> len(figure(judge(Sizes("width", (16, 32), ("out",), np.ones((2, 2, 2, 1))))).axes)
    2
    """
    from xinit.core.figure import Figure

    sizes = check.sizes
    drawn = Figure(figsize=(12, 4.5), layout="constrained")
    panels = drawn.subplots(1, 2)
    colours = [f"C{number % 10}" for number in range(len(sizes.layers))]
    for axes, step in zip(panels, (0, sizes.steps), strict=True):
        axes.set_title("z at step 0, root mean square" if step == 0 else f"change of z over {step} steps")
        quantity = START if step == 0 else "change of z"
        for number, layer in enumerate(sizes.layers):
            rms = sizes.rms[:, :, step, number]
            if not np.all(rms > 0):  # a logarithmic axis has no 0
                continue
            name = layer if len(layer) <= LONGEST else f"...{layer[-LONGEST + 3 :]}"
            label = f"{name}: {check.fit(layer, quantity).exponent:+.2f}" if number < MOST_NAMED else "_"
            axes.plot(sizes.values, rms.mean(1), "o-", ms=4, lw=1.3, color=colours[number], label=label)
            axes.plot(sizes.values, rms, ".", ms=3, alpha=0.5, color=colours[number])
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes.values, [str(value) for value in sizes.values])
        axes.set_xlabel(sizes.over)
        if axes.get_lines():
            beside = {"loc": "upper left", "bbox_to_anchor": (1, 1)}  # lines go through every corner
            legend = axes.legend(fontsize=8, frameon=False, title="layer: exponent", title_fontsize=8, **beside)
            for text in legend.get_texts():
                text.set_parse_math(False)
    drawn.suptitle(check.level, fontsize=10)
    return drawn
