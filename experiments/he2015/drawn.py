"""Rectifier networks at initialisation: the second moments that they show, beside what the paper's products say."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from experiments import untrained
from experiments.he2015 import equations
from xinit import probes
from xinit.training import ensemble, inspection
from xinit.training.problem import load

if TYPE_CHECKING:
    from xinit.networks.network import Params
    from xinit.training.problem import Plan

Label = TypeVar("Label")


def measured(plans: "Mapping[Label, Plan]", networks: int) -> "dict[Label, dict[str, list]]":
    """Of so many networks of each plan the second moments of each layer, relative to where they come from.

    `signal`, (network, layer): E z^2 over the inputs' second moment. `gradient`: E (dL/dz)^2 over that of the top
    layer. `expected_signal` and `expected_gradient`, (layer): as `equations` has them.

    Args:
      plans: of networks that differ in their weights alone, and in the slopes of their activations.
      networks: of each plan; the i-th ones share their random numbers.
    """
    first = next(iter(plans.values()))
    data = load(first)
    batch = ensemble.probe_batch(first.problem, data)
    measure, x_NI = _measurement(first, batch), batch[0]
    found = {}
    for label, planned in plans.items():
        draw = untrained.drawing(planned)
        rows = [measure(draw(seed, batch)[0]) for seed in range(networks)]
        signal_SL, gradient_SL = (np.stack(side).astype(float) for side in zip(*rows, strict=True))
        found[label] = {
            "signal": (signal_SL / float(np.mean(np.square(x_NI)))).tolist(),
            "gradient": (gradient_SL / gradient_SL[:, -1:]).tolist(),
            **{name: moments.tolist() for name, moments in _expected(planned, np.asarray(x_NI, float)).items()},
        }
    return found


def _measurement(planned: "Plan", batch: probes.Batch) -> "Callable[[Params], tuple[np.ndarray, np.ndarray]]":
    """The compiled `params -> (E z^2, E (dL/dz)^2)`, by layer."""
    network = planned.problem.network

    @jax.jit
    def measure(params: "Params", batch: probes.Batch) -> tuple[jax.Array, jax.Array]:
        passed = probes.backpropagate(network, params, {}, batch)
        second = lambda arrays: jnp.stack([jnp.mean(jnp.square(array)) for array in arrays])
        return second(passed.outputs.pre), second(passed.at_layers)

    return lambda params: tuple(map(np.asarray, measure(params, batch)))


def _expected(planned: "Plan", x_NI: np.ndarray) -> dict[str, np.ndarray]:
    network, config = planned.problem.network, planned.configs[0]
    laws, _ = inspection.laws_of(planned, {})
    hidden = list(zip(network.weights, laws, strict=True))[:-1]
    forward = [weight.fan_in * law.variance for weight, law in hidden]
    backward = [weight.fan_out * law.variance for weight, law in hidden[1:]]
    strides, second = [], np.mean(np.square(x_NI)) * np.ones((1, 1))
    if config.network.fn == "convnet":
        halve = config.network.options.get("halve", ())
        strides = [2 if l + 1 in halve else 1 for l in range(len(hidden))]
        second = np.mean(np.square(x_NI), axis=0).reshape(planned.problem.dataset.shape).mean(-1)
    slope = network.activations[0].negative_slope
    signal_L, borders = equations.signal(second, forward, strides, slope)
    return {
        "expected_signal": signal_L / second.mean(),
        "expected_gradient": equations.gradient(backward, borders, slope),
    }
