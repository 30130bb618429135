"""Runs from their configs to their outcomes: what is done is read, the rest is grouped by program and trained."""

import pathlib
from collections.abc import Sequence

from xinit.analysis.outcomes import Outcome
from xinit.runs import hosts, record
from xinit.runs.finished import done_already, from_disk
from xinit.runs.grouping import by_program
from xinit.runs.reporting import Reporter, SweepReporter
from xinit.runs.run_directory import RunDirectory, path_of
from xinit.runs.trackers.following import Followers, check_choice
from xinit.settings.config import Config


def execute(config: Config, reporter: Reporter) -> Outcome:
    """Compute a run, resume one that was interrupted, or return one that is done.

    Raises:
      InputError: bad input, a folder that cannot be written, a run held by another process.
    """
    check_choice(config.tracker)
    path = path_of(config)
    if not config.force and record.is_finished(path):
        return done_already(config, path, reporter)
    return _compute([[path]], {path: config}, reporter, raising=True)[path]


def execute_all(configs: Sequence[Config], reporter: SweepReporter) -> list[Outcome]:
    """Compute the runs of a sweep, those that share a program as one population, and leave what is done.

    A run that crashes is marked, its traceback printed, and the others go on. With several processes
    (`jax.distributed`) each computes its share, and all return the outcomes of all.

    Raises:
      InputError: as `execute`; every config is checked before any work is done.
    """
    for choice in {repr(config.tracker): config.tracker for config in configs}.values():
        check_choice(choice)
    paths = [path_of(config) for config in configs]
    jobs = dict(zip(paths, configs, strict=True))  # equal jobs are one run
    token = hosts.agree_on_token()
    ordered = list(jobs)
    groups = by_program([jobs[path] for path in ordered])
    mine = [hosts.share([ordered[i] for i in group]) for group in groups]
    done = {path for group in mine for path in group if not jobs[path].force and record.is_finished(path)}
    for path in done:
        RunDirectory(path).drop_checkpoints()  # which a process may have left that was killed at its very end
    todo = [left for group in mine if (left := [path for path in group if path not in done])]
    n_done = len(done)
    reporter.begin({path.name: config for path, config in jobs.items()}, n_done, len(todo))
    if n_done and configs[0].tracker.fn != "none":
        reporter.note("what is done already is not tracked again.")
    outcomes = _compute(todo, jobs, reporter, raising=False) if todo else {}
    hosts.wait_for_all(pathlib.Path(configs[0].out) / "sweeps", token)
    return [outcomes.get(path) or from_disk(jobs[path]) for path in paths]


def _compute(
    todo: list[list[pathlib.Path]], jobs: dict[pathlib.Path, Config], reporter: Reporter, *, raising: bool
) -> dict[pathlib.Path, Outcome]:
    """The outcomes of the runs to do; all groups are planned, and so checked, before the first begins.

    A crash is raised where `raising` says so; otherwise its traceback is printed and the next group goes on.
    """
    import jax  # it and what needs it take a second, which is not paid by what is done

    from xinit.core.backend import use_compilation_cache
    from xinit.runs.chunks import Group
    from xinit.training.population import weight_bytes
    from xinit.training.problem import plan

    use_compilation_cache()
    outcomes: dict[pathlib.Path, Outcome] = {}
    with jax.enable_x64(False):  # a run computes in 32 bits, whatever else the session does
        planned = [plan([jobs[path] for path in group]) for group in todo]
        work = (len(group.configs) * group.problem.steps * weight_bytes(group.problem) for group in planned)
        reporter.expect(sum(work))
        with Followers(reporter.note) as followers:
            for group, plan_of_group in zip(todo, planned, strict=True):
                outcomes |= Group(plan_of_group, group, reporter, followers, raising=raising).train()
    return outcomes
