"""What a person sees while a run goes on and at its end: a live table on a terminal, plain lines elsewhere."""

import contextlib
import math
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

LEVEL_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "red"}

# What the layer table shows of the last reading: heading, reading, format. Shares are in percent.
COLUMNS = (
    ("act mean", "act_mean", "{:.3f}"),
    ("act std", "act_std", "{:.3f}"),
    ("saturated %", "act_saturated", "{:.1%}"),
    ("inactive %", "act_inactive", "{:.1%}"),
    ("mean slope", "act_slope", "{:.2f}"),
    ("dL/dz std", "grad_pre_std", "{:.2e}"),
)


class Reporter:
    """Prints one run's progress. A terminal gets a bar and a table that stay in place; a pipe gets lines."""

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet, highlight=False, width=None if sys.stdout.isatty() else 120)
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._table: Table | str = ""
        self._log: pathlib.Path | None = None

    def note(self, message: str) -> None:
        """One line, kept."""
        self.console.print(message, markup=False, soft_wrap=True)
        self._write_log(message)

    def log_to(self, path: pathlib.Path) -> None:
        """Keep what is said of a run from now on in a file of it too."""
        self._log = path

    def _write_log(self, message: str) -> None:
        if self._log is not None:
            with contextlib.suppress(OSError), self._log.open("a") as file:  # a full disk must not stop a run here
                file.write(message + "\n")

    def start(self, title: str, step: int, steps: int) -> None:
        """Begin to show a run of `steps` steps at `step`."""
        self.note(title)
        if not self.console.is_terminal:
            return
        columns = TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
        self._progress = Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), *columns)
        self._task = self._progress.add_task("training", total=steps, completed=step, rate="")
        self._live = Live(self._view(), console=self.console, refresh_per_second=4, transient=True)
        self._live.start()

    def advance(self, step: int, steps_per_s: float) -> None:
        """Move the bar."""
        if self._live is not None:
            self._progress.update(self._task, completed=step, rate=f"{steps_per_s:,.0f} steps/s")
            self._live.update(self._view())

    def probe(self, step: int, row: Mapping[str, np.ndarray], seconds_left: float | None) -> None:
        """Show the readings of a probe point."""
        if self._live is not None:
            self._table = layer_table(row, f"step {step:,}: {_errors(row)}")
            self._live.update(self._view())
        parts = [f"step {step:>7,}", _errors(row)]
        if "act_std" in row:
            parts.append("act std " + " ".join(f"{value:.2f}" for value in _some(row["act_std"])))
            parts.append(f"dL/dz bottom/top {_share(row['grad_pre_std'][0], row['grad_pre_std'][-1])}")
        if seconds_left is not None:
            parts.append(f"{seconds_left:.0f} s left")
        line = "  ".join(part for part in parts if part)
        self._write_log(line) if self._live is not None else self.note(line)

    def stop(self) -> None:
        """End the live display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def result(self, path: str, summary: Mapping[str, Any], row: Mapping[str, np.ndarray]) -> None:
        """The end of a run: the layer table, the error beside chance and beside how much was seen, the verdict."""
        if "act_std" in row:
            self.console.print(layer_table(row, f"after {summary['steps']:,} steps"))
        self.note(error_line(summary))
        level, _, words = summary["verdict"].partition(": ")
        self.console.print(f"[{LEVEL_STYLES.get(level, 'white')}]{level}[/]: ", end="")
        self.note(words)
        self.note(f"run directory: {path}")

    def contrast(self, rows: Sequence[Mapping[str, str]]) -> None:
        """One line for each run of a sweep, side by side."""
        table = Table(title="side by side", title_justify="left")
        headings = list(dict.fromkeys(heading for row in rows for heading in row))
        for heading in headings:
            table.add_column(heading, justify="left" if heading == "verdict" else "right", overflow="fold")
        for row in rows:
            table.add_row(*(row.get(heading, "") for heading in headings))
        self.console.print(table)
        self.note(
            "signal x: std of the top layer's activations over the first's; gradient x: std of dL/dz at the first "
            "layer over the top's; both at initialisation. least slope: of the flattest layer at the end."
        )

    def _view(self) -> Group:
        return Group(self._table, self._progress)


class RateMeter:
    """Steps per second, from the time spent training alone."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0

    def add(self, steps: int, started: float) -> None:
        """Count `steps` done since the clock reading `started`."""
        self.steps += steps
        self.seconds += time.perf_counter() - started

    @property
    def rate(self) -> float:
        """Steps per second so far; nan before the first."""
        return self.steps / self.seconds if self.seconds else math.nan


