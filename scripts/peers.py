"""The peers that `scripts/bench.py` compares xinit's trainer with: PyTorch, Flax and Keras on the very same work.

The work is a multilayer perceptron with tanh, softmax cross-entropy (mean over the batch) and plain SGD in float32, on
a ring of fixed batches x (N, B, I) and y (N, B), from given kernels (I, O) and biases (O,). Building a peer does all
that is not training (imports, compilation, conversion of the data); each `run()` trains from the same weights; and
`check` compares the weights it ends with to those of NumPy. Where a step can well be written in several ways, the peer
tries them and keeps the fastest on this machine; its name says which.

A peer whose package is missing raises ModuleNotFoundError, and the compiled one RuntimeError without a C++ compiler.
`python scripts/peers.py --width 256` checks and times all of them.
"""

import argparse
import functools
import importlib
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Layers = Sequence[tuple[np.ndarray, np.ndarray]]


class Peer(NamedTuple):
    """`run` trains from the initial weights and blocks until done; `kernels` are those it ended with, (I, O) each.

    Where weights change in place, `run` begins with copying the initial ones: about a step's time at most.
    """

    name: str
    run: Callable[[], None]
    kernels: Callable[[], list[np.ndarray]]


Factory = Callable[[Layers, np.ndarray, np.ndarray, float, int, int], Peer]


def fastest(variants: Sequence[Peer], rounds: int = 5) -> Peer:
    """The variant with the shortest of several alternated runs; each has run once before, which compiles it."""
    for variant in variants:
        variant.run()
    times = [[_seconds(variant.run) for variant in variants] for _ in range(rounds)]
    return variants[int(np.argmin(np.min(times, axis=0)))]


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def reference(layers: Layers, x: np.ndarray, y: np.ndarray, learning_rate: float, steps: int) -> list[np.ndarray]:
    """The kernels after `steps` steps, by NumPy."""
    kernels, biases = [kernel.copy() for kernel, _ in layers], [bias.copy() for _, bias in layers]
    for step in range(steps):
        inputs, labels = [x[step % len(x)]], y[step % len(x)]
        for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
            inputs.append(np.tanh(inputs[-1] @ kernel + bias))
        logits = inputs[-1] @ kernels[-1] + biases[-1]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        delta = (p / p.sum(axis=1, keepdims=True) - np.eye(p.shape[1], dtype=p.dtype)[labels]) / np.float32(len(labels))
        for l in reversed(range(len(kernels))):
            below = (delta @ kernels[l].T) * (1 - inputs[l] ** 2)  # of no use for the inputs, l = 0
            kernels[l] -= np.float32(learning_rate) * (inputs[l].T @ delta)
            biases[l] -= np.float32(learning_rate) * delta.sum(axis=0)
            delta = below
    return kernels


def check(
    peer: Peer, layers: Layers, x: np.ndarray, y: np.ndarray, learning_rate: float, steps: int, tolerance: float = 1e-3
) -> float:
    """The largest relative error, over the layers, of the change that a run of the peer made to the kernels.

    |W - W_numpy| / |W_numpy - W_initial| in the Frobenius norm; raises ValueError above the tolerance.
    """
    return check_kernels(peer, layers, reference(layers, x, y, learning_rate, steps), tolerance)


def check_kernels(peer: Peer, layers: Layers, expected: Sequence[np.ndarray], tolerance: float) -> float:
    """`check` against given kernels."""
    peer.run()
    trios = zip(peer.kernels(), expected, (kernel for kernel, _ in layers), strict=True)
    error = max(float(np.linalg.norm(got - want) / np.linalg.norm(want - start)) for got, want, start in trios)
    if not error <= tolerance:
        raise ValueError(
            f"{peer.name}: the change of a kernel is off by {error:.2g} of its size; {tolerance} is allowed."
        )
    return error


# --- PyTorch ----------


