"""What training costs, compared on the same work: `python scripts/bench.py`, or the benches by name.

    single      one run: xinit, a bare jitted scan, PyTorch, a Flax loop, Keras; with the share of this machine's peaks
    sweep       16 runs at 5x256: xinit's population, PyTorch in one process and in two, the Flax loop
    population  what a replica costs in populations of 8 and 64, and beside the bare strategy
    networks    a residual network of 30 x 256 and a convnet of 10 x 32 channels, one run beside peers, and 16 runs
    launch      how soon a sweep of 512 jobs trains, and its peak memory beside one of 8
    tracing     xinit.probe of a ResNet-18 and of six small layers beside their own gradients, first and later calls
    monitor     loops of 6 x 256 and 3 x 256 with xinit.Monitor at its default schedule, beside the bare loops
    shapeset probes memory    parts of one run

Everything compared runs alternated in one process, after compilation, on the same fixed batches where that applies; the
figures are medians over rounds, and medians of the ratios within a round. PyTorch and Keras come with the extra
`bench`; what is not installed is left out and named.
"""

import argparse
import functools
import json
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import monitored
import network_peers
import numpy as np
import optax
import peers
import probed
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from xinit import schemes
from xinit.commands import cli
from xinit.core import backend
from xinit.data import scenes
from xinit.data.dataset import Dataset, pixels_to
from xinit.initializers import he, xavier
from xinit.networks import activations, convnet, losses, mlp, residual
from xinit.networks.network import Frame, Network, Params
from xinit.settings.compose import compose, overrides_from
from xinit.training import optimizers
from xinit.training.population import Population, choose_strategy
from xinit.training.problem import Problem

STEPS = {1000: 50, 256: 400}  # timed steps for each width, in rounds of the 50 batches: about a quarter of a second
BATCH, INPUTS, CLASSES = 10, 1024, 9
RATE = 0.01
SMALL_RATE = 0.001  # of rectifiers: at .01 rounding parts two runs of one network within twenty steps
REPLICAS, SWEEP_STEPS = 16, 50


