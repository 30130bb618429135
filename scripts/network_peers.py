"""The peers of a residual network and of a convolutional one: bare jax, PyTorch and Flax on the very same work.

Each network is written down once, in the operations of whichever library computes it. The work is that of `peers`:
softmax cross-entropy and plain SGD on a ring of fixed batches, from given kernels, (I, O) or (H, W, I, O), and biases.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import peers
from jax import lax

from xinit.core.convolutions import canonical

Logits = Callable[["Operations", Sequence, Any], Any]
SIDE = 28  # pixels of the images


class Operations(NamedTuple):
    """What a library has: `multiply(layer, h)` is h W + b or a convolution, as the layer is."""

    relu: Callable[[Any], Any]
    multiply: Callable[[Any, Any], Any]
    image: Callable[[Any], Any]
    pool: Callable[[Any], Any]


def residual(operations: Operations, layers: Sequence, x: Any) -> Any:
    """h <- h + W f(W f(h)) / sqrt(L), f = relu, between an input and a last layer."""
    multiply, relu = operations.multiply, operations.relu
    first, *inner, last = layers
    h, scale = multiply(first, x), (len(inner) // 2) ** -0.5
    for one, other in zip(inner[::2], inner[1::2], strict=True):
        h = h + scale * multiply(other, relu(multiply(one, relu(h))))
    return multiply(last, relu(h))


def convnet(operations: Operations, layers: Sequence, x: Any) -> Any:
    """h <- relu(W * h + b) a layer, the mean over positions, a last layer."""
    h = operations.image(x)
    for layer in layers[:-1]:
        h = operations.relu(operations.multiply(layer, h))
    return operations.multiply(layers[-1], operations.pool(h))


# --- jax, with nothing around it ----------


def _multiply(layer: tuple[jax.Array, jax.Array], h: jax.Array) -> jax.Array:
    kernel, bias = layer
    if kernel.ndim == 2:
        return jnp.dot(h, kernel, precision="float32") + bias
    form = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(h, kernel, (1, 1), "SAME", dimension_numbers=form, precision="float32") + bias


JAX = Operations(jax.nn.relu, _multiply, lambda x: x.reshape(-1, SIDE, SIDE, 1), lambda h: jnp.mean(h, (1, 2)))


def over_blocks(layers: Sequence, x: jax.Array) -> jax.Array:
    """`residual` as a scan over its branches, from (first layer, layers stacked in pairs, last layer)."""
    first, pairs, last = layers
    scale = len(pairs[0][0]) ** -0.5

    def block(h, pair):
        return h + scale * _multiply(pair[1], jax.nn.relu(_multiply(pair[0], jax.nn.relu(h)))), None

    return _multiply(last, jax.nn.relu(lax.scan(block, _multiply(first, x), pairs)[0]))


def in_blocks(layers: peers.Layers) -> tuple:
    """The layers of a residual network as `over_blocks` reads them."""
    first, *inner, last = layers
    return first, tuple(jax.tree.map(lambda *a: np.stack(a), *inner[i::2]) for i in (0, 1)), last


def bare(
    name: str, logits: Callable, layers: Any, x: np.ndarray, y: np.ndarray, rate: float, steps: int, as_it_is: bool
) -> peers.Peer:
    """A jitted scan over the steps; `as_it_is`: convolutions and their gradients in whatever form jax has them."""

    def loss_of(layers, x, y):
        log_p = jax.nn.log_softmax(logits(layers, x))
        return -jnp.mean(log_p[jnp.arange(len(y)), y])

    def run(layers, rate, x, y):
        def step(layers, i):
            grads = jax.grad(loss_of)(layers, x[i % len(x)], y[i % len(x)])
            return jax.tree.map(lambda w, g: w - rate * g, layers, grads), None

        return lax.scan(step, layers, jnp.arange(steps))[0]

    arguments = jax.device_put((layers, jnp.float32(rate), x, y))
    compiled = jax.jit(run if as_it_is else canonical(run))
    last = [layers]

    def train() -> None:
        last[0] = jax.block_until_ready(compiled(*arguments))

    return peers.Peer(name, train, lambda: [np.asarray(kernel) for kernel, _ in last[0]])


# --- PyTorch ----------


def torch_logits(network: Logits, channels_last: bool) -> Callable[[Sequence, Any], Any]:
    """The network on [kernel, bias, kernel, bias, ...], kernels of convolutions (O, I, H, W)."""
    import torch

    def multiply(layer: tuple, h: Any) -> Any:
        kernel, bias = layer
        if kernel.ndim == 2:
            return torch.addmm(bias, h, kernel)
        return torch.nn.functional.conv2d(h, kernel, bias, padding="same")

    def image(x: Any) -> Any:
        h = x.reshape(-1, 1, SIDE, SIDE)
        return h.contiguous(memory_format=torch.channels_last) if channels_last else h

    operations = Operations(torch.relu, multiply, image, lambda h: h.mean((2, 3)))
    return lambda parameters, x: network(operations, list(zip(parameters[::2], parameters[1::2], strict=True)), x)


def torch_peer(factory: Callable, network: Logits, layers: peers.Layers, *work: Any, threads: int) -> peers.Peer:
    """`peers.torch_eager` or `peers.torch_compiled` of a network; of a convolutional one the faster layout."""
    turned = [(kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel, bias) for kernel, bias in layers]
    layouts = (False, True) if any(kernel.ndim == 4 for kernel, _ in layers) else (False,)
    make = lambda last: factory(turned, *work, threads, logits=torch_logits(network, last))
    peer = peers.fastest([make(last) for last in layouts], rounds=2)
    back = lambda kernel: kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel
    return peer._replace(kernels=lambda: [back(kernel) for kernel in peer.kernels()])


# --- Flax ----------


def flax_logits(network: Logits) -> Callable[[Sequence, jax.Array], jax.Array]:
    """The network on Flax modules."""
    return functools.partial(network, JAX._replace(multiply=lambda layer, h: layer(h)))


def expected(logits: Callable, layers: peers.Layers, x: np.ndarray, y: np.ndarray, rate: float, steps: int) -> list:
    """The kernels after `steps` steps, by jax in the plainest way: one step after the other."""

    @jax.jit
    def step(layers, x, y):
        loss_of = lambda layers: -jnp.mean(jax.nn.log_softmax(logits(layers, x))[jnp.arange(len(y)), y])
        return jax.tree.map(lambda w, g: w - rate * g, layers, jax.grad(loss_of)(layers))

    trained = list(layers)
    for images, labels in itertools.islice(itertools.cycle(zip(x, y, strict=True)), steps):
        trained = step(trained, images, labels)
    return [np.asarray(kernel) for kernel, _ in trained]
