"""What is measured at a set of parameters: forward, backward, and what lies between.

A probe is `(params, batch, edges) -> Readings`, a flat dict of arrays whose leading axis is the layer: `layer` 1..d for
activations a = f(z), pre-activations z and their gradients, `weight` 1..d+1 for weights, `jacobian` 1..d-1.

Conventions. dL/dz is per example: the gradient of the mean loss times the number of examples. dL/dW is that of the mean
loss over the probe batch. Histograms hold the share of all values in each bin.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from xinit import stats
from xinit.activations import FLAT, Activation
from xinit.model import Apply, Params

Readings = dict[str, Array]
Batch = tuple[Array, Array]
Probe = Callable[[Params, Batch, Mapping[str, Array]], Readings]

BINS = 128
TIERS = ("off", "economy", "standard", "full")


def mean_loss(apply: Apply, params: Params, batch: Batch, taps: Sequence[Array] | None = None):
    """Mean of -log P(y|x) over the batch, with (logits, Outputs) beside it."""
    x_BI, y_B = batch
    logits, outputs = apply(params, x_BI, taps)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y_B)), (logits, outputs)


def backpropagate(apply: Apply, params: Params, batch: Batch):
    """Outputs, dL/dparams and dL/dz of the mean loss; dL/dz, (B, O) for each weight layer, is taken at zero taps."""
    n = len(batch[1])
    taps = [jnp.zeros((n, layer["bias"].shape[0])) for layer in params["layers"].values()]
    loss = lambda params, taps: mean_loss(apply, params, batch, taps)
    (g_params, g_taps), (_, outputs) = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, taps)
    return outputs, g_params, g_taps


def make_probe(apply: Apply, activations: Sequence[Activation], tier: str, jacobian_examples: int = 3) -> Probe:
    """The probe of a cost tier.

    `economy`: moments, saturation, slopes and gradient sizes. `standard`: also histograms, quantiles (to 1/2048 of the
    range) and cosines. `full`: quantiles exact, and singular values of the Jacobians at a few examples.
    """
    quantiles = stats.exact_quantiles if tier == "full" else stats.fine_quantiles

    def probe(params: Params, batch: Batch, edges: Mapping[str, Array]) -> Readings:
        outputs, g_params, g_taps = backpropagate(apply, params, batch)
        g_pre = [g * len(batch[1]) for g in g_taps[: len(activations)]]
        g_w = [layer["kernel"] for layer in g_params["layers"].values()]
        slopes = [f.slope(z) for f, z in zip(activations, outputs.pre, strict=True)]
        readings = moments(outputs.pre, outputs.post, g_pre, g_w) | flatness(activations, outputs.pre, slopes)
        if tier != "economy":
            readings |= distributions(outputs.pre, outputs.post, g_pre, g_w, edges, quantiles)
        if tier == "full":
            kernels = [layer["kernel"] for layer in params["layers"].values()]
            readings |= jacobians(kernels, slopes, jacobian_examples, quantiles)
        return readings

    return probe


def _stack(function: Callable, *lists: Sequence) -> Array:
    """function over the layers, stacked: the leading axis is the layer."""
    return jnp.stack([function(*arguments) for arguments in zip(*lists, strict=True)])


def moments(pre: Sequence[Array], post: Sequence[Array], g_pre: Sequence[Array], g_w: Sequence[Array]) -> Readings:
    """Means, standard deviations and extremes over units and examples; norms of the weight gradients."""
    return {
        "act_mean": _stack(jnp.mean, post),
        "act_std": _stack(jnp.std, post),
        "act_min": _stack(jnp.min, post),
        "act_max": _stack(jnp.max, post),
        "pre_mean": _stack(jnp.mean, pre),
        "pre_std": _stack(jnp.std, pre),
        "grad_pre_std": _stack(jnp.std, g_pre),
        "grad_w_std": _stack(jnp.std, g_w),
        "grad_w_norm": _stack(jnp.linalg.norm, g_w),
    }


def flatness(activations: Sequence[Activation], pre: Sequence[Array], slopes: Sequence[Array]) -> Readings:
    """Where the units sit on f: mean slope, shares beyond the cut abs f' < .05 max abs f', dead and inactive shares.

    `act_saturated` is not a number where f does not saturate (rectifiers, whose off units are `act_inactive`; gelu,
    whose f' crosses zero), `act_inactive` where f is no rectifier.
    """
    nan = jnp.float32(jnp.nan)

    def one(f: Activation, z: Array, slope: Array) -> Readings:
        flat = jnp.abs(slope) < FLAT * f.slope_max
        low, high = jnp.mean(flat & (z < 0)), jnp.mean(flat & (z >= 0))
        return {
            "act_slope": jnp.mean(jnp.abs(slope)) / f.slope_max,
            "act_saturated": low + high if f.saturates else nan,
            "act_saturated_low": low if f.saturates else nan,
            "act_saturated_high": high if f.saturates else nan,
            "act_inactive": low + high if f.rectifies else nan,
            "act_dead": jnp.mean(jnp.all(flat, axis=0)),
        }

    layers = [one(*layer) for layer in zip(activations, pre, slopes, strict=True)]
    return {name: jnp.stack([layer[name] for layer in layers]) for name in layers[0]}


def distributions(pre, post, g_pre, g_w, edges: Mapping[str, Array], quantiles: Callable) -> Readings:
    """Histograms between the given edges, quantiles, and cosines between examples."""
    hist = lambda x, edge: stats.histogram(x, edge[0], edge[-1], BINS)
    cosines = [stats.cosines(h) for h in post]
    return {
        "act_hist": _stack(hist, post, edges["act_edges"]),
        "grad_pre_hist": _stack(hist, g_pre, edges["grad_pre_edges"]),
        "grad_w_hist": _stack(hist, g_w, edges["grad_w_edges"]),
        "act_quantile": _stack(quantiles, post),
        "pre_quantile": _stack(quantiles, pre),
        "act_cosine_mean": _stack(jnp.mean, cosines),
        "act_cosine_quantile": _stack(quantiles, cosines),
    }


def jacobians(kernels, slopes, n_examples: int, quantiles: Callable) -> Readings:
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
        total = step @ total
    values = [jnp.linalg.svd(j, compute_uv=False) for j in [*steps, total]]
    return {
        "jacobian_sv_mean": _stack(jnp.mean, values[:-1]),
        "jacobian_sv_quantile": _stack(quantiles, values[:-1]),
        "jacobian_total_sv_mean": jnp.mean(values[-1]),
        "jacobian_total_sv_quantile": quantiles(values[-1]),
    }


def no_edges(n_layers: int) -> dict[str, np.ndarray]:
    """Edges for the first look at a network, whose readings then decide the real ones."""
    unit = np.linspace(-1, 1, BINS + 1, dtype=np.float32)
    hidden = np.tile(unit, (n_layers, 1))
    return {"act_edges": hidden, "grad_pre_edges": hidden, "grad_w_edges": np.tile(unit, (n_layers + 1, 1))}


def edges_at_start(activations: Sequence[Activation], first: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Histogram edges (layer, BINS + 1) from the readings at step 0, kept for the whole run.

    Activations: the function's own range; an unbounded side reaches to twice the first extreme. Gradients: 8 standard
    deviations to either side, which leaves room for tails that training makes heavier.
    """

    def linspace(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        flat = high <= low  # a layer that is constant, as under a zero initialisation
        low, high = np.where(flat, low - 1, low), np.where(flat, high + 1, high)
        return np.linspace(low, high, BINS + 1, axis=1, dtype=np.float32)

    low = np.array([f.low for f in activations])
    high = np.array([f.high for f in activations])
    reach = 2 * np.maximum(np.abs(first["act_min"]), np.abs(first["act_max"]))
    return {
        "act_edges": linspace(np.where(np.isinf(low), -reach, low), np.where(np.isinf(high), reach, high)),
        "grad_pre_edges": linspace(-8 * first["grad_pre_std"], 8 * first["grad_pre_std"]),
        "grad_w_edges": linspace(-8 * first["grad_w_std"], 8 * first["grad_w_std"]),
    }
