"""The compiled program of a probe: it runs a model once forward and once backward and measures each layer."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float, Num

from xinit.core.errors import InputError
from xinit.tracing.structure.kernels import Axes, by_path
from xinit.tracing.structure.layers import Layer, Structure
from xinit.tracing.structure.operands import CONVOLUTION
from xinit.tracing.structure.program import Value, run

Loss = Callable[[Any, Any], Array]
SAMPLES = 4096  # values of a layer that quantiles and histograms are made of
# How far XLA optimises a program that runs once: at 0 it compiles soonest; convolutions on a CPU need 1 to run fast.
LEVEL, LEVEL_OF_CONVOLUTIONS = 0, 1


class Measured(NamedTuple):
    """What one pass measures.

    `readings[name][site]` is an array over the iterations of the product at that site. `parameters[path]` are the
    statistics of which the row of a parameter is made.
    """

    loss: Array
    readings: dict[str, dict[Value, Array]]
    parameters: dict[str, dict[str, Array]]


def make_pass(
    structure: Structure, n_examples: int, loss: Loss, once: bool
) -> Callable[[Any, Any, Any, Any], Measured]:
    """The compiled function of parameters, other arrays, inputs and batch that runs the model forward and backward.

    The gradient of the loss with respect to a tap of zeros on a layer's output z is dL/dz. For z = h W + b its sum over
    examples and positions is dL/db, and h^T dL/dz is dL/dW.
    """
    sites = {layer.product.site: layer for layer in structure.layers}
    products = [layer.product for layer in sites.values()]
    kept = {value for product in products for value in (product.reads, product.gives) if value is not None}
    kept |= {layer.function.reads for layer in sites.values() if layer.function}

    def total(params: Any, taps: Mapping[Value, Array], others: Any, inputs: Any, batch: Any) -> tuple[Array, Any]:
        outputs, records = run(structure.program, jax.tree.leaves((params, others, inputs)), taps, kept)
        output = jax.tree.unflatten(jax.tree.structure(structure.output), outputs)
        value = loss(output, batch)
        if jnp.shape(value) != ():
            raise InputError(f"loss returns an array of shape {jnp.shape(value)}; it must return one number.")
        return value, records

    def once_through(params: Any, others: Any, inputs: Any, batch: Any) -> Measured:
        taps = {product.gives: _zeros(structure.program.types[product.gives]) for product in products}
        both = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
        (value, records), (param_gradients, tap_gradients) = both(params, taps, others, inputs, batch)
        by_site = {
            site: _readings(layer, records, tap_gradients[layer.product.gives], n_examples)
            for site, layer in sites.items()
        }
        named, gradients = by_path(params), by_path(param_gradients)
        parameters = {path: _statistics(named[path], gradients[path], structure.axes[path]) for path in named}
        names = {name for readings in by_site.values() for name in readings}
        readings = {name: {site: own[name] for site, own in by_site.items() if name in own} for name in sorted(names)}
        return Measured(value, readings, parameters)

    convolves = any(layer.product.kind == CONVOLUTION for layer in structure.layers)
    level = LEVEL_OF_CONVOLUTIONS if convolves else LEVEL
    return jax.jit(once_through, compiler_options={"xla_backend_optimization_level": level} if once else None)


def _zeros(kind: Any) -> Array:
    return jnp.zeros(kind.shape, kind.dtype)


def _readings(layer: Layer, records: Mapping[Value, Array], g: Array, n_examples: int) -> dict[str, Array]:
    """The readings of one product, each with an axis for the iterations of the loops whose parameters are stacked."""
    product, iteration = layer.product, layer.product.iteration
    gives = _Signal(records[product.gives], iteration, product.gives_examples, product.unit_axes, n_examples)
    gradient = _Signal(g, iteration, product.gives_examples, product.unit_axes, n_examples)
    read = gives.moments("pre") | {"pre_sample": gives.sample()}
    if product.reads is not None:
        h = _Signal(records[product.reads], iteration, product.reads_examples, (), n_examples)
        read |= h.moments("input") | {"input_cosine_mean": h.cosine()}
    if layer.function is not None:
        read["into_sample"] = _Signal(records[layer.function.reads], iteration, None, (), n_examples).sample()
    zero = gradient.array == 0
    scaled = {name: n_examples * value for name, value in gradient.moments("grad_pre").items()}
    return read | scaled | {
        "grad_pre_zero": jnp.mean(zero, (1, 2, 3), dtype=jnp.float32),
        "grad_pre_zero_units": jnp.mean(zero.all((1, 2)), 1, dtype=jnp.float32),
        "grad_pre_sample": n_examples * gradient.sample(),
    }  # fmt: skip


class _Signal:
    """An array of a layer as (iterations, examples, positions, units), in single precision.

    Iterations of loops that share their parameters are positions. Without an axis of the examples there is one example.
    """

    def __init__(
        self,
        array: Array,
        iteration: Sequence[int | None],
        examples: int | None,
        units: Sequence[int],
        n_examples: int,
    ) -> None:
        loops = range(len(iteration))
        stacked = [loop for loop in loops if iteration[loop] is not None]
        inner = array.ndim - len(iteration)
        first = [] if examples is None else [len(iteration) + examples]
        last = [len(iteration) + axis for axis in units if axis != examples]
        others = [axis for axis in range(array.ndim) if axis not in (*stacked, *first, *last)]
        size = lambda axes: math.prod(array.shape[axis] for axis in axes)
        n = n_examples if first and size(first) % n_examples == 0 else 1
        ordered = array.transpose(*stacked, *first, *others, *last).astype(jnp.float32)
        self.array = ordered.reshape(size(stacked), n, -1, size(last)) if inner >= 0 else ordered
        self.n = n

    def moments(self, name: str) -> dict[str, Array]:
        """Mean and standard deviation."""
        scale = _scale(self.array, (1, 2, 3))
        array = self.array / scale
        mean = jnp.mean(array, (1, 2, 3), keepdims=True)
        std = jnp.sqrt(jnp.mean((array - mean) ** 2, (1, 2, 3), keepdims=True))
        return {f"{name}_mean": (scale * mean).ravel(), f"{name}_std": (scale * std).ravel()}

    def cosine(self) -> Array:
        """The mean cosine between the n examples, each with all its positions in one vector.

        Over the pairs of unit vectors u_i the mean of u_i u_j is (|sum u_i|^2 - sum |u_i|^2) / (n (n - 1)).
        """
        if self.n < 2:
            return jnp.full(len(self.array), jnp.nan)
        examples = self.array.reshape(len(self.array), self.n, -1)
        examples /= _scale(examples, (2,))
        norms = jnp.sqrt(jnp.sum(examples**2, -1, keepdims=True))
        units = examples / jnp.where(norms > 0, norms, 1)
        sums = jnp.sum(jnp.sum(units, 1) ** 2, -1) - jnp.sum(units**2, (1, 2))
        return sums / (self.n * (self.n - 1))

    def sample(self) -> Array:
        """Evenly spaced values, equally many from every unit."""
        flat = self.array.reshape(len(self.array), -1)
        step = max(1, flat.shape[1] // SAMPLES)
        units = self.array.shape[-1]
        while math.gcd(step, units) > 1 and step > 1 and units < flat.shape[1]:
            step += 1
        return flat[:, ::step][:, :SAMPLES]


def _statistics(w: Array, g: Array, axes: Any) -> dict[str, Array]:
    """The statistics of a parameter; in a stack of kernels each has its own `second` moment and `grad_norm`."""
    w, g = w.astype(jnp.float32), g.astype(jnp.float32)
    stacked = axes.stacked if isinstance(axes, Axes) else ()
    own = tuple(axis for axis in range(w.ndim) if axis not in stacked)
    made = {"mean": jnp.mean(w), "std": jnp.std(w), "second": jnp.mean(w**2, own), "grad_norm": _norm(g, own)}
    if isinstance(axes, Axes) and not axes.lookup and math.prod(w.shape[axis] for axis in axes.outputs) > 1:
        apart = lambda a: jnp.max(jnp.max(a, axes.outputs) - jnp.min(a, axes.outputs))
        made |= {"w_apart": apart(w), "w_max": jnp.max(jnp.abs(w)), "g_apart": apart(g), "g_max": jnp.max(jnp.abs(g))}
    return made


def _norm(g: Array, axes: tuple[int, ...]) -> Array:
    """The root of the sum of squares."""
    scale = _scale(g, axes)
    return jnp.sqrt(jnp.sum((g / scale) ** 2, axes)) * jnp.squeeze(scale, axes)


def _scale(a: Array, axes: tuple[int, ...]) -> Array:
    """The largest size, to divide by: the squares of a signal that has vanished are 0 in single precision."""
    largest = jnp.max(jnp.abs(a), axes, keepdims=True)
    return jnp.where(largest > 0, largest, 1)


def default_loss(output: Any, y: Any) -> tuple[Loss, float | None]:
    """The loss for a batch (x, y) or x alone, and for a classifier the loss of the uniform answer.

    Whole y: mean of -log softmax(output)_y. Other y: mean of (output - y)^2. No y: a fixed random linear functional,
    L = mean over examples of sum_k r_k output_k / sqrt(K), r ~ N(0, 1): dL/doutput is then of the same size whatever
    the output is, so that the gradient readings show the way back alone.

    Raises:
      InputError: y does not fit the output, or its classes run beyond it.
    """
    if y is None:
        return _linear_functional, None
    y = np.asarray(y)
    shape, classes = getattr(output, "shape", None), getattr(output, "shape", (0,))[-1:]
    if shape and jnp.issubdtype(y.dtype, jnp.integer) and y.shape == shape[:-1]:
        if not 0 <= int(y.min()) <= int(y.max()) < classes[0]:
            raise InputError(f"y runs from {int(y.min())} to {int(y.max())}; the output allows 0 to {classes[0] - 1}.")
        return _cross_entropy, math.log(classes[0])
    if shape and jnp.issubdtype(y.dtype, jnp.floating) and y.shape == shape:
        return _squared_error, None
    came = f"shape {shape}" if shape else f"the form {jax.tree.map(jax.typeof, output)}"
    raise InputError(
        f"y has shape {y.shape} and type {y.dtype}, and the output has {came}; y must be whole numbers without the "
        "output's last axis, or floating numbers of its shape, or else give loss=."
    )


def _squared_error(output: Num[Array, "..."], batch: Any) -> Float[Array, ""]:
    return jnp.mean((output - batch[1]) ** 2)


def _cross_entropy(output: Num[Array, "... outputs"], batch: Any) -> Float[Array, ""]:
    logits = output.astype(jnp.float32)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]))


def _linear_functional(output: Any, batch: Any) -> Array:
    parts = [part for part in jax.tree.leaves(output) if jnp.issubdtype(part.dtype, jnp.floating)]
    r = [jax.random.normal(jax.random.key(i), part.shape, jnp.float32) for i, part in enumerate(parts)]
    n = [len(part) if part.ndim else 1 for part in parts]
    scaled = lambda a, part, n: jnp.sum(a * part) / (n * math.sqrt(part.size / n))
    return sum(map(scaled, r, parts, n), jnp.float32(0))
