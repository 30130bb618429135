"""Networks that a study draws and does not train, from the settings of `python -m xinit.train`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from xinit.networks.network import completed
from xinit.settings.compose import compose_many, overrides_from
from xinit.settings.parse import parse
from xinit.training.choices import scheme_of
from xinit.training.problem import init_key, plan

if TYPE_CHECKING:
    from xinit.networks.network import Params, State
    from xinit.probes import Batch
    from xinit.training.problem import Plan

Label = TypeVar("Label")


def plans(networks: Mapping[Label, Mapping[str, Any]]) -> "dict[Label, Plan]":
    """What to draw for each network, given by its settings.

    Raises:
      InputError: a setting is wrong.
    """
    jobs = [overrides_from(settings) for settings in networks.values()]
    return {label: plan([parse(raw)]) for label, raw in zip(networks, compose_many("train", jobs), strict=True)}


def drawing(planned: "Plan") -> "Callable[[int, Batch], tuple[Params, State]]":
    """The network of a seed, given the batch that some schemes look at; seeds are those of a run.

    Not jitted as a whole: what is compiled to draw one layer serves all others of its shape.
    """
    config, network, hyper = planned.configs[0], planned.problem.network, planned.hypers[0]
    scheme = scheme_of(config.scheme)
    start, state = network.start(init_key(config))  # zeros and ones whatever the key, and slow to make

    def draw(seed: int, batch: "Batch") -> "tuple[Params, State]":
        weights, _ = scheme(init_key(dataclasses.replace(config, init_seed=seed)), network, hyper, batch)
        return completed(start, weights), state

    return draw
