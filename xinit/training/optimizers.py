"""Optimizers from optax whose numbers are traced: one compiled step serves every learning rate.

Each takes its numbers by name and returns an `optax.GradientTransformation`. Gradients are those of the mean loss over
the mini-batch. To add one: a function here and a YAML file in `conf/optimizer`.
"""

import optax
from jax import Array

Number = float | Array


def sgd(learning_rate: Number) -> optax.GradientTransformation:
    """W <- W - learning_rate g: what Glorot & Bengio (2010) used."""
    return optax.sgd(learning_rate)


def momentum(learning_rate: Number, momentum: Number) -> optax.GradientTransformation:
    """m <- momentum m + g; W <- W - learning_rate m (heavy ball)."""
    return optax.sgd(learning_rate, momentum=momentum)


def adam(learning_rate: Number, b1: Number, b2: Number, eps: Number) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) with bias correction."""
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)
