"""The places at which a signal can be changed on its way through a network, and the functions that change it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jax import Array


class Site(NamedTuple):
    """Where something may be added to a signal: at the output of a "weight", or at the "sum" that ends a branch.

    `part` counts the layers whose kernels are stacked in one weight.
    """

    kind: str
    number: int
    part: int = 0


# A function of the site and of the signal there; its result replaces the signal.
Tap = Callable[[Site, Array], Array]


@dataclass(frozen=True, eq=False)
class Added:
    """The tap that adds an array at each site; a network need not run its loops iteration by iteration for it."""

    taps: Mapping[Site, Array]

    def __call__(self, site: Site, z: Array) -> Array:
        """The sum of z and the tap."""
        return z + self.taps[site]
