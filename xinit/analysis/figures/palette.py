"""Which place of a palette a scheme has: the same in every figure and on every page.

`SCHEMES_IN_ORDER` are the schemes that are compared most; others take what is left.
"""

from collections.abc import Sequence

SCHEMES_IN_ORDER = ("xavier", "standard", "he", "orthogonal", "lecun", "lsuv", "fan_in", "fan_out")


def places(names: Sequence[str], n: int) -> list[int]:
    """The places of some schemes in a palette of n colours; of more than n, some share one.

    >>> places(["standard", "mine", "xavier"], 8)
    [1, 2, 0]
    """
    known = {name: SCHEMES_IN_ORDER.index(name) for name in names if name in SCHEMES_IN_ORDER[:n]}
    free = [place for place in range(n) if place not in known.values()]
    others = [name for name in names if name not in known]
    left = dict(zip(others, free, strict=False))
    return [known.get(name, left.get(name, i % n)) for i, name in enumerate(names)]
