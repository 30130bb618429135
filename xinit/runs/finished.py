"""The outcome of a run that is over, from the folder in which it left its results."""

import pathlib

from xinit.analysis import verdict
from xinit.analysis.outcomes import Outcome
from xinit.runs import record
from xinit.runs.reporting import Reporter
from xinit.runs.run_directory import RunDirectory, path_of
from xinit.settings.config import Config
from xinit.settings.thresholds import learning_scale


def from_disk(config: Config) -> Outcome:
    """The outcome that a run's folder holds, judged by today's thresholds."""
    path = path_of(config)
    state = RunDirectory(path).status().get("state", "not begun")
    stored = record.finished(path)
    if stored is None:
        return Outcome(config, path, state, {}, [], {})
    summary, readings = stored.summary | learning_scale(config), stored.readings()
    findings = verdict.judge(readings, summary, config.verdict)
    summary["verdict"] = verdict.sentence(findings, summary.get("remedy"))
    return Outcome(config, path, state, summary, findings, readings, stored.extra())


def done_already(config: Config, path: pathlib.Path, reporter: Reporter) -> Outcome:
    """The outcome of a finished run; the reporter is told that it was done before."""
    outcome = from_disk(config)
    RunDirectory(path).drop_checkpoints()  # which a process may have left that was killed at its very end
    untracked = "" if config.tracker.fn == "none" else " and is not tracked again"
    reporter.note(f"this run is done already{untracked}; force=true runs it anew.")
    last = {name: values[-1] for name, values in outcome.readings.items() if len(values)}
    reporter.result(path, outcome.summary, last)
    if config.keep_params and not (path / "params").exists():
        reporter.note("its weights were not kept; force=true keep_params=true runs it anew and keeps them.")
    return outcome
