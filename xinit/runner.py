"""Runs, from their configs to their folders: done already, or grouped by program, planned, trained and let go."""

import contextlib
import dataclasses
import gc
import pathlib
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from xinit import hosts, interrupts, record, verdict
from xinit.config import Config, as_yaml
from xinit.custom import source_of
from xinit.errors import InputError
from xinit.grouping import by_program
from xinit.outcomes import Outcome
from xinit.reporting import Reporter, SweepReporter
from xinit.run_directory import RunDirectory, drop_unless_needed
from xinit.trackers.following import Followers


def execute(config: Config, reporter: Reporter) -> Outcome:
    """Compute a run, go on with one that was cut, or return one that is done.

    Raises:
      InputError: bad input, a folder that cannot be written, a run held by another process.
    """
    path = _path(config)
    if not config.force and record.is_finished(path):
        return _already(config, path, reporter)
    return _compute([[path]], {path: config}, reporter, raising=True)[path]


def execute_all(configs: Sequence[Config], reporter: SweepReporter) -> list[Outcome]:
    """Compute the runs of a sweep, those that share a program as one population, and leave what is done.

    A run that crashes is marked, its traceback printed, and the others go on. With several processes
    (`jax.distributed`) each computes its share, and all return the outcomes of all.

    Raises:
      InputError: as `execute`; every config is checked before any work is done.
    """
    paths = [_path(config) for config in configs]
    jobs = dict(zip(paths, configs, strict=True))  # equal jobs are one run
    token = hosts.agree_on_token()
    groups = by_program(list(jobs.values()))
    mine = [hosts.share([list(jobs)[i] for i in group]) for group in groups]
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


def _path(config: Config) -> pathlib.Path:
    hashed = record.run_hash(config.identity(), source_of("scheme.fn", config.scheme.fn))
    return pathlib.Path(config.out) / config.name / hashed


def _compute(
    todo: list[list[pathlib.Path]], jobs: dict[pathlib.Path, Config], reporter: Reporter, *, raising: bool
) -> dict[pathlib.Path, Outcome]:
    """The outcomes of the runs to do; all groups are planned, and so checked, before the first begins.

    A crash is raised where `raising` says so; otherwise its traceback is printed and the next group goes on.
    """
    import jax  # it and what needs it take a second, which is not paid by what is done

    from xinit.backend import use_compilation_cache
    from xinit.build import plan
    from xinit.population import weight_bytes

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


