"""Width profiles: depth and width to the tuple of hidden-layer widths.

Each factory returns a profile, `(depth, width) -> widths`. To add one: a factory here and a YAML file in
`conf/profile`.
"""

import math
from collections.abc import Callable, Sequence

from xinit.core.errors import InputError

Profile = Callable[[int, int], tuple[int, ...]]


def _geometric(first: float, last: float, n: int) -> tuple[int, ...]:
    """`n` widths from first to last, each the same multiple of the one before, rounded, at least 1."""
    ratio = (last / first) ** (1 / (n - 1)) if n > 1 else 1.0
    return tuple(_whole(first * ratio**i) for i in range(n))


def _whole(width: float) -> int:
    """The nearest whole number, at least 1; a width of 12.5 is 12 whichever way a processor rounds its last bit."""
    return max(1, round(round(width, 6)))


def _checked(ratio: float) -> float:
    if not 1 <= ratio < math.inf:
        raise InputError(f"profile.ratio is {ratio}; it is the widest layer over the narrowest, at least 1.")
    return ratio


def constant() -> Profile:
    """Every layer `width` wide."""
    return lambda depth, width: (width,) * depth


def taper(ratio: float = 4.0) -> Profile:
    """From `width` down to width / ratio, geometrically."""
    _checked(ratio)
    return lambda depth, width: _geometric(width, width / ratio, depth)


def grow(ratio: float = 4.0) -> Profile:
    """From width / ratio up to `width`, geometrically."""
    _checked(ratio)
    return lambda depth, width: _geometric(width / ratio, width, depth)


def bottleneck(ratio: float = 4.0) -> Profile:
    """`width` at both ends, width / ratio in the middle, geometrically."""
    _checked(ratio)

    def profile(depth: int, width: int) -> tuple[int, ...]:
        half = _geometric(width, width / ratio, (depth + 1) // 2)
        return half + half[::-1][depth % 2 :]

    return profile


def alternating(ratio: float = 4.0) -> Profile:
    """`width`, width / ratio, `width`, ... starting wide."""
    _checked(ratio)
    return lambda depth, width: tuple(_whole(width / ratio) if i % 2 else width for i in range(depth))


def explicit(widths: Sequence[int]) -> Profile:
    """The listed widths; depth and width are not asked. `width=[512,256]` is the same."""
    if not widths or any(not isinstance(w, int) or isinstance(w, bool) or w < 1 for w in widths):
        raise InputError(f"The list of widths is {widths}; it must name at least one layer, each a whole number >= 1.")
    return lambda depth, width: tuple(widths)
