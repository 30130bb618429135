"""One run, from its config to its folder: done already, or claimed, computed and let go."""

import dataclasses
import importlib.util
import pathlib
import sys
import time
from typing import Any, NamedTuple

import numpy as np

from xinit import record, verdict
from xinit.config import Config, as_yaml
from xinit.console import Reporter, error_line
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
    return Outcome(config, path, *_compute(config, path, reporter))


def _compute(config: Config, path: pathlib.Path, reporter: Reporter) -> tuple:
    from xinit.backend import use_compilation_cache  # jax and what needs it: a second, not paid by a run that is done
    from xinit.build import begin, plan
    from xinit.supervisor import Supervisor

    started = time.perf_counter()
    use_compilation_cache()
    planned = plan(config)
    directory = record.RunDirectory(path)
    directory.claim(as_yaml(config), config.force)
    try:
        return Supervisor(config, directory, begin(config, planned), reporter, started).supervise()
    except Exception as error:
        _try_status(directory, "failed", reason=f"{type(error).__name__}: {error}")
        raise
    finally:
        reporter.stop()
        directory.release()


def source_of(fn: str) -> str:
    """The source of a user's module "module:function", so that an edited function is another run; "" for ours."""
    module = fn.partition(":")[0] if ":" in fn else ""
    if not module:
        return ""
    if "" not in sys.path and str(pathlib.Path.cwd()) not in sys.path:
        sys.path.insert(0, "")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise InputError(
            f"scheme.fn is {fn!r}; there is no module {module!r}. It must be module:function, with the module "
            "importable from the current folder."
        )
    file = pathlib.Path(spec.origin or "")
    return file.read_text() if file.suffix == ".py" and file.exists() else ""


def _already(config: Config, path: pathlib.Path, reporter: Reporter) -> Outcome:
    """The outcome of a finished run, judged by today's thresholds."""
    summary = record.read_json(path / "summary.json")
    readings = record.read_readings(path / "readings.nc")
    findings = verdict.judge(readings, summary, dataclasses.asdict(config.verdict))
    summary["verdict"] = verdict.sentence(findings)
    reporter.note(f"this run is done already; force=true runs it anew. {error_line(summary)}")
    reporter.result(str(path), summary, {name: values[-1] for name, values in readings.items()})
    if config.keep_params and not (path / "params").exists():
        reporter.note("its weights were not kept; force=true keep_params=true runs it anew and keeps them.")
    return Outcome(config, path, summary, findings, readings)


def _try_status(directory: record.RunDirectory, state: str, **more: Any) -> None:
    """Write the status where that is still possible: the folder may be why we stop."""
    try:
        directory.write_status(state, **more)
    except InputError:
        return
