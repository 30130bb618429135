"""Pre-training with stacked denoising autoencoders as an initialisation scheme: one curve of Figure 11.

    python -m xinit.train activation=sigmoid scheme=custom \
        scheme.fn=experiments.glorot2010.pretraining:denoising_autoencoders \
        scheme.kwargs='{steps: 20000, learning_rate: 0.01}'

Each hidden layer, from the bottom up, learns to restore what the layers below it make of an image from a copy of which
a share was wiped out. The images are Shapeset's, drawn as they are needed. Labels are not looked at.

The scheme is drawn before the first step of a run, hence anew where a run that was cut goes on, and it is part of the
run's identity with every file of this package: editing one makes another run of it.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from xinit.core.errors import InputError
from xinit.data import scenes
from xinit.data.dataset import CHUNK_STEPS, pixels_to
from xinit.initializers import standard
from xinit.networks.activations import Activation
from xinit.networks.mlp import make_params
from xinit.schemes import Scheme, layer_keys
from xinit.training.loop import for_each_chunk


class Source(NamedTuple):
    """Clean inputs of a layer: `draw(key, n)` makes n fresh ones, (n, I), with values between `low` and `high`."""

    draw: Callable[[Array, int], Array]
    low: float
    high: float


class Autoencoder(NamedTuple):
    """An encoder's kernel (I, O) and bias (O,); the decoder has the kernel's transpose and a bias (I,) of its own."""

    kernel: Array
    bias: Array
    decoder_bias: Array


class Training(NamedTuple):
    """How every layer is trained; see `denoising_autoencoders`."""

    steps: int
    learning_rate: float
    corruption: float
    batch_size: int


def denoising_autoencoders(
    steps: int,
    learning_rate: float,
    corruption: float = 0.25,
    batch_size: int = 10,
    pixel_range: Sequence[float] = (-1.0, 1.0),
) -> Scheme:
    """`standard` weights, every hidden layer then trained as a denoising autoencoder (Vincent et al. 2008).

    The encoders' biases are kept too; the output layer stays as it was drawn. `gain` multiplies the finished kernels.
    The paper names neither steps nor rate; a later program of its author (github.com/glorotxa/DeepANN) has 300,000
    steps a layer at .001, for tanh.

    Args:
      steps: of plain SGD, for each layer.
      learning_rate: for a cost that is a sum over a layer's inputs, hence a small one.
      corruption: the share of a layer's inputs that is wiped out.
      batch_size: images a step, fresh ones each time.
      pixel_range: of the images; the one that the network is trained with afterwards.

    Raises:
      InputError: a number out of its range; when weights are drawn, inputs that are no square image or an activation
        without bounds.

    Reference: Vincent et al., "Extracting and composing robust features with denoising autoencoders", 2008.
    """
    training = Training(steps, learning_rate, corruption, batch_size)
    _check(training, pixel_range)

    def scheme(key, widths, activations, hyper, batch):
        source, layers = images(widths[0], pixel_range), []
        shapes = list(itertools.pairwise(widths))
        for l, (key_l, shape) in enumerate(zip(layer_keys(key, len(shapes)), shapes, strict=True)):
            layer = begin(key_l, shape)
            if l < len(activations):
                layer = pretrain(jax.random.fold_in(key_l, 1), layer, activations[l], source, training)
                source = encoded(source, layer, activations[l])
            layers.append(layer)
        gained = [hyper["gain"] * layer.kernel for layer in layers]
        return make_params(gained, [layer.bias for layer in layers]), jnp.ones(len(shapes))

    return scheme


def _check(training: Training, pixel_range: Sequence[float]) -> None:
    if training.steps < 1 or training.batch_size < 1:
        raise InputError(
            f"Pre-training has {training.steps} steps of {training.batch_size} images; both must be at least 1."
        )
    if not 0 < training.learning_rate < math.inf:
        raise InputError(f"The learning rate of pre-training is {training.learning_rate}; it must be above 0.")
    if not 0 <= training.corruption < 1:
        raise InputError(f"The corruption is {training.corruption}; it must be a share, at least 0 and below 1.")
    if len(pixel_range) != 2 or not -math.inf < pixel_range[0] < pixel_range[1] < math.inf:
        raise InputError(f"pixel_range is {list(pixel_range)}; it must be two numbers, the lower one first.")


def images(n_inputs: int, pixel_range: Sequence[float]) -> Source:
    """Shapeset images of so many pixels; InputError where they make no square."""
    size, decode = math.isqrt(n_inputs), pixels_to(pixel_range)
    if size**2 != n_inputs:
        raise InputError(f"The network has {n_inputs} inputs; pre-training needs a square image's, such as 1024.")
    return Source(lambda key, n: decode(scenes.draw(key, n, size)[0]), *pixel_range)


def encoded(below: Source, layer: Autoencoder, activation: Activation) -> Source:
    """What a layer makes of its inputs, for the layer above it; InputError where that has no bounds."""
    low, high = activation.low, activation.high
    if not math.isfinite(high - low):
        raise InputError(
            f"Pre-training restores values between two bounds, but those of {activation.name} lie between {low} and "
            f"{high}; use a bounded activation, such as sigmoid or tanh."
        )
    return Source(lambda key, n: encode(layer, activation, below.draw(key, n)), low, high)


def begin(key: Array, shape: tuple[int, int]) -> Autoencoder:
    """A layer as the scheme `standard` draws it from the same key, biases 0."""
    fan_in, fan_out = shape
    return Autoencoder(standard()(key, shape, jnp.float32), jnp.zeros(fan_out), jnp.zeros(fan_in))


def pretrain(key: Array, layer: Autoencoder, activation: Activation, source: Source, training: Training) -> Autoencoder:
    """The layer after training: the gradient of `reconstruction_loss` on fresh, freshly corrupted batches."""
    K, B = CHUNK_STEPS, training.batch_size

    def step(layer, noisy_BI, clean_BI):
        gradient = jax.grad(reconstruction_loss)(layer, activation, source, noisy_BI, clean_BI)
        return jax.tree.map(lambda value, slope: value - training.learning_rate * slope, layer, gradient)

    def chunk(c, first, last, layer):
        draw_key, noise_key = jax.random.split(jax.random.fold_in(key, c))
        clean_KBI = source.draw(draw_key, K * B).reshape(K, B, -1)
        noisy_KBI = corrupt(noise_key, clean_KBI, training.corruption)
        return lax.fori_loop(first, last, lambda i, layer: step(layer, noisy_KBI[i], clean_KBI[i]), layer)

    return for_each_chunk(K, 0, training.steps, chunk, layer)


def encode(layer: Autoencoder, activation: Activation, x_BI: Array) -> Array:
    """h = f(x W + b), (B, O)."""
    return activation.function(jnp.matmul(x_BI, layer.kernel, precision="highest") + layer.bias[None, :])


def corrupt(key: Array, x: Array, share: float) -> Array:
    """Sets every value to 0 with probability `share`, independently.

    Vincent et al. 2008, but for the number of zeros, which they fix for each example. 0 is the value that
    adds nothing to x W; of a pixel it is black in [0, 1], and in [-1, 1] a middle grey that no shape or ground has.
    """
    return jnp.where(jax.random.uniform(key, x.shape) < share, 0.0, x)


def reconstruction_loss(
    layer: Autoencoder, activation: Activation, source: Source, noisy_BI: Array, clean_BI: Array
) -> Array:
    """Cross-entropy of clean inputs and what is restored from noisy ones, in nats an example, summed over inputs.

      t = (x - low) / (high - low),  p = sigmoid(a),  a = (high - low) (f(x~ W + b) W^T + c)
      L = -sum_i t_i ln p_i + (1 - t_i) ln(1 - p_i)

    For inputs in [0, 1] it is that of Vincent et al. 2008. Others are first brought there, as in DeepANN, so
    that one cost suits pixels in any range and every bounded activation; for inputs in [-1, 1] the decoder is then
    2 p - 1 = tanh(h W^T + c).
    """
    span = source.high - source.low
    target_BI = (clean_BI - source.low) / span
    hidden_BO = encode(layer, activation, noisy_BI)
    logit_BI = span * (jnp.matmul(hidden_BO, layer.kernel.T, precision="highest") + layer.decoder_bias[None, :])
    return jnp.mean(jnp.sum(jax.nn.softplus(logit_BI) - target_BI * logit_BI, axis=1))
