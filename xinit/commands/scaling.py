"""What the commands over widths or depths compare, and the runs that a learning-rate transfer is made of."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xinit.analysis.outcomes import Outcome
from xinit.analysis.scaling import check_sizes
from xinit.analysis.transfer import Losses
from xinit.commands import sweeping
from xinit.core.errors import InputError
from xinit.settings.parse import parse

FACTORS = tuple(2.0**power for power in range(-4, 5))  # of optimizer.learning_rate, where no rates are given
LEAST_RATES = 3  # for a lowest point between two others


def sizes_of(raw: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    """What is compared, "width" or "depth", and its values, taken from the container.

    Raises:
      InputError: both or none are given, or they are no list of different whole numbers.
    """
    given = {name: raw.pop(f"{name}s", None) for name in ("width", "depth")}
    named = [name for name, values in given.items() if values is not None]
    if len(named) != 1:
        raise InputError("What is compared is widths or depths; give one, as in widths=null depths=[4,8,16].")
    values = given[named[0]]
    if not isinstance(values, list):
        raise InputError(f"{named[0]}s is {values!r}; it must be a list of whole numbers, as in [64, 128, 256].")
    return named[0], check_sizes(named[0], values)


def rates_of(raw: dict[str, Any]) -> tuple[float, ...]:
    """The learning rates, taken from the container, from the lowest on.

    Raises:
      InputError: they are no list of at least three different numbers above 0.
    """
    given = raw.pop("learning_rates")
    if given is None:
        usual = parse(raw).optimizer.learning_rate
        return tuple(float(f"{factor * usual:.3g}") for factor in FACTORS)
    numbers = isinstance(given, list) and all(type(rate) in (int, float) and 0 < rate < math.inf for rate in given)
    if not numbers or len(set(given)) < max(LEAST_RATES, len(given)):
        raise InputError(
            f"learning_rates is {given!r}; it must be a list of at least {LEAST_RATES} different numbers above 0."
        )
    return tuple(map(float, sorted(given)))


def losses(
    over: str, values: Sequence[int], raw: Mapping[str, Any], rates: Sequence[float], n_seeds: int
) -> tuple[Losses, list[Outcome]]:
    """Train networks of every size at every rate, seeds from `seed` on, the runs of one size as one population.

    The loss is that over validation examples after the last step. Runs are runs like any others: what is done is not
    done again.

    Raises:
      InputError: a setting is wrong; or runs are not over, which the same command goes on with.
    """
    seeds = range(raw["seed"], raw["seed"] + n_seeds)
    asked = list(itertools.product(values, seeds, rates))
    sweeping.check_number(len(asked))
    outcomes = sweeping.run_all(sweeping.parse_all([_settings(raw, over, *one) for one in asked]))
    if missing := [outcome for outcome in outcomes if not outcome.summary]:
        states = f"{len(missing)} of {len(outcomes)} runs are {missing[0].state}"
        raise InputError(f"The transfer is not complete: {states}; the same command goes on (without stop_after).")
    loss = np.array([_loss(outcome) for outcome in outcomes]).reshape(len(values), n_seeds, len(rates))
    return Losses(over, tuple(values), tuple(rates), loss), outcomes


def _settings(raw: Mapping[str, Any], over: str, value: int, seed: int, rate: float) -> dict[str, Any]:
    optimizer = {**raw["optimizer"], "learning_rate": rate}
    return {**raw, over: value, "optimizer": optimizer, "seed": seed, "init_seed": seed, "data_seed": seed}


def _loss(outcome: Outcome) -> float:
    return math.inf if outcome.state == "diverged" else float(outcome.readings["valid_loss"][-1])
