"""Each activation against its own derivative, range and cut."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit.core.readings import FLAT
from xinit.networks import activations

PUBLIC = [f for name, f in vars(activations).items() if inspect.isfunction(f) and not name.startswith("_")]
NAMES = [f.__name__ for f in PUBLIC if f.__module__ == "xinit.networks.activations"]
X = jnp.linspace(-30, 30, 60_002)  # an even number: no point on the kinks at 0 and +-1


@pytest.mark.parametrize("name", NAMES)
def test_slope_is_the_derivative(name):
    f = getattr(activations, name)()
    np.testing.assert_allclose(f.slope(X), jax.vmap(jax.grad(f.function))(X), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_slope_max_and_range_are_the_extremes(name):
    f = getattr(activations, name)()
    steepest = float(jnp.max(jnp.abs(f.slope(X))))
    assert steepest == pytest.approx(f.slope_max, rel=2e-3) or (np.isinf(f.slope_max) and steepest > 50)
    values = np.asarray(f.function(X))
    assert values.min() >= f.low - 1e-6
    assert values.max() <= f.high + 1e-6
    for bound, reached in ((f.low, values.min()), (f.high, values.max())):
        assert np.isinf(bound) or reached == pytest.approx(bound, abs=0.05)


@pytest.mark.parametrize(("name", "cut"), [("tanh", 0.975), ("softsign", 0.776), ("sigmoid", 0.987)])
def test_the_cut_lies_where_the_definition_says(name, cut):
    f = getattr(activations, name)()
    x = jnp.linspace(0, 10, 100_001)
    first_flat = x[jnp.argmax(jnp.abs(f.slope(x)) < FLAT * f.slope_max)]
    assert float(f.function(first_flat)) == pytest.approx(cut, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_parity_and_wavelength_hold(name):
    f, x = getattr(activations, name)(), jnp.linspace(0.1, 9, 300)
    if f.parity:
        np.testing.assert_allclose(f.function(-x), (-1 if f.parity == "odd" else 1) * f.function(x), rtol=1e-6)
    else:
        assert not np.allclose(abs(f.function(-x)), abs(f.function(x)), rtol=0.1)
    if f.wavelength:
        np.testing.assert_allclose(f.slope(x + f.wavelength), f.slope(x), atol=1e-5)


def test_both_gelus_are_told_apart():
    x = jnp.linspace(-4, 4, 400)
    exact, approximate = activations.gelu().function(x), activations.gelu_tanh().function(x)
    np.testing.assert_allclose(exact, jax.nn.gelu(x, approximate=False), atol=1e-6)
    np.testing.assert_allclose(approximate, jax.nn.gelu(x, approximate=True), atol=1e-6)
    assert 1e-4 < float(jnp.max(jnp.abs(exact - approximate))) < 1e-3


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        (name, getattr(jax.nn, name))
        for name in ("silu", "elu", "celu", "softplus", "mish", "hard_sigmoid", "hard_swish")
    ]
    + [("prelu", lambda x: jax.nn.leaky_relu(x, 0.25)), ("squared_relu", lambda x: jax.nn.relu(x) ** 2)],
)
def test_functions_are_those_of_jax(name, theirs):
    np.testing.assert_allclose(getattr(activations, name)().function(X), theirs(X), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("factory", [activations.elu, activations.celu])
def test_alpha_scales_the_flat_side_and_must_be_above_zero(factory):
    f = factory(2.0)
    assert (f.low, f.slope_max) == (-2.0, 2.0 if f.name == "elu" else 1.0)
    np.testing.assert_allclose(f.slope(X), jax.vmap(jax.grad(f.function))(X), atol=1e-6)
    with pytest.raises(activations.InputError, match=r"alpha is 0; it must be a finite number above 0"):
        factory(0)


def test_leaky_relu_refuses_a_slope_of_one():
    with pytest.raises(activations.InputError, match=r"negative_slope is 1.0; it must be at least 0 and below 1"):
        activations.leaky_relu(1.0)
