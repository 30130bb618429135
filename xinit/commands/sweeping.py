"""The configs of a sweep parsed, run in this process, and concluded: for launchers, comparisons and `xinit.sweep`."""

import contextlib
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xinit.analysis import running, sweeps
from xinit.analysis.outcomes import Outcome
from xinit.analysis.swept import label, swept
from xinit.core.errors import InputError
from xinit.runs import hosts
from xinit.runs.run_directory import path_of
from xinit.settings.config import Config
from xinit.settings.parse import parse

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 5  # mistakes of a sweep that are listed
MOST_RUNS = 100_000  # of one command: each has a folder of its own, and a few milliseconds of checks before the first


def check_number(n: int) -> None:
    """Refuse a command of no runs, or of more than can be.

    Raises:
      InputError: it is one.
    """
    if n == 0:
        raise InputError("The sweep has no runs: a setting that is swept has no values.")
    if n > MOST_RUNS:
        raise InputError(f"The command has {n:,} runs; it must be at most {MOST_RUNS:,}, each with its own folder.")


def parse_all(raws: Sequence[Mapping[str, Any]]) -> list[Config]:
    """The checked configs of a sweep's jobs.

    Raises:
      InputError: some are wrong; the first few mistakes are named.
    """
    configs: list[Config] = []
    mistakes: dict[str, int] = {}
    for raw in raws:
        try:
            configs.append(parse(raw))
        except InputError as error:
            mistakes[str(error)] = mistakes.get(str(error), 0) + 1
    if not mistakes:
        return configs
    listed = [f"{message} ({count} of {len(raws)} jobs)" for message, count in list(mistakes.items())[:SHOWN]]
    more = [f"And {len(mistakes) - SHOWN} other mistakes."] if len(mistakes) > SHOWN else []
    raise InputError("\n".join([*listed, *more]))


def run_all(configs: Sequence[Config], console: "Console | None" = None) -> list[Outcome]:
    """Run the jobs of a sweep, or a group of them, in this process."""
    from xinit.commands.console import SweepReporter
    from xinit.core.backend import use_a_cpu_device_for_each_core
    from xinit.runs.runner import execute_all

    use_a_cpu_device_for_each_core()
    return execute_all(configs, SweepReporter(console))


@contextlib.contextmanager
def begun(configs: Sequence[Config]) -> Iterator[None]:
    """Have the runs of a sweep listed for those who follow it, unless they are refused before the first begins.

    With several processes the first writes the list.
    """
    if hosts.index_and_count()[0] != 0:
        yield
        return
    jobs = {path_of(config): config for config in configs}  # equal jobs are one run
    outcomes = [Outcome(config, run, "not begun", {}, [], {}) for run, config in jobs.items()]
    path = sweeps.folder(outcomes)
    running.begin(path, outcomes)
    try:
        yield
    except InputError:
        if not any(run.exists() for run in jobs):
            running.withdraw(path, pathlib.Path(configs[0].out))
        raise


def conclude(outcomes: Sequence[Outcome], every: Sequence[Outcome] | None = None) -> pathlib.Path | None:
    """Show what came of a sweep, or of its last batch, and write the aggregate of `every` run of it.

    With several processes the first does, and returns the aggregate's folder.
    """
    from xinit.commands.console import SweepReporter

    if hosts.index_and_count()[0] != 0:
        return None
    every = outcomes if every is None else every
    reporter, path = SweepReporter(), sweeps.write(every)
    reporter.contrast(outcomes)
    reporter.note(f"sweep: {path}" + (f" ({len(every)} runs so far)" if len(every) > len(outcomes) else ""))
    reporter.picture(*dict.fromkeys(outcome.path / "figures" / "layers.png" for outcome in outcomes))
    reporter.next("xinit.report", str(path))
    return path


def best(outcomes: Sequence[Outcome]) -> str:
    """The run of least validation error in words, and where it lies."""
    errors = [math.inf if (error := objective(outcome)) is None else error for outcome in outcomes]
    i = errors.index(min(errors))
    settings = label(swept([outcome.config for outcome in outcomes])[i])
    winner = f" with {settings}" if settings else ""
    return f"best of {len(outcomes)} runs: valid error {errors[i]:.1%}{winner}, {outcomes[i].path}"


def objective(outcome: Outcome) -> float | None:
    """What a job returns to a sweeper: the valid error, chance where there is none; None for one that is not over."""
    if not outcome.summary:
        return None
    error = outcome.summary["valid_error"]
    return outcome.summary["chance_error"] if error is None else error
