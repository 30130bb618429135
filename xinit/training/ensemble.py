"""The initial networks of one configuration under many seeds, measured before any training.

One compiled program measures a seed at a time: few networks are in memory, whatever the depth.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from xinit.data.dataset import Arrays
from xinit.networks.network import Network, Params
from xinit.probes.edges import no_edges
from xinit.probes.passes import Batch
from xinit.probes.probe import Readings
from xinit.training.problem import Plan, Problem, initial_run


def probe_batch(problem: Problem, data: Arrays) -> Batch:
    """The fixed examples (x_BI, y_B) that networks are measured on."""
    return problem.dataset.decode(data["probe"].x), data["probe"].y


def measure(planned: Plan, data: Arrays, seeds: Sequence[int]) -> dict[str, Float[np.ndarray, "seed ..."]]:
    """Readings at initialisation of the plan's first config, a leading axis of seeds in front of the layer.

    Also `weight_second` and `bias_second`, (seed, weight): the mean squares of the weights that were drawn.
    """
    network = planned.problem.network
    batch, edges = probe_batch(planned.problem, data), no_edges(len(network.layers), len(network.weights))
    assert planned.problem.probe is not None  # `inspection.prepare` and `fault_of` ask for one
    probe = planned.problem.probe
    measure_one = jax.jit(lambda params, state, batch: probe(params, state, batch, edges) | _drawn(network, params))
    rows: list[dict[str, np.ndarray]] = []
    ahead: Readings | None = None  # a network is drawn while the one before is measured; two are in memory
    for seed in seeds:
        own = dataclasses.replace(planned.configs[0], init_seed=seed)
        run = initial_run(planned._replace(configs=(own,)), 0, data)
        row = measure_one(run.params, run.state, batch)
        rows += [_as_floats(ahead)] if ahead else []
        ahead = row
    rows += [_as_floats(ahead)] if ahead else []
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _as_floats(row: Readings) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, float) for name, value in row.items()}


def _drawn(network: Network, params: Params) -> Readings:
    zero = jnp.zeros(1)  # of a weight without a bias
    biases = [zero if bias is None else bias for bias in network.biases(params)]
    drawn = {"weight_second": network.kernels(params), "bias_second": biases}
    return {name: jnp.stack([(array**2).mean() for array in arrays]) for name, arrays in drawn.items()}
