"""Which runs of a sweep train together: those that share a program."""

from collections.abc import Sequence

from xinit.settings.config import Config


def by_program(configs: Sequence[Config]) -> list[list[int]]:
    """The places of the configs of each program, in the order in which a program first appears.

    Within a program those that share their batches are neighbours: a part of the group then draws fewer.
    """
    groups: dict[str, list[int]] = {}
    for i, config in enumerate(configs):
        groups.setdefault(config.program(), []).append(i)
    return [sorted(group, key=lambda i: configs[i].data_seed) for group in groups.values()]
