"""The initial networks of one configuration under many seeds, measured before any training.

One compiled program measures a seed at a time: few networks are in memory, whatever the depth.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xinit.data.dataset import Arrays
from xinit.networks.mlp import Params
from xinit.probes.probe import Batch, no_edges
from xinit.training.problem import Plan, Problem, begin


def probe_batch(problem: Problem, data: Arrays) -> Batch:
    """The fixed examples (x_BI, y_B) that networks are measured on."""
    return problem.dataset.decode(data["probe"].x), data["probe"].y


def measure(planned: Plan, data: Arrays, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Readings at initialisation of the plan's first config, a leading axis of seeds in front of the layer.

    Also `weight_second` and `bias_second`, (seed, weight): the mean squares of the weights that were drawn.
    """
    batch, edges = probe_batch(planned.problem, data), no_edges(len(planned.problem.activations))
    measure_one = jax.jit(lambda params, batch: planned.problem.probe(params, batch, edges) | _drawn(params))
    take = lambda row: {name: np.asarray(value, float) for name, value in row.items()}
    rows, ahead = [], None  # a network is drawn while the one before is measured; two are in memory
    for seed in seeds:
        own = dataclasses.replace(planned.configs[0], init_seed=seed)
        run = begin(planned._replace(configs=(own,)), 0, data)
        row = measure_one(run.params, batch)
        rows += [take(ahead)] if ahead else []
        ahead = row
    rows.append(take(ahead))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _drawn(params: Params) -> dict[str, Array]:
    mean_squares = lambda part: jnp.stack([(layer[part] ** 2).mean() for layer in params["layers"].values()])
    return {"weight_second": mean_squares("kernel"), "bias_second": mean_squares("bias")}
