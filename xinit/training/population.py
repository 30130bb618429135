"""Populations: the trainer's functions mapped over replicas, which share a program and differ in numbers.

Replicas are spread over devices, and on each device they run side by side (`vmap`: accelerators, whose batched matrix
products fill the chip) or in turn (`map`: CPUs, where XLA's batched product is slow and one replica's weights stay in
the cache of one core). No strategy changes what a replica computes. Nothing is exchanged between devices, so with
several processes each runs a population of its own share of the replicas, on its own devices.
"""

import os
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike
from jaxtyping import Float, Int, PyTree, UInt32

from xinit.core import prng
from xinit.core.convolutions import canonical
from xinit.data.dataset import Arrays, Chunk
from xinit.networks.network import Params
from xinit.networks.network import State as NetworkState
from xinit.probes.edges import Edges
from xinit.probes.probe import Readings
from xinit.schemes import Hyper
from xinit.training.loop import State, TrainState, for_each_chunk, make_program
from xinit.training.problem import Problem

Result = TypeVar("Result")
Key = Hashable  # of a stream of batches: the words of a data key, or a seed

AT_ONCE = 16  # replicas of a vmap population that are measured, or whose batches are drawn, together
LARGEST = {"vmap": 512, "map": 32, "sequential": 32}  # replicas a chunk: on a CPU more gain nothing
# XLA orders a step for concurrency, which keeps all weight gradients alive at once. Ordered to save memory they stay in
# the cache, and a step on a CPU takes three quarters of the time: 2.9 ms instead of 4.1 at 5x1000.
# Convolutions are slower in that order: 31 ms instead of 29 at 10 x 32 channels.
CPU_OPTIONS = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
SHARE_OF_MEMORY = 0.5  # of a device's, for the replicas of a chunk; data, probes and the compiler need the rest


class Strategy(NamedTuple):
    """How replicas are laid out: a name, the devices they are spread over, and why these were chosen."""

    name: str
    devices: tuple[jax.Device, ...]
    why: str

    def update(self, function: Callable[..., State], state: State, *others: PyTree[Array]) -> State:
        """The states `function(state, *others)` of a device's replicas: side by side, or in turn and in place."""
        if self.name != "vmap":
            return _in_turn(function, state, *others)
        together: State = jax.vmap(function)(state, *others)
        return together

    def each(self, function: Callable[..., Result], *arguments: PyTree[Array]) -> Result:
        """`function` of each replica's arguments, few at a time: what it needs on the way is larger than its result."""
        at_once = AT_ONCE if self.name == "vmap" else None
        results: Result = lax.map(lambda own: function(*own), arguments, batch_size=at_once)
        return results


