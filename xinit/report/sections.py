"""What is shown of one run's layers, section by section, as far as it was measured."""

from collections.abc import Sequence

import numpy as np

from xinit.analysis.layout import layout_of, part
from xinit.core.readings import EDGES, READINGS
from xinit.report import extra, layers, page
from xinit.report.layers import Readings
from xinit.report.shown import ERRORS, SECTIONS, Section, Shown
from xinit.report.sources import Run

KNOWN = {**READINGS, **EDGES}
# What is shown of the main path alone: its slider has one place on a page, or it is about depth.
ON_MAIN_PATH = ("Where one layer's activations lie, over training", "What is left over all layers")
MAIN_PATH = (
    "This network has residual branches. In the figures 0 is the input layer and n the sum behind branch n, on the "
    "main path, where the signal of the whole network passes. What lies within branches comes at the end."
)
WITHIN = "The same figures of the layers within branches, by the number of the branch."
OF_LAYERS = "within branches"  # at the end of the titles there


def _within(section: Section) -> Section:
    """The section's figures that show layers, of those within branches."""
    of_layers = lambda figure: any("layer" in KNOWN[name][0] for name in figure.needs if name in KNOWN)
    shown = [figure for figure in section.figures if of_layers(figure) and figure.title not in ON_MAIN_PATH]
    figures = tuple(figure._replace(title=f"{figure.title}, {OF_LAYERS}") for figure in shown)
    return section._replace(title=f"{section.title}, {OF_LAYERS}", figures=figures, otherwise="")


def sections(run: Run) -> list[page.Markup]:
    """All that was measured in the layers, under one slider; a sentence for what was not."""
    if "act_std" not in run.readings:
        said = "Nothing was measured inside this network" + (
            " so far." if not run.summary else ": probe=standard does."
        )
        return [*_drawn(run, ERRORS), page.paragraph(said)]
    points = run.readings["step"][layers.places(run.readings)]
    batch = run.config["batch_size"]
    words = [f"{step:,} ({step * batch:,} examples)" for step in points.tolist()]
    slider = page.slider("at", "training step", words, len(words) - 1)
    main = run._replace(readings=part(run.readings))
    parts = [drawn for section in SECTIONS for drawn in _drawn(main, section)]
    if layout_of(run.readings).has_skips:
        parts = [page.paragraph(MAIN_PATH), *parts, *_within_branches(run)]
    return [page.together(slider, *parts, *extra.section(run.readings, run.extra))]


def _within_branches(run: Run) -> list[page.Markup]:
    """The figures of the layers within branches, folded; nothing where branches have one weight."""
    inside = run._replace(readings=part(run.readings, within=True))
    if not inside.readings["act_std"].shape[1]:
        return []
    parts = [drawn for section in SECTIONS for drawn in _drawn(inside, _within(section))]
    return [page.section("Within the branches", page.paragraph(WITHIN, "quiet")), *parts]


def _drawn(run: Run, section: Section) -> Sequence[page.Markup]:
    """The section as far as it was measured."""
    shown = [figure for figure in section.figures if _is_measured(run.readings, figure)]
    kind = lambda i: "wide" if i == len(shown) - 1 and i % 2 == 0 else ""  # the last of an odd number
    words = [one.words if isinstance(one.words, str) else one.words(run) for one in shown]
    drawn = [
        page.figure(one.title, one.draw(run), words[i], kind(i), one.control(run.readings))
        for i, one in enumerate(shown)
    ]
    otherwise = section.otherwise if isinstance(section.otherwise, str) else section.otherwise(run)
    if not drawn and not otherwise:
        return []
    before = page.paragraph(section.words, "quiet") if section.words and drawn else page.Markup()
    return [page.section(section.title, before, page.figures(*drawn) if drawn else page.paragraph(otherwise))]


def _is_measured(readings: Readings, figure: Shown) -> bool:
    """Whether the readings hold what a figure needs, as numbers, and it then shows something."""
    is_known = all(np.isfinite(readings.get(name, np.nan)).any() for name in figure.needs)
    return is_known and figure.when(readings)
