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
    assert float(jnp.max(jnp.abs(f.slope(X)))) == pytest.approx(f.slope_max, rel=2e-3)
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


def test_leaky_relu_refuses_a_slope_of_one():
    with pytest.raises(activations.InputError, match=r"negative_slope is 1.0; it must be at least 0 and below 1"):
        activations.leaky_relu(1.0)
