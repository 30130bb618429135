"""What one rule of the verdict found."""

from typing import NamedTuple

LEVELS = ("OK", "WARN", "FAIL")


class Finding(NamedTuple):
    """What one rule found: its level, the rule's name, the sentence (without the level); `at_start` before training."""

    level: str
    rule: str
    sentence: str
    at_start: bool = False
