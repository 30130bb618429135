"""The page of one run: its verdict, what it was, and what every layer did while it trained."""

import pathlib
from collections.abc import Sequence

import numpy as np

from xinit.analysis import verdict
from xinit.analysis.layout import layout_of, part
from xinit.analysis.verdict import Finding
from xinit.core.readings import EDGES
from xinit.report import page as html
from xinit.report import sources, training
from xinit.report.facts import facts
from xinit.report.page import Markup
from xinit.report.sections import sections
from xinit.report.sources import Run
from xinit.runs.record import described_with

# Of the table of the layers: heading, reading, format.
COLUMNS = (
    ("a std", "act_std", ".3g"),
    ("saturated", "act_saturated", ".1%"),
    ("inactive", "act_inactive", ".1%"),
    ("slope", "act_slope", ".2f"),
    ("dL/dz std", "grad_pre_std", ".2e"),
)
TABLE = (
    "At the first and the last probed step. a: activations; saturated: share where the function is flat; inactive: "
    "share that a rectifier cuts off; slope: mean of abs f' over its largest; dL/dz: the gradient that comes back, "
    "per example."
)
FIRST_LOOK = (
    "The signal enters at layer 1 and goes to the right; the gradient enters at the last layer and goes to the left. "
    "Each is shown over its own size where it enters. Lines that stay near 1, the dashed line, say that both reach "
    "every layer. A line that falls by much more than a factor of two says that what it carries fades on its way, and "
    "one that rises that it explodes: layers at its far end then learn slowly, or not at all."
)
ENDS = {"start": 0, "end": -1}


def page(path: pathlib.Path) -> str:
    """The page of the run whose folder this is, whatever its state.

    Raises:
      InputError: the folder cannot be read.
    """
    run = sources.load(path)
    content = [
        *_verdict(run),
        *_first_look(run),
        html.details("What was trained: settings, time and machine", html.card(facts(run))),
        *sections(run),
        *_table(run),
        html.details("All settings, as they were stored", html.verbatim(run.text)),
        html.details("What the readings are", html.card(_definitions(run))),
    ]
    return html.whole(run.config["name"], content, f"Made by xinit.report from {path.resolve().name}.")


def _verdict(run: Run) -> list[Markup]:
    """What was found, worst first, and the remedy, if there is one."""
    found = _findings(run)
    sentences = [(finding.level, f"{finding.sentence[:1].upper()}{finding.sentence[1:]}.") for finding in found]
    remedy = run.summary.get("remedy")
    unfinished = [] if run.summary else [html.paragraph(_unfinished(run))]
    return [*unfinished, html.findings(sentences), *([html.paragraph(str(remedy))] if remedy else [])]


def _first_look(run: Run) -> list[Markup]:
    """Signal and gradient over depth before training, and what they mean; nothing where they were not measured."""
    readings = run.readings
    if "act_std" not in readings or "grad_pre_std" not in readings:
        return []
    main = part(readings)
    if main["act_std"].shape[1] < 2 or main["step"][0] != 0:
        return []
    return [html.figure("Signal and gradient before training", training.over_depth(main), FIRST_LOOK, "wide")]


def _findings(run: Run) -> Sequence[Finding]:
    """By the thresholds in the run's config; before its end, what was found at initialisation."""
    try:
        with np.errstate(invalid="ignore"):  # what diverges may be infinite
            about = run.summary | {"layers": run.layers, "weights": run.weights}
            return verdict.judge(run.readings, about, run.limits) if run.summary else _at_start(run)
    except (KeyError, TypeError):  # thresholds or scores of another version: what was said then
        level, _, sentence = str(run.summary.get("verdict", "")).rstrip(".").partition(": ")
        return [Finding(level, "", sentence)] if sentence else []


def _at_start(run: Run) -> list[Finding]:
    if "act_std" not in run.readings or run.readings["step"][0] != 0:
        return []
    start = {name: values if name in EDGES else values[:1] for name, values in run.readings.items()}
    return verdict.judge_start(start, run.limits)


def _unfinished(run: Run) -> str:
    steps = run.readings.get("step", np.zeros(0, int))
    seen = f"measured up to step {steps[-1]:,} of {run.config['steps']:,}" if len(steps) else "nothing measured yet"
    return f"This run has not come to its end: {seen}."


def _table(run: Run) -> list[Markup]:
    """The layers in numbers, at the first and the last step; nothing where they were not measured."""
    readings = run.readings
    shown = [own for own in COLUMNS if own[1] in readings and not np.all(np.isnan(readings[own[1]]))]
    if not shown:
        return []
    layout = layout_of(readings, run.layers)
    names = [name.replace(" ", "\N{NO-BREAK SPACE}") for name in layout.names]
    widths = readings["act_units"].astype(int).tolist() if "act_units" in readings else run.config["widths"]
    rows = [
        {"layer": names[l] if names else l + 1, "width": width}
        | {
            f"{heading}, {when}": _cell(readings[name][i, l], form)
            for heading, name, form in shown
            for when, i in ENDS.items()
        }
        for l, width in enumerate(widths)
    ]
    return [html.section("The layers in numbers", html.paragraph(TABLE, "quiet"), html.table(rows))]


def _cell(value: float, form: str) -> str:
    return "" if np.isnan(value) else format(value, form)


def _definitions(run: Run) -> dict[str, str]:
    return {name: words for name, (_, words) in described_with(run.extra).items() if name in run.readings}
