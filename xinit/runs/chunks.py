"""The runs of a sweep that share a program, in chunks that fit the memory; a chunk is claimed, trained and released."""

import contextlib
import gc
import pathlib
import time
import traceback
from collections.abc import Iterator, Sequence

from xinit.analysis.outcomes import Outcome
from xinit.core import backend, interrupts
from xinit.core.errors import InputError
from xinit.runs import record
from xinit.runs.finished import done_already
from xinit.runs.reporting import Reporter
from xinit.runs.results import Member
from xinit.runs.run_directory import RunDirectory, drop_unless_needed
from xinit.runs.supervisor import Supervisor
from xinit.runs.trackers.following import Followers
from xinit.settings.config import as_yaml
from xinit.training.population import Population, choose_strategy, chunk_size, replica_bytes, stream_count, weight_bytes
from xinit.training.problem import Plan, initial_run, load
from xinit.training.trainer import Trainer


class Group:
    """The runs that share a program, trained in chunks that fit the memory."""

    def __init__(
        self, planned: Plan, paths: Sequence[pathlib.Path], reporter: Reporter, followers: Followers, *, raising: bool
    ) -> None:
        self.planned, self.paths, self.reporter, self.followers = planned, paths, reporter, followers
        self.raising = raising
        self.data = load(planned)
        self.populations: dict[tuple[int, int], Population] = {}
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
        config, problem = self.planned.configs[0], self.planned.problem
        strategy = choose_strategy(config.population.strategy, problem, len(self.paths))
        footprint = replica_bytes(problem, self.planned.hypers[0], strategy)
        memory = backend.device_memory(strategy.devices[0])
        fits = chunk_size(strategy, footprint, memory)
        return config.population.chunk or fits

    def _chunks(self, indices: Sequence[int], most: int) -> Iterator[list[int]]:
        """Parts of at most `most` runs, as equal as can be, that go on from one checkpoint or begin anew."""
        origins: dict[pathlib.Path | None, list[int]] = {}
        for i in indices:
            folder = RunDirectory(self.paths[i]).to_resume_from(self.planned.configs[i].force)
            origins.setdefault(folder, []).append(i)
        for members in origins.values():
            parts = -(-len(members) // most)
            size = -(-len(members) // parts)
            yield from (members[k : k + size] for k in range(0, len(members), size))

    def _train_or_run_out(self, chunk: Sequence[int]) -> bool:
        """Train a chunk; False where the memory did not hold it."""
        members = [Member(i, self.planned.configs[i], RunDirectory(self.paths[i])) for i in chunk]
        try:
            for member in members:
                member.directory.claim()
            return self._attempt([member for member in members if self._begin(member)])
        finally:
            for member in members:
                member.directory.release()

    def _begin(self, member: Member) -> bool:
        """Begin the run of a folder that is held; False where another process finished it since we looked."""
        if not member.config.force and record.is_finished(member.directory.path):
            self.outcomes[member.directory.path] = done_already(member.config, member.directory.path, self.reporter)
            return False
        if not member.config.force and (complaint := record.damage(member.directory.path)):
            self.reporter.note(f"{complaint} The run is computed again, or goes on, and writes it anew.")
        member.directory.begin(as_yaml(member.config), member.config.force)
        return True

    def _attempt(self, members: Sequence[Member]) -> bool:
        """Train runs that have begun and note how their training ended; False where the memory did not hold them."""
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

    def _leave(self, members: Sequence[Member]) -> None:
        """Mark the runs as interrupted: ctrl-c is about to end this process at once."""
        self._mark(members, "interrupted", "")
        self.reporter.stop()

    def _train_chunk(self, members: Sequence[Member]) -> None:
        started = time.perf_counter()
        self.reporter.log_to(*(member.directory.path / "log.txt" for member in members))
        population, layout = self._population([member.config.data_seed for member in members])
        self.reporter.enter([member.hash for member in members], layout, weight_bytes(self.planned.problem))
        compiling = time.perf_counter()
        trainer = Trainer(population, (initial_run(self.planned, member.i, self.data) for member in members))
        trainer.compile()
        clocks = {"started": started, "compile_s": time.perf_counter() - compiling}
        results = Supervisor(members, trainer, self.reporter, self.followers, **clocks).supervise()
        for member, result in zip(members, results, strict=True):
            state = member.directory.status()["state"]
            self.outcomes[member.directory.path] = Outcome(member.config, member.directory.path, state, *result)
        for path in self.paths:
            RunDirectory(path).drop_checkpoints()
        for folder in filter(None, {member.directory.checkpoint for member in members}):
            drop_unless_needed(folder)

    def _population(self, data_seeds: Sequence[int]) -> tuple[Population, str]:
        """The compiled programs for so many replicas, and words for how they are laid out."""
        asked, n = self.planned.configs[0].population.strategy, len(data_seeds)
        strategy = choose_strategy(asked, self.planned.problem, n)
        n_streams = stream_count(data_seeds, len(strategy.devices))
        if (n, n_streams) not in self.populations:
            self.populations[n, n_streams] = Population(self.planned.problem, self.data, strategy, n, n_streams)
        devices = f"{len(strategy.devices)} device" + "s" * (len(strategy.devices) > 1)
        return self.populations[n, n_streams], f"{n} runs at once, {strategy.name} on {devices}: {strategy.why}"

    def _mark(self, members: Sequence[Member], state: str, reason: str) -> None:
        """Write the status of runs that are not over, where that is still possible: the folder may be why we stop."""
        for member in members:
            if member.directory.status().get("state") == "running":
                with contextlib.suppress(InputError):
                    member.directory.write_status(state, reason=reason)
                outcome = Outcome(member.config, member.directory.path, state, {}, [], {})
                self.outcomes[member.directory.path] = outcome


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
