"""What a person sees while a run goes on and at its end: a live table on a terminal, plain lines elsewhere."""

import contextlib
import importlib.util
import pathlib
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rich.console
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from xinit.analysis.outcomes import Outcome
from xinit.analysis.sweeps import error_is
from xinit.commands.columns import fitted
from xinit.commands.standing import Standing
from xinit.commands.tables import cell_rows, contrast_rows, error_line, layer_rows, loss_and_errors, share, some_layers
from xinit.commands.terminal import LINE, Console
from xinit.core.files import append_line, printable
from xinit.core.readings import share_of
from xinit.settings.config import Config

FIGURES = 4  # whose paths are listed
LEVEL_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


class Reporter:
    """Prints one run's progress. A terminal gets a bar and a table that stay in place; a pipe gets lines."""

    def __init__(self, console: rich.console.Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet)
        self._live: Live | None = None
        self._progress: Progress  # beside `_live`
        self._table: RenderableType = ""
        self._logs: Sequence[pathlib.Path] = ()
        self._steps = 0  # of the run, or of each run of a population

    def note(self, message: str) -> None:
        """One line, kept."""
        self.console.print(self._wrapped(printable(message)), markup=False, soft_wrap=True)
        self._write_log(message)

    def _wrapped(self, text: str) -> str:
        """A terminal gets lines that are broken between words; a pipe, which others read, whole ones."""
        if not self.console.is_terminal or text.startswith(" "):
            return text
        return textwrap.fill(text, self.console.width, break_long_words=False, break_on_hyphens=False) or text

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

    def start(self, config: Config, step: int, device: str, chance: float | None = None) -> None:
        """Begin to show the training of a run that is at `step`."""
        self.note(f"{config.name}: {config.steps:,} steps of {config.batch_size} on {device}")
        self._steps = config.steps
        self._show_bar(step, config.steps, self._count(step))

    def _count(self, step: int) -> str:
        """How far the training is, as the bar says."""
        return f"step {step:,}/{self._steps:,}"

    def _show_bar(self, done: float, total: float, count: str) -> None:
        if self.console.is_interactive and self.console.file.isatty():  # the latter is no matter of FORCE_COLOR
            columns = TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
            counted = TextColumn("{task.fields[count]}")
            self._progress = Progress(TextColumn("training"), BarColumn(16), counted, *columns)
            self._task = self._progress.add_task("training", total=total, completed=done, rate="", count=count)  # type: ignore[arg-type]  # rich takes floats
            self._live = Live(self._view(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def advance(self, step: int, steps_per_s: float) -> None:
        """Move the bar."""
        if self._live is not None:
            rate = f"{steps_per_s:,.0f} steps/s"
            self._progress.update(self._task, completed=step, rate=rate, count=self._count(step))
            self._live.update(self._view())

    def probe(
        self, step: int, row_R: Mapping[str, np.ndarray], diverged_R: np.ndarray, seconds_left: float | None
    ) -> None:
        """Show the readings of a probe point, of a population of one."""
        row = {name: values[0] for name, values in row_R.items()}
        if self._live is not None:
            title = f"step {step:,}: {loss_and_errors(row)}"
            self._table = fitted(title, layer_rows(row), self.console.width)
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
            self.table(f"after {summary['steps']:,} steps", layer_rows(row, summary.get("layers", ())))
        self.note(error_line(summary))
        self.verdict(summary["verdict"])
        self.note(f"run directory: {path}")
        self.picture(path / "figures" / "layers.png")

    def verdict(self, sentence: str) -> None:
        """A verdict, its level in colour."""
        level, _, text = self._wrapped(printable(sentence)).partition(":")
        self.console.print(f"[{LEVEL_STYLES.get(level, 'white')}]{level}[/]:", end="")
        self.console.print(text, markup=False, soft_wrap=True)
        self._write_log(sentence.partition(": ")[2])

    def picture(self, *paths: pathlib.Path) -> None:
        """Where the figures of what was done lie, those that were drawn."""
        drawn = [path for path in paths if path.exists()]
        for path in drawn[:FIGURES]:
            self.note(f"figure: {path}")
        if len(drawn) > FIGURES:
            self.note(f"figure: and {len(drawn) - FIGURES} more, {drawn[0].name} in the folder of each run")

    def next(self, *arguments: str) -> None:
        """The command to try next."""
        line = f"next: {shlex.join(['python', '-m', *arguments])}"
        needs_more = arguments[0] == "xinit.report" and importlib.util.find_spec("altair") is None
        more = "  (needs pip install 'xinit[report]')" if needs_more else ""
        self.console.print(printable(line + more), markup=False, soft_wrap=True)

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
        self.console.print(fitted(title, rows, self.console.width))

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
        self._n_runs = self._n_over = 0

    def begin(self, configs: Mapping[str, Config], n_done: int, n_groups: int) -> None:
        """Begin a sweep of `configs`, by the names of their folders, of which `n_done` are done."""
        self._standing = Standing(configs)
        self._n_runs, self._n_over = len(configs), n_done
        groups = f" in {n_groups} groups, one program each" if n_groups > 1 else ""
        self.note(f"{len(configs)} runs{groups}" + (f"; {n_done} are done already" if n_done else ""))

    def expect(self, work: float) -> None:
        """What there is to do, in bytes of weights times steps."""
        self._all = work

    def enter(self, members: Sequence[str], layout: str, weights: float) -> None:
        """Begin a population of these members, each with so many bytes of weights."""
        self._before += self._size  # whatever the one before left out
        self._n_over += len(self._members)
        self._members, self._unit, self._size = members, weights * len(members), 0.0
        self.note(layout)

    def start(self, config: Config, step: int, device: str, chance: float | None = None) -> None:
        """Begin to show the training of a population that is at `step`."""
        self._size, self._steps = config.steps * self._unit, config.steps
        if chance is not None:
            self._standing.chance_is(chance, config.verdict["chance_gain"])
        title = config.name.removesuffix(f"-{config.scheme.label}")
        title = f"{len(self._members)} x {title}" if len(self._members) > 1 else title
        self.note(f"{title}: {config.steps:,} steps of {config.batch_size} on {device}")
        self._show_bar(self._before + step * self._unit, self._all, self._count(step))

    def _count(self, step: int) -> str:
        """Runs that are over of all, and how far the ones in training are."""
        return f"{self._n_over}/{self._n_runs} runs done, {super()._count(step)}"

    def advance(self, step: int, steps_per_s: float) -> None:
        """Move the bar of the sweep."""
        self._rate = steps_per_s
        if self._live is not None:
            completed = self._before + step * self._unit
            self._progress.update(self._task, completed=completed, rate=self._speed(), count=self._count(step))
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
        if self._live is not None:
            self._table = self._standing.line(4 * self.console.width)
            self._live.update(self._view())
        self._line([before, self._standing.line(room), *after])

    def _speed(self) -> str:
        return f"{self._rate * len(self._members):,.0f} steps/s"

    def result(self, path: pathlib.Path, summary: Mapping[str, Any], row: Mapping[str, np.ndarray]) -> None:
        """A run of the sweep is done: its own log gets what a run on its own would print."""
        with contextlib.suppress(OSError):
            append_line(path / "log.txt", error_line(summary))
            append_line(path / "log.txt", summary["verdict"])
