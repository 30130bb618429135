"""Hydra's launcher for sweeps: jobs that share a program train as one population.

Every job keeps its own run directory and return value, so any sweeper works with it. The groups of a sweep can be
handed to another launcher, `inner` (`conf/hydra/launcher` holds some; `'+hydra/launcher@hydra.launcher.inner=basic'`
takes any): a group, or a part of it, becomes one job of that launcher, whose config is that of its first member with
`members`, which holds what the others have instead.
"""

import copy
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from xinit.analysis import sweeps
from xinit.analysis.outcomes import Outcome
from xinit.commands import handover, sweeping
from xinit.commands.job_callbacks import JobCallbacks
from xinit.core import files, interrupts
from xinit.core.errors import InputError
from xinit.runs import runner
from xinit.runs.run_directory import RunDirectory
from xinit.settings.compose import compose_all, normalise, overrides_from
from xinit.settings.config import Config
from xinit.settings.hydra_errors import translated_errors

RESULTS = "optimization_results.yaml"  # what Optuna's sweeper leaves


class PopulationLauncher(Launcher):
    """Runs a sweep's jobs in groups that share a program, here or through the launcher `inner`.

    Of a group that is handed over, at most `runs_per_job` runs make one job, which spreads them over `cores_per_job`
    cores; by default they are a whole group, and all cores that its process may use.
    """

    def __init__(
        self, inner: DictConfig | None = None, runs_per_job: int | None = None, cores_per_job: int | None = None
    ) -> None:
        self.inner, self.runs_per_job, self.cores_per_job = inner, runs_per_job, cores_per_job
        self.outcomes: dict[pathlib.Path, Outcome] = {}  # of all batches that the sweeper has launched
        self.aggregate: pathlib.Path | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra tells a launcher before `launch`.

        Raises:
          InputError: a setting that cannot be, or an inner launcher that is not installed.
        """
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        for name in ("runs_per_job", "cores_per_job"):
            _check(name, getattr(self, name), self.inner)
        self.engine = None if self.inner is None else self._inner_launcher()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what each returns.

        Raises:
          InputError: a job is wrong, and all are checked before the first begins; a worker refused one.
          RuntimeError: a worker crashed; the results of the others are kept and shown before.
        """
        overrides = [normalise(job) for job in job_overrides]
        raws = compose_jobs(self.hydra_context, self.config, overrides)
        configs = sweeping.parse_all(raws)
        folder = pathlib.Path(self.config.hydra.sweep.dir)
        with files.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)  # sweepers expect it of a launcher
        callbacks = JobCallbacks(self.hydra_context, self.config, self.task_function, overrides, initial_job_idx)
        callbacks.start()
        error = None
        with sweeping.begun([*(outcome.config for outcome in self.outcomes.values()), *configs]):
            if self.inner is None:
                outcomes = sweeping.run_all(configs)
            else:
                outcomes, error = self._hand_over(overrides, raws, configs, initial_job_idx)
        returns = [_returned(job, outcome) for job, outcome in zip(job_overrides, outcomes, strict=True)]
        callbacks.end(returns)
        if error is None or any(outcome.summary for outcome in outcomes):
            self._conclude(outcomes)
        if error is not None:
            raise error
        return returns

    def _hand_over(
        self, overrides: Sequence[Sequence[str]], raws: Sequence[Mapping], configs: Sequence[Config], first_index: int
    ) -> tuple[list[Outcome], Exception | None]:
        """The outcomes of jobs that another launcher ran, and what is to be raised for those that went wrong."""
        from xinit.commands.console import SweepReporter

        before = [runner.from_disk(config) for config in configs]
        jobs = handover.divide(before, self.runs_per_job)
        n_done = len(before) - sum(len(job.places) for job in jobs)
        done = f"; {n_done} are done already" if n_done else ""
        reporter = SweepReporter()
        reporter.note(f"{len(before)} runs, {len(jobs)} jobs for {self.engine.__class__.__name__}{done}")
        for job in jobs:
            reporter.note(f"{job.name}: {job.label}")
        returned = self._run_by_inner([self._inner_job(job, overrides, raws) for job in jobs], first_index)
        handover.wait_until_seen(jobs, returned, before)
        outcomes = [runner.from_disk(outcome.config) for outcome in before]
        return outcomes, handover.error_of(jobs, returned, outcomes)

    def _inner_job(self, job: handover.Job, overrides: Sequence[Sequence[str]], raws: Sequence[Mapping]) -> list[str]:
        """The overrides of a job for the inner launcher; Hydra's folder is absolute since a worker may be elsewhere."""
        folder = overrides_from({"hydra.sweep.dir": os.path.abspath(self.config.hydra.sweep.dir)})
        return [*overrides[job.places[0]], handover.pack(job, raws, self.cores_per_job), *folder]

    def _inner_launcher(self) -> Launcher:
        config = copy.deepcopy(self.config)
        with read_write(config), open_dict(config):
            config.hydra.launcher = self.inner
        unheard = HydraContext(self.hydra_context.config_loader, Callbacks())  # callbacks hear of jobs, not of groups
        return Plugins.instance().instantiate_launcher(unheard, self.task_function, config)

    def _run_by_inner(self, jobs: list[list[str]], first_index: int) -> list[JobReturn]:
        """What the inner launcher returns; its own failure counts as that of every job that is not done."""
        try:
            with interrupts.raised():
                return list(self.engine.launch(jobs, first_index)) if self.engine and jobs else []
        except Exception as error:  # it does not start, or a process of its died
            if not isinstance(error, BrokenExecutor) or len(jobs) == 1:
                return [JobReturn(status=JobStatus.FAILED, _return_value=error)] * len(jobs)
        half = len(jobs) // 2  # the process that died took those beside it along; in the end it will be alone
        parts = (jobs[:half], first_index), (jobs[half:], first_index + half)
        return [returned for part, first in parts for returned in self._run_by_inner(part, first)]

    def _conclude(self, outcomes: Sequence[Outcome]) -> None:
        """Show what came of a batch; the aggregate of all batches so far takes the place of the one before."""
        batch = {outcome.path: outcome for outcome in outcomes}  # equal jobs are one run
        self.outcomes |= batch
        every = list(self.outcomes.values())
        # One that is there is a sweep of its own, that somebody ran before: not ours to replace later.
        known = (sweeps.folder(every) / "sweep.json").exists()
        path = sweeping.conclude(list(batch.values()), every)
        if path != self.aggregate:
            if self.aggregate is not None:
                sweeps.remove(self.aggregate)
            self.aggregate = None if known else path

    def conclude_study(self) -> None:
        """Say which run of all batches was best; Optuna's own results are laid beside their aggregate."""
        from xinit.commands.console import SweepReporter

        every, reporter = list(self.outcomes.values()), SweepReporter()
        results = sweeps.folder(every) / RESULTS
        with files.writing(results.parent):
            shutil.move(pathlib.Path(self.config.hydra.sweep.dir, RESULTS), results)
        reporter.note(f"Optuna's results: {results}")
        reporter.note(sweeping.best(every))


