"""Results as rows and lines for a terminal: the layers of a run, the runs of a sweep, and its cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xinit.analysis.layout import layout_of
from xinit.analysis.learned import in_words
from xinit.analysis.outcomes import Outcome
from xinit.analysis.over_depth import sizes
from xinit.analysis.sweeps import cells
from xinit.analysis.swept import as_text, swept
from xinit.core.readings import share_of

# What the layer table shows of the last reading: heading, reading, format. Shares are in percent.
COLUMNS = (
    ("act mean", "act_mean", "{:.3f}"),
    ("act std", "act_std", "{:.3f}"),
    ("saturated", "act_saturated", "{:.1%}"),
    ("inactive", "act_inactive", "{:.1%}"),
    ("mean slope", "act_slope", "{:.2f}"),
    ("dL/dz std", "grad_pre_std", "{:.2e}"),
)


def layer_rows(row: Mapping[str, np.ndarray], names: Sequence[str] = ()) -> list[dict[str, str]]:
    """One line a layer, from the input upwards; columns that mean nothing for this activation are left out.

    `names`: of the layers, where they are more than numbers.
    """
    shown = [column for column in COLUMNS if not np.all(np.isnan(row[column[1]]))]
    gradient = row["grad_pre_std"]
    named = names if len(names) == len(gradient) else [str(l + 1) for l in range(len(gradient))]
    return [
        {"layer": named[l]}
        | {heading: form.format(row[name][l]) for heading, name, form in shown}
        | {"of top": share(gradient[l], gradient[-1])}
        for l in range(len(gradient))
    ]


def error_line(summary: Mapping[str, Any]) -> str:
    """The test error beside chance and beside how much was seen."""
    of = share_of(summary.get("error_is"))
    if summary["test_error"] is None:
        return f"no test error: the run diverged (chance {summary['chance_error']:.1%}{of})"
    seen = f"{summary['examples']:,} examples"
    if summary.get("paper_share") is not None:
        seen += f": {summary['paper_share']:.1%} of the paper's budget"
    return f"{in_words(summary['test_error'], summary)}, {seen}"


def loss_and_errors(row: Mapping[str, np.ndarray]) -> str:
    """The loss and the errors of a probe point, those that were measured."""
    shown = [("loss", "train_loss", "{:.3f}"), ("train", "train_error", "{:.1%}"), ("valid", "valid_error", "{:.1%}")]
    return "  ".join(
        f"{word} {form.format(float(row[name]))}"
        for word, name, form in shown
        if name in row and not np.isnan(row[name])
    )


def share(part: np.floating, whole: np.floating) -> str:
    """How many times the whole a part is."""
    return f"{part / whole:.2g}" if whole else "-"


def some_layers(values: np.ndarray, most: int = 6) -> np.ndarray:
    """At most six of the layers, evenly spaced, both ends among them."""
    return values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]


def contrast_rows(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """A line for each outcome: what its config has that others have not, and what came of it."""
    rows = zip(outcomes, swept([outcome.config for outcome in outcomes]), strict=True)
    shown = lambda settings: {name: as_text(value) for name, value in settings.items()}
    return [shown(settings) | _outcome_cells(outcome) for outcome, settings in rows]


def _outcome_cells(outcome: Outcome) -> dict[str, str]:
    if not outcome.summary:
        return {"test error": outcome.state, "chance": "", "verdict": ""}
    error, readings = outcome.summary["test_error"], outcome.readings
    cells = {
        "test error": "diverged" if error is None else f"{error:.1%}",
        "chance": f"{outcome.summary['chance_error']:.1%}",
    }
    if "act_std" in readings:
        layout, slopes = layout_of(readings), readings["act_slope"][-1]
        signal, gradient = (sizes(rule, readings, layout)[0] for rule in ("signal", "gradient"))
        cells["signal x"] = share(signal[-1], signal[0])
        cells["gradient x"] = share(gradient[0], gradient[-1])
        known = slopes[np.isfinite(slopes)]
        cells["least slope"] = f"{known.min():.2f}" if len(known) else ""
    level = outcome.findings[0].level
    rules = [finding.rule for finding in outcome.findings if finding.level == level != "OK"]
    return cells | {"verdict": f"{level}: {', '.join(rules)}" if rules else level}


def cell_rows(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """A line for each cell of a sweep: mean, standard deviation and interval of the test error over its seeds."""
    rows = []
    for cell in cells(outcomes):
        interval, wide = cell.pop("test_error"), lambda low, high: f"[{low:.1%}, {high:.1%}]"
        shown = {
            "test error": f"{interval.mean:.1%}" if interval.n else "-",
            "sd": f"{interval.std:.1%}" if interval.n > 1 else "-",
            "95 % interval": wide(interval.low, interval.high) if interval.n > 1 else "-",
            "n": str(interval.n),
        }
        results = ("diverged", "unfinished", "verdicts")
        where = {name: as_text(value) for name, value in cell.items() if name not in results}
        rows.append(where | shown | {name: str(cell[name]) for name in results if name in cell})
    return rows
