"""What a person sees while a run goes on and at its end: a live table on a terminal, plain lines elsewhere."""

import contextlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rich.console
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from xinit.analysis.outcomes import Outcome
from xinit.analysis.sweeps import error_is
from xinit.commands.standing import Standing
from xinit.commands.tables import cell_rows, contrast_rows, error_line, layer_table, loss_and_errors, share, some_layers
from xinit.commands.terminal import LINE, Console
from xinit.core.files import append_line, printable
from xinit.core.readings import share_of
from xinit.settings.config import Config

LEVEL_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


class Reporter:
    """Prints one run's progress. A terminal gets a bar and a table that stay in place; a pipe gets lines."""

    def __init__(self, console: rich.console.Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet)
        self._live: Live | None = None
        self._progress: Progress  # beside `_live`
        self._table: Table | str = ""
        self._logs: Sequence[pathlib.Path] = ()

    def note(self, message: str) -> None:
        """One line, kept."""
        self.console.print(printable(message), markup=False, soft_wrap=True)
        self._write_log(message)

    def log_to(self, *paths: pathlib.Path) -> None:
        """Keep what is said from now on in these files too."""
        self._logs = paths

    def _write_log(self, message: str) -> None:
        for path in self._logs:
            with contextlib.suppress(OSError):  # a full disk must not stop a run here
                append_line(path, message)

    def expect(self, work: float) -> None:
        """What there is to do in all; a run on its own counts its steps instead."""

    def enter(self, members: Sequence[str], layout: str, weights: float) -> None:
        """A run on its own has no layout worth telling."""

    def start(self, config: Config, step: int, device: str) -> None:
        """Begin to show the training of a run that is at `step`."""
        self.note(f"{config.name}: {config.steps:,} steps of {config.batch_size} on {device}")
        self._show_bar(step, config.steps)

    def _show_bar(self, done: float, total: float) -> None:
        if self.console.is_interactive and self.console.file.isatty():  # the latter is no matter of FORCE_COLOR
            columns = TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
            self._progress = Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), *columns)
            self._task = self._progress.add_task("training", total=total, completed=done, rate="")  # type: ignore[arg-type]  # rich takes floats
            self._live = Live(self._view(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def advance(self, step: int, steps_per_s: float) -> None:
        """Move the bar."""
        if self._live is not None:
            self._progress.update(self._task, completed=step, rate=f"{steps_per_s:,.0f} steps/s")
            self._live.update(self._view())

    def probe(
        self, step: int, row_R: Mapping[str, np.ndarray], diverged_R: np.ndarray, seconds_left: float | None
    ) -> None:
        """Show the readings of a probe point, of a population of one."""
        row = {name: values[0] for name, values in row_R.items()}
        if self._live is not None:
            self._table = layer_table(row, f"step {step:,}: {loss_and_errors(row)}")
            self._live.update(self._view())
        parts = [f"step {step:>7,}", loss_and_errors(row)]
        if "act_std" in row:
            parts.append("act std " + " ".join(f"{value:.2f}" for value in some_layers(row["act_std"])))
            parts.append(f"dL/dz bottom/top {share(row['grad_pre_std'][0], row['grad_pre_std'][-1])}")
        if seconds_left is not None:
            parts.append(f"{seconds_left:.0f} s left")
        self._line(parts)

    def _line(self, parts: Sequence[str]) -> None:
        line = "  ".join(part for part in parts if part)
        self._write_log(line) if self._live is not None else self.note(line)

    def stop(self) -> None:
        """End the live display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def result(self, path: pathlib.Path, summary: Mapping[str, Any], row: Mapping[str, np.ndarray]) -> None:
        """The end of a run: the layer table, the error beside chance and beside how much was seen, the verdict."""
        if "act_std" in row:
            self.console.print(layer_table(row, f"after {summary['steps']:,} steps", summary.get("layers", ())))
        self.note(error_line(summary))
        self.verdict(summary["verdict"])
        self.note(f"run directory: {path}")

    def verdict(self, sentence: str) -> None:
        """A verdict, its level in colour."""
        level, _, text = sentence.partition(": ")
        self.console.print(f"[{LEVEL_STYLES.get(level, 'white')}]{level}[/]: ", end="")
        self.note(text)

    def contrast(self, outcomes: Sequence[Outcome]) -> None:
        """The runs of a sweep side by side; where some differ in their seeds alone, its cells."""
        rows, of = cell_rows(outcomes), share_of(error_is([outcome.summary for outcome in outcomes]))
        if of:
            self.note(f"Errors are shares{of} of the training targets that is left, 1 - R^2.")
        if len(rows) < len(outcomes):
            self.table(f"test error of {len(outcomes)} runs", rows)
            self.note("sd and interval (of the mean, Student's t) over the n runs that did not diverge.")
            return
        self.table("side by side", contrast_rows(outcomes))
        self.note(
            "signal x: std of the top layer's activations over the first's (in a module of your own, of z); gradient "
            "x: std of dL/dz at the first layer over the top's; both at initialisation. least slope: of the flattest "
            "layer at the end."
        )

    def table(self, title: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Rows of cells under their headings."""
        table = Table(title=title, title_justify="left")
        headings = list(dict.fromkeys(heading for row in rows for heading in row))
        for heading in headings:
            left = heading in ("verdict", "verdicts")
            table.add_column(heading, justify="left" if left else "right", overflow="fold")
        for row in rows:
            table.add_row(*(row.get(heading, "") for heading in headings))
        self.console.print(table)

    def _view(self) -> Group:
        return Group(self._table, self._progress)


class SweepReporter(Reporter):
    """Prints the progress of a whole sweep: groups, replicas, how each setting fares, steps per second, time left.

    Work is counted in weights times steps, so that the time left covers groups of different networks.
    """

    def __init__(self, console: rich.console.Console | None = None, quiet: bool = False) -> None:
        super().__init__(console, quiet)
        self._standing = Standing({})
        self._members: Sequence[str] = ()
        self._all = self._before = self._size = self._unit = self._rate = 0.0  # work: of the sweep, of what is done

    def begin(self, configs: Mapping[str, Config], n_done: int, n_groups: int) -> None:
        """Begin a sweep of `configs`, by the names of their folders, of which `n_done` are done."""
        self._standing = Standing(configs)
        groups = f" in {n_groups} groups, one program each" if n_groups > 1 else ""
        self.note(f"{len(configs)} runs{groups}" + (f"; {n_done} are done already" if n_done else ""))

    def expect(self, work: float) -> None:
        """What there is to do, in bytes of weights times steps."""
        self._all = work

    def enter(self, members: Sequence[str], layout: str, weights: float) -> None:
        """Begin a population of these members, each with so many bytes of weights."""
        self._before += self._size  # whatever the one before left out
        self._members, self._unit, self._size = members, weights * len(members), 0.0
        self.note(layout)

    def start(self, config: Config, step: int, device: str) -> None:
        """Begin to show the training of a population that is at `step`."""
        self._size = config.steps * self._unit
        title = config.name.removesuffix(f"-{config.scheme.label}")
        title = f"{len(self._members)} x {title}" if len(self._members) > 1 else title
        self.note(f"{title}: {config.steps:,} steps of {config.batch_size} on {device}")
        self._show_bar(self._before + step * self._unit, self._all)

    def advance(self, step: int, steps_per_s: float) -> None:
        """Move the bar of the sweep."""
        self._rate = steps_per_s
        if self._live is not None:
            completed = self._before + step * self._unit
            self._progress.update(self._task, completed=completed, rate=self._speed())
            self._live.update(self._view())

    def probe(
        self, step: int, row_R: Mapping[str, np.ndarray], diverged_R: np.ndarray, seconds_left: float | None
    ) -> None:
        """One line: how far the sweep is, and how its settings fare."""
        if "valid_error" in row_R:
            self._standing.add(self._members, step, row_R["valid_error"], diverged_R)
        before, after = f"step {step:>7,}", [f"{int(diverged_R.sum())} diverged"] if diverged_R.any() else []
        if self._rate:
            left = (self._all - self._before - step * self._unit) / (self._rate * self._unit)
            after.append(f"{self._rate * len(self._members):,.0f} steps/s, {left:,.0f} s left")
        room = LINE - len("  ".join([before, "", *after]))
        self._line([before, self._standing.line(room), *after])

    def _speed(self) -> str:
        return f"{self._rate * len(self._members):,.0f} steps/s in all"

    def result(self, path: pathlib.Path, summary: Mapping[str, Any], row: Mapping[str, np.ndarray]) -> None:
        """A run of the sweep is done: its own log gets what a run on its own would print."""
        with contextlib.suppress(OSError):
            append_line(path / "log.txt", error_line(summary))
            append_line(path / "log.txt", summary["verdict"])
