"""The host's side of one run: compile, resume, train from look to look, write what came of it."""

import contextlib
import dataclasses
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from xinit import checkpoints, plots, record, verdict
from xinit.backend import device_words, versions
from xinit.build import Run
from xinit.config import Config, as_yaml
from xinit.console import RateMeter, Reporter
from xinit.loop import make_program
from xinit.probes import edges_at_start, no_edges
from xinit.readings import EDGES

TICK_SECONDS = 0.5  # between two looks at the loss and moves of the bar
PAPER_EXAMPLES = 25_000_000  # where Figure 11 of Glorot & Bengio (2010) ends: 2.5 million updates of 10


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
    """The host's side of one run. It decides when to look; it never touches what is computed."""

    def __init__(self, config: Config, directory: record.RunDirectory, run: Run, reporter: Reporter, started: float):
        self.config, self.directory, self.run, self.reporter, self.started = config, directory, run, reporter, started
        self.meter = RateMeter()
        self.rows: list[dict[str, np.ndarray]] = []
        self.edges: dict[str, np.ndarray] = {}
        self.checkpoints = directory.path / "checkpoints"
        self.step = 0
        self.resumed_from: int | None = None

    def supervise(self) -> Result:
        """Compile, resume where possible, train, and write what came of it."""
        self._compile()
        self._resume()
        config = self.config
        end = min(config.steps, config.stop_after or config.steps)
        title = f"{config.name}: {config.steps:,} steps of {config.batch_size} on {self.device}"
        self.reporter.start(title, self.step, config.steps)
        with _asked_to_stop() as asked:
            diverged_between = self._train_until(end, asked)
            self.reporter.stop()
            if asked and diverged_between is None and self.step < end:
                self._save()
                self.directory.write_status("interrupted", step=self.step)
                self.reporter.note(f"interrupted at step {self.step:,}; the same command goes on from there.")
                raise KeyboardInterrupt
        if end < config.steps and diverged_between is None:
            return self._stopped()
        return self._finished(diverged_between)

    def _compile(self) -> None:
        """Compile the three programs ahead, so that the time of training is that of training."""

        started, run = time.perf_counter(), self.run
        program = make_program(run.problem)
        self.state = jax.jit(program.start)(run.params, run.hyper)
        edges = no_edges(len(run.problem.activations))
        stop, apart = np.int32(0), np.bool_(False)
        segment = jax.jit(program.segment, donate_argnums=0)
        self.segment = segment.lower(self.state, run.data_key, run.hyper, run.data, stop, apart).compile()
        self.measure = jax.jit(program.measure).lower(self.state, run.data, edges).compile()
        self.evaluate = jax.jit(program.evaluate).lower(self.state.params, run.data).compile()
        self.no_edges, self.device = edges, device_words()
        self.compile_s = time.perf_counter() - started

    def _resume(self) -> None:
        """Go on from the last good checkpoint, if there is one."""

        checkpoint = checkpoints.load(self.checkpoints, self.state)
        for complaint in checkpoint.complaints if checkpoint else []:
            self.reporter.note(complaint)
        if checkpoint is None or checkpoint.state is None:
            return
        readings = dict(checkpoint.readings)
        self.edges = {name: readings.pop(name) for name in EDGES if name in readings}
        n_rows = len(next(iter(readings.values()), []))
        self.rows = [{name: values[i] for name, values in readings.items()} for i in range(n_rows)]
        self.state, self.step = checkpoint.state, int(checkpoint.state.step)
        self.resumed_from = self.step
        self.reporter.note(f"going on from the checkpoint at step {self.step:,} of {self.config.steps:,}.")

    def _train_until(self, end: int, asked: list[int]) -> tuple[int, int] | None:
        """Train up to `end` or until asked to stop; the steps between which the loss stopped being finite, or None."""
        saved = time.perf_counter()
        for stop, probed in self._stops(end):
            if stop > self.step:
                began, self.step = self._advance(stop, probed)
                if not np.isfinite(float(self.state.loss_sum)):
                    return began, self.step
            if probed:
                self._probe()
            if time.perf_counter() - saved > self.config.checkpoint_every and self.step < end:
                self._save()
                saved = time.perf_counter()
            if asked:
                break
        return None

    def _stops(self, end: int) -> Iterator[tuple[int, bool]]:
        """The next step to stop at and whether it is a probe point; between these, looks every TICK_SECONDS."""
        done = self.rows[-1]["step"] if self.rows else -1
        for point in [point for point in self.run.problem.points if point > done]:
            while self.step < min(point, end):
                stop = min(point, end, self.step + self._tick())
                yield stop, stop == point
            if self.step < point:
                return
            if point == 0:
                yield 0, True

    def _tick(self) -> int:
        """Steps that take about TICK_SECONDS, in whole chunks of batches: a cut chunk is drawn twice."""
        chunk = self.run.problem.dataset.chunk_steps
        wanted = max(1, int(self.meter.rate * TICK_SECONDS)) if self.meter.steps >= 10 else 1
        return wanted // chunk * chunk - self.step % chunk if wanted > 2 * chunk else wanted

    def _advance(self, stop: int, probed: bool) -> tuple[int, int]:
        began, clock, run = self.step, time.perf_counter(), self.run
        self.state = self.segment(self.state, run.data_key, run.hyper, run.data, np.int32(stop), np.bool_(probed))
        self.state.step.block_until_ready()
        self.meter.add(stop - began, clock)
        self.reporter.advance(stop, self.meter.rate)
        return began, stop

    def _probe(self) -> None:

        first = not self.rows and self.run.problem.probe is not None
        if first:
            _, row = self.measure(self.state, self.run.data, self.no_edges)
            self.edges = edges_at_start(self.run.problem.activations, {k: np.asarray(v) for k, v in row.items()})
        self.state, row = self.measure(self.state, self.run.data, self.edges or self.no_edges)
        row = {name: np.asarray(value) for name, value in row.items()}
        self.rows.append({"step": np.int64(self.step), **row})
        left = (self.config.steps - self.step) / self.meter.rate if self.meter.steps else None
        self.reporter.probe(self.step, row, left)

    def _readings(self) -> dict[str, np.ndarray]:
        names = self.rows[0] if self.rows else {}
        return {name: np.stack([row[name] for row in self.rows]) for name in names} | self.edges

    def _save(self) -> None:
        """A checkpoint, and the readings so far for those who look at a run that goes on."""

        checkpoints.save(self.checkpoints, self.step, self.state, self._readings())
        self._write_readings()

    def _write_readings(self) -> None:
        attributes = {"name": self.config.name, "config": as_yaml(self.config)}
        self.directory.write_readings(self._readings(), attributes)

    def _stopped(self) -> Result:
        self._save()
        self.directory.write_status("stopped", step=self.step)
        path = self.directory.path
        self.reporter.note(f"stopped after {self.step:,} steps as asked; without stop_after it goes on. {path}")
        return Result({}, [], {})

    def _finished(self, diverged_between: tuple[int, int] | None) -> Result:

        config, path = self.config, self.directory.path
        errors = {name: float(value) for name, value in self.evaluate(self.state.params, self.run.data).items()}
        if diverged_between is None and not np.isfinite(errors["test_loss"]):
            diverged_between = (self.step - 1, self.step)
        self._write_readings()
        summary = self._summary(errors, diverged_between)
        findings = verdict.judge(self._readings(), summary, dataclasses.asdict(config.verdict))
        summary["verdict"] = verdict.sentence(findings)
        if config.keep_params:
            with record.writing(path):
                checkpoints.save_tree(path / "params", self.state.params)
        if config.figure and "act_std" in self._readings():
            with record.writing(path):
                plots.save_layers(path / "figures" / "layers.png", self._readings(), summary, config.name)
        self.directory.write_json("summary.json", summary)
        state, more = ("done", {}) if diverged_between is None else ("diverged", {"between": list(diverged_between)})
        self.directory.write_status(state, step=self.step, **more)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.reporter.result(str(path), summary, self.rows[-1] if self.rows else {})
        return Result(summary, findings, self._readings())

    def _summary(self, errors: Mapping[str, float], diverged_between: tuple[int, int] | None) -> dict[str, Any]:

        config = self.config
        examples = self.step * config.batch_size
        of_paper = config.data.kind == "shapeset"
        known = {name: value if np.isfinite(value) else None for name, value in errors.items()}
        if diverged_between is not None:
            known = dict.fromkeys(errors)
        return {
            **known,
            "chance_error": self.run.chance_error,
            "test_examples": len(self.run.data["test"].y),
            "verdict": "",
            "steps": self.step,
            "examples": examples,
            "paper_share": examples / PAPER_EXAMPLES if of_paper else None,
            "learning_rate": config.optimizer.learning_rate,
            "diverged_between": diverged_between,
            "steps_per_s": self.meter.rate if self.meter.steps else None,
            "compile_s": self.compile_s,
            "wall_s": time.perf_counter() - self.started,
            "resumed_from": self.resumed_from,
            "precision": config.precision,
            "device": self.device,
            "versions": versions(),
        }
