"""What is measured at a set of parameters: forward, backward, and what lies between.

A probe is `(params, batch, edges) -> Readings`, a flat dict of arrays whose leading axis is the layer: `layer` 1..d for
activations a = f(z), pre-activations z and their gradients, `weight` 1..d+1 for weights, `jacobian` 1..d-1.

Conventions. dL/dz is per example: the gradient of the mean loss times the number of examples. dL/dW is that of the mean
loss over the probe batch. Histograms hold the share of all values in each bin.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Bool, Float, Shaped

from xinit.core.readings import FLAT
from xinit.networks.activations import Activation
from xinit.networks.losses import Loss, cross_entropy
from xinit.networks.mlp import Apply, Outputs, Params
from xinit.probes import statistics
from xinit.probes.edges import BINS, Edges
from xinit.probes.extra import ExtraReading, Signals, measure_extra

Readings = dict[str, Array]
Batch = tuple[Float[Array, "batch inputs"], Shaped[Array, "batch ..."]]  # labels (B,), or values (B, O)
Probe = Callable[[Params, Batch, Edges], Readings]
Quantiles = Callable[[Array], Array]
T = TypeVar("T")

CROSS_ENTROPY = cross_entropy()


def mean_loss(
    apply: Apply,
    params: Params,
    batch: Batch,
    taps: Sequence[Float[Array, "batch _"]] | None = None,
    loss: Loss = CROSS_ENTROPY,
) -> tuple[Float[Array, ""], tuple[Float[Array, "batch outputs"], Outputs]]:
    """Mean of the loss over the batch, the cross-entropy if no other is named, with (outputs, Outputs) beside it."""
    x_BI, y_B = batch
    logits, outputs = apply(params, x_BI, taps)
    return jnp.mean(loss.function(logits, y_B)), (logits, outputs)


def errors(
    outputs_BO: Float[Array, "batch outputs"], y_B: Shaped[Array, "batch ..."]
) -> Bool[Array, " batch"] | Float[Array, " batch"]:
    """The error of each example, by what its target is.

    Of a label whether another output is the largest, so that the mean is the share misclassified. Of values, which have
    variance 1 over the training examples, the mean over outputs of (o - y)^2: the mean over examples is then 1 - R^2,
    the share of the training targets' variance that is left.
    """
    if jnp.issubdtype(y_B.dtype, jnp.floating):
        return jnp.mean((outputs_BO - y_B) ** 2, axis=1)
    return jnp.argmax(outputs_BO, axis=1) != y_B


def signals(apply: Apply, params: Params, batch: Batch, loss: Loss = CROSS_ENTROPY) -> Signals:
    """What passes through the network on a batch, forward and backward."""
    logits, outputs, g_params, g_taps = _passes(apply, params, batch, loss)
    g_pre = [g * len(batch[1]) for g in g_taps[:-1]]
    return Signals(logits, outputs.pre, outputs.post, tuple(g_pre), g_params)


def backpropagate(
    apply: Apply, params: Params, batch: Batch, loss: Loss = CROSS_ENTROPY
) -> tuple[Outputs, Params, list[Float[Array, "batch _"]]]:
    """Outputs, dL/dparams and dL/dz of the mean loss; dL/dz, (B, O) for each weight layer, is taken at zero taps."""
    return _passes(apply, params, batch, loss)[1:]


def _passes(
    apply: Apply, params: Params, batch: Batch, loss: Loss
) -> tuple[Float[Array, "batch outputs"], Outputs, Params, list[Float[Array, "batch _"]]]:
    """The logits, and what `backpropagate` gives."""
    n = len(batch[1])
    taps = [jnp.zeros((n, layer["bias"].shape[0])) for layer in params["layers"].values()]
    loss_at = lambda params, taps: mean_loss(apply, params, batch, taps, loss)
    (g_params, g_taps), (logits, outputs) = jax.grad(loss_at, argnums=(0, 1), has_aux=True)(params, taps)
    return logits, outputs, g_params, g_taps


def make_probe(
    apply: Apply,
    activations: Sequence[Activation],
    tier: str,
    jacobian_examples: int = 3,
    loss: Loss = CROSS_ENTROPY,
    extra: Sequence[ExtraReading] = (),
) -> Probe:
    """The probe of a cost tier.

    `economy`: moments, saturation, slopes, gradient sizes, the mean cosine. `standard`: also histograms and quantiles
    (to 1/2048 of the range). `full`: quantiles exact, and singular values of the Jacobians at a few examples. In every
    tier also what the user's own functions give, `extra`.
    """
    quantiles = statistics.exact_quantiles if tier == "full" else statistics.fine_quantiles
    saturates = jnp.array([f.saturates for f in activations])
    rectifies = jnp.array([f.rectifies for f in activations])
    bounded = [f.slope_max < np.inf for f in activations]

    def probe(params: Params, batch: Batch, edges: Edges) -> Readings:
        logits, outputs, g_params, g_taps = _passes(apply, params, batch, loss)
        slopes, steepness = slopes_at(activations, params, outputs.pre)
        g_pre = [g * len(batch[1]) for g in g_taps[: len(activations)]]
        g_w = [layer["kernel"] for layer in g_params["layers"].values()]
        readings = over_layers(layer_moments, outputs.pre, outputs.post, steepness, g_pre)
        readings |= over_layers(weight_moments, g_w)
        for name in ("act_saturated", "act_saturated_low", "act_saturated_high"):
            readings[name] = jnp.where(saturates, readings[name], jnp.nan)
        readings["act_inactive"] = jnp.where(rectifies, readings["act_inactive"], jnp.nan)
        if not all(bounded):
            readings["act_slope"] = jnp.where(jnp.array(bounded), readings["act_slope"], jnp.nan)
        if any(f.learned for f in activations):
            layers = [params["layers"][l] for l in range(len(activations))]
            readings["act_learned"] = jnp.stack([layer.get("slope", jnp.float32(jnp.nan)) for layer in layers])
        if tier != "economy":
            hidden = functools.partial(layer_distributions, quantiles)
            bins = [jnp.asarray(edges[name]) for name in ("act_edges", "grad_pre_edges", "grad_w_edges")]
            readings |= over_layers(hidden, outputs.pre, outputs.post, g_pre, *bins[:2])
            readings |= over_layers(weight_distributions, g_w, bins[2])
        if tier == "full":
            kernels = [layer["kernel"] for layer in params["layers"].values()]
            readings |= jacobians(kernels, slopes, jacobian_examples, quantiles)
        seen = Signals(logits, outputs.pre, outputs.post, tuple(g_pre), g_params)
        for arrays in measure_extra(extra, params, batch, seen):
            readings |= arrays
        return readings

    return probe


def slopes_at(
    activations: Sequence[Activation], params: Params, pre: Sequence[Float[Array, "batch _"]]
) -> tuple[list[Float[Array, "batch _"]], list[Float[Array, "batch _"]]]:
    """f'(z) of each layer, with what it has learned, and abs f' as a share of its maximum.

    Where f' has no bound there is no share: infinite, or 0 where f' is.
    """
    slopes, steepness = [], []
    for l, (f, z) in enumerate(zip(activations, pre, strict=True)):
        slope_max: Array | float = f.slope_max
        if f.learned is None:
            slope = f.slope(z)
        else:
            a = params["layers"][l]["slope"]
            slope, slope_max = f.learned.slope(z, a), f.learned.slope_max(a)
        unbounded = f.slope_max == np.inf
        slopes.append(slope)
        steepness.append(jnp.where(slope == 0, 0.0, jnp.inf) if unbounded else jnp.abs(slope) / slope_max)
    return slopes, steepness


def over_layers(function: Callable[..., T], *lists: Iterable[Array]) -> T:
    """`function` of each layer, its results stacked: the leading axis is the layer.

    Neighbours of equal width share one compiled loop, so that fifty layers do not take ten times as long to compile
    as five.
    """
    layers = list(zip(*lists, strict=True))
    groups = itertools.groupby(layers, key=lambda layer: [jnp.shape(part) for part in layer])
    stacks = [[jnp.stack(part) for part in zip(*group, strict=True)] for _, group in groups]
    results = [lax.map(lambda layer: function(*layer), stack) for stack in stacks]
    joined: T = jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)
    return joined


def layer_moments(
    z: Float[Array, "batch units"],
    h: Float[Array, "batch units"],
    steepness: Float[Array, "batch units"],
    g_z: Float[Array, "batch units"],
) -> Readings:
    """Moments of one layer and where its units sit on f; `steepness` is abs f'(z) / max abs f', the cut FLAT.

    Both the share beyond the cut and that of z <= 0 are given; f decides which of the two is reported: a rectifier's
    off units are inactive, not saturated, and where f' crosses zero, as gelu's does, neither is.
    """
    flat = steepness < FLAT
    low, high = jnp.mean(flat & (z < 0)), jnp.mean(flat & (z >= 0))
    return {
        "act_mean": jnp.mean(h),
        "act_std": jnp.std(h),
        "act_min": jnp.min(h),
        "act_max": jnp.max(h),
        "pre_mean": jnp.mean(z),
        "pre_std": jnp.std(z),
        "act_slope": jnp.mean(steepness),
        "act_saturated": low + high,
        "act_saturated_low": low,
        "act_saturated_high": high,
        "act_inactive": jnp.mean(z <= 0),
        "act_dead": jnp.mean(jnp.all(flat, axis=0)),
        "act_cosine_mean": jnp.mean(statistics.cosines(h)),
        "act_copies": statistics.copies(h, g_z),
        "grad_pre_mean": jnp.mean(g_z),
        "grad_pre_std": jnp.std(g_z),
    }


def weight_moments(g_w: Float[Array, "inputs outputs"]) -> Readings:
    """Size of one layer's weight gradient."""
    return {"grad_w_std": jnp.std(g_w), "grad_w_norm": jnp.linalg.norm(g_w)}