def torch_eager(
    layers: Layers,
    x: np.ndarray,
    y: np.ndarray,
    learning_rate: float,
    steps: int,
    threads: int = 2,
    logits: Callable[[Sequence, Any], Any] | None = None,
) -> Peer:
    """PyTorch with autograd: the faster of one `_foreach_add_` after the gradients and updates in backward's hooks.

    Both use `torch.addmm` on kernels (I, O). `nn.Linear` with `optim.SGD`, be it for loop, foreach or fused, is slower
    than the better of the two: by a third at width 256, by a tenth at 1000. `logits(parameters, x)` is another network
    than the perceptron.
    """
    import torch
    from torch.nn.functional import cross_entropy

    logits = logits or _torch_logits

    def foreach(parameters: list) -> Callable:
        def step(x, y):
            grads = torch.autograd.grad(cross_entropy(logits(parameters, x), y), parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, grads, alpha=-learning_rate)

        return step

    def hooks(parameters: list) -> Callable:
        @torch.no_grad()
        def update(parameter):  # as soon as its gradient is there, and while it is in the cache
            parameter.add_(parameter.grad, alpha=-learning_rate)
            parameter.grad = None

        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(update)
        return lambda x, y: cross_entropy(logits(parameters, x), y).backward()

    make = functools.partial(_torch_peer, layers, x, y, steps, threads)
    return fastest([make("PyTorch eager, foreach", foreach), make("PyTorch eager, hooks", hooks)])


def torch_as_written(
    layers: Layers,
    x: np.ndarray,
    y: np.ndarray,
    learning_rate: float,
    steps: int,
    threads: int = 2,
    compiled: bool = False,
) -> Peer:
    """PyTorch as its tutorials have it: `nn.Linear` modules, `CrossEntropyLoss`, `optim.SGD`, a Python loop.

    With `compiled`, forward pass and loss through `torch.compile`.
    """
    import torch

    def make_step(parameters: list) -> Callable:
        widths = [layers[0][0].shape[0], *(kernel.shape[1] for kernel, _ in layers)]
        modules = [m for i, o in itertools.pairwise(widths) for m in (torch.nn.Linear(i, o), torch.nn.Tanh())]
        model, criterion = torch.nn.Sequential(*modules[:-1]), torch.nn.CrossEntropyLoss()
        for module, kernel, bias in zip(modules[::2], parameters[::2], parameters[1::2], strict=True):
            module.weight = torch.nn.Parameter(kernel.detach().T)  # a view: what is reset and read outside
            module.bias = torch.nn.Parameter(bias.detach())
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        loss_of = lambda x, y: criterion(model(x), y)
        loss_of = torch.compile(loss_of) if compiled else loss_of

        def step(x: Any, y: Any) -> None:
            optimizer.zero_grad()
            loss_of(x, y).backward()
            optimizer.step()

        return step

    name = f"PyTorch as usually written, {'compiled' if compiled else 'eager'}"
    return _torch_peer(layers, x, y, steps, threads, name, make_step)


def torch_as_written_compiled(*arguments: Any, **named: Any) -> Peer:
    """`torch_as_written` through `torch.compile`."""
    return torch_as_written(*arguments, **named, compiled=True)


def torch_compiled(
    layers: Layers,
    x: np.ndarray,
    y: np.ndarray,
    learning_rate: float,
    steps: int,
    threads: int = 2,
    logits: Callable[[Sequence, Any], Any] | None = None,
) -> Peer:
    """PyTorch with the whole step, update included, under one `torch.compile`: with the default or the C++ wrapper.

    A compiled forward pass with `backward()` and `optim.SGD` outside, compiled or not, is no faster than eager here.
    `logits(parameters, x)` is another network than the perceptron.
    """
    import torch
    from torch.nn.functional import cross_entropy

    logits = logits or _torch_logits

    torch._dynamo.config.recompile_limit = 64  # one program for each width and number of threads is meant, not a leak

    def make_step(parameters: list, **options: Any) -> Callable:
        def step(parameters, x, y):
            grads = torch.func.grad(lambda parameters: cross_entropy(logits(parameters, x), y))(parameters)
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter.sub_(grad, alpha=learning_rate)

        compiled = torch.compile(step, dynamic=False, fullgraph=True, options=options)
        return torch.no_grad()(lambda x, y: compiled(parameters, x, y))

    wrapped = functools.partial(make_step, cpp_wrapper=True)
    make = functools.partial(_torch_peer, layers, x, y, steps, threads, requires_grad=False)
    try:
        return fastest([make("PyTorch compiled", make_step), make("PyTorch compiled, C++ wrapper", wrapped)])
    except Exception as error:
        words = str(error).strip().partition("\n")[0]
        raise RuntimeError(
            f"torch.compile failed (it needs a C++ compiler): {type(error).__name__}: {words}"
        ) from error