class OthersLauncher:
    """A launcher of somebody else's, which runs every job on its own; their table is shown at the sweep's end."""

    def __init__(self, launcher: Launcher, hydra_context: HydraContext, config: DictConfig) -> None:
        self.launcher, self.hydra_context, self.config = launcher, hydra_context, config
        self.configs: list[Config] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what each returns.

        Raises:
          InputError: a job is wrong, and all are checked before the first begins.
        """
        overrides = [normalise(job) for job in job_overrides]
        self.configs += sweeping.parse_all(compose_jobs(self.hydra_context, self.config, overrides))
        with sweeping.begun(self.configs):
            return self.launcher.launch(overrides, initial_job_idx=initial_job_idx)

    def conclude(self) -> None:
        """Show what came of the jobs, and write their aggregate: from their folders, since they ran anywhere."""
        outcomes = {outcome.path: outcome for outcome in map(runner.from_disk, self.configs)}.values()
        if over := [outcome for outcome in outcomes if outcome.summary]:
            sweeping.conclude(over)


def _check(name: str, value: int | None, inner: DictConfig | None) -> None:
    if value is not None and value < 1:
        raise InputError(f"hydra.launcher.{name} is {value}; it must be a whole number, at least 1, or null.")
    if value is not None and inner is None:
        raise InputError(
            f"hydra.launcher.{name} is {value} and there is no other launcher that runs jobs; "
            "name one, as in hydra/launcher=population_joblib."
        )


def compose_jobs(context: HydraContext, config: DictConfig, jobs: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """The resolved containers of a sweep's jobs, given by their overrides.

    Raises:
      InputError: Hydra refuses an override.
    """
    with translated_errors():
        return compose_all(jobs, lambda choices: context.config_loader.load_sweep_config(config, list(choices)))


def _returned(overrides: Sequence[str], outcome: Outcome) -> JobReturn:
    failed = outcome.state == "failed"
    value = RuntimeError(_failure(outcome)) if failed else sweeping.objective(outcome)
    status = JobStatus.FAILED if failed else JobStatus.COMPLETED
    return JobReturn(overrides=list(overrides), status=status, _return_value=value)


def _failure(outcome: Outcome) -> str:
    reason = RunDirectory(outcome.path).status().get("reason")
    return f"The run {outcome.path} failed: {reason}"
