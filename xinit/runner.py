"""One run, from its config to its folder: done already, or claimed, computed and let go."""

import dataclasses
import pathlib
import time
from typing import Any, NamedTuple

import numpy as np

from xinit import record, verdict
from xinit.config import Config, as_yaml
from xinit.console import Reporter
from xinit.custom import source_of
from xinit.errors import InputError


class Outcome(NamedTuple):
    """Where a run lies and what came of it; the last three are empty for a run that was stopped before its end."""

    config: Config
    path: pathlib.Path
    summary: dict[str, Any]
    findings: list[verdict.Finding]
    readings: dict[str, np.ndarray]


def execute(config: Config, reporter: Reporter) -> Outcome:
    """Compute a run, go on with one that was cut, or return one that is done.

    Raises:
      InputError: bad input, a folder that cannot be written, a run held by another process.
    """
    identity = config.identity()
    path = pathlib.Path(config.out) / config.name / record.run_hash(identity, source_of(config.scheme.fn))
    if record.is_finished(path) and not config.force:
        return _already(config, path, reporter)
    from xinit.backend import use_compilation_cache  # jax and what needs it: a second, not paid by a run that is done
    from xinit.build import plan

    use_compilation_cache()
    planned = plan(config)
    directory = record.RunDirectory(path)
    directory.claim()
    try:
        if record.is_finished(path) and not config.force:  # by another process, since we looked
            return _already(config, path, reporter)
        directory.begin(as_yaml(config), config.force)
        reporter.log_to(path / "log.txt")
        return Outcome(config, path, *_compute(config, directory, planned, reporter))
    finally:
        reporter.stop()
        directory.release()


def _compute(config: Config, directory: record.RunDirectory, planned: Any, reporter: Reporter) -> tuple:
    from xinit.build import begin
    from xinit.supervisor import Supervisor

    started = time.perf_counter()
    try:
        return Supervisor(config, directory, begin(config, planned), reporter, started).supervise()
    except KeyboardInterrupt:
        if directory.status().get("state") == "running":
            _try_status(directory, "interrupted")
        raise
    except Exception as error:
        _try_status(directory, "failed", reason=f"{type(error).__name__}: {error}")
        raise


def _already(config: Config, path: pathlib.Path, reporter: Reporter) -> Outcome:
    """The outcome of a finished run, judged by today's thresholds."""
    summary = record.read_json(path / "summary.json")
    readings = record.read_readings(path / "readings.nc") or {}
    findings = verdict.judge(readings, summary, dataclasses.asdict(config.verdict))
    summary["verdict"] = verdict.sentence(findings)
    reporter.note("this run is done already; force=true runs it anew.")
    reporter.result(str(path), summary, {name: values[-1] for name, values in readings.items() if len(values)})
    if config.keep_params and not (path / "params").exists():
        reporter.note("its weights were not kept; force=true keep_params=true runs it anew and keeps them.")
    return Outcome(config, path, summary, findings, readings)


def _try_status(directory: record.RunDirectory, state: str, **more: Any) -> None:
    """Write the status where that is still possible: the folder may be why we stop."""
    try:
        directory.write_status(state, **more)
    except InputError:
        return
