"""Networks that are drawn and not trained, and the inputs that they are shown."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.modern import networks
from xinit.networks.network import completed
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training.choices import scheme_of
from xinit.training.problem import init_key, plan

if TYPE_CHECKING:
    from xinit.networks.network import Params, State
    from xinit.training.problem import Plan

SECOND_MOMENT = 0.5  # of the inputs: He's first layer doubles it, so that the residual stream starts at 1


def plans(name: str, own: Mapping[str, Any]) -> "dict[str, Plan]":
    """What to draw for each model of a stage of that name.

    Raises:
      InputError: a setting is wrong.
    """
    shared = {"data": "synthetic", "data.inputs": own["width"], "width": own["width"], "probe": "off"}
    found = {}
    for label, model in own["models"].items():
        settings = shared | networks.settings_of(model, f"{name}.models.{label}")
        found[label] = plan([parse(compose("train", overrides_from(settings)))])
    return found


def drawn(planned: "Plan", own: Mapping[str, Any]) -> "Iterator[tuple[Params, State, Array]]":
    """Parameters, state and inputs of every network of a plan; the i-th ones of two plans share their seeds."""
    network, config = planned.problem.network, planned.configs[0]
    scheme = scheme_of(config.scheme)
    start, state = network.start(init_key(config))  # zeros and ones whatever the key, and slow to make
    for seed in range(own["networks"]):
        x_BI = inputs(own["examples"], own["width"], seed)
        batch = x_BI, jnp.zeros(len(x_BI), int)
        # Not jitted as a whole: what is compiled to draw one layer serves all others of its shape.
        weights, _ = scheme(init_key(dataclasses.replace(config, init_seed=seed)), network, planned.hypers[0], batch)
        yield completed(start, weights), state, x_BI


def inputs(n_examples: int, n_inputs: int, seed: int) -> Array:
    """(B, I) normal numbers: two examples have nothing in common."""
    x_BI = np.random.default_rng([seed, 1]).normal(size=(n_examples, n_inputs))
    return jnp.asarray(np.sqrt(SECOND_MOMENT) * x_BI, jnp.float32)
