"""What is measured at a set of parameters: forward, backward, and what lies between.

A probe is `(params, state, batch, edges) -> Readings`, a flat dict of arrays whose leading axis is the layer: `layer`
1..d for activations a = f(z), pre-activations z and their gradients, `weight` 1..d+1 for weights, `jacobian` for steps
from one layer of the main path to the next.

Conventions. dL/dz is per example: the gradient of the mean loss times the number of examples. dL/dW is that of the mean
loss over the probe batch. Histograms hold the share of all values in each bin.
"""

import functools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from xinit.core.readings import FLAT
from xinit.networks.losses import Loss
from xinit.networks.network import Layer, Network, Params, State, at
from xinit.probes import statistics
from xinit.probes.edges import BINS, Edges
from xinit.probes.extra import ExtraReading, Signals, measure_extra
from xinit.probes.jacobians import jacobians, singular_values
from xinit.probes.passes import CROSS_ENTROPY, Batch, backpropagate
from xinit.probes.statistics import over_layers

Readings = dict[str, Array]
Probe = Callable[[Params, State, Batch, Edges], Readings]
Quantiles = Callable[[Array], Array]


def make_probe(
    network: Network,
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
    activations = network.activations
    saturates = jnp.array([f.saturates for f in activations])
    rectifies = jnp.array([f.rectifies for f in activations])
    bounded = [f.slope_max < np.inf for f in activations]

    def probe(params: Params, state: State, batch: Batch, edges: Edges) -> Readings:
        passed = backpropagate(network, params, state, batch, loss)
        pre, post, into = passed.outputs
        slopes, steepness = slopes_at(network, params, into)
        g_w = network.kernels(passed.params)
        readings = over_layers(layer_moments, pre, post, into, steepness, passed.at_layers)
        readings |= over_layers(weight_moments, g_w)
        for name in ("act_saturated", "act_saturated_low", "act_saturated_high"):
            readings[name] = jnp.where(saturates, readings[name], jnp.nan)
        readings["act_inactive"] = jnp.where(rectifies, readings["act_inactive"], jnp.nan)
        if not all(bounded):
            readings["act_slope"] = jnp.where(jnp.array(bounded), readings["act_slope"], jnp.nan)
        if any(f.learned for f in activations):
            slopes_learned = [learned_by(network, params, layer) for layer in network.layers]
            readings["act_learned"] = jnp.stack([jnp.float32(jnp.nan) if a is None else a for a in slopes_learned])
        if tier != "economy":
            hidden = functools.partial(layer_distributions, quantiles)
            bins = [jnp.asarray(edges[name]) for name in ("act_edges", "grad_pre_edges", "grad_w_edges")]
            readings |= over_layers(hidden, pre, post, passed.at_layers, *bins[:2])
            readings |= over_layers(weight_distributions, g_w, bins[2])
        if tier == "full":
            x = batch[0][:jacobian_examples]
            readings |= singular_values(jacobians(network, params, state, x, slopes), quantiles)
        seen = Signals(passed.logits, pre, post, passed.at_layers, passed.params)
        for arrays in measure_extra(extra, params, batch, seen):
            readings |= arrays
        return readings

    return probe


def learned_by(network: Network, params: Params, layer: Layer) -> Array | None:
    """The number that the activation of a layer has learned, if it learns one."""
    if layer.activation.learned is None:
        return None
    learned: Array = at(params, (*network.weights[layer.weight].path[:-1], "slope"))
    return learned


def slopes_at(
    network: Network, params: Params, into: Sequence[Float[Array, "batch ..."]]
) -> tuple[list[Float[Array, "batch ..."]], list[Float[Array, "batch ..."]]]:
    """f' of what each nonlinearity reads, with what it has learned, and abs f' as a share of its maximum.

    Where f' has no bound there is no share: infinite, or 0 where f' is.
    """
    slopes, steepness = [], []
    for layer, z in zip(network.layers, into, strict=True):
        f, a = layer.activation, learned_by(network, params, layer)
        slope_max: Array | float = f.slope_max
        if f.learned is None or a is None:
            slope = f.slope(z)
        else:
            slope, slope_max = f.learned.slope(z, a), f.learned.slope_max(a)
        unbounded = f.slope_max == np.inf
        slopes.append(slope)
        steepness.append(jnp.where(slope == 0, 0.0, jnp.inf) if unbounded else jnp.abs(slope) / slope_max)
    return slopes, steepness


def layer_moments(
    z: Float[Array, "batch ..."],
    h: Float[Array, "batch ..."],
    into: Float[Array, "batch ..."],
    steepness: Float[Array, "batch ..."],
    g_z: Float[Array, "batch ..."],
) -> Readings:
    """Moments of one layer and where its units sit on f; `steepness` is abs f' / max abs f' of `into`, the cut FLAT.

    Both the share beyond the cut and that of what is <= 0 are given; f decides which of the two is reported: a
    rectifier's off units are inactive, not saturated, and where f' crosses zero, as gelu's does, neither is. Of a
    convolution, every position of every example counts.
    """
    flat = steepness < FLAT
    low, high = jnp.mean(flat & (into < 0)), jnp.mean(flat & (into >= 0))
    by_unit: Callable[[Array], Array] = lambda a: a.reshape(-1, a.shape[-1])
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
        "act_inactive": jnp.mean(into <= 0),
        "act_dead": jnp.mean(jnp.all(by_unit(flat), axis=0)),
        "act_cosine_mean": jnp.mean(statistics.cosines(h.reshape(len(h), -1))),
        "act_copies": statistics.copies(by_unit(h), by_unit(g_z)),
        "grad_pre_mean": jnp.mean(g_z),
        "grad_pre_std": jnp.std(g_z),
    }


def weight_moments(g_w: Float[Array, "..."]) -> Readings:
    """Size of one layer's weight gradient."""
    return {"grad_w_std": jnp.std(g_w), "grad_w_norm": jnp.linalg.norm(g_w)}


def layer_distributions(
    quantiles: Quantiles,
    z: Float[Array, "batch ..."],
    h: Float[Array, "batch ..."],
    g_z: Float[Array, "batch ..."],
    act_edges: Float[Array, " edges"],
    grad_edges: Float[Array, " edges"],
) -> Readings:
    """Histograms between the given edges, quantiles, and cosines between the examples of one layer."""
    return {
        "act_hist": statistics.histogram(h, act_edges[0], act_edges[-1], BINS),
        "grad_pre_hist": statistics.histogram(g_z, grad_edges[0], grad_edges[-1], BINS),
        "act_quantile": quantiles(h),
        "pre_quantile": quantiles(z),
        "act_cosine_quantile": quantiles(statistics.cosines(h.reshape(len(h), -1))),
    }


def weight_distributions(g_w: Float[Array, "..."], edges: Float[Array, " edges"]) -> Readings:
    """Histogram of one layer's weight gradient between the given edges."""
    return {"grad_w_hist": statistics.histogram(g_w, edges[0], edges[-1], BINS)}
