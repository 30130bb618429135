"""Convolutions in canonical form compute what they did."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from xinit.core.convolutions import canonical

NHWC = ("NHWC", "HWIO", "NHWC")
IMAGES = [
    {"window_strides": (1, 1), "padding": "SAME"},
    {"window_strides": (2, 2), "padding": "SAME"},
    {"window_strides": (1, 2), "padding": "VALID", "rhs_dilation": (2, 1)},
    {"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 2},
]


def loss(kernel: Array, x: Array, options: dict) -> Array:
    z = lax.conv_general_dilated(x, kernel, dimension_numbers=NHWC, precision="float32", **options)
    return jnp.sum(jax.nn.relu(z) ** 2)


@pytest.mark.parametrize("options", IMAGES, ids=str)
@pytest.mark.parametrize("remat", [False, True])
def test_gradients_in_a_loop_are_those_outside_of_it(options: dict, remat: bool) -> None:
    """In loops, in branches and where signals are computed anew; nothing but the order of operands differs."""
    channels = 4 // options.get("feature_group_count", 1)
    x = jax.random.normal(jax.random.key(0), (3, 7, 6, 4))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, channels, 6)) / 6
    f = lambda kernel, x: loss(kernel, x, options)
    gradients = jax.grad(jax.checkpoint(f) if remat else f, (0, 1))

    def looped(kernel: Array, x: Array) -> tuple[Array, Array]:
        step = lambda i, _: lax.cond(i >= 0, gradients, lambda kernel, x: (kernel, x), kernel, x)
        return lax.fori_loop(0, 2, step, (kernel, x))

    made = jax.jit(canonical(looped))(kernel, x)
    for one, other in zip(made, jax.jit(gradients)(kernel, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def dimension_numbers(function, *arguments) -> set:
    """Those of all convolutions in what XLA gets."""
    text = jax.jit(function).lower(*arguments).as_text()
    return set(re.findall(r"dim_numbers = (\[.*?\]x\[.*?\]->\[.*?\])", text))


def test_every_convolution_has_the_form_that_is_fast() -> None:
    """[b, 0, 1, f] x [0, 1, i, o] -> [b, 0, 1, f], whatever it was."""
    x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
    step = lambda i, kernel: kernel - jax.grad(loss)(kernel, x, IMAGES[0])
    looped = lambda kernel: lax.fori_loop(0, 3, step, kernel)
    assert len(dimension_numbers(looped, kernel)) > 1
    assert dimension_numbers(canonical(looped), kernel) == {"[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"}


def test_what_has_no_convolution_is_left_as_it_is() -> None:
    """The program is the same to the letter, and results keep their structure."""
    f = lambda tree: {"sum": lax.fori_loop(0, 3, lambda i, s: s + tree["a"], tree["a"]), "key": tree["key"]}
    tree = {"a": jnp.ones(3), "key": jax.random.key(0)}
    program = lambda function: jax.jit(function).lower(tree).as_text().replace("rewritten", "f")
    assert program(canonical(f)) == jax.jit(f).lower(tree).as_text().replace("<lambda>", "f")
