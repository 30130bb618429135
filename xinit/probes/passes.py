"""One pass through a network in each direction: its loss on a batch, its signals, and their gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Shaped

from xinit.networks.losses import Loss, cross_entropy
from xinit.networks.network import Network, Outputs, Params, Site, State, Tap
from xinit.networks.sites import Added
from xinit.probes.extra import Signals

Batch = tuple[Float[Array, "batch inputs"], Shaped[Array, "batch ..."]]  # labels (B,), or values (B, O)
Taps = dict[Site, Float[Array, "batch ..."]]

CROSS_ENTROPY = cross_entropy()


def mean_loss(
    network: Network,
    params: Params,
    state: State,
    batch: Batch,
    loss: Loss = CROSS_ENTROPY,
    *,
    tap: Tap | None = None,
    key: Array | None = None,
    train: bool = False,
) -> tuple[Float[Array, ""], tuple[Float[Array, "batch outputs"], Outputs, State]]:
    """Mean of the loss over the batch, the cross-entropy if no other is named, with what `Network.apply` gives."""
    x_BI, y_B = batch
    logits, outputs, state = network.apply(params, state, x_BI, tap, key, train)
    return jnp.mean(loss.function(logits, y_B)), (logits, outputs, state)


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


def signals(network: Network, params: Params, state: State, batch: Batch, loss: Loss = CROSS_ENTROPY) -> Signals:
    """What passes through the network on a batch, forward and backward."""
    passed = backpropagate(network, params, state, batch, loss)
    return Signals(passed.logits, passed.outputs.pre, passed.outputs.post, passed.at_layers, passed.params)


class Passed(NamedTuple):
    """One pass in each direction, as the network trains: logits, `Outputs`, and gradients of the mean loss.

    `params`: dL/dparams. `sites`: dL/dz at each `Site`. `at_layers`: dL/dz of each layer, per example.
    """

    logits: Float[Array, "batch outputs"]
    outputs: Outputs
    params: Params
    sites: dict[Site, Float[Array, "batch ..."]]
    at_layers: tuple[Float[Array, "batch ..."], ...]


def backpropagate(network: Network, params: Params, state: State, batch: Batch, loss: Loss = CROSS_ENTROPY) -> Passed:
    """Signal and gradients; dL/dz is taken at zero taps, one at each site."""
    key = jax.random.key(0) if network.draws else None
    taps = zero_taps(network, params, state, batch[0])

    def loss_at(params: Params, taps: Taps) -> tuple[Array, tuple[Array, Outputs, State]]:
        return mean_loss(network, params, state, batch, loss, tap=Added(taps), key=key, train=True)

    (g_params, g_taps), (logits, outputs, _) = jax.grad(loss_at, argnums=(0, 1), has_aux=True)(params, taps)
    at_layers = tuple(g_taps[layer.site] * len(batch[1]) for layer in network.layers)
    return Passed(logits, outputs, g_params, g_taps, at_layers)


def zero_taps(network: Network, params: Params, state: State, x_BI: Float[Array, "batch inputs"]) -> Taps:
    """A tap of zeros for each site, of the shape of what passes it."""
    shapes: dict[Site, tuple[int, ...]] = {}

    def noted(site: Site, z: Array) -> Array:
        shapes[site] = z.shape
        return z

    key = jax.random.key(0) if network.draws else None
    jax.eval_shape(lambda params, x: network.apply(params, state, x, noted, key, True)[0], params, x_BI)
    return {site: jnp.zeros(shape) for site, shape in shapes.items()}
