"""Which runs of a sweep train together: those that share a program."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from xinit.settings.config import Config

NUMBERS = ("scheme", "init_seed", "data_seed")  # of a replica: initial weights are data, and so is the order of batches


def program_of(config: Config) -> str:
    """What configs must share to train as one population: all of their identity that is not a number of a replica."""
    shared = {name: value for name, value in config.identity().items() if name not in NUMBERS}
    optimizer, schedule = config.optimizer, config.schedule
    settings = optimizer.weight_decay is not None, optimizer.decay_biases, optimizer.clip is not None
    shared["optimizer"] = [optimizer.fn, _forms(optimizer.numbers), optimizer.options, settings]
    shared["schedule"] = [schedule.fn, _forms(schedule.numbers), schedule.options]
    shared["stop_after"] = config.stop_after
    return json.dumps(shared, sort_keys=True, default=list)


def _forms(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The names of numbers, with the length of each that is a list."""
    return {name: len(value) if isinstance(value, tuple) else None for name, value in numbers.items()}


def by_program(configs: Sequence[Config]) -> list[list[int]]:
    """The places of the configs of each program, in the order in which a program first appears.

    Within a program those that share their batches are neighbours: a part of the group then draws fewer.
    """
    groups: dict[str, list[int]] = {}
    for i, config in enumerate(configs):
        groups.setdefault(program_of(config), []).append(i)
    return [sorted(group, key=lambda i: configs[i].data_seed) for group in groups.values()]
