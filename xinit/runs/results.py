"""What a finished run writes into its folder: summary and verdict, and weights and figure where they are asked for."""

import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from xinit.analysis import verdict
from xinit.analysis.figures import run as run_figures
from xinit.core import files
from xinit.core.backend import versions
from xinit.core.extra import NOTHING, Extra
from xinit.core.readings import ERROR_IS
from xinit.runs import checkpoints
from xinit.runs.run_directory import RunDirectory
from xinit.settings.config import Config, as_yaml
from xinit.settings.thresholds import learning_scale
from xinit.training.expectations import Expectations
from xinit.training.places import about
from xinit.training.problem import chance_error
from xinit.training.trainer import Trainer


@dataclass(frozen=True)
class Member:
    """One run of a population: its place in the plan, its config and its folder."""

    i: int
    config: Config
    directory: RunDirectory

    @property
    def hash(self) -> str:
        """What names its folder, and its place in a checkpoint."""
        return self.directory.path.name


class Result(NamedTuple):
    """What came of a run; all empty for one that was stopped before its end."""

    summary: dict[str, Any]
    findings: list[verdict.Finding]
    readings: dict[str, np.ndarray]
    extra: Extra = NOTHING


class Course(NamedTuple):
    """How long a population took; `steps_per_s` of one replica, `started` the clock when its training began."""

    steps_per_s: float | None
    compile_s: float
    started: float
    resumed_from: int | None
    device: str


def conclude(
    members: Sequence[Member],
    trainer: Trainer,
    course: Course,
    readings_of: Callable[[int], dict[str, np.ndarray]],
    expected: Expectations,
) -> Iterator[tuple[Member, Result]]:
    """Evaluate members at their last step and write the results of each into its folder; yields one after the other."""
    errors, diverged_at = trainer.evaluate(), trainer.diverged_at()
    data = trainer.population.data
    known = {
        "chance_error": chance_error(trainer.problem.dataset, data),
        "error_is": ERROR_IS[trainer.problem.dataset.targets],
        "test_examples": len(data["test"].y),
        "replicas": len(members),
        "about": about(trainer.problem.network),
    }
    for r, member in enumerate(members):
        member_errors = {name: float(values[r]) for name, values in errors.items()}
        finite = None if np.isfinite(member_errors["test_loss"]) else trainer.step
        summary = _summary(member, course, known, member_errors, int(diverged_at[r]) or finite, trainer.step)
        if member.config.keep_params:
            with files.writing(member.directory.path):
                _keep(member.directory.path, trainer, r)
        yield member, _write(member, summary, readings_of(r), trainer.problem.extra, expected)


def _keep(folder: pathlib.Path, trainer: Trainer, r: int) -> None:
    """The last weights of a replica in the folder `params`, and in `state` what else its network needs, if it does."""
    if state := trainer.network_state_of(r):
        checkpoints.save_tree(folder / "state", jax.tree.map(np.asarray, state))
    checkpoints.save_tree(folder / "params", jax.tree.map(np.asarray, trainer.params_of(r)))


def _summary(
    member: Member,
    course: Course,
    known: Mapping[str, Any],
    errors: Mapping[str, float],
    diverged_at: int | None,
    step: int,
) -> dict[str, Any]:
    """The summary of a run that is over, its verdict still empty; a run that diverged has no errors."""
    config = member.config
    steps = diverged_at or step
    examples = steps * config.batch_size
    return {
        **{name: value if diverged_at is None else None for name, value in errors.items()},
        "chance_error": known["chance_error"],
        "error_is": known["error_is"],
        "test_examples": known["test_examples"],
        "verdict": "",
        "steps": steps,
        "examples": examples,
        "paper_share": examples / published if (published := config.data.published_examples) else None,
        "learning_rate": config.optimizer.learning_rate,
        "schedule": config.schedule.fn,
        **learning_scale(config),
        "diverged_at": diverged_at,
        "run": member.hash,
        "replicas": known["replicas"],
        "steps_per_s": course.steps_per_s and course.steps_per_s * known["replicas"],
        "compile_s": course.compile_s,
        "wall_s": time.perf_counter() - course.started,
        "resumed_from": course.resumed_from,
        "precision": config.precision,
        "prng": config.prng,
        "device": course.device,
        "versions": versions(),
        **known["about"],
    }


def _write(
    member: Member, summary: dict[str, Any], readings: dict[str, np.ndarray], extra: Extra, expected: Expectations
) -> Result:
    """Judge a finished run and write everything that it leaves in its folder, the status last."""
    config, directory = member.config, member.directory
    write_readings(member, readings, extra)
    findings = verdict.judge(readings, summary, config.verdict)
    summary["remedy"] = expected.remedy(config) if verdict.calls_for_remedy(findings) else None
    summary["verdict"] = verdict.sentence(findings, summary["remedy"])
    drawn = summary["replicas"] == 1 if config.figure is None else config.figure
    if drawn and "act_std" in readings:
        with files.writing(directory.path):
            run_figures.save_layers(directory.path / "figures" / "layers.png", readings, summary, config.name)
    directory.write_json("summary.json", summary)
    directory.write_status("diverged" if summary["diverged_at"] else "done", step=summary["steps"])
    return Result(summary, findings, readings, extra)


def write_readings(member: Member, readings: Mapping[str, np.ndarray], extra: Extra) -> None:
    """The readings of a run, or those so far, into its folder; `extra` describes those of the user's."""
    attributes = {"name": member.config.name, "config": as_yaml(member.config)}
    member.directory.write_readings(readings, attributes, extra)
