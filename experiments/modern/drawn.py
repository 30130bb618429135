"""Networks that are drawn and not trained, and the inputs that they are shown."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments import untrained
from experiments.modern import networks

if TYPE_CHECKING:
    from experiments.study import Place
    from xinit.networks.network import Params, State
    from xinit.training.problem import Plan

SECOND_MOMENT = 0.5  # of the inputs: He's first layer doubles it, so that the residual stream starts at 1


def stage(measured: "Callable[[Plan, Mapping[str, Any]], dict[str, list]]") -> Callable[..., Any]:
    """The `prepare` of a stage that draws every model and measures it with `measured(plan, own)`."""

    def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
        own = settings[name]
        planned = plans(name, own)
        kept = {key: own[key] for key in ("width", "examples", "networks")}
        return lambda: {**kept, "models": {label: measured(one, own) for label, one in planned.items()}}

    return prepare


def plans(name: str, own: Mapping[str, Any]) -> "dict[str, Plan]":
    """What to draw for each model of a stage of that name.

    Raises:
      InputError: a setting is wrong.
    """
    shared = {"data": "synthetic", "data.inputs": own["width"], "width": own["width"], "probe": "off"}
    models = own["models"].items()
    return untrained.plans(
        {label: shared | networks.settings_of(model, f"{name}.models.{label}") for label, model in models}
    )


def drawn(planned: "Plan", own: Mapping[str, Any]) -> "Iterator[tuple[Params, State, Array]]":
    """Parameters, state and inputs of every network of a plan; the i-th ones of two plans share their seeds."""
    draw = untrained.drawing(planned)
    for seed in range(own["networks"]):
        x_BI = inputs(own["examples"], own["width"], seed)
        yield *draw(seed, (x_BI, jnp.zeros(len(x_BI), int))), x_BI


def inputs(n_examples: int, n_inputs: int, seed: int) -> Array:
    """(B, I) normal numbers: two examples have nothing in common."""
    x_BI = np.random.default_rng([seed, 1]).normal(size=(n_examples, n_inputs))
    return jnp.asarray(np.sqrt(SECOND_MOMENT) * x_BI, jnp.float32)
