"""What one rule of the verdict found."""

from typing import NamedTuple

LEVELS = ("OK", "WARN", "FAIL")


class Finding(NamedTuple):
    """What one rule found: its level, the rule's name, the sentence (without the level); `at_start` before training.

    `layers` of a probed model that it is about, by their places; none where it is about the model.
    """

    level: str
    rule: str
    sentence: str
    at_start: bool = False
    layers: tuple[int, ...] = ()
