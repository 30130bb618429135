"""Populations: the trainer's functions mapped over replicas, which share a program and differ in numbers.

Replicas are spread over devices, and on each device they run side by side (`vmap`: accelerators, whose batched matrix
products fill the chip) or in turn (`map`: CPUs, where XLA's batched product is slow and one replica's weights stay in
the cache of one core). No strategy changes what a replica computes. Nothing is exchanged between devices, so with
several processes each runs a population of its own share of the replicas, on its own devices.
"""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from xinit.core import prng
from xinit.networks.mlp import make_params
from xinit.training.loop import for_each_chunk, make_program
from xinit.training.problem import Problem

AT_ONCE = 16  # replicas of a vmap population that are measured, or whose batches are drawn, together
LARGEST = {"vmap": 512, "map": 32, "sequential": 32}  # replicas a chunk: on a CPU more gain nothing
# XLA orders a step for concurrency, which keeps all weight gradients alive at once. Ordered to save memory they stay in
# the cache, and a step on a CPU takes three quarters of the time: 2.9 ms instead of 4.1 at 5x1000.
CPU_OPTIONS = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
SHARE_OF_MEMORY = 0.5  # of a device's, for the replicas of a chunk; data, probes and the compiler need the rest


class Strategy(NamedTuple):
    """How replicas are laid out: a name, the devices they are spread over, and why these were chosen."""

    name: str
    devices: tuple[jax.Device, ...]
    why: str

    def update(self, function: Callable, state: Any, *others: Any) -> Any:
        """The states `function(state, *others)` of a device's replicas: side by side, or in turn and in place."""
        return jax.vmap(function)(state, *others) if self.name == "vmap" else _in_turn(function, state, *others)

    def each(self, function: Callable, *arguments: Any) -> Any:
        """`function` of each replica's arguments, few at a time: what it needs on the way is larger than its result."""
        at_once = AT_ONCE if self.name == "vmap" else None
        return lax.map(lambda own: function(*own), arguments, batch_size=at_once)


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
    """Bytes of one replica's float32 parameters."""
    return 4 * sum((i + 1) * o for i, o in itertools.pairwise(problem.widths))


def last_level_cache() -> int:
    """Bytes of the processor's last-level cache; 32 MB where the system does not tell."""
    try:
        return os.sysconf("SC_LEVEL3_CACHE_SIZE") or 32 << 20
    except (ValueError, OSError):
        return 32 << 20


def replica_bytes(problem: Problem, hyper: Mapping[str, Array], strategy: Strategy) -> int:
    """What a replica of a chunk holds on its device: its state, and copies of its weights.

    One copy lies beside them while `update_ratio` is measured; under `vmap` so do the gradients of all replicas.
    """
    layers = list(itertools.pairwise(problem.widths))
    array = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    params = make_params([array(i, o) for i, o in layers], [array(o) for _, o in layers])
    state = jax.eval_shape(make_program(problem).start, params, hyper)
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return held + (2 if strategy.name == "vmap" else 1) * weight_bytes(problem)


def chunk_size(strategy: Strategy, footprint: int, memory: int) -> int:
    """The most replicas to run at once: what fits the devices' memory."""
    shared = strategy.devices[0].platform == "cpu"  # virtual CPU devices share one memory
    room = int(SHARE_OF_MEMORY * memory) // footprint * (1 if shared else len(strategy.devices))
    return max(1, min(room, LARGEST[strategy.name]))


def stream_count(keys: Sequence[Any], n_devices: int) -> int:
    """The largest number of different data keys (or seeds) that replicas on one device have."""
    filled = [*keys, *[keys[-1]] * (-len(keys) % n_devices)]
    return max(map(len, stream_places(filled, n_devices)[1]))


def stream_places(keys: Sequence[Any], n_devices: int) -> tuple[list[int], list[list[Any]]]:
    """Which stream of batches each replica reads, counted on its own device, and the streams of each device.

    Replicas with the same data key share a stream, whose batches are drawn once. `keys` has a multiple of `n_devices`
    entries; neighbours lie on one device.
    """
    per_device = len(keys) // n_devices
    blocks = [keys[d * per_device : (d + 1) * per_device] for d in range(n_devices)]
    streams = [list(dict.fromkeys(block)) for block in blocks]
    return [streams[d].index(key) for d, block in enumerate(blocks) for key in block], streams


