"""Shattered gradients: how much the derivatives of a network at two inputs have in common (Balduzzi et al. 2017).

Derivatives are taken along one direction in the space of inputs, from the inputs on, so that a single pass gives them
at every depth.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics
from experiments.modern import coactivation, drawn
from experiments.modern.variance import over_networks
from xinit.analysis.intervals import bootstrap_interval
from xinit.networks.stack import MOMENTUM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xinit.networks.network import Network, Params, State
    from xinit.training.problem import Plan

STAGES = ("shattering",)
MODELS = ("plain", "plain_normed", "residual", "residual_normed", "looks_linear")
EARLY = 5  # rectifiers, over which a factor a layer is measured: 2^-5 is still far above what is measured by chance
LABELS = {
    "plain": "plain",
    "plain_normed": "plain, batch norm",
    "residual": "residual",
    "residual_normed": "residual, batch norm",
    "looks_linear": "plain, looks-linear",
}


def _measured(planned: "Plan", own: Mapping[str, Any]) -> dict[str, list]:
    """`correlation`, (network, rectifiers in front)."""
    network = planned.problem.network
    measure = jax.jit(lambda params, state, x_BI: correlations(network, params, state, x_BI))
    rows = [measure(*network_and_inputs) for network_and_inputs in drawn.drawn(planned, own)]
    return {"correlation": np.stack(rows).astype(float).tolist()}


prepare = drawn.stage(_measured)


def correlations(network: "Network", params: "Params", state: "State", x_BI: jax.Array) -> jax.Array:
    """For each layer's sums what the derivatives at two inputs have in common, in the mean over all pairs.

    Batch normalisation uses the statistics of these inputs, as numbers: a derivative at one input is not to pass
    through the others.
    """
    after = network.apply(params, state, x_BI, train=True)[2]
    fixed = jax.tree.map(lambda new, old: (new - MOMENTUM * old) / (1 - MOMENTUM), after, state)
    sums = lambda x_BI: network.apply(params, fixed, x_BI)[1].pre
    direction_BI = jnp.broadcast_to(jnp.ones(x_BI.shape[1]), x_BI.shape)
    _, derivatives = jax.jvp(sums, (x_BI,), (direction_BI,))
    return jnp.stack([in_common(derivative_BN) for derivative_BN in derivatives])


def in_common(derivative_BN: jax.Array) -> jax.Array:
    """The mean of a product of two different rows over the mean square of one."""
    of_sum, of_each = (jnp.sum(jnp.square(rows)) for rows in (jnp.sum(derivative_BN, axis=0), derivative_BN))
    return (of_sum / of_each - 1) / (len(derivative_BN) - 1)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`shattering.<model>.factor`, of a layer among the first ones; `.last`, the correlation behind all layers.

    `.exponent`: p, where the correlation falls like l^p from a quarter of the depth to all of it.
    """
    measured: dict[str, Measured] = {}
    for label, own in found["shattering"]["models"].items():
        correlation_SL = np.array(own["correlation"])
        last = correlation_SL.shape[1] - 1
        early, end, fall = (
            over_networks(values_S)
            for values_S in (
                correlation_SL[:, EARLY],
                correlation_SL[:, last],
                correlation_SL[:, last] / correlation_SL[:, last // 4],
            )
        )
        measured[f"shattering.{label}.factor"] = _ends(early, lambda value: max(value, 0) ** (1 / EARLY))
        measured[f"shattering.{label}.last"] = end
        power = lambda value, last=last: float(np.log(max(value, 1e-9)) / np.log(last / (last // 4)))
        measured[f"shattering.{label}.exponent"] = _ends(fall, power)
    return measured


def _ends(measured: Measured, function: Callable[[float], float]) -> Measured:
    """A growing function of a metric and of the ends of its interval."""
    return Measured(*map(function, measured[:3]), measured.n)


def draw(found: Mapping[str, Any]) -> "Figure":
    """The correlation against the number of rectifiers: markers measured, lines in the limit of infinite width."""
    own = found["shattering"]
    figure = drawing.figure(9, 4.6)
    axes = figure.subplots()
    for i, (label, model) in enumerate(own["models"].items()):
        correlation_SL, look = np.array(model["correlation"]), drawing.look(i)
        l = np.arange(correlation_SL.shape[1])
        axes.plot(l[1:], coactivation.EXPECTED[label](l[-1])[1:], color=look.colour, ls=look.dashes, lw=1.2)
        shown = np.unique(np.geomspace(1, l[-1], 14).astype(int))
        interval = bootstrap_interval(correlation_SL[:, shown])
        drawing.points(axes, l[shown], interval.mean, interval.low, interval.high, look, LABELS.get(label, label))
    axes.set(yscale="log", ylim=(1e-3, 1.5), xlabel="rectifiers in front")
    axes.set_ylabel("correlation between derivatives at two inputs")
    drawing.logarithmic(axes.xaxis)
    drawing.legend(figure, axes)
    drawing.caption(
        figure,
        f"Networks of width {own['width']} at initialisation; He's weights but for looks-linear. Means over "
        f"{own['networks']} networks and all pairs of {own['examples']} independent inputs, with 95 % intervals; "
        "lines: infinite width.",
    )
    return figure
