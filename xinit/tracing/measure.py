"""A network seen once forward and once backward, and what that says of each of its layers."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from xinit.core.errors import InputError
from xinit.tracing.networks import ONCE, Network, Params
from xinit.tracing.parameters import Parameter
from xinit.tracing.taps import Layer, Recorder, Taps, Visit, is_floating
from xinit.tracing.wiring import Wiring, wiring

Loss = Callable[[Any, Any], Array]
Wanted = Callable[[str], bool]  # of the path of a module


class Pass(NamedTuple):
    """The loss, the visits of the layers, and dL/d of their taps (by layer) and of the parameters (a tree)."""

    loss: Array
    visits: dict[str, Visit]
    tap_gradients: dict[str, Array]
    param_gradients: Params


def forward(
    net: Network, wanted: Wanted, params: Params, x: Any, taps: Taps, cut: bool = False
) -> tuple[Any, Recorder]:
    """Output and recorder of one call."""
    recorder = Recorder(wanted, taps, cut)
    return net.call(params, x, recorder), recorder


def sight(net: Network, wanted: Wanted, x: Any) -> tuple[Any, Recorder]:
    """Output and recorder of a call in shapes alone, which computes nothing."""
    recorders = []

    def call(params, x):
        output, recorder = forward(net, wanted, params, x, {})
        recorders.append(recorder)
        return output, recorder.visits

    output, visits = jax.eval_shape(call, net.params, x)
    recorder = recorders[0]
    recorder.visits = {name: visits[name] for name in recorder.layers}  # jax sorts a dict; this is the order of calls
    return output, recorder


def zero_taps(visits: Mapping[str, Visit]) -> Taps:
    """A tap of zeros for each layer, of the shape and precision of its output."""
    return {name: np.zeros(visit.gives.shape, visit.gives.dtype) for name, visit in visits.items()}


def make_backpropagate(net: Network, wanted: Wanted, loss: Loss) -> Callable[[Params, Any, Any, Taps], Pass]:
    """The compiled function of parameters, x, batch and taps that goes through the network once in each direction."""

    def total(params, taps, x, batch):
        output, recorder = forward(net, wanted, params, x, taps)
        value = loss(output, batch)
        if jnp.shape(value) != ():
            raise InputError(f"loss returns an array of shape {jnp.shape(value)}; it must return one number.")
        return value, recorder.visits

    def backpropagate(params, x, batch, taps):
        both = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
        (value, visits), (param_gradients, tap_gradients) = both(params, taps, x, batch)
        return Pass(value, visits, tap_gradients, param_gradients)

    return jax.jit(backpropagate, compiler_options=ONCE)


def wired(net: Network, wanted: Wanted, x: Any, visits: Mapping[str, Visit]) -> Wiring:
    """How the layers of a network with modules, whose visits are known in shape, hang together."""

    def reads(taps):
        output, recorder = forward(net, wanted, net.params, x, taps, cut=True)
        return [*(visit.reads for visit in recorder.visits.values()), *jax.tree.leaves(output)]

    return wiring(reads, zero_taps(visits))


def layer_readings(
    passed: Pass, layers: Mapping[str, Layer], kernels: Sequence[Parameter | None], n: int
) -> dict[str, np.ndarray]:
    """Readings by their names in `xinit.core.readings`, SHARED and TRACED, with the axis layer.

    input_* are nan where a layer reads no floating numbers, and grad_w_norm, of the layer's kernel, where it has none.
    Without taps grad_pre_* are left out. `n` is the number of examples.
    """
    read = []
    for (name, layer), kernel in zip(layers.items(), kernels, strict=True):
        row = _forward_readings(passed.visits[name], n)
        if passed.tap_gradients:
            row |= _backward_readings(passed.tap_gradients[name], n, layer.unit_axes)
        read.append(row | {"grad_w_norm": kernel.grad_norm if kernel else math.nan})
    return {name: np.array([row[name] for row in read]) for name in read[0]}


def _forward_readings(visit: Visit, n: int) -> dict[str, float]:
    reads = (math.nan,) * 3 if visit.reads is None else moments(visit.reads, n)
    names = "input_mean", "input_std", "input_cosine_mean", "pre_mean", "pre_std"
    return dict(zip(names, (*reads, *moments(visit.gives, n)[:2]), strict=True))


def _backward_readings(g_z: Array, n: int, unit_axes: int) -> dict[str, float]:
    zero = (np.asarray(g_z) == 0).reshape(-1, math.prod(g_z.shape[g_z.ndim - unit_axes :]))
    mean, std, _ = moments(g_z, n)
    shares = {"grad_pre_zero_units": zero.all(axis=0).mean(), "grad_pre_zero": zero.mean()}
    return shares | {"grad_pre_mean": n * mean, "grad_pre_std": n * std}


def moments(h: Array, n: int) -> tuple[float, float, float]:
    """Mean, standard deviation, and mean cosine between the n examples, each with all its positions in one vector.

    Over the pairs of unit vectors u_i the mean of u_i u_j is (|sum u_i|^2 - sum |u_i|^2) / (n (n - 1)). It is nan where
    the first axis of h is not that of the examples.
    """
    signal = np.asarray(h).astype(np.float64)  # on the host: nothing to compile, and the sums are exact enough
    with np.errstate(invalid="ignore"):  # infinities make nan, which the rules look for
        mean, std = float(signal.mean()), float(signal.std())
        if signal.ndim < 2 or not len(signal) == n > 1:
            return mean, std, math.nan
        examples = signal.reshape(n, -1)
        norms = np.linalg.norm(examples, axis=1, keepdims=True)
        units = examples / np.where(norms > 0, norms, 1)
        cosine = ((units.sum(axis=0) ** 2).sum() - (units**2).sum()) / (n * (n - 1))
        return mean, std, float(cosine)


def default_loss(output: Any, batch: Any) -> tuple[Loss, float | None]:
    """The loss of a batch (x, y), or of x alone, and of a classifier what the uniform answer would lose.

    Whole y: mean of -log softmax(output)_y. Other y: mean of (output - y)^2. No y: a fixed random linear functional,
    L = mean over examples of sum_k r_k output_k / sqrt(K), r ~ N(0, 1): dL/doutput is then of the same size whatever
    the output is, so that the gradient readings show the way back alone.

    Raises:
      InputError: y does not fit the output, or its classes run beyond it.
    """
    if not isinstance(batch, tuple):
        return _linear_functional, None
    y = np.asarray(batch[1])
    shape, classes = getattr(output, "shape", None), getattr(output, "shape", (0,))[-1:]
    if shape and jnp.issubdtype(y.dtype, jnp.integer) and y.shape == shape[:-1]:
        if not 0 <= int(y.min()) <= int(y.max()) < classes[0]:
            raise InputError(f"y runs from {int(y.min())} to {int(y.max())}; the output allows 0 to {classes[0] - 1}.")
        return _cross_entropy, math.log(classes[0])
    if shape and jnp.issubdtype(y.dtype, jnp.floating) and y.shape == shape:
        return lambda output, batch: jnp.mean((output - batch[1]) ** 2), None
    raise InputError(
        f"y has shape {y.shape} and type {y.dtype}, and the output has shape {shape}; y must be whole numbers without "
        "the output's last axis, or floating numbers of its shape, or else give loss=."
    )


def _cross_entropy(output: Array, batch: Any) -> Array:
    logits = output.astype(jnp.float32)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]))


def _linear_functional(output: Any, batch: Any) -> Array:
    parts = [part for part in jax.tree.leaves(output) if is_floating(part)]
    r = [jax.random.normal(jax.random.key(i), part.shape, jnp.float32) for i, part in enumerate(parts)]
    n = [len(part) if part.ndim else 1 for part in parts]
    scaled = lambda a, part, n: jnp.sum(a * part) / (n * math.sqrt(part.size / n))
    return sum(map(scaled, r, parts, n))
