"""A population in training: its states, and what trains, probes and evaluates them.

`Trainer` trains the runs of every command, and `train` is the same for one run from Python.
"""

from collections.abc import Iterable, Mapping

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int, PyTree

from xinit.networks.network import Params, State
from xinit.probes.edges import Edges, edges_at_start, no_edges
from xinit.training.loop import TrainState
from xinit.training.population import Population, Strategy, stream_count
from xinit.training.problem import Run


class Trainer:
    """The replicas of a population at step `step`, their states on the devices.

    `edges` of the histograms, with a leading axis of replicas, are decided at the first probe and kept from then on;
    empty before it, and where nothing is probed.
    """

    def __init__(self, population: Population, runs: Iterable[Run]) -> None:
        """Draw the initial weights; each of the runs is asked for once, since copies of all weights count."""
        self.population, self.problem = population, population.problem
        drawn = [
            jax.tree.map(np.asarray, (run.params, run.state, run.hyper, jax.random.key_data(run.data_key)))
            for run in runs
        ]
        self._streams = population.streams([tuple(words.tolist()) for *_, words in drawn])
        *start, hyper, _ = jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)
        del drawn
        start, self._hyper = [population.place(tree) for tree in start], population.place(hyper)
        self.state: TrainState = population.start(*start, self._hyper)
        self.step = 0
        self.edges: dict[str, np.ndarray] = {}
        self._probed_at = 0
        network = self.problem.network
        n_layers, n_weights = len(network.layers), len(network.weights)
        empty = {name: np.stack([edges] * population.n) for name, edges in no_edges(n_layers, n_weights).items()}
        self._no_edges = population.place(empty)
        self._ratio = population.place(np.full((population.n, n_weights), np.nan, np.float32))

    def compile(self) -> None:
        """Compile all programs ahead, so that the time of training is that of training."""
        population, params = self.population, self.state.params
        population.segment.compile(*self._segment_arguments(0))
        population.copy.compile(params)
        population.update_ratio.compile(params, params)
        population.measure.compile(*self._measure_arguments(self._no_edges))
        population.evaluate.compile(params, self.state.state, population.data)

    def advance(self, stop: int, *, before_probe: bool = False) -> None:
        """Train to step `stop`; before a probe the last step runs on its own, for its `update_ratio`."""
        if before_probe:
            self._run_to(stop - 1)
            before = self.population.copy(self.state.params)
        self._run_to(stop)
        if before_probe:
            self._ratio = self.population.update_ratio(before, self.state.params)
        jax.block_until_ready(self.state)

    def _run_to(self, stop: int) -> None:
        if stop > self.step:
            self.state = self.population.segment(*self._segment_arguments(stop))
            self.step = stop

    def _segment_arguments(self, stop: int) -> tuple[PyTree[ArrayLike], ...]:
        return (self.state, *self._streams, self._hyper, self.population.data, np.int32(self.step), np.int32(stop))

    def probe(self) -> dict[str, Float[np.ndarray, "replica ..."]]:
        """The readings at this step, with a leading axis of replicas; running means begin anew."""
        population = self.population
        if not self.edges and self.problem.probe is not None:
            first = self._measure(self._no_edges)
            members = [{name: values[r] for name, values in first.items()} for r in range(population.n)]
            edges = [edges_at_start(self.problem.network.activations, member) for member in members]
            self.edges = {name: np.stack([own[name] for own in edges]) for name in edges[0]}
        row = self._measure(population.place(self.edges) if self.edges else self._no_edges)
        zeros = [population.place(np.zeros(population.n, np.float32)) for _ in range(2)]  # one each: states are donated
        self.state = self.state._replace(loss_sum=zeros[0], error_sum=zeros[1])
        self._probed_at = self.step
        return row

    def _measure(self, edges: Edges) -> dict[str, np.ndarray]:
        readings: dict[str, np.ndarray] = self.population.take(self.population.measure(*self._measure_arguments(edges)))
        return readings

    def _measure_arguments(self, edges: Edges) -> tuple[PyTree[ArrayLike], ...]:
        steps = np.float32(self.step - self._probed_at)
        return self.state, self.population.data, edges, steps, self._ratio

    def evaluate(self) -> dict[str, Float[np.ndarray, " replica"]]:
        """(replica,) loss and error on the whole valid and test sets."""
        scores: dict[str, np.ndarray] = self.population.take(
            self.population.evaluate(self.state.params, self.state.state, self.population.data)
        )
        return scores

    def diverged_at(self) -> Int[np.ndarray, " replica"]:
        """(replica,) the first step whose loss was not finite, 0 where there is none."""
        steps: np.ndarray = self.population.take(self.state.diverged_at)
        return steps

    def state_of_members(self) -> TrainState:
        """The state as NumPy arrays, with a leading axis of replicas: what a checkpoint holds."""
        state: TrainState = self.population.take(self.state)
        return state

    def params_of(self, r: int) -> Params:
        """The weights of the r-th replica."""
        params: Params = jax.tree.map(lambda a: a[r], self.state.params)
        return params

    def network_state_of(self, r: int) -> State:
        """What the r-th replica's network has changed beside its weights."""
        state: State = jax.tree.map(lambda a: a[r], self.state.state)
        return state

    def restore(
        self, state: TrainState, step: int, probed_at: int, edges: Mapping[str, Float[np.ndarray, "replica ..."]]
    ) -> None:
        """Go on from a state that `state_of_members` gave at `step`, last probed at `probed_at`."""
        self.state, self.step, self._probed_at = self.population.place(state), step, probed_at
        self.edges = dict(edges)


def train(run: Run) -> tuple[TrainState, dict[str, Float[np.ndarray, "step ..."]]]:
    """Train one run from Python, without files: its last state, and its readings with a leading axis probe point."""
    strategy = Strategy("sequential", tuple(jax.local_devices()[:1]), "one run")
    trainer = Trainer(Population(run.problem, run.data, strategy, 1, stream_count([0], 1)), [run])
    rows = []
    for point in run.problem.points:
        if point:
            trainer.advance(point, before_probe=True)
        rows.append(trainer.probe())
    readings = {name: np.stack([row[name][0] for row in rows]) for name in rows[0]}
    return jax.tree.map(lambda a: a[0], trainer.state_of_members()), readings