class Group:
    """The runs that share a program, trained in chunks that fit the memory."""

    def __init__(
        self, planned: Any, paths: Sequence[pathlib.Path], reporter: Reporter, followers: Followers, *, raising: bool
    ) -> None:
        from xinit.build import load

        self.planned, self.paths, self.reporter, self.followers = planned, paths, reporter, followers
        self.raising = raising
        self.data = load(planned)
        self.populations: dict[tuple, Any] = {}
        self.outcomes: dict[pathlib.Path, Outcome] = {}

    def train(self) -> dict[pathlib.Path, Outcome]:
        """Train all chunks; one that is too large for the memory is halved, and so are those after it."""
        most = self._chunk_size()
        queue = list(self._chunks(range(len(self.paths)), most))
        while queue:
            chunk = queue.pop(0)
            if not self._train_or_run_out(chunk):
                most = -(-len(chunk) // 2)
                self.reporter.note(f"out of memory with {len(chunk)} runs at once; going on with {most}.")
                self.populations.clear()
                gc.collect()
                queue = list(self._chunks([i for part in (chunk, *queue) for i in part], most))
        return self.outcomes

    def _chunk_size(self) -> int:
        from xinit import backend, population

        config, problem = self.planned.configs[0], self.planned.problem
        strategy = population.choose_strategy(config.population.strategy, problem, len(self.paths))
        footprint = population.replica_bytes(problem, self.planned.hypers[0], strategy)
        memory = backend.device_memory(strategy.devices[0])
        fits = population.chunk_size(strategy, footprint, memory)
        return config.population.chunk or fits

    def _chunks(self, indices: Sequence[int], most: int) -> Iterator[list[int]]:
        """Parts of at most `most` runs, as equal as can be, that go on from one checkpoint or begin anew."""
        origins: dict[Any, list[int]] = {}
        for i in indices:
            folder = RunDirectory(self.paths[i]).to_resume_from(self.planned.configs[i].force)
            origins.setdefault(folder, []).append(i)
        for members in origins.values():
            parts = -(-len(members) // most)
            size = -(-len(members) // parts)
            yield from (members[k : k + size] for k in range(0, len(members), size))

    def _train_or_run_out(self, chunk: Sequence[int]) -> bool:
        """Train a chunk; False where the memory did not hold it."""
        from xinit.supervisor import Member

        members = [Member(i, self.planned.configs[i], RunDirectory(self.paths[i])) for i in chunk]
        try:
            for member in members:
                member.directory.claim()
            return self._attempt([member for member in members if self._begin(member)])
        finally:
            for member in members:
                member.directory.release()

    def _begin(self, member: Any) -> bool:
        """Begin the run of a folder that is held; False where another process finished it since we looked."""
        if not member.config.force and record.is_finished(member.directory.path):
            self.outcomes[member.directory.path] = _already(member.config, member.directory.path, self.reporter)
            return False
        if not member.config.force and (complaint := record.damage(member.directory.path)):
            self.reporter.note(f"{complaint} The run is computed again, or goes on, and writes it anew.")
        member.directory.begin(as_yaml(member.config), member.config.force)
        return True

    def _attempt(self, members: Sequence[Any]) -> bool:
        """Train runs that have begun and note how it ended; False where the memory did not hold them."""
        try:
            if members:
                with interrupts.leaving(lambda: self._leave(members)):
                    self._train_chunk(members)
        except (KeyboardInterrupt, InputError) as error:
            self._mark(members, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed", str(error))
            raise
        except Exception as error:
            if len(members) > 1 and _out_of_memory(error):
                return False
            self._mark(members, "failed", f"{type(error).__name__}: {error}")
            if self.raising:
                raise
            traceback.print_exc()
        finally:
            self.reporter.stop()
        return True

    def _leave(self, members: Sequence[Any]) -> None:
        """What is left to do where ctrl-c stops a run at once."""
        self._mark(members, "interrupted", "")
        self.reporter.stop()

    def _train_chunk(self, members: Sequence[Any]) -> None:
        from xinit.build import begin
        from xinit.population import weight_bytes
        from xinit.supervisor import Supervisor

        started = time.perf_counter()
        self.reporter.log_to(*(member.directory.path / "log.txt" for member in members))
        population, words = self._population([member.config.data_seed for member in members])
        self.reporter.enter([member.hash for member in members], words, weight_bytes(self.planned.problem))
        runs = (begin(self.planned, member.i, self.data) for member in members)
        results = Supervisor(members, runs, population, self.reporter, self.followers, started).supervise()
        for member, result in zip(members, results, strict=True):
            state = member.directory.status()["state"]
            self.outcomes[member.directory.path] = Outcome(member.config, member.directory.path, state, *result)
        for path in self.paths:
            RunDirectory(path).drop_checkpoints()
        for folder in {member.directory.checkpoint for member in members} - {None}:
            drop_unless_needed(folder)

    def _population(self, data_seeds: Sequence[int]) -> tuple[Any, str]:
        """The compiled programs for so many replicas, and words for how they are laid out."""
        from xinit.population import Population, choose_strategy, stream_count

        asked, n = self.planned.configs[0].population.strategy, len(data_seeds)
        strategy = choose_strategy(asked, self.planned.problem, n)
        n_streams = stream_count(data_seeds, len(strategy.devices))
        if (n, n_streams) not in self.populations:
            self.populations[n, n_streams] = Population(self.planned.problem, self.data, strategy, n, n_streams)
        devices = f"{len(strategy.devices)} device" + "s" * (len(strategy.devices) > 1)
        return self.populations[n, n_streams], f"{n} runs at once, {strategy.name} on {devices}: {strategy.why}"

    def _mark(self, members: Sequence[Any], state: str, reason: str) -> None:
        """Write the status of runs that are not over, where that is still possible: the folder may be why we stop."""
        for member in members:
            if member.directory.status().get("state") == "running":
                with contextlib.suppress(InputError):
                    member.directory.write_status(state, reason=reason)
                outcome = Outcome(member.config, member.directory.path, state, {}, [], {})
                self.outcomes[member.directory.path] = outcome


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def from_disk(config: Config) -> Outcome:
    """The outcome that a run's folder holds, judged by today's thresholds."""
    path = _path(config)
    state = RunDirectory(path).status().get("state", "not begun")
    stored = record.finished(path)
    if stored is None:
        return Outcome(config, path, state, {}, [], {})
    summary, readings = stored.summary, stored.readings()
    findings = verdict.judge(readings, summary, dataclasses.asdict(config.verdict))
    summary["verdict"] = verdict.sentence(findings, summary.get("remedy"))
    return Outcome(config, path, state, summary, findings, readings)


def _already(config: Config, path: pathlib.Path, reporter: Reporter) -> Outcome:
    """The outcome of a finished run, and a word that it was done before."""
    outcome = from_disk(config)
    RunDirectory(path).drop_checkpoints()  # as in `execute_all`
    untracked = "" if config.tracker.fn == "none" else " and is not tracked again"
    reporter.note(f"this run is done already{untracked}; force=true runs it anew.")
    last = {name: values[-1] for name, values in outcome.readings.items() if len(values)}
    reporter.result(path, outcome.summary, last)
    if config.keep_params and not (path / "params").exists():
        reporter.note("its weights were not kept; force=true keep_params=true runs it anew and keeps them.")
    return outcome
