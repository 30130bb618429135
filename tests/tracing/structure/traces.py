"""Small models as traced programs, with what is found in them."""

import jax
import jax.numpy as jnp

from xinit.tracing.structure import normalisation, origins
from xinit.tracing.structure.functions import ways_of
from xinit.tracing.structure.program import traced
from xinit.tracing.structure.search import products_of

X = jnp.linspace(-1, 1, 12, dtype=jnp.float32).reshape(4, 3)
W = jnp.ones((3, 3))


def looked_at(function, params, x):
    """The program of a function of parameters and a batch, and what is found in it."""
    program, _ = traced(function, params, x)
    of = [origins.of_parameter(i, leaf.shape) for i, leaf in enumerate(jax.tree.leaves(params))]
    return program, products_of(program, [*of, *(origins.of_batch(leaf.shape) for leaf in jax.tree.leaves(x))])


def shaped(model, *arguments):
    return jax.eval_shape(lambda: model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, *arguments))


def of_linen(model, x, **options):
    variables = shaped(model, x)
    call = lambda variables, x: model.apply(variables, x, rngs={"dropout": jax.random.key(0)}, **options)
    return call, variables, x


def functions_of(program, found):
    """The function after each product."""
    return tuple(way.function for way in ways_of(program, found))


def normalised(program, found):
    """The normalisation beside each product."""
    return normalisation.normalised(program, found, ways_of(program, found))