def _torch_logits(parameters: Sequence, x: Any) -> Any:
    """The network on [kernel, bias, kernel, bias, ...]."""
    import torch

    for kernel, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        x = torch.tanh(torch.addmm(bias, x, kernel))
    return torch.addmm(parameters[-1], x, parameters[-2])


def _torch_peer(
    layers: Layers,
    x: np.ndarray,
    y: np.ndarray,
    steps: int,
    threads: int,
    name: str,
    make_step: Callable[[list], Callable],
    requires_grad: bool = True,
) -> Peer:
    """A peer from `make_step(parameters) -> step(x, y)`, which updates the parameters in place."""
    import torch

    initial = [torch.from_numpy(array.copy()) for layer in layers for array in layer]
    parameters = [array.clone().requires_grad_(requires_grad) for array in initial]
    batches = list(zip(torch.from_numpy(x.copy()), torch.from_numpy(y.astype(np.int64)), strict=True))
    step = make_step(parameters)

    def run() -> None:
        torch.set_num_threads(threads)
        with torch.no_grad():
            torch._foreach_copy_(parameters, initial)
        for x, y in itertools.islice(itertools.cycle(batches), steps):
            step(x, y)

    return Peer(f"{name}, {threads} threads", run, lambda: [kernel.detach().numpy() for kernel in parameters[::2]])


class Processes(NamedTuple):
    """`run` returns the seconds from the word to go until the slowest process is done; `close` ends the processes."""

    name: str
    run: Callable[[], float]
    close: Callable[[], None]


