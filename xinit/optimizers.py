"""Optimizers from optax whose numbers are traced: one compiled step serves every learning rate.

Each maps `hyper` (learning_rate, momentum, ...) to an `optax.GradientTransformation`. Gradients are those of the mean
loss over the mini-batch. To add one: a function here and a YAML file in `conf/optimizer`.
"""

from collections.abc import Callable, Mapping

import optax
from jax import Array

Optimizer = Callable[[Mapping[str, Array]], optax.GradientTransformation]


def sgd(hyper: Mapping[str, Array]) -> optax.GradientTransformation:
    """W <- W - learning_rate g: what Glorot & Bengio (2010) used."""
    return optax.sgd(hyper["learning_rate"])


def momentum(hyper: Mapping[str, Array]) -> optax.GradientTransformation:
    """m <- momentum m + g; W <- W - learning_rate m (heavy ball)."""
    return optax.sgd(hyper["learning_rate"], momentum=hyper["momentum"])


def adam(hyper: Mapping[str, Array]) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) with bias correction."""
    return optax.adam(hyper["learning_rate"], b1=hyper["b1"], b2=hyper["b2"], eps=hyper["eps"])
