"""A program runs as the function it was traced from, and taps on it give the back-propagated gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xinit.core.errors import InputError
from xinit.tracing.structure.layers import structure_of
from xinit.tracing.structure.program import run, traced

DEPTH, WIDTH, EXAMPLES = 3, 4, 5
W = jax.random.normal(jax.random.key(0), (DEPTH, WIDTH, WIDTH))
B = jax.random.normal(jax.random.key(1), (DEPTH, WIDTH))
X = jax.random.normal(jax.random.key(2), (EXAMPLES, WIDTH))
PARAMS = {"w": W, "b": B}


def layer(h, w, b):
    return jnp.tanh(h @ w + b[None, :])


def unrolled(params, x):
    for w, b in zip(params["w"], params["b"], strict=True):
        x = layer(x, w, b)
    return x


def scanned(params, x):
    return lax.scan(lambda h, p: (layer(h, p["w"], p["b"]), None), x, params)[0]


def reversed_scan(params, x):
    flipped = jax.tree.map(lambda w: w[::-1], params)
    return lax.scan(lambda h, p: (layer(h, p["w"], p["b"]), None), x, flipped, reverse=True)[0]


def indexed(params, x):
    at = lambda w, i: lax.dynamic_index_in_dim(w, i, keepdims=False)
    return lax.fori_loop(0, DEPTH, lambda i, h: layer(h, at(params["w"], i), at(params["b"], i)), x)


def rematerialised(params, x):
    return lax.scan(jax.checkpoint(lambda h, p: (jax.jit(layer)(h, p["w"], p["b"]), None)), x, params)[0]


def nested(params, x):
    """The first layer, then a scan of one iteration around one of the others."""
    others = jax.tree.map(lambda w: w[None, 1:], params)
    inner = lambda h, p: lax.scan(lambda h, p: (layer(h, p["w"], p["b"]), None), h, p)
    return lax.scan(inner, layer(x, params["w"][0], params["b"][0]), others)[0]


def by_example(params, x):
    return jax.vmap(lambda h: unrolled(params, h[None])[0])(x)


FORMS = {f.__name__: f for f in (unrolled, scanned, reversed_scan, indexed, rematerialised, nested, by_example)}
every_form = pytest.mark.parametrize("form", FORMS)


def back_propagated(function, params, x):
    """The layers, and of each what it reads, gives and dL/dz, L the sum of squares of the output."""
    structure = structure_of(lambda params, others, x: function(params, x), params, {}, x)
    products = {layer.product.site: layer.product for layer in structure.layers}.values()
    types = structure.program.types
    taps = {product.gives: jnp.zeros(types[product.gives].shape, types[product.gives].dtype) for product in products}
    kept = {value for product in products for value in (product.reads, product.gives)}

    def loss(taps):
        (output,), records = run(structure.program, jax.tree.leaves((params, x)), taps, kept)
        return jnp.sum(output**2), records

    gradients, records = jax.jit(jax.grad(loss, has_aux=True))(taps)
    at = lambda array, layer: array[tuple(t for t in layer.product.iteration if t is not None)]
    return structure.layers, [
        tuple(np.asarray(at(of[value], layer)).reshape(EXAMPLES, WIDTH) for of, value in arrays)
        for layer in structure.layers
        for arrays in [
            ((records, layer.product.reads), (records, layer.product.gives), (gradients, layer.product.gives))
        ]
    ]


@every_form
def test_a_program_gives_what_its_function_gives(form):
    program, _ = traced(FORMS[form], PARAMS, X)
    outputs, _ = run(program, jax.tree.leaves((PARAMS, X)), {}, ())
    np.testing.assert_allclose(outputs[0], unrolled(PARAMS, X), rtol=1e-6)


@every_form
def test_taps_give_the_gradients_of_the_unrolled_network(form):
    layers, found = back_propagated(FORMS[form], PARAMS, X)
    _, expected = back_propagated(unrolled, PARAMS, X)
    assert [layer.depth for layer in layers] == [1, 2, 3]
    for own, other in zip(found, expected, strict=True):
        for array, right in zip(own, other, strict=True):
            np.testing.assert_allclose(array, right, rtol=1e-4, atol=1e-6)


@every_form
def test_both_identities_of_the_taps(form):
    """The sum over the batch of dL/dz is dL/db, and h^T dL/dz is dL/dW."""
    _, found = back_propagated(FORMS[form], PARAMS, X)
    gradients = jax.grad(lambda params: jnp.sum(FORMS[form](params, X) ** 2))(PARAMS)
    for number, (h, _, g) in enumerate(found):
        np.testing.assert_allclose(g.sum(axis=0), gradients["b"][number], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(h.T @ g, gradients["w"][number], rtol=1e-4, atol=1e-6)


def test_a_tap_adds_to_its_value_in_its_own_iteration_alone():
    program, _ = traced(scanned, PARAMS, X)
    structure = structure_of(lambda params, others, x: scanned(params, x), PARAMS, {}, X)
    gives = structure.layers[0].product.gives
    tap = jnp.zeros((DEPTH, EXAMPLES, WIDTH)).at[1].set(1)
    (output,), records = run(structure.program, jax.tree.leaves((PARAMS, X)), {gives: tap}, {gives})
    shifted = {"w": W, "b": B.at[1].add(1)}
    np.testing.assert_allclose(output, unrolled(shifted, X), rtol=1e-6)
    assert records[gives].shape == (DEPTH, EXAMPLES, WIDTH)
    assert len(program.outputs) == 1


def test_of_a_branch_that_is_not_taken_nothing_is_seen():
    function = lambda params, x: lax.cond(x[0, 0] > 0, lambda h: h @ params["w"][0], lambda h: h @ params["w"][1], x)
    structure = structure_of(lambda params, others, x: function(params, x), PARAMS, {}, X)
    values = {layer.name: layer.product.gives for layer in structure.layers}
    assert all(layer.product.branch for layer in structure.layers)
    for sign, taken in ((1, "w[0]"), (-1, "w[1]")):
        x = X.at[0, 0].set(sign)
        _, records = run(structure.program, jax.tree.leaves((PARAMS, x)), {}, set(values.values()))
        for name, value in values.items():
            assert bool(jnp.isfinite(records[value]).all()) is (name == taken)
            assert bool(jnp.isnan(records[value]).all()) is (name != taken)


def test_a_derivative_of_its_own_is_kept():
    """A matrix product whose gradient is seven times the true one, and a rectifier's at zero."""

    @jax.custom_vjp
    def product(h, w):
        return h @ w

    product.defvjp(lambda h, w: (h @ w, (h, w)), lambda kept, g: (7 * g @ kept[1].T, kept[0].T @ g))
    function = lambda params, x: product(jax.nn.relu(product(x, params["w"][0])), params["w"][1])
    layers, ((h, _, g), (h_last, _, g_last)) = back_propagated(function, PARAMS, X)
    assert [layer.name for layer in layers] == ["w[0]", "w[1]"]
    np.testing.assert_allclose(g, 7 * (g_last @ W[1].T) * (h_last > 0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(h, X)


def test_what_holds_several_products_under_its_own_derivative_is_named_and_not_entered():
    @jax.custom_jvp
    def two(h, w):
        return jnp.tanh(h @ w[0]) @ w[1]

    two.defjvp(lambda at, by: (two(*at), by[0] @ at[1][0]))
    function = lambda params, x: two(x, params["w"]) @ params["v"]
    params = {"w": W, "v": W[0]}
    structure = structure_of(lambda params, others, x: function(params, x), params, {}, X)
    assert [layer.name for layer in structure.layers] == ["v"]
    assert "a function with a derivative of its own" in structure.unseen["w"]


def test_a_loop_of_unknown_length_is_refused_in_one_sentence():
    function = lambda params, x: lax.while_loop(lambda h: h.sum() < 9, lambda h: h @ params["w"][0], x)
    with pytest.raises(InputError, match="multiplies by w in a while loop, whose length is known only as it runs"):
        structure_of(lambda params, others, x: function(params, x), PARAMS, {}, X)