def torch_processes(
    layers: Layers,
    x: np.ndarray,
    y: np.ndarray,
    learning_rate: float,
    steps: int,
    threads: int = 1,
    count: int = 2,
    replicas: int = 2,
    peer: str = "torch_compiled",
) -> Processes:
    """`count` PyTorch processes side by side, each training `replicas` networks one after the other.

    All replicas start from the same weights, which changes nothing about the time. Each process has built, warmed up
    and checked its peer before this returns.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "work.npz"
        arrays = {f"layer{l}_{part}": array for l, layer in enumerate(layers) for part, array in enumerate(layer)}
        np.savez(path, x=x, y=y, **arrays)
        numbers = map(str, (learning_rate, steps, threads, replicas))
        command = [sys.executable, __file__, "--worker", peer, str(path), *numbers]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        workers = [subprocess.Popen(command, **pipes) for _ in range(count)]
        for worker in workers:
            _expect(worker, "ready")

    def run() -> float:
        started = time.perf_counter()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            _expect(worker, "done")
        return time.perf_counter() - started

    def close() -> None:
        for worker in workers:
            worker.communicate()  # the end of its input ends the worker

    return Processes(f"{count} x {peer}, {threads} threads each", run, close)


def _expect(worker: subprocess.Popen, word: str) -> None:
    line = worker.stdout.readline()
    if line != f"{word}\n":
        raise RuntimeError(f"A worker process said {line!r} where {word!r} was due; its own error stands above.")


def _worker(peer: str, path: str, learning_rate: str, steps: str, threads: str, replicas: str) -> None:
    """One of `torch_processes`: a round for each line on its input."""
    with np.load(path) as work:
        x, y, depth = work["x"], work["y"], len(work.files) // 2 - 1
        layers = [(work[f"layer{l}_0"], work[f"layer{l}_1"]) for l in range(depth)]
    numbers = float(learning_rate), int(steps)
    factory = {factory.__name__: factory for factory in PEERS}[peer]
    trained = factory(layers, x, y, *numbers, int(threads))
    check(trained, layers, x, y, *numbers)
    print("ready", flush=True)
    for _ in sys.stdin:
        for _ in range(int(replicas)):
            trained.run()
        print("done", flush=True)


# --- JAX: Flax and Keras, on every core that the process may use ----------


def flax_loop(
    layers: Layers,
    x: np.ndarray,
    y: np.ndarray,
    learning_rate: float,
    steps: int,
    threads: int | None = None,
    logits: Callable[[Sequence, jax.Array], jax.Array] | None = None,
) -> Peer:
    """Flax NNX and optax in a Python loop: `nnx.split`, then `jax.jit` of the step, with or without donation.

    The batches are on the device. `@nnx.jit` on the model and the optimizer, and `nnx.cached_partial` of it, are slower
    at width 256, for they walk the modules at each call; at 1000 all are alike. `logits(layers, x)` is another network
    than the perceptron. `threads` is not used.
    """
    import optax
    from flax import nnx

    def perceptron(layers, h):
        for layer in layers[:-1]:
            h = jnp.tanh(layer(h))
        return layers[-1](h)

    def module(*window, n_in, n_out):
        if window:
            return nnx.Conv(n_in, n_out, window, rngs=nnx.Rngs(0))
        return nnx.Linear(n_in, n_out, rngs=nnx.Rngs(0))

    class Model(nnx.Module):
        def __init__(self) -> None:
            shapes = [kernel.shape for kernel, _ in layers]
            self.layers = nnx.List([module(*window, n_in=i, n_out=o) for *window, i, o in shapes])

        def __call__(self, x):
            return (logits or perceptron)(self.layers, x)

    def loss_of(model, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

    model = Model()
    for layer, (kernel, bias) in zip(model.layers, layers, strict=True):
        layer.kernel.set_value(jnp.array(kernel))
        layer.bias.set_value(jnp.array(bias))
    graph, initial = nnx.split((model, nnx.Optimizer(model, optax.sgd(learning_rate), wrt=nnx.Param)))
    batches = [(jax.device_put(a), jax.device_put(b)) for a, b in zip(x, y, strict=True)]

    def step(state, x, y):
        model, optimizer = nnx.merge(graph, state)
        loss, grads = nnx.value_and_grad(loss_of)(model, x, y)
        optimizer.update(model, grads)
        return nnx.state((model, optimizer)), loss

    def make(name: str, **options: Any) -> Peer:
        first, compiled, last = jax.jit(step), jax.jit(step, **options), initial

        def run() -> None:
            nonlocal last
            state, _ = first(initial, *batches[0])  # not donated: the initial weights are needed again
            for x, y in itertools.islice(itertools.cycle(batches), 1, steps):
                state, _ = compiled(state, x, y)
            last = jax.block_until_ready(state)

        return Peer(name, run, lambda: [np.asarray(layer.kernel[...]) for layer in nnx.merge(graph, last)[0].layers])

    return fastest([make("Flax NNX loop"), make("Flax NNX loop, donated", donate_argnums=0)])


def keras_jax(
    layers: Layers, x: np.ndarray, y: np.ndarray, learning_rate: float, steps: int, threads: int | None = None
) -> Peer:
    """Keras on JAX: `fit` with `jit_compile` and one execution for each turn of the ring; `train_on_batch` is slower.

    The steps must be a multiple of the batches, or ValueError. `threads` is not used.
    """
    if steps % len(x):
        raise ValueError(f"{steps} steps; Keras trains in epochs, so a multiple of the {len(x)} batches is allowed.")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = importlib.import_module("keras")
    if keras.backend.backend() != "jax":
        raise RuntimeError(f"Keras runs on {keras.backend.backend()!r}; set KERAS_BACKEND=jax.")
    dense = keras.layers.Dense
    hidden = [dense(kernel.shape[1], activation="tanh") for kernel, _ in layers[:-1]]
    model = keras.Sequential([keras.Input((x.shape[2],)), *hidden, dense(layers[-1][0].shape[1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(learning_rate), loss, jit_compile=True, steps_per_execution=len(x))
    initial = [array for layer in layers for array in layer]
    images, labels = x.reshape(-1, x.shape[2]), y.reshape(-1)

    def run() -> None:
        model.set_weights(initial)
        model.fit(images, labels, batch_size=x.shape[1], epochs=steps // len(x), shuffle=False, verbose=0)
        jax.block_until_ready([weight.value for weight in model.weights])

    run()  # compiles
    return Peer("Keras on JAX, fit", run, lambda: model.get_weights()[::2])


# --- the machine ----------


def matmul_peak(sizes: Sequence[int] = (1024, 2048, 3072), repetitions: int = 7) -> float:
    """FLOP/s of the best of some square float32 products; the median of the repetitions of each."""
    multiply = jax.jit(functools.partial(jnp.matmul, precision="float32"))
    peak = 0.0
    for size in sizes:
        matrix = jnp.full((size, size), 1 / size, jnp.float32)
        work = lambda matrix=matrix: multiply(matrix, matrix).block_until_ready()
        work()
        peak = max(peak, 2 * size**3 / float(np.median([_seconds(work) for _ in range(repetitions)])))
    return peak


def bandwidth(size: int, repetitions: int = 7) -> float:
    """Bytes/s, read plus written, of w <- a w + b over `size` bytes in place; the median of the repetitions.

    Many passes inside one program, so that calling it costs nothing; a and b are arguments, so that no pass is folded.
    """
    passes = max(4, 2**30 // size)

    @functools.partial(jax.jit, donate_argnums=0)
    def stream(w, a, b):
        return lax.fori_loop(0, passes, lambda _, w: w * a + b, w)

    w, times = jnp.ones(size // 4, jnp.float32), []
    for _ in range(repetitions + 1):
        started = time.perf_counter()
        w = stream(w, 0.5, 0.5).block_until_ready()  # stays 1: neither grows nor becomes denormal
        times.append(time.perf_counter() - started)
    return 2 * size * passes / float(np.median(times[1:]))


def step_flops(widths: Sequence[int], batch: int) -> int:
    """2 B I O a layer for each of h W, h^T delta and delta W^T; the last is not needed for the inputs.

    >>> step_flops((3, 2, 1), 10)
    360
    """
    products = [2 * batch * i * o for i, o in itertools.pairwise(widths)]
    return 3 * sum(products) - products[0]


def step_bytes(widths: Sequence[int]) -> int:
    """The least that a step moves: each float32 weight is read twice and written once.

    >>> step_bytes((3, 2, 1))
    96
    """
    return 3 * 4 * sum(i * o for i, o in itertools.pairwise(widths))


PEERS: tuple[Factory, ...] = (
    torch_as_written,
    torch_as_written_compiled,
    torch_eager,
    torch_compiled,
    flax_loop,
    keras_jax,
)


def _glance(width: int, threads: int, steps: int) -> None:
    """Check and time every peer on random batches."""
    rng, widths = np.random.default_rng(0), (1024, *(width,) * 5, 9)
    draw = lambda i, o: rng.uniform(-1, 1, (i, o)).astype(np.float32) * np.float32((6 / (i + o)) ** 0.5)
    layers = [(draw(i, o), np.zeros(o, np.float32)) for i, o in itertools.pairwise(widths)]
    x = rng.uniform(-1, 1, (50, 10, 1024)).astype(np.float32)
    work = layers, x, rng.integers(0, 9, (50, 10)).astype(np.int32), 0.01, steps
    for factory in PEERS:
        started = time.perf_counter()
        try:
            peer = factory(*work, threads)
        except (ModuleNotFoundError, RuntimeError) as error:
            print(f"{factory.__name__} left out: {error}")
            continue
        built, error = time.perf_counter() - started, check(peer, *work)
        best = min(_seconds(peer.run) for _ in range(5))
        print(f"{peer.name:<45} {1e3 * best / steps:.3f} ms, built in {built:.1f} s, error {error:.1e}", flush=True)


def main() -> None:
    """A worker of `torch_processes`, or a glance at all peers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--worker", nargs=6, help=argparse.SUPPRESS)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.worker:
        _worker(*arguments.worker)
    else:
        _glance(arguments.width, arguments.threads, arguments.steps)


if __name__ == "__main__":
    main()
