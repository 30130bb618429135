"""Whether sizes go like a power of the depth, as over skips, or like a factor a step, as in a plain stack."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Growth(NamedTuple):
    """The better of two lines through the logarithms of sizes at k = 0, 1, .. steps.

    `is_power`: sizes go like (1 + k)^number; else like number^k.
    """

    is_power: bool
    number: float

    @property
    def words(self) -> str:
        """Behind "goes like".

        >>> Growth(True, 0.5).words, Growth(False, 1.414).words
        ('the power 0.50 of the number of branches', 'x 1.41 a branch')
        """
        return (
            f"the power {self.number:.2f} of the number of branches"
            if self.is_power
            else f"x {self.number:.2f} a branch"
        )


def growth_of(sizes: Float[np.ndarray, " place"]) -> Growth | None:
    """How sizes above 0 change from place to place; None with fewer than three, or one that is not above 0.

    >>> growth_of(np.sqrt(1 + np.arange(50))), growth_of(2.0 ** np.arange(50))
    (Growth(is_power=True, number=0.5), Growth(is_power=False, number=2.0))
    """
    if len(sizes) < 3 or not np.all(np.isfinite(sizes)) or not np.all(sizes > 0):
        return None
    steps, logs = np.arange(len(sizes)), np.log(sizes)
    (power, power_left), (rate, rate_left) = _line(np.log(1 + steps), logs), _line(steps, logs)
    if power_left <= rate_left:
        return Growth(True, round(power, 6))
    return Growth(False, round(float(np.exp(rate)), 6))


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of the line through points by least squares, and what is left of the squares."""
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    return slope, float(np.sum((y - slope * x) ** 2))
