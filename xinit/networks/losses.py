"""Losses: what is minimised, from a network's outputs and the targets of a batch.

Each factory returns a `Loss`. To add one: a factory here and a YAML file in `conf/loss`.
"""

from collections.abc import Callable
from typing import NamedTuple

import optax
from jax import Array
from jaxtyping import Float, Shaped


class Loss(NamedTuple):
    """A loss by its name.

    `function(outputs_BO, y_B)` is the loss of each example, (B,). `targets` says what y may be: "labels", whole numbers
    from 0 that name a class, "values", real numbers, or None for either.
    """

    name: str
    function: Callable[[Float[Array, "batch outputs"], Shaped[Array, "batch ..."]], Float[Array, " batch"]]
    targets: str | None


def cross_entropy() -> Loss:
    """-log P(y|x), P the softmax of the outputs."""
    return Loss("cross_entropy", optax.softmax_cross_entropy_with_integer_labels, "labels")
