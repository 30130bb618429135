"""A function of the user's as an activation: what is found of its shape, and what is refused."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit.core.errors import InputError
from xinit.networks import activations
from xinit.networks.choices import activation_of
from xinit.networks.elementwise import activation_from
from xinit.networks.landmarks import derivative, find_landmarks

pytestmark = pytest.mark.usefixtures("compile_quickly")
PUBLIC = [f for name, f in vars(activations).items() if inspect.isfunction(f) and not name.startswith("_")]
NAMES = [f.__name__ for f in PUBLIC if f.__module__ == "xinit.networks.activations"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_found_is_what_the_built_in_ones_state(name):
    f = getattr(activations, name)()
    found = find_landmarks(f.function, derivative(f.function))
    for fact, value in found._asdict().items():
        stated = getattr(f, fact)
        if stated is None or isinstance(stated, str | bool):
            assert value == stated, fact
        else:
            np.testing.assert_allclose(value, stated, rtol=2e-4 if fact == "wavelength" else 1e-6, atol=1e-6)


def leaky(x, slope=0.2, steps=1):
    return jnp.where(x > 0, x, slope * x)


SHAPES = {  # what is stated of it by hand
    "leaky": (leaky, {"rectifies": True, "negative_slope": 0.2, "kinks": (0.0,), "low": -math.inf}),
    "scaled relu": (lambda x: math.sqrt(2) * jax.nn.relu(x), {"rectifies": True, "negative_slope": None, "low": 0.0}),
    "relu moved": (lambda x: jax.nn.relu(x - 1), {"rectifies": False, "saturates": True, "kinks": (1.0,)}),
    "a step in it": (lambda x: x + (x > 0), {"rectifies": False, "kinks": (0.0,), "slope_max": 1.0}),
    "steep, not a kink": (lambda x: jnp.tanh(300 * x), {"kinks": (), "saturates": True, "slope_max": 300.0}),
    "cube": (lambda x: x**3, {"slope_max": math.inf, "saturates": False, "parity": "odd", "high": math.inf}),
    "between powers": (lambda x: jnp.abs(x) ** 1.5, {"kinks": (0.0,), "parity": "even", "slope_max": math.inf}),
    "logarithmic": (jnp.arcsinh, {"low": -math.inf, "high": math.inf, "saturates": False, "slope_max": 1.0}),
    "hyperbolic tails": (lambda x: x / jnp.sqrt(1 + x**2), {"low": -1.0, "high": 1.0, "saturates": True}),
    "fast waves": (lambda x: jnp.sin(30 * x), {"wavelength": math.pi / 15, "kinks": (), "slope_max": 30.0}),
    "waves on a line": (lambda x: x + jnp.sin(x) ** 2, {"wavelength": math.pi, "high": math.inf, "slope_max": 2.0}),
    "teeth": (lambda x: x - jnp.floor(x), {"kinks": (), "low": 0.0, "high": 1.0}),
    "in single precision": (lambda x: jnp.tanh(x.astype(jnp.float32)), {"kinks": (), "parity": "odd"}),
    "overflows far out": (lambda x: x * jnp.tanh(jnp.log(1 + jnp.exp(x))), {"low": -0.3088434, "high": math.inf}),
    "falls": (lambda x: -jnp.tanh(x), {"saturates": True, "slope_max": 1.0, "low": -1.0, "high": 1.0}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_of_other_functions(name):
    function, stated = SHAPES[name]
    f = activation_from("mine:f", function, {})
    for fact, value in stated.items():
        numeric = isinstance(value, float | tuple)
        assert getattr(f, fact) == (pytest.approx(value, rel=1e-3, abs=1e-6) if numeric else value), fact
    x = jnp.linspace(-3, 3, 100)
    np.testing.assert_array_equal(f.function(x), function(x))
    np.testing.assert_allclose(f.slope(x), jax.vmap(jax.grad(function))(x), rtol=1e-5, atol=1e-6)


def test_the_same_choice_is_the_same_object_and_options_reach_the_function():
    f = activation_of("jax.nn:leaky_relu", {"negative_slope": 0.3})
    assert activation_of("jax.nn:leaky_relu", {"negative_slope": 0.3}) is f
    assert (f.name, f.negative_slope) == ("jax.nn:leaky_relu", pytest.approx(0.3))
    assert activation_of("jax.nn:leaky_relu", {}).negative_slope == pytest.approx(0.01)
    assert activation_of("jax.nn:silu", {}).function is jax.nn.silu


def test_facts_that_the_user_knows_come_first():
    f = activation_from(
        "mine:leaky", leaky, {"facts": {"slope_max": 2, "kinks": [-1, 0], "parity": "odd", "low": -9e9}}
    )
    assert (f.slope_max, f.kinks, f.parity, f.low) == (2, (-1.0, 0.0), "odd", -9e9)


def of_numpy(x):
    return np.tanh(x)


BAD = {  # function, options -> words
    "softmax": (jax.nn.softmax, {}, "is not elementwise: its value at one place depends on x at others;"),
    "centred": (lambda x: x - x.mean(), {}, "is not elementwise"),
    "by place": (lambda x: x * jnp.arange(x.size, dtype=x.dtype).reshape(x.shape), {}, "is not elementwise"),
    "sum": (lambda x: x.sum(), {}, "makes shape () and type float32 of x of shape (22,) and type float32;"),
    "half": (lambda x: x[::2], {}, "makes shape (11,) and type float32"),
    "two": (lambda x: (x, x), {}, "makes a tuple of x"),
    "type": (lambda x: x.astype(jnp.bfloat16), {}, "makes shape (22,) and type bfloat16"),
    "random": (lambda x: x * np.float32(np.random.rand()), {}, "gives two different results for the same x;"),
    "sign": (jnp.sign, {}, "is not differentiable: its slope is 0 everywhere"),
    "log": (jnp.log, {}, "is not finite: it is -inf at x = 0;"),
    "root": (lambda x: jnp.sqrt(jnp.abs(x)), {}, "is not finite: its slope is inf at x = 0;"),
    "numpy": (of_numpy, {}, "failed with TracerArrayConversionError: "),
    "raises": (lambda x: x.nope, {}, "failed with AttributeError: "),
    "unknown": (leaky, {"alpha": 1.0}, "Unknown setting activation.alpha; Allowed: facts, fn, slope, steps."),
    "missing": (lambda x, beta: beta * x, {}, "needs activation.beta."),
    "no mapping": (leaky, {"facts": 3}, "activation.facts is 3; it must be a mapping"),
    "no fact": (leaky, {"facts": {"hi": 1}}, "Unknown setting activation.facts.hi; did you mean high?"),
    "flag": (leaky, {"facts": {"saturates": 1}}, "activation.facts.saturates is 1; it must be true or false."),
    "kinks": (leaky, {"facts": {"kinks": 0}}, "activation.facts.kinks is 0; it must be a list of finite numbers."),
    "low": (leaky, {"facts": {"low": 0}}, "activation.facts.low is 0; it must be at most -4, which the function"),
    "steepest": (leaky, {"facts": {"slope_max": 0.5}}, "activation.facts.slope_max is 0.5; it must be at least 1,"),
    "parity": (
        leaky,
        {"facts": {"parity": "both"}},
        "activation.facts.parity is 'both'; it must be odd, even or null.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_activation_is_named_in_a_sentence(name):
    function, options, words = BAD[name]
    with pytest.raises(InputError) as caught:
        activation_from("mine:f", function, options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_function_written_in_c_has_no_signature_and_is_taken():
    class Silent:
        """A callable that says nothing of its arguments."""

        __signature__ = "none"

        def __call__(self, x):
            return jnp.tanh(x)

    f = activation_from("mine:silent", Silent(), {})
    assert (f.low, f.high) == (-1.0, 1.0)
