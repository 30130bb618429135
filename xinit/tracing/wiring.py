"""Which layer feeds which: the order of a model's layers, and whether signals skip some of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, Literal


class Wiring(NamedTuple):
    """The depth of each layer, 1 for those that no other layer feeds, and whether anything is skipped.

    A skip is a connection from one layer to another (or to an output) that some longer way also makes.
    """

    depths: tuple[int, ...]
    skips: bool


def wiring(reads: Callable[[Mapping[str, Array]], Any], taps: Mapping[str, Array | np.ndarray]) -> Wiring:
    """The wiring of the layers in the order of their calls, which is that of `taps`.

    `reads` maps taps that take the place of the layers' outputs to what each layer reads, in the same order, and then
    the outputs of the model: whatever depends on a tap then does so through no other layer.
    """
    jaxpr, shapes = jax.make_jaxpr(reads, return_shape=True)(taps)
    names = sorted(taps)  # as jax flattens a dict
    results = iter(_dependencies(jaxpr))
    fed_by = [{names[i] for _ in jax.tree.leaves(sink) for i in next(results)} for sink in shapes]
    above: dict[str, set[str]] = {}  # everything that a layer depends on
    depths: dict[str, int] = {}
    for name, sources in zip(taps, fed_by, strict=False):
        above[name] = sources.union(*(above[source] for source in sources))
        depths[name] = 1 + max((depths[source] for source in sources), default=0)
    skips = any(source in above[other] for sources in fed_by for source in sources for other in sources)
    return Wiring(tuple(depths[name] for name in taps), skips)


def _dependencies(jaxpr: ClosedJaxpr) -> Sequence[set[int]]:
    """The places of the arguments that each result depends on; what an equation gives depends on all it takes."""
    sources = {variable: {i} for i, variable in enumerate(jaxpr.jaxpr.invars)}
    of = lambda atoms: set().union(*(sources.get(atom, set()) for atom in atoms if not isinstance(atom, Literal)))
    for equation in jaxpr.jaxpr.eqns:
        taken = of(equation.invars)
        sources |= dict.fromkeys(equation.outvars, taken)
    return [of([atom]) for atom in jaxpr.jaxpr.outvars]