def layer_distributions(
    quantiles: Quantiles,
    z: Float[Array, "batch units"],
    h: Float[Array, "batch units"],
    g_z: Float[Array, "batch units"],
    act_edges: Float[Array, " edges"],
    grad_edges: Float[Array, " edges"],
) -> Readings:
    """Histograms between the given edges, quantiles, and cosines between the examples of one layer."""
    return {
        "act_hist": statistics.histogram(h, act_edges[0], act_edges[-1], BINS),
        "grad_pre_hist": statistics.histogram(g_z, grad_edges[0], grad_edges[-1], BINS),
        "act_quantile": quantiles(h),
        "pre_quantile": quantiles(z),
        "act_cosine_quantile": quantiles(statistics.cosines(h)),
    }


def weight_distributions(g_w: Float[Array, "inputs outputs"], edges: Float[Array, " edges"]) -> Readings:
    """Histogram of one layer's weight gradient between the given edges."""
    return {"grad_w_hist": statistics.histogram(g_w, edges[0], edges[-1], BINS)}


def jacobians(
    kernels: Sequence[Float[Array, "_ _"]],
    slopes: Sequence[Float[Array, "batch _"]],
    n_examples: int,
    quantiles: Quantiles,
) -> Readings:
    """Singular values of J_l = da(l+1)/da(l) = diag f'(z) W^T (Glorot & Bengio 2010, eq. 17) and of their product.

    At the first `n_examples` probe examples; a is the post-activation.
    """
    steps = [  # (N, O, I) for each pair of neighbouring hidden layers
        slope[:n_examples, :, None] * kernel.T[None] for kernel, slope in zip(kernels[1:-1], slopes[1:], strict=True)
    ]
    if not steps:
        return {}
    total = steps[0]
    for step in steps[1:]:
        total = jnp.matmul(step, total, precision="float32")

    def spectrum(j: Float[Array, "batch outputs inputs"]) -> Readings:
        values = jnp.linalg.svd(j, compute_uv=False)
        return {"mean": jnp.mean(values), "quantile": quantiles(values)}

    layers, whole = over_layers(spectrum, steps), spectrum(total)
    return {
        "jacobian_sv_mean": layers["mean"],
        "jacobian_sv_quantile": layers["quantile"],
        "jacobian_total_sv_mean": whole["mean"],
        "jacobian_total_sv_quantile": whole["quantile"],
    }