def choose_strategy(asked: str, problem: Problem, n_replicas: int) -> Strategy:
    """The strategy asked for, or for `auto` the one that suits the backend and the size of the network."""
    devices = tuple(jax.local_devices())
    on_cpu = devices[0].platform == "cpu"
    if asked == "auto" and n_replicas == 1:
        return Strategy("sequential", devices[:1], "one replica has the device to itself")
    if asked == "auto" and not on_cpu:
        words = f"{devices[0].platform} fills up with batched matrix products"
        return Strategy("vmap", devices[:n_replicas], words)
    lanes = devices[:n_replicas]
    if asked != "auto":
        return Strategy(asked, lanes[:1] if asked == "sequential" else lanes, "as asked")
    if len(devices) == 1:
        return Strategy("sequential", devices, "jax was started with one CPU device")
    weights, cache = weight_bytes(problem), last_level_cache()
    fitting = max(1, cache // weights)
    if fitting == 1:
        words = f"the {cache >> 20} MB cache holds the {weights >> 20} MB of weights of one replica at a time"
        return Strategy("sequential", devices[:1], words)
    words = "a core for each replica in flight, whose weights stay in the cache"
    return Strategy("map", lanes[:fitting], words)


def weight_bytes(problem: Problem) -> int:
    """Bytes of one replica's parameters."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(problem.network.like[0]))


def last_level_cache() -> int:
    """Bytes of the processor's last-level cache; 32 MB where the system does not tell."""
    try:
        return os.sysconf("SC_LEVEL3_CACHE_SIZE") or 32 << 20
    except (ValueError, OSError):
        return 32 << 20


def replica_bytes(problem: Problem, hyper: Hyper, strategy: Strategy) -> int:
    """What a replica of a chunk holds on its device: its state, and copies of its weights.

    One copy lies beside them while `update_ratio` is measured; under `vmap` so do the gradients of all replicas.
    """
    state = jax.eval_shape(make_program(problem).start, *problem.network.like, hyper)  # abstract: allocates nothing
    held: int = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return held + (2 if strategy.name == "vmap" else 1) * weight_bytes(problem)


def chunk_size(strategy: Strategy, footprint: int, memory: int) -> int:
    """The most replicas to run at once: what fits the devices' memory."""
    shared = strategy.devices[0].platform == "cpu"  # virtual CPU devices share one memory
    room = int(SHARE_OF_MEMORY * memory) // footprint * (1 if shared else len(strategy.devices))
    return max(1, min(room, LARGEST[strategy.name]))


def stream_count(keys: Sequence[Key], n_devices: int) -> int:
    """The largest number of different data keys (or seeds) that replicas on one device have."""
    filled = [*keys, *[keys[-1]] * (-len(keys) % n_devices)]
    return max(map(len, stream_places(filled, n_devices)[1]))


def stream_places(keys: Sequence[Key], n_devices: int) -> tuple[list[int], list[list[Key]]]:
    """Which stream of batches each replica reads, counted on its own device, and the streams of each device.

    Replicas with the same data key share a stream, whose batches are drawn once. `keys` has a multiple of `n_devices`
    entries; neighbours lie on one device.
    """
    per_device = len(keys) // n_devices
    blocks = [keys[d * per_device : (d + 1) * per_device] for d in range(n_devices)]
    streams = [list(dict.fromkeys(block)) for block in blocks]
    return [streams[d].index(key) for d, block in enumerate(blocks) for key in block], streams


class Ahead(Generic[Result]):
    """A jitted function that is compiled once, before or at its first call, for arguments of one set of shapes."""

    def __init__(self, jitted: jax.stages.Wrapped) -> None:
        self._jitted = jitted
        self._compiled: Callable[..., Result] | None = None

    def compile(self, *arguments: PyTree[ArrayLike]) -> Callable[..., Result]:
        """The program, compiled for arguments like these if it was not, without calling it."""
        if self._compiled is None:
            self._compiled = self._jitted.lower(*arguments).compile()
        return self._compiled

    def __call__(self, *arguments: PyTree[ArrayLike]) -> Result:
        """What the function returns."""
        return self.compile(*arguments)(*arguments)


class Population:
    """The compiled programs of `n` replicas of a problem; the same for every population of that size.

    Arrays have a leading replica axis of `size`: n, filled up to a multiple of the devices with copies of the last.
    `n_streams` is the largest number of different streams of batches that one device reads.

      start(params, hyper) -> state           the params given are used up
      segment(state, streams, places, hyper, data, start, stop) -> state      the state given is used up
      copy(params) -> params                  to keep, since the segment uses up what it is given
      update_ratio(params before, params after) -> (replica, weight)
      measure(state, data, edges, steps, update_ratio) -> readings
      evaluate(params, data) -> errors
    """

    def __init__(self, problem: Problem, data: Arrays, strategy: Strategy, n: int, n_streams: int) -> None:
        self.problem, self.n, self.n_streams = problem, n, n_streams
        self.n_devices = len(strategy.devices)
        self.size = n + -n % self.n_devices
        mesh = Mesh(np.array(strategy.devices), ("replica",))
        self._split, self._whole = NamedSharding(mesh, P("replica")), NamedSharding(mesh, P())
        self.data = jax.device_put(data, self._whole)
        program, each = make_program(problem), strategy.each
        R, whole = P("replica"), P()
        on_cpu = strategy.devices[0].platform == "cpu"
        convolves = any(weight.kernel.window for weight in problem.network.weights)
        tuned = CPU_OPTIONS if on_cpu and not convolves else None
        in_form = canonical if on_cpu else lambda function: function

        def jitted(function: Callable[..., Result], *specs: P, donate_argnums: int | None = None) -> Ahead[Result]:
            mapped = jax.shard_map(in_form(function), mesh=mesh, in_specs=specs, out_specs=R, check_vma=False)
            return Ahead(jax.jit(mapped, compiler_options=tuned, donate_argnums=donate_argnums))

        def measure(
            state: TrainState,
            data: Arrays,
            edges: Edges,
            steps: Float[Array, ""],
            ratio: Float[Array, "replica weight"],
        ) -> Readings:
            return each(lambda *own: program.measure(own[0], data, own[1], steps, own[2]), state, edges, ratio)

        def evaluate(params: Params, state: NetworkState, data: Arrays) -> Readings:
            return each(lambda *own: program.evaluate(own[0], own[1], data), params, state)

        self.start = jitted(lambda *own: each(program.start, *own), R, R, R, donate_argnums=0)
        self.segment = jitted(_segment(problem, strategy), R, R, R, R, whole, whole, whole, donate_argnums=0)
        self.copy: Ahead[Params] = Ahead(jax.jit(lambda tree: jax.tree.map(jnp.copy, tree)))
        self.update_ratio = jitted(lambda *own: each(program.update_ratio, *own), R, R)
        self.measure = jitted(measure, R, whole, R, whole, R)
        self.evaluate = jitted(evaluate, R, R, whole)

    def place(self, tree: PyTree[ArrayLike]) -> PyTree[Array]:
        """Arrays of n replicas, on their devices."""
        copies = self.size - self.n
        fill = lambda a: np.concatenate([a, np.repeat(np.asarray(a)[-1:], copies, axis=0)]) if copies else a
        return jax.device_put(jax.tree.map(fill, tree), self._split)

    def take(self, tree: PyTree[Array]) -> PyTree[np.ndarray]:
        """The arrays of the n replicas as NumPy."""
        return jax.tree.map(lambda a: np.asarray(a)[: self.n], tree)

    def streams(self, keys: Sequence[tuple[int, ...]]) -> tuple[UInt32[Array, "stream words"], Int[Array, " replica"]]:
        """The streams of all devices and each replica's place among its device's; keys are the words of data keys."""
        keys = [*keys, *[keys[-1]] * (self.size - self.n)]
        places, streams = stream_places(keys, self.n_devices)
        filled = [key for own in streams for key in [*own, *[own[-1]] * (self.n_streams - len(own))]]
        on_devices: tuple[UInt32[Array, "stream words"], Int[Array, " replica"]]
        on_devices = jax.device_put((np.array(filled, np.uint32), np.array(places, np.int32)), self._split)
        return on_devices


def _segment(problem: Problem, strategy: Strategy) -> Callable[..., TrainState]:
    """Training on one device: a chunk of batches is drawn once for each stream, and its replicas learn from it."""
    program, K = make_program(problem), problem.dataset.chunk_steps

    def segment(
        state: TrainState,
        streams: UInt32[Array, "stream words"],
        places: Int[Array, " replica"],
        hyper: Hyper,
        data: Arrays,
        start: Int[Array, ""],
        stop: Int[Array, ""],
    ) -> TrainState:
        def chunk(c: Int[Array, ""], first: Int[Array, ""], last: Int[Array, ""], state: TrainState) -> TrainState:
            draw = lambda key: program.draw(jax.random.wrap_key_data(key), c, data)
            batches: Chunk = strategy.each(draw, streams) if prng.same_under_vmap() else lax.map(draw, streams)

            def advance(state: TrainState, hyper: Hyper, place: Int[Array, ""]) -> TrainState:
                own = jax.tree.map(lambda a: a[place], batches)
                return program.advance(state, hyper, own, data, c, first, last)

            return strategy.update(advance, state, hyper, places)

        return for_each_chunk(K, start, stop, chunk, state)

    return segment


def _in_turn(function: Callable[..., State], state: State, *others: PyTree[Array]) -> State:
    """`function(state, *others)` of each replica, one after the other, each new state in the place of the old."""

    def one(r: Int[Array, ""], state: State) -> State:
        old, *own = jax.tree.map(lambda a: a[r], (state, *others))
        put = lambda a, value: lax.dynamic_update_index_in_dim(a, value, r, 0)
        renewed: State = jax.tree.map(put, state, function(old, *own))
        return renewed

    final: State = lax.fori_loop(0, len(others[-1]), one, state)
    return final