def layer_table(row: Mapping[str, np.ndarray], title: str) -> Table:
    """One line a layer, from the input upwards; columns that mean nothing for this activation are left out."""
    table = Table(title=title, title_justify="left")
    table.add_column("layer", justify="right")
    shown = [column for column in COLUMNS if not np.all(np.isnan(row[column[1]]))]
    for heading, _, _ in shown:
        table.add_column(heading.removesuffix(" %"), justify="right")
    table.add_column("of top", justify="right")
    gradient = row["grad_pre_std"]
    for l in range(len(gradient)):
        cells = [form.format(row[name][l]) for _, name, form in shown]
        table.add_row(str(l + 1), *cells, _share(gradient[l], gradient[-1]))
    return table


def error_line(summary: Mapping[str, Any]) -> str:
    """The test error beside chance and beside how much was seen."""
    if summary["test_error"] is None:
        return f"no test error: the run diverged (chance {summary['chance_error']:.1%})"
    seen = f"{summary['examples']:,} examples"
    if summary.get("paper_share") is not None:
        seen += f": {summary['paper_share']:.1%} of the paper's budget"
    return f"test error {summary['test_error']:.1%}, chance {summary['chance_error']:.1%}, {seen}"


def _errors(row: Mapping[str, np.ndarray]) -> str:
    shown = [("loss", "train_loss", "{:.3f}"), ("train", "train_error", "{:.1%}"), ("valid", "valid_error", "{:.1%}")]
    return "  ".join(
        f"{word} {form.format(float(row[name]))}"
        for word, name, form in shown
        if name in row and not np.isnan(row[name])
    )


def _share(part: np.floating, whole: np.floating) -> str:
    return f"{part / whole:.2g}" if whole else "-"


def _some(values: np.ndarray, most: int = 6) -> np.ndarray:
    """At most six of the layers, evenly spaced, both ends among them."""
    return values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]


def contrast_rows(outcomes: Sequence[Any]) -> list[dict[str, str]]:
    """A line for each outcome: what its config has that others have not, and what came of it."""
    settings = [_settings(outcome.config) for outcome in outcomes]
    if all(one["init_seed"] == one["data_seed"] for one in settings):
        settings = [{"seed": one.pop("init_seed"), **one, "data_seed": None} for one in settings]
    common = [key for key in settings[0] if all(key in one for one in settings)]
    varied = [key for key in common if len({repr(one[key]) for one in settings}) > 1]
    return [
        {key.removesuffix(".fn"): str(one[key]) for key in varied} | _outcome_cells(outcome)
        for one, outcome in zip(settings, outcomes, strict=True)
    ]


def _outcome_cells(outcome: Any) -> dict[str, str]:
    if not outcome.summary:
        return {"test error": "stopped", "chance": "", "verdict": ""}
    error, readings = outcome.summary["test_error"], outcome.readings
    cells = {
        "test error": "diverged" if error is None else f"{error:.1%}",
        "chance": f"{outcome.summary['chance_error']:.1%}",
    }
    if "act_std" in readings:
        signal, gradient = readings["act_std"][0], readings["grad_pre_std"][0]
        cells["signal x"] = _share(signal[-1], signal[0])
        cells["gradient x"] = _share(gradient[0], gradient[-1])
        cells["least slope"] = f"{readings['act_slope'][-1].min():.2f}"
    level = outcome.findings[0].level
    rules = [finding.rule for finding in outcome.findings if finding.level == level != "OK"]
    return cells | {"verdict": f"{level}: {', '.join(rules)}" if rules else level}


def _settings(config: Any) -> dict[str, Any]:
    """What decides a run, flat, with what has a short name under it."""
    names = [activation.fn for activation in config.activations]
    short = {
        "scheme.fn": config.scheme.label,
        "activations": ", ".join(names if len(set(names)) > 1 else names[:1]),
        "widths": " ".join(map(str, config.widths)),
    }
    if len(set(config.widths)) == 1:
        short["widths"] = f"{len(config.widths)} x {config.widths[0]}"
    return _flat(config.identity()) | short


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix.removesuffix("."): tree}
    return {key: value for name, branch in tree.items() for key, value in _flat(branch, f"{prefix}{name}.").items()}
