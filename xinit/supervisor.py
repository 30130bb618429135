"""The host's side of a population of runs: compile, resume, train from look to look, write what came of each.

A run on its own is a population of one.
"""

import contextlib
import dataclasses
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from xinit import checkpoints, folders, inspection, plots, record, verdict
from xinit.backend import device_words, versions
from xinit.build import Run, chance_error
from xinit.config import Config, as_yaml
from xinit.console import RateMeter
from xinit.population import Population
from xinit.probes import edges_at_start, no_edges
from xinit.readings import EDGES
from xinit.reporting import Reporter
from xinit.run_directory import RunDirectory, drop_unless_needed
from xinit.theory.advice import Candidate
from xinit.trackers import TrackedRun
from xinit.trackers.following import Followers

TICK_SECONDS = 0.5  # between two looks at the loss and moves of the bar
MEASURED_ANEW = 8  # networks of the weights that a remedy would name
PREDICTING = ("standard", "full")  # tiers that are worth the second or so of a prediction
PAPER_EXAMPLES = 25_000_000  # where Figure 11 of Glorot & Bengio (2010) ends: 2.5 million updates of 10


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


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that ctrl-c or a scheduler's SIGTERM adds to, so that a run stops between two writes; the second one
    stops it at once."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Supervisor:
    """The host's side of one population. It decides when to look; it never touches what is computed."""

    def __init__(
        self,
        members: Sequence[Member],
        runs: Iterable[Run],
        population: Population,
        reporter: Reporter,
        followers: Followers,
        started: float,
    ) -> None:
        self.members, self.population, self.reporter, self.started = members, population, reporter, started
        self.followers = followers
        self.config = members[0].config  # for what all members share
        self.problem = population.problem
        self.meter = RateMeter()
        self.rows: list[dict[str, np.ndarray]] = []  # one a probe point; but for the step, with a replica axis
        self.edges: dict[str, np.ndarray] = {}
        self.predictions: dict[str, dict[str, np.ndarray]] = {}  # by scheme
        name = folders.name_of_members(member.hash for member in members)
        self.checkpoints = members[0].directory.path / "checkpoints" / name
        self.step = 0
        self.resumed_from: int | None = None
        self._compile(runs)

    def supervise(self) -> list[Result]:
        """Resume where possible, train, and write what came of each member."""
        self._resume()
        self._follow()
        config = self.config
        end = min(config.steps, config.stop_after or config.steps)
        self.reporter.start(config, self.step, self.device)
        with _asked_to_stop() as asked:
            self._train_until(end, asked)
            self.reporter.stop()
            if asked and not self._all_diverged() and self.step < end:
                self._pause("interrupted")
                self.reporter.note(f"interrupted at step {self.step:,}; the same command goes on from there.")
                raise KeyboardInterrupt
        if end < config.steps and not self._all_diverged():
            self._pause("stopped")
            where = "" if len(self.members) > 1 else f" {self.members[0].directory.path}"
            self.reporter.note(f"stopped after {self.step:,} steps as asked; without stop_after it goes on.{where}")
            return [Result({}, [], {}) for _ in self.members]
        return self._finished()

    def _compile(self, runs: Iterable[Run]) -> None:
        """Draw the initial weights and compile the programs ahead, so that the time of training is that of training."""
        started, population = time.perf_counter(), self.population
        as_numpy = lambda tree: jax.tree.map(np.asarray, tree)
        drawn = [(as_numpy((run.params, run.hyper)), jax.random.key_data(run.data_key).tolist()) for run in runs]
        self.streams = population.streams([tuple(words) for _, words in drawn])
        params, hyper = jax.tree.map(lambda *leaves: np.stack(leaves), *(arrays for arrays, _ in drawn))
        del drawn  # each copy of the weights of all members counts
        params, self.hyper = population.place(params), population.place(hyper)
        self.state = population.start(params, self.hyper)
        n_layers = len(self.problem.activations)
        empty = {name: np.stack([edges] * population.n) for name, edges in no_edges(n_layers).items()}
        self.no_edges = population.place(empty)
        self.ratio = population.place(np.full((population.n, n_layers + 1), np.nan, np.float32))
        population.segment.compile(*self._segment_arguments(0, 0))
        population.copy.compile(self.state.params)
        population.update_ratio.compile(self.state.params, self.state.params)
        population.measure.compile(*self._measure_arguments(self.no_edges))
        population.evaluate.compile(self.state.params, population.data)
        self.device = device_words()
        self.compile_s = time.perf_counter() - started

    def _segment_arguments(self, start: int, stop: int) -> tuple:
        return (self.state, *self.streams, self.hyper, self.population.data, np.int32(start), np.int32(stop))

    def _measure_arguments(self, edges: Mapping[str, Any]) -> tuple:
        before = self.rows[-1]["step"] if self.rows else 0
        return self.state, self.population.data, edges, np.float32(self.step - before), self.ratio

    def _resume(self) -> None:
        """Go on from the last good checkpoint of all members, if there is one."""
        folder = self.members[0].directory.checkpoint
        if folder is None:
            return
        found = checkpoints.load(folder, [member.hash for member in self.members], self.population.take(self.state))
        for complaint in found.complaints:
            self.reporter.note(complaint)
        if found.state is None:
            return
        readings = dict(found.readings)
        self.edges = {name: readings.pop(name) for name in EDGES if name in readings}
        n_rows = len(next(iter(readings.values()), []))
        self.rows = [{name: values[i] for name, values in readings.items()} for i in range(n_rows)]
        self.state, self.step = self.population.place(found.state), found.step
        self.resumed_from = self.step
        self.reporter.note(f"going on from the checkpoint at step {self.step:,} of {self.config.steps:,}.")

    def _follow(self) -> None:
        """Begin to track the members, with the readings that a checkpoint restored."""
        for member in self.members:
            config = member.config
            run = TrackedRun(member.hash, config.name, member.directory.path, dataclasses.asdict(config))
            self.followers.begin(config.tracker, run)
        for row in self.rows:
            self._track(row)

    def _track(self, row: Mapping[str, np.ndarray]) -> None:
        """Send a probe point to the trackers of the members that had not diverged by then."""
        ends = self._diverged_at()
        sound = {m.hash: r for r, m in enumerate(self.members) if not ends[r] or row["step"] < ends[r]}
        self.followers.send(sound, row, self.edges)

    def _train_until(self, end: int, asked: list[int]) -> None:
        """Train up to `end`, until asked to stop or until the last member has diverged."""
        saved = time.perf_counter()
        for stop, probed in self._stops(end):
            if stop > self.step:
                self._advance(stop, probed)
                if self._all_diverged():
                    return
            if probed:
                self._probe()
            if time.perf_counter() - saved > self.config.checkpoint_every and self.step < end:
                self._save()
                saved = time.perf_counter()
            if asked:
                return

    def _stops(self, end: int) -> Iterator[tuple[int, bool]]:
        """The next step to stop at and whether it is a probe point; between these, looks every TICK_SECONDS."""
        done = self.rows[-1]["step"] if self.rows else -1
        for point in [point for point in self.problem.points if point > done]:
            while self.step < min(point, end):
                stop = min(point, end, self.step + self._tick())
                yield stop, stop == point
            if self.step < point:
                return
            if point == 0:
                yield 0, True

    def _tick(self) -> int:
        """Steps that take about TICK_SECONDS, to the end of a chunk of batches: a cut chunk is drawn twice."""
        chunk = self.problem.dataset.chunk_steps
        wanted = max(1, int(self.meter.rate * TICK_SECONDS)) if self.meter.steps >= 10 else 1
        return max(1, round((self.step + wanted) / chunk)) * chunk - self.step if wanted > chunk / 2 else wanted

    def _advance(self, stop: int, probed: bool) -> None:
        """Train to step `stop`; before a probe the last step runs on its own, for its `update_ratio`."""
        clock, began = time.perf_counter(), self.step
        if probed:
            self._run_to(stop - 1)
            before = self.population.copy(self.state.params)
        self._run_to(stop)
        if probed:
            self.ratio = self.population.update_ratio(before, self.state.params)
        jax.block_until_ready(self.state)
        self.meter.add(stop - began, clock)
        self.reporter.advance(stop, self.meter.rate)

    def _run_to(self, stop: int) -> None:
        if stop > self.step:
            self.state = self.population.segment(*self._segment_arguments(self.step, stop))
            self.step = stop

    def _diverged_at(self) -> np.ndarray:
        return self.population.take(self.state.diverged_at)

    def _all_diverged(self) -> bool:
        return bool(np.all(self._diverged_at() > 0))

    def _probe(self) -> None:
        population = self.population
        if not self.rows and self.problem.probe is not None:
            first = population.take(population.measure(*self._measure_arguments(self.no_edges)))
            of_member = lambda r: edges_at_start(self.problem.activations, {k: v[r] for k, v in first.items()})
            edges = [of_member(r) for r in range(population.n)]
            self.edges = {name: np.stack([own[name] for own in edges]) for name in edges[0]}
        edges = population.place(self.edges) if self.edges else self.no_edges
        row = population.take(population.measure(*self._measure_arguments(edges)))
        zero = lambda: population.place(np.zeros(population.n, np.float32))
        self.state = self.state._replace(loss_sum=zero(), error_sum=zero())
        self.rows.append({"step": np.int64(self.step), **row})
        self._track(self.rows[-1])
        left = (self.config.steps - self.step) / self.meter.rate if self.meter.steps else None
        self.reporter.probe(self.step, row, self._diverged_at() > 0, left)

    def _readings(self, r: int) -> dict[str, np.ndarray]:
        """A member's readings, up to the step at which it diverged."""
        end = self._diverged_at()[r] or self.step + 1
        rows = [row for row in self.rows if row["step"] < end]
        own = lambda row, name: row[name] if name == "step" else row[name][r]
        readings = {name: np.stack([own(row, name) for row in rows]) for name in (rows[0] if rows else {})}
        return readings | {name: edges[r] for name, edges in self.edges.items()} | self._expected | self._predicted(r)

    @functools.cached_property
    def _examples(self) -> tuple[np.ndarray, np.ndarray]:
        return inspection.examples(self.problem, self.population.data)

    @property
    def _gram(self) -> np.ndarray:
        return self._examples[0]

    @functools.cached_property
    def _expected(self) -> dict[str, np.ndarray]:
        """What theory expects of readings that the verdict looks at; the same for all members."""
        return inspection.expectations(self.problem, self._gram) if self.problem.probe else {}

    def _predicted(self, r: int) -> dict[str, np.ndarray]:
        """What theory predicts of a member's initial network; members that share a scheme share that."""
        scheme = self.members[r].config.scheme
        if self.config.probe.tier not in PREDICTING:
            return {}
        if (key := repr(scheme)) not in self.predictions:
            self.predictions[key] = inspection.predicted_readings(self.problem, scheme, *self._examples)
        return self.predictions[key]

    @functools.cached_property
    def _fault(self) -> Callable[[Candidate], str]:
        """What is wrong with networks of other weights; every one is measured once."""
        seeds = range(self.config.init_seed + 1, self.config.init_seed + 1 + MEASURED_ANEW)
        return functools.cache(functools.partial(inspection.fault_of, self.config, self.population.data, seeds))

    def _remedy(self, r: int) -> str:
        config = self.members[r].config
        laws = inspection.stated_laws(config.scheme, self.problem)
        return inspection.remedy_for(config, self.problem, self.population.data, laws, self._fault)

    def _save(self) -> None:
        """A checkpoint, and for those who look at a run that goes on, the readings so far."""
        names = self.rows[0] if self.rows else {}
        readings = {name: np.stack([row[name] for row in self.rows]) for name in names} | self.edges
        hashes = [member.hash for member in self.members]
        checkpoints.save(self.checkpoints, self.step, hashes, self.population.take(self.state), readings)
        left = {member.directory.checkpoint for member in self.members} - {None, self.checkpoints}
        for member in self.members:
            member.directory.point_to(self.checkpoints)
        for folder in left:
            drop_unless_needed(folder)
        if len(self.members) == 1:
            self._write_readings(0)

    def _write_readings(self, r: int) -> None:
        config = self.members[r].config
        attributes = {"name": config.name, "config": as_yaml(config)}
        self.members[r].directory.write_readings(self._readings(r), attributes)

    def _pause(self, state: str) -> None:
        """Stop in a state that the same command goes on from."""
        self._save()
        for r, member in enumerate(self.members):
            self._write_readings(r)
            member.directory.write_status(state, step=self.step)

    def _finished(self) -> list[Result]:
        errors = self.population.take(self.population.evaluate(self.state.params, self.population.data))
        chance = chance_error(self.problem.dataset, self.population.data)
        own = [{name: float(values[r]) for name, values in errors.items()} for r in range(len(self.members))]
        results = [self._write_result(r, self._summary(r, own[r], chance)) for r in range(len(self.members))]
        return results

    def _write_result(self, r: int, summary: dict[str, Any]) -> Result:
        """Everything a finished run leaves in its folder, the status last."""
        config, directory = self.members[r].config, self.members[r].directory
        path, readings = directory.path, self._readings(r)
        self._write_readings(r)
        findings = verdict.judge(readings, summary, dataclasses.asdict(config.verdict))
        summary["remedy"] = self._remedy(r) if verdict.calls_for_remedy(findings) else None
        summary["verdict"] = verdict.sentence(findings, summary["remedy"])
        if config.keep_params:
            params = jax.tree.map(lambda a: np.asarray(a[r]), self.state.params)
            with record.writing(path):
                checkpoints.save_tree(path / "params", params)
        drawn = len(self.members) == 1 if config.figure is None else config.figure
        if drawn and "act_std" in readings:
            with record.writing(path):
                plots.save_layers(path / "figures" / "layers.png", readings, summary, config.name)
        directory.write_json("summary.json", summary)
        diverged_at = summary["diverged_at"]
        directory.write_status("diverged" if diverged_at else "done", step=summary["steps"])
        self.followers.end(directory.path.name, summary)
        last = {name: values[-1] for name, values in readings.items() if len(values) and name not in EDGES}
        self.reporter.result(path, summary, last)
        return Result(summary, findings, readings)

    def _summary(self, r: int, errors: Mapping[str, float], chance: float) -> dict[str, Any]:
        config = self.members[r].config
        diverged_at = int(self._diverged_at()[r]) or (None if np.isfinite(errors["test_loss"]) else self.step)
        steps = diverged_at or self.step
        examples = steps * config.batch_size
        return {
            **{name: value if diverged_at is None else None for name, value in errors.items()},
            "chance_error": chance,
            "test_examples": len(self.population.data["test"].y),
            "verdict": "",
            "steps": steps,
            "examples": examples,
            "paper_share": examples / PAPER_EXAMPLES if config.data.kind == "shapeset" else None,
            "learning_rate": config.optimizer.learning_rate,
            "diverged_at": diverged_at,
            "run": self.members[r].hash,
            "replicas": len(self.members),
            "steps_per_s": self.meter.rate * len(self.members) if self.meter.steps else None,
            "compile_s": self.compile_s,
            "wall_s": time.perf_counter() - self.started,
            "resumed_from": self.resumed_from,
            "precision": config.precision,
            "prng": config.prng,
            "device": self.device,
            "versions": versions(),
        }
