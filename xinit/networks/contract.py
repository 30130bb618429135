"""What an activation function is to this package: itself, its derivative, and its shape."""

from collections.abc import Callable
from typing import NamedTuple

from jax import Array

INF = float("inf")


class Learned(NamedTuple):
    """A number `a` in f that is trained with the weights, one a layer, from `start` on.

    `function` is f(z, a), `slope` its derivative over z, and `slope_max` the maximum of abs f' at a.
    """

    start: float
    function: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    slope_max: Callable[[Array], Array]


class Activation(NamedTuple):
    """An activation function f and its shape.

    `slope` is f', `slope_max` the maximum of abs f' (infinite where f' has no bound), (`low`, `high`) the range of f
    (infinite where unbounded). `saturates`: f flattens out at a finite value on at least one side, and f' neither
    crosses zero nor is unbounded. `rectifies`: f' is constant on either side of zero, and smaller below (ReLU-like; a
    unit there is called inactive, not saturated); `negative_slope` is its value there where f(x) = x above zero.
    `kinks` are the points where f or one of its first two derivatives jumps, and where f' crosses zero; integrals over
    f are split there. `parity`: "odd" where f(-x) = -f(x), "even" where f(-x) = f(x). `wavelength`: about how often f'
    turns, of a function that turns without end, as sin does; it has no list of kinks. `learned`: a number in f that is
    trained; everything else then holds at its start.
    """

    name: str
    function: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    slope_max: float
    low: float
    high: float
    saturates: bool = False
    rectifies: bool = False
    negative_slope: float | None = None
    kinks: tuple[float, ...] = ()
    parity: str | None = None
    wavelength: float | None = None
    learned: Learned | None = None
