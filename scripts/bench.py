"""What a training step costs, compared on the same work: `python scripts/bench.py step shapeset probes memory`.

Everything compared runs alternated in one process, after compilation; the figures are medians over pairs and medians of
the ratios within a pair. `step` and `shapeset` use the same fixed batches for both sides.
"""

import argparse
import json
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xinit import activations, cli, optimizers, schemes
from xinit.backend import device_words, versions
from xinit.build import Problem
from xinit.data import shapeset
from xinit.data.dataset import Dataset, pixels_to
from xinit.initializers import xavier
from xinit.loop import make_program
from xinit.model import make_apply

STEPS = {1000: 100, 256: 600}  # timed steps for each width: about half a second
BATCH, INPUTS, CLASSES = 10, 1024, 9


def paired(first: Callable[[], Any], second: Callable[[], Any], pairs: int) -> dict[str, float]:
    """Seconds of each, alternated: medians, and the median of first over second pair by pair.

    A work that returns a float has timed itself.
    """
    times = np.empty((pairs, 2))
    for pair in range(-1, pairs):  # pair -1 warms up
        for side, work in enumerate((first, second)):
            started = time.perf_counter()
            own = work()
            if pair >= 0:
                times[pair, side] = own if isinstance(own, float) else time.perf_counter() - started
    ratios = times[:, 0] / times[:, 1]
    first_s, second_s = np.median(times, axis=0)
    low, high = np.quantile(ratios, [0.25, 0.75])
    return {
        "first_s": first_s,
        "second_s": second_s,
        "ratio": np.median(ratios),
        "quarter": low,
        "three_quarters": high,
    }


def fixed_problem(width: int, depth: int = 5) -> tuple[Problem, dict]:
    """The default network on a ring of fixed Shapeset batches, and those batches."""
    x, y = jax.jit(shapeset.draw, static_argnums=1)(jax.random.key(0), 50 * BATCH)
    decode = pixels_to((-1, 1))
    data = {"x": decode(x).reshape(50, BATCH, INPUTS), "y": y.reshape(50, BATCH)}
    nothing, fixed = lambda key, c, data: None, lambda _, i, data: (data["x"][i], data["y"][i])
    dataset = Dataset(INPUTS, CLASSES, 50, lambda: data, nothing, fixed, decode)
    widths, functions = (INPUTS, *(width,) * depth, CLASSES), (activations.tanh(),) * depth
    apply, optimizer = make_apply(widths, functions), lambda hyper: optimizers.sgd(hyper["learning_rate"])
    return Problem(widths, functions, apply, dataset, optimizer, None, (), STEPS[width], BATCH), data


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


def bench_step(width: int, pairs: int) -> dict:
    """A training step of xinit against the bare scan."""
    problem, data = fixed_problem(width)
    steps = STEPS[width]
    hyper = {"gain": jnp.float32(1), "learning_rate": jnp.float32(0.01)}
    scheme = schemes.layerwise(xavier())
    params, lr_scale = scheme(jax.random.key(1), problem.widths, problem.activations, hyper, None)
    hyper["lr_scale"] = lr_scale
    program = make_program(problem)
    state, key = program.start(params, hyper), jax.random.key(2)
    segment, scan = jax.jit(program.segment), bare_scan(steps)
    layers = [(layer["kernel"], layer["bias"]) for layer in params["layers"].values()]
    ours = lambda: segment(state, key, hyper, data, np.int32(steps), np.bool_(False)).step.block_until_ready()
    theirs = lambda: scan(layers, jnp.float32(0.01), data)[1].block_until_ready()
    timed = paired(ours, theirs, pairs)
    return {
        "what": f"step 5x{width}, xinit over bare scan",
        "first": f"{1e3 * timed['first_s'] / steps:.3f} ms",
        "second": f"{1e3 * timed['second_s'] / steps:.3f} ms",
        **timed,
    }


def bench_shapeset(width: int, pairs: int) -> dict:
    """Generating a step's ten images against the training step they are for."""
    problem, data = fixed_problem(width)
    steps = STEPS[width]
    draw = jax.jit(lambda key: lax.map(lambda key: shapeset.draw(key, 50 * BATCH), jax.random.split(key, steps // 50)))
    scan = bare_scan(steps)
    hyper = {"gain": jnp.float32(1)}
    params, _ = schemes.layerwise(xavier())(jax.random.key(1), problem.widths, problem.activations, hyper, None)
    layers = [(layer["kernel"], layer["bias"]) for layer in params["layers"].values()]
    ours = lambda: draw(jax.random.key(3))[0].block_until_ready()
    theirs = lambda: scan(layers, jnp.float32(0.01), data)[1].block_until_ready()
    timed = paired(ours, theirs, pairs)
    return {
        "what": f"Shapeset for a step over the step, 5x{width}",
        "first": f"{1e6 * timed['first_s'] / steps / BATCH:.2f} us/image",
        "second": f"{1e3 * timed['second_s'] / steps:.3f} ms",
        **timed,
    }


def bench_probes(pairs: int) -> dict:
    """A whole 20,000-step run at 5x256 with tier standard against off, file writes included, compilation apart."""
    from xinit.config import parse
    from xinit.console import Reporter
    from xinit.runner import execute

    def run(tier: str, out: str) -> float:
        settings = {"scheme": "xavier", "probe": tier, "figure": False, "out": out, "force": True}
        summary = execute(parse(cli.compose("train", cli.overrides_from(settings))), Reporter(quiet=True)).summary
        return summary["wall_s"] - summary["compile_s"]

    with tempfile.TemporaryDirectory() as out:
        timed = paired(lambda: run("standard", out), lambda: run("off", out), pairs)
    return {
        "what": "run of 20,000 steps at 5x256, probes standard over off",
        "first": f"{timed['first_s']:.2f} s",
        "second": f"{timed['second_s']:.2f} s",
        **timed,
    }


def bench_memory() -> dict:
    """Peak resident memory of a 5x1000 run, in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        settings = ["+experiment=glorot2010", "scheme=xavier", "steps=200", f"out={out}"]
        done = subprocess.run([sys.executable, "-m", "xinit.train", *settings], capture_output=True, text=True)
    if done.returncode not in (cli.DONE, cli.FAILED):  # after 200 steps the verdict may well be "stuck at chance"
        raise SystemExit(done.stderr)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return {"what": "peak memory of a 5x1000 run", "first": f"{peak:.2f} GB", "second": "", "ratio": None}


BENCHES = ("step", "shapeset", "probes", "memory")


def measured(bench: str, pairs: int) -> Iterator[dict]:
    """The rows of one bench."""
    if bench in ("step", "shapeset"):
        for width in STEPS:
            yield (bench_step if bench == "step" else bench_shapeset)(width, pairs)
    elif bench == "probes":
        yield bench_probes(pairs)
    else:
        yield bench_memory()


def main() -> None:
    """Run the benches asked for; a table, and the figures as JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "benches", nargs="*", default=["step", "shapeset", "memory"], help="step shapeset probes memory"
    )
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    print(f"{platform.platform()}, {device_words()}, jax {versions()['jax']}, medians of {arguments.pairs} pairs")
    rows = []
    for bench in arguments.benches:
        for row in measured(bench, arguments.pairs):
            rows.append(row)
            quarters = "" if row["ratio"] is None else f"[{row['quarter']:.3f}, {row['three_quarters']:.3f}]"
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
            print(f"{row['what']:<55} {row['first']:>14} {row['second']:>10}  {ratio}  {quarters}", flush=True)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"device": device_words(), "versions": versions(), "rows": rows}, indent=2)
        )


if __name__ == "__main__":
    main()
