"""Hydra's launcher for sweeps: jobs that share a program train as one population.

Every job keeps its own run directory and return value, so any sweeper works with it. The groups of a sweep can be
handed to another launcher: `'+hydra/launcher@hydra.launcher.inner=basic'` (or joblib, submitit_slurm, ray ...) makes
each group one job of that launcher, whose config is that of the group's first member with `members`, a JSON list of
what the others have instead.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from xinit import cli
from xinit.errors import InputError

if TYPE_CHECKING:
    from xinit.runner import Outcome

SHOWN = 5  # mistakes of a sweep that are listed


class PopulationLauncher(Launcher):
    """Runs a sweep's jobs in groups that share a program, here or through the launcher `inner`."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner

    def setup(self, *, hydra_context: Any, task_function: Callable, config: Any) -> None:
        """What Hydra tells a launcher before `launch`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what each returns.

        Raises:
          InputError: a job is wrong; all are checked before the first begins.
        """
        overrides = [cli.normalise(job) for job in job_overrides]
        with cli.said_in_our_words():
            raws = cli.compose_all(overrides, self._compose)
        outcomes = run_all(raws) if self.inner is None else self._hand_over(overrides, raws, initial_job_idx)
        conclude(outcomes)
        return [_returned(job, outcome) for job, outcome in zip(job_overrides, outcomes, strict=True)]

    def _compose(self, choices: Sequence[str]) -> Any:
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(choices))

    def _hand_over(self, overrides: Sequence[Sequence[str]], raws: Sequence[Mapping], first_index: int) -> list:
        """The outcomes of jobs that another launcher ran, a group to a job of its."""
        from xinit import runner

        configs = parse_all(raws)
        groups: dict[str, list[int]] = {}
        for i, config in enumerate(configs):
            groups.setdefault(config.program(), []).append(i)
        jobs = [self._group_job(overrides, raws, group) for group in groups.values()]
        returned = self._inner_launcher().launch(jobs, first_index)
        for job in returned:
            _ = job.return_value  # raises what the job raised
        return [runner.from_disk(config) for config in configs]

    def _group_job(self, overrides: Sequence[Sequence[str]], raws: Sequence[Mapping], group: list[int]) -> list[str]:
        first = raws[group[0]]
        differing = [{key: value for key, value in raws[i].items() if value != first[key]} for i in group]
        return [*overrides[group[0]], *cli.normalise(cli.overrides_from({"members": json.dumps(differing)}))]

    def _inner_launcher(self) -> Launcher:
        from hydra.core.plugins import Plugins
        from omegaconf import open_dict, read_write

        config = copy.deepcopy(self.config)
        with read_write(config), open_dict(config):
            config.hydra.launcher = self.inner
        return Plugins.instance().instantiate_launcher(self.hydra_context, self.task_function, config)


def parse_all(raws: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The checked configs of a sweep's jobs.

    Raises:
      InputError: some are wrong; the first few mistakes are named.
    """
    from xinit.config import parse

    configs, mistakes = [], {}
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


def run_all(raws: Sequence[Mapping[str, Any]]) -> "list[Outcome]":
    """Run the jobs of a sweep, or a group of them, in this process."""
    configs = parse_all(raws)
    from xinit.backend import use_a_cpu_device_for_each_core
    from xinit.console import SweepReporter
    from xinit.runner import execute_all

    use_a_cpu_device_for_each_core()
    return execute_all(configs, SweepReporter())


def run_members(raw: Mapping[str, Any], members: str) -> list[float | None]:
    """Run a group that was handed over, from its first member's config and what the others have instead."""
    return [returned(outcome) for outcome in run_all([{**raw, **own} for own in json.loads(members)])]


def conclude(outcomes: "Sequence[Outcome]") -> None:
    """Write and show what came of a sweep; with several processes the first does."""
    from xinit import hosts, sweeps
    from xinit.console import SweepReporter

    if hosts.index_and_count()[0] == 0:
        reporter, path = SweepReporter(), sweeps.write(outcomes)
        reporter.contrast(outcomes)
        reporter.note(f"sweep: {path}")


def returned(outcome: "Outcome") -> float | None:
    """What a job returns to a sweeper: the valid error, chance where there is none; None for one that is not over."""
    if not outcome.summary:
        return None
    error = outcome.summary["valid_error"]
    return outcome.summary["chance_error"] if error is None else error


def _returned(overrides: Sequence[str], outcome: "Outcome") -> JobReturn:
    failed = outcome.state == "failed"
    value = RuntimeError(f"The run {outcome.path} failed; see above.") if failed else returned(outcome)
    status = JobStatus.FAILED if failed else JobStatus.COMPLETED
    return JobReturn(overrides=list(overrides), status=status, _return_value=value)