def alternated(works: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds (rounds,) of each work, all of them in turn in every round; one that returns a float timed itself."""
    times = {name: np.empty(rounds) for name in works}
    for turn in range(-1, rounds):  # turn -1 warms up
        for name, work in works.items():
            started = time.perf_counter()
            own = work()
            if turn >= 0:
                times[name][turn] = own if isinstance(own, float) else time.perf_counter() - started
    return times


def ratio(times: np.ndarray, base: np.ndarray) -> dict[str, float]:
    """Median of the ratios round by round, and their middle half."""
    low, middle, high = np.quantile(times / base, [0.25, 0.5, 0.75])
    return {"ratio": middle, "quarter": low, "three_quarters": high}


def pair(what: str, first: Callable, second: Callable, rounds: int, unit: Callable[[float], str]) -> dict:
    """A row: two works, alternated."""
    times = alternated({"first": first, "second": second}, rounds)
    figures = {name: unit(float(np.median(own))) for name, own in times.items()}
    return {"what": what, **figures, **ratio(times["first"], times["second"])}


def rows_beside(what: str, times: Mapping[str, np.ndarray], steps: int) -> Iterator[dict]:
    """A row for each work beside the first; the ratio says how many times longer it takes."""
    base, *others = times
    per_step = {name: 1e3 * float(np.median(own)) / steps for name, own in times.items()}
    yield {"what": f"{what}: {base}", "first": f"{per_step[base]:.3f} ms", "second": "", "ms": per_step[base]}
    for name in others:
        row = {"what": f"{what}: {name}", "first": f"{per_step[name]:.3f} ms", "second": "", "ms": per_step[name]}
        yield row | ratio(times[name], times[base])


def fixed_problem(width: int, depth: int = 5) -> tuple[Problem, dict]:
    """The default network on a ring of fixed Shapeset batches, and those batches."""
    x, y = jax.jit(scenes.draw, static_argnums=1)(jax.random.key(0), 50 * BATCH)
    decode = pixels_to((-1, 1))
    data = {"x": decode(x).reshape(50, BATCH, INPUTS), "y": y.reshape(50, BATCH)}
    widths, functions = (INPUTS, *(width,) * depth, CLASSES), (activations.tanh(),) * depth
    return problem_of(mlp.plain(widths, functions), ring(data, CLASSES, decode), STEPS[width]), data


def ring(data: dict, n_outputs: int, decode: Callable) -> Dataset:
    """The data set that gives the same 50 batches, in turn."""
    nothing, fixed = lambda key, c, data: None, lambda _, i, data: (data["x"][i], data["y"][i])
    return Dataset(data["x"].shape[2], n_outputs, 50, lambda: data, nothing, fixed, decode)


def problem_of(network: Network, dataset: Dataset, steps: int) -> Problem:
    """Training a network by plain SGD, without probes."""
    optimizer = lambda hyper: optax.with_extra_args_support(optimizers.sgd(hyper["learning_rate"]))
    constant = lambda hyper, number: hyper
    return Problem(network, dataset, losses.cross_entropy(), optimizer, constant, None, (), steps, BATCH)


def bare_scan(steps: int) -> Callable:
    """The same arithmetic with nothing around it: a jitted scan over the batches."""

    def loss_of(layers, x, y):
        for kernel, bias in layers[:-1]:
            x = jnp.tanh(jnp.dot(x, kernel, precision="float32") + bias[None])
        logits = jnp.dot(x, layers[-1][0], precision="float32") + layers[-1][1][None]
        log_p = jax.nn.log_softmax(logits)
        return -jnp.mean(log_p[jnp.arange(len(y)), y])

    def run(layers, learning_rate, data):
        def step(layers, i):
            loss, grads = jax.value_and_grad(loss_of)(layers, data["x"][i % 50], data["y"][i % 50])
            return jax.tree.map(lambda w, g: w - learning_rate * g, layers, grads), loss

        return lax.scan(step, layers, jnp.arange(steps))

    return jax.jit(run)


def fixed_population(width: int, n: int) -> Callable[[int], None]:
    """xinit's trainer on `n` replicas of the fixed problem: a function that trains so many steps."""
    return trainer(*fixed_problem(width), *initial(width), n)


def trainer(problem: Problem, data: dict, params: Params, hyper: dict, n: int) -> Callable[[int], None]:
    """xinit's trainer on `n` replicas of a problem, from the same weights: a function that trains so many steps."""
    population = Population(problem, data, choose_strategy("auto", problem, n), n, 1)
    state = problem.network.start(jax.random.key(0))[1]
    stacked = jax.tree.map(lambda a: np.stack([np.asarray(a)] * n), (params, state, hyper))
    params, state, hyper = (population.place(tree) for tree in stacked)
    streams = population.streams([(0, 0)] * n)
    held = [population.start(params, state, hyper)]

    def train(steps: int) -> None:
        args = (*streams, hyper, population.data, np.int32(0), np.int32(steps))
        held[0] = jax.block_until_ready(population.segment(held[0], *args))

    return train


def initial(width: int) -> tuple[Params, dict]:
    """Initial parameters, and the numbers of a run."""
    return drawn(fixed_problem(width)[0].network, schemes.layerwise(xavier()), RATE)


def drawn(network: Network, scheme: schemes.Scheme, learning_rate: float) -> tuple[Params, dict]:
    """The parameters of a scheme, and the numbers of a run."""
    hyper = {"gain": jnp.float32(1), "learning_rate": jnp.float32(learning_rate)}
    params, lr_scale = scheme(jax.random.key(1), network, hyper, None)
    return params, hyper | {"lr_scale": lr_scale}


def layers_of(params: Params) -> list[tuple[jax.Array, jax.Array]]:
    """The parameters as pairs of kernel and bias."""
    return [(layer["kernel"], layer["bias"]) for layer in params["layers"].values()]


def bare_population(width: int, n: int, steps: int) -> Callable[[], Any]:
    """The strategy alone: replicas in turn on each core's device, a bare scan for each, nothing else around it."""
    devices = jax.devices()
    mesh = Mesh(np.array(devices), ("replica",))
    scan = functools.partial(bare_scan(steps).__wrapped__, learning_rate=jnp.float32(RATE))
    each = lambda layers, data: lax.map(lambda own: scan(own, data=data)[0], layers)
    run = jax.jit(jax.shard_map(each, mesh=mesh, in_specs=(P("replica"), P()), out_specs=P("replica"), check_vma=False))
    layers = jax.tree.map(lambda a: jnp.stack([a] * n), layers_of(initial(width)[0]))
    data = fixed_problem(width)[1]
    return lambda: jax.block_until_ready(run(layers, data))


def peers_on(width: int, steps: int, names: list) -> tuple[dict[str, Callable], list[str]]:
    """The peers on the fixed work, PyTorch with one and with two threads, and words for those left out."""
    data = jax.tree.map(np.asarray, fixed_problem(width)[1])
    layers = [(np.asarray(kernel), np.asarray(bias)) for kernel, bias in layers_of(initial(width)[0])]
    works, left_out = {}, []
    for factory in names:
        for threads in (1, 2) if factory.__name__.startswith("torch") else (None,):
            try:
                peer = factory(layers, data["x"], data["y"], RATE, steps, threads)
                peers.check(peer, layers, data["x"], data["y"], RATE, steps)
            except (ModuleNotFoundError, RuntimeError) as error:
                left_out.append(f"{factory.__name__}: {str(error).partition(chr(10))[0]}")
                break
            works[peer.name] = peer.run
    return works, left_out


def bench_single(width: int, rounds: int) -> Iterator[dict]:
    """One run at a width beside all peers, and the share of the machine's peaks that it reaches."""
    steps = STEPS[width]
    train, scan = fixed_population(width, 1), bare_scan(steps)
    layers, data = layers_of(initial(width)[0]), fixed_problem(width)[1]
    bare = lambda: jax.block_until_ready(scan(layers, jnp.float32(RATE), data))
    others, left_out = peers_on(width, steps, list(peers.PEERS))
    times = alternated({"xinit": lambda: train(steps), "bare jitted scan": bare, **others}, rounds)
    yield from rows_beside(f"5x{width}", times, steps)
    yield from machine_rows(f"5x{width}, one run", width, float(np.median(times["xinit"])) / steps)
    yield from ({"what": f"left out: {words}", "first": "", "second": ""} for words in left_out)


def machine_rows(what: str, width: int, seconds: float) -> Iterator[dict]:
    """Arithmetic and traffic of a step that takes so long, against what this machine can do."""
    widths = fixed_problem(width)[0].network.widths
    flops, moved = peers.step_flops(widths, BATCH), peers.step_bytes(widths)
    peak, stream = peers.matmul_peak(), peers.bandwidth(moved // 3)  # the weights: read twice, written once
    for name, own, best, unit in (("matrix products", flops, peak, "GFLOP/s"), ("weights", moved, stream, "GB/s")):
        reached = f"{own / seconds / 1e9:.1f} {unit}"
        row = {"what": f"{what}: {name}", "first": reached, "second": f"of {best / 1e9:.0f}"}
        yield row | {"ratio": own / seconds / best}


def bench_sweep(rounds: int) -> Iterator[dict]:
    """A sweep of 16 runs at 5x256, a replica's step each: a population against processes that go through them."""
    steps = SWEEP_STEPS
    train = fixed_population(256, REPLICAS)
    chosen = [peers.torch_as_written, peers.torch_as_written_compiled, peers.torch_compiled, peers.flax_loop]
    one_by_one, left_out = peers_on(256, steps, chosen)
    through = {
        f"{name}, one by one": lambda run=run: [run() for _ in range(REPLICAS)] for name, run in one_by_one.items()
    }
    layers = [(np.asarray(kernel), np.asarray(bias)) for kernel, bias in layers_of(initial(256)[0])]
    data = jax.tree.map(np.asarray, fixed_problem(256)[1])
    processes = []
    for name in ("torch_as_written", "torch_compiled"):
        try:
            both = peers.torch_processes(
                layers, data["x"], data["y"], RATE, steps, count=2, replicas=REPLICAS // 2, peer=name
            )
        except (ModuleNotFoundError, RuntimeError):
            continue
        processes.append(both)
        through[f"two processes, {name}"] = both.run
    times = alternated({f"xinit, {REPLICAS} replicas": lambda: train(steps), **through}, rounds)
    for process in processes:
        process.close()
    yield from rows_beside("sweep at 5x256", times, steps * REPLICAS)
    per_step = float(np.median(times[f"xinit, {REPLICAS} replicas"])) / steps / REPLICAS
    yield from machine_rows("sweep at 5x256", 256, per_step)
    yield from ({"what": f"left out: {words}", "first": "", "second": ""} for words in left_out)


def bench_population(rounds: int) -> Iterator[dict]:
    """What a replica-step costs in a population of 64 and of 8, and beside the bare strategy."""
    unit = lambda n: lambda seconds: f"{1e3 * seconds / SWEEP_STEPS / n:.3f} ms"
    eight, many = fixed_population(256, 8), fixed_population(256, 64)
    times = alternated({"64": lambda: many(SWEEP_STEPS), "8": lambda: eight(SWEEP_STEPS)}, rounds)
    figures = {"first": unit(64)(float(np.median(times["64"]))), "second": unit(8)(float(np.median(times["8"])))}
    yield {"what": "a replica's step, 64 replicas over 8", **figures, **ratio(times["64"] / 8, times["8"])}
    bare, sixteen = bare_population(256, 16, SWEEP_STEPS), fixed_population(256, 16)
    what = "a replica's step, xinit over the bare strategy"
    yield pair(what, lambda: sixteen(SWEEP_STEPS), bare, rounds, unit(16))


class Case(NamedTuple):
    """A network of bench `networks`: xinit's, the same by hand, and how many steps are timed, of one run and of 16."""

    name: str
    network: Network
    by_hand: network_peers.Logits
    steps: int
    sweep_steps: int


def cases() -> Iterator[Case]:
    """Two weights a branch and no norm; convolutions of 3 x 3 on images of 28 x 28."""
    deep = Frame((28 * 28,), (256,) * 30, (activations.relu(),) * 30, 10)
    yield Case("residual 30x256", residual.residual(deep, scale="1/sqrt(L)"), network_peers.residual, 50, 10)
    images = Frame((28, 28, 1), (32,) * 10, (activations.relu(),) * 10, 10)
    yield Case("convnet 10x32", convnet.convnet(images), network_peers.convnet, 8, 2)


def bench_networks(case: Case, rounds: int) -> Iterator[dict]:
    """A run of a network beside its peers, and 16 runs as a population beside one after the other."""
    rng, network = np.random.default_rng(0), case.network
    x = rng.normal(size=(50, BATCH, network.n_inputs)).astype(np.float32)
    y = rng.integers(0, network.n_outputs, (50, BATCH)).astype(np.int32)
    data = {"x": jnp.asarray(x), "y": jnp.asarray(y)}
    problem = problem_of(network, ring(data, network.n_outputs, lambda x: x), case.steps)
    params, hyper = drawn(network, schemes.layerwise(he()), SMALL_RATE)
    pairs = zip(network.kernels(params), network.biases(params), strict=True)
    layers = [(np.asarray(kernel), np.asarray(bias)) for kernel, bias in pairs]
    work = x, y, SMALL_RATE, case.steps

    logits = functools.partial(case.by_hand, network_peers.JAX)
    scan = network_peers.bare("bare jitted scan", logits, layers, *work, as_it_is=False)
    made = [scan]
    if network.n_branches:
        blocks = network_peers.in_blocks(layers)
        made += [
            network_peers.bare("bare, a scan over blocks", network_peers.over_blocks, blocks, *work, as_it_is=True)
        ]
    makers = [
        lambda: network_peers.torch_peer(peers.torch_eager, case.by_hand, layers, *work, threads=backend.cores()),
        lambda: network_peers.torch_peer(peers.torch_compiled, case.by_hand, layers, *work, threads=backend.cores()),
        lambda: peers.flax_loop(layers, *work, logits=network_peers.flax_logits(case.by_hand)),
    ]
    wanted, left_out = network_peers.expected(logits, layers, *work), []
    for make in makers:
        try:
            made.append(make())
        except (ModuleNotFoundError, RuntimeError) as error:
            left_out.append(str(error).partition("\n")[0])
    for peer in made:
        if "blocks" not in peer.name:
            peers.check_kernels(peer, layers, wanted, tolerance=1e-2)  # a rectifier near 0 may fall to either side
    train = trainer(problem, data, params, hyper, 1)
    works = {"xinit": lambda: train(case.steps)} | {peer.name: peer.run for peer in made}
    yield from rows_beside(case.name, alternated(works, rounds), case.steps)
    if len(network.kernels(params)[1].shape) == 4:  # too slow to take turns with the others
        plain = network_peers.bare("as jax has it", logits, layers, x, y, SMALL_RATE, 1, as_it_is=True)
        plain.run()
        seconds = float(np.median(alternated({"plain": plain.run}, 1)["plain"]))
        yield {
            "what": f"{case.name}: bare, gradients as jax writes them",
            "first": f"{1e3 * seconds:.0f} ms",
            "second": "",
        }
    many, steps = trainer(problem, data, params, hyper, REPLICAS), case.sweep_steps
    what = f"{case.name}: {REPLICAS} replicas over {REPLICAS} runs, a replica's step"
    unit = lambda seconds: f"{1e3 * seconds / steps / REPLICAS:.3f} ms"
    in_turn = lambda: [train(steps) for _ in range(REPLICAS)]
    yield pair(what, lambda: many(steps), in_turn, min(rounds, 7), unit)
    yield from ({"what": f"left out: {words}", "first": "", "second": ""} for words in left_out)


def bench_shapeset(width: int, rounds: int) -> dict:
    """Generating a step's ten images against the training step they are for."""
    steps = STEPS[width]
    draw = jax.jit(lambda key: lax.map(lambda key: scenes.draw(key, 50 * BATCH), jax.random.split(key, steps // 50)))
    train = fixed_population(width, 1)
    times = alternated(
        {"draw": lambda: draw(jax.random.key(3))[0].block_until_ready(), "train": lambda: train(steps)}, rounds
    )
    drawn = steps // 50 * 50
    return {
        "what": f"Shapeset for a step over the step, 5x{width}",
        "first": f"{1e6 * np.median(times['draw']) / drawn / BATCH:.2f} us/image",
        "second": f"{1e3 * np.median(times['train']) / steps:.3f} ms",
        **ratio(times["draw"] / drawn, times["train"] / steps),
    }


def bench_probes(rounds: int) -> dict:
    """A whole 20,000-step run at 5x256 with tier standard against off, file writes included, compilation apart."""
    from xinit.commands.console import Reporter
    from xinit.runs.runner import execute
    from xinit.settings.parse import parse

    def run(tier: str, out: str) -> float:
        settings = {"scheme": "xavier", "probe": tier, "figure": False, "out": out, "force": True}
        summary = execute(parse(compose("train", overrides_from(settings))), Reporter(quiet=True)).summary
        return summary["wall_s"] - summary["compile_s"]

    what = "run of 20,000 steps at 5x256, probes standard over off"
    with tempfile.TemporaryDirectory() as out:
        return pair(what, lambda: run("standard", out), lambda: run("off", out), rounds, lambda s: f"{s:.2f} s")


def trained(settings: list[str]) -> tuple[float, float]:
    """Seconds until a command line trains, and the peak memory in GB of its whole run, in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        code = (
            "import re, sys; from xinit import train; code = train.main(); "
            "kilobytes = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "  # of this program alone
            "print('peak', int(kilobytes) / 2**20); sys.exit(code)"
        )
        started, first = time.perf_counter(), 0.0
        command = [sys.executable, "-c", code, *settings, f"out={out}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("step ") and not line.startswith("step       0") and not first:
                first = time.perf_counter() - started
            peak = line
    if process.wait() not in (cli.DONE, cli.FAILED):  # after few steps the verdict may well be "stuck at chance"
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return first, float(peak.split()[1])


def bench_memory() -> dict:
    """Peak resident memory of a 5x1000 run."""
    _, peak = trained(["+experiment=glorot2010", "scheme=xavier", "steps=200"])
    return {"what": "peak memory of a 5x1000 run", "first": f"{peak:.2f} GB", "second": ""}


def bench_launch() -> Iterator[dict]:
    """A sweep of 512 jobs, cut short to 20 steps each, and one of 8: seconds until training, and peak memory."""
    shared = ["-m", "+scheme=standard,xavier", "steps=20", "probe=economy", "probe.points=3"]
    many, most = trained(
        [*shared, "seed=range(32)", "optimizer.learning_rate=0.003,0.01,0.03,0.1", "scheme.gain=1,1.5"]
    )
    _, few = trained([*shared, "seed=range(4)"])
    yield {"what": "a sweep of 512 jobs trains after", "first": f"{many:.1f} s", "second": ""}
    row = {"what": "peak memory of 512 jobs over 8", "first": f"{most:.2f} GB", "second": f"{few:.2f} GB"}
    yield row | {"ratio": most / few}


def bench_tracing(rounds: int) -> Iterator[dict]:
    """Seconds of `xinit.probe`, with nothing compiled and after that, and of the model's own gradient."""
    for case in probed.cases():
        for group in probed.works(case):
            for name, seconds in alternated(group, rounds).items():
                yield {"what": f"{case.name}: {name}", "first": f"{np.median(seconds):.3f} s", "second": ""}


def bench_monitor(rounds: int) -> Iterator[dict]:
    """A training loop with xinit.Monitor beside the same without it, and the share of its time in the monitor's calls.

    The ratio of two loops scatters by a few per cent; the share does so much less.
    """
    for loop in monitored.loops():
        yield from rows_beside(loop.case.words, alternated(loop.works(), rounds), loop.case.steps)
        share = float(np.median(loop.shares[1:]))  # without the turn that warms up
        yield {
            "what": f"{loop.case.words}: in the monitor's calls",
            "first": f"{share:.2%}",
            "second": "",
            "share": share,
        }


BENCHES: dict[str, Callable[[int], Iterator[dict]]] = {
    "single": lambda rounds: (row for width in STEPS for row in bench_single(width, rounds)),
    "sweep": bench_sweep,
    "population": bench_population,
    "networks": lambda rounds: (row for case in cases() for row in bench_networks(case, rounds)),
    "tracing": lambda rounds: bench_tracing(min(rounds, 3)),
    "monitor": lambda rounds: bench_monitor(min(rounds, 5)),
    "launch": lambda rounds: bench_launch(),
    "shapeset": lambda rounds: (bench_shapeset(width, rounds) for width in STEPS),
    "memory": lambda rounds: iter([bench_memory()]),
    "probes": lambda rounds: iter([bench_probes(min(rounds, 5))]),
}


def shown(row: Mapping[str, Any]) -> str:
    """A row of the table."""
    quarters = f"[{row['quarter']:.3f}, {row['three_quarters']:.3f}]" if "quarter" in row else ""
    middle = f"{row['ratio']:.3f}" if "ratio" in row else ""
    return f"{row['what']:<72} {row['first']:>14} {row['second']:>10}  {middle}  {quarters}".rstrip()


def main() -> None:
    """Run the benches asked for: a table, and the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"by default all: {' '.join(BENCHES)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=pathlib.Path, default=pathlib.Path("bench.json"))
    arguments = parser.parse_args()
    if unknown := set(arguments.benches) - set(BENCHES):
        parser.error(f"unknown bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    backend.use_a_cpu_device_for_each_core()
    device = backend.device_words()
    print(f"{platform.platform()}, {device}, jax {backend.versions()['jax']}, medians of {arguments.rounds} rounds")
    rows = []
    for bench in arguments.benches or BENCHES:
        for row in BENCHES[bench](arguments.rounds):
            rows.append(row)
            print(shown(row), flush=True)
    described = {"device": device, "versions": backend.versions(), "rows": rows}
    arguments.json.write_text(json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    main()