class Ahead:
    """A jitted function that is compiled once, before or at its first call, for arguments of one set of shapes."""

    def __init__(self, jitted: Any) -> None:
        self._jitted, self._compiled = jitted, None

    def compile(self, *arguments: Any) -> None:
        """Compile for arguments like these, without calling."""
        if self._compiled is None:
            self._compiled = self._jitted.lower(*arguments).compile()

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns."""
        self.compile(*arguments)
        return self._compiled(*arguments)


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

    def __init__(self, problem: Problem, data: Any, strategy: Strategy, n: int, n_streams: int) -> None:
        self.problem, self.n, self.n_streams = problem, n, n_streams
        self.n_devices = len(strategy.devices)
        self.size = n + -n % self.n_devices
        mesh = Mesh(np.array(strategy.devices), ("replica",))
        self._split, self._whole = NamedSharding(mesh, P("replica")), NamedSharding(mesh, P())
        self.data = jax.device_put(data, self._whole)
        program, each = make_program(problem), strategy.each
        R, whole = P("replica"), P()
        tuned = CPU_OPTIONS if strategy.devices[0].platform == "cpu" else None

        def jitted(function: Callable, *specs: P, **options: Any) -> Ahead:
            mapped = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=R, check_vma=False)
            return Ahead(jax.jit(mapped, compiler_options=tuned, **options))

        def measure(state, data, edges, steps, ratio):
            return each(lambda *own: program.measure(own[0], data, own[1], steps, own[2]), state, edges, ratio)

        self.start = jitted(lambda *own: each(program.start, *own), R, R, donate_argnums=0)
        self.segment = jitted(_segment(problem, strategy), R, R, R, R, whole, whole, whole, donate_argnums=0)
        self.copy = Ahead(jax.jit(lambda tree: jax.tree.map(jnp.copy, tree)))
        self.update_ratio = jitted(lambda *own: each(program.update_ratio, *own), R, R)
        self.measure = jitted(measure, R, whole, R, whole, R)
        self.evaluate = jitted(lambda params, data: each(lambda p: program.evaluate(p, data), params), R, whole)

    def place(self, tree: Any) -> Any:
        """Arrays of n replicas, on their devices."""
        copies = self.size - self.n
        fill = lambda a: np.concatenate([a, np.repeat(np.asarray(a)[-1:], copies, axis=0)]) if copies else a
        return jax.device_put(jax.tree.map(fill, tree), self._split)

    def take(self, tree: Any) -> Any:
        """The arrays of the n replicas as NumPy."""
        return jax.tree.map(lambda a: np.asarray(a)[: self.n], tree)

    def streams(self, keys: Sequence[tuple]) -> tuple[Array, Array]:
        """The streams of all devices and each replica's place among its device's; keys are the words of data keys."""
        keys = [*keys, *[keys[-1]] * (self.size - self.n)]
        places, streams = stream_places(keys, self.n_devices)
        filled = [key for own in streams for key in [*own, *[own[-1]] * (self.n_streams - len(own))]]
        return jax.device_put((np.array(filled, np.uint32), np.array(places, np.int32)), self._split)


def _segment(problem: Problem, strategy: Strategy) -> Callable:
    """Training on one device: a chunk of batches is drawn once for each stream, and its replicas learn from it."""
    program, K = make_program(problem), problem.dataset.chunk_steps

    def segment(state, streams, places, hyper, data, start, stop):
        def chunk(c, first, last, state):
            draw = lambda key: program.draw(jax.random.wrap_key_data(key), c, data)
            batches = strategy.each(draw, streams) if prng.same_under_vmap() else lax.map(draw, streams)

            def advance(state, hyper, place):
                own = jax.tree.map(lambda a: a[place], batches)
                return program.advance(state, hyper, own, data, c, first, last)

            return strategy.update(advance, state, hyper, places)

        return for_each_chunk(K, start, stop, chunk, state)

    return segment


def _in_turn(function: Callable, state: Any, *others: Any) -> Any:
    """`function(state, *others)` of each replica, one after the other, each new state in the place of the old."""

    def one(r, state):
        old, *own = jax.tree.map(lambda a: a[r], (state, *others))
        put = lambda a, value: lax.dynamic_update_index_in_dim(a, value, r, 0)
        return jax.tree.map(put, state, function(old, *own))

    return lax.fori_loop(0, len(others[-1]), one, state)
