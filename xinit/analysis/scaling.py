"""What a coordinate check and a learning-rate transfer share: sizes, exponents over them, tables as text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from xinit.analysis.intervals import Interval, mean_interval
from xinit.core.errors import InputError

TOLERANCE = 0.25  # of an exponent: half of 1/2, the smallest that a wrong power of the width leads to


def check_sizes(over: str, values: Sequence[Any]) -> tuple[int, ...]:
    """The widths or depths in their order.

    >>> check_sizes("width", [64, 16, 32])
    (16, 32, 64)

    Raises:
      InputError: fewer than two different ones, or a number that is no size.
    """
    whole = all(isinstance(value, int) and not isinstance(value, bool) and value >= 1 for value in values)
    if not whole or len(values) < 2 or len(set(values)) < len(values):
        raise InputError(
            f"{over}s is {list(values)}; it must be at least two different whole numbers, each at least 1."
        )
    return tuple(sorted(values))


def exponent(values: Sequence[int], y: Float[np.ndarray, "size seed"]) -> Interval[float]:
    """p in y = constant x value^p, with Student's interval over the seeds.

    log y = a + p log value, a line by least squares for each seed.

    >>> round(float(exponent((4, 16), np.array([[1.0, 2.0], [2.0, 4.0]])).mean), 3)
    0.5
    """
    x = np.log(values) - np.log(values).mean()
    slopes: list[float] = (x @ np.log(y) / (x @ x)).tolist()
    return mean_interval(slopes)


def aligned(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same headings as lines of text.

    >>> print(aligned([{"layer": "1", "z": "0.5"}, {"layer": "10", "z": "2"}]))
    layer  z
    1      0.5
    10     2
    """
    table = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in table)
