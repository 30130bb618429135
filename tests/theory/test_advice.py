"""What theory advises keeps signal and gradient in bounds, in the products it is chosen by and in networks drawn."""

import itertools
import re

import jax.numpy as jnp
import numpy as np
import pytest

from xinit import initializers
from xinit.networks import activations
from xinit.networks.elementwise import activation_from
from xinit.settings.compose import compose
from xinit.settings.parse import parse
from xinit.theory.advice import change_over_depth, expected_dead, remedy
from xinit.training import inspection

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
FUNCTIONS = {name: getattr(activations, name)() for name in ("tanh", "softsign", "relu", "selu", "gelu", "hard_tanh")}
GOOD, WITHIN = 2.0, 5.0
EVERY = "tanh", "sigmoid", "softsign", "hard_tanh", "lecun_tanh", "linear", "relu", "leaky_relu", "selu", "gelu"


def shape(depth, width=256):
    return (1024, *[width] * depth, 9)


@pytest.mark.parametrize("depth", [3, 12])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_remedy_keeps_both_products_within_bounds(name, depth):
    functions, widths = (FUNCTIONS[name],) * depth, shape(depth)
    words = remedy(widths, functions, 0.5, GOOD, WITHIN)
    match = re.search(r'variance_scaling\(([\d.]+), "fan_(in|out|avg)", "(normal|uniform)"\)', words)
    initializer = initializers.variance_scaling(float(match[1]), match[2], match[3])
    laws = [initializer.law(*pair) for pair in itertools.pairwise(widths)]
    assert words.startswith("Try kernel_init=nn.initializers.variance_scaling(")
    assert change_over_depth(widths, functions, laws, 0.5).most <= WITHIN


@pytest.mark.parametrize(("name", "words"), [("relu", "2.0, \"fan_in\", \"normal\") (scheme=he)"),
                                             ("tanh", "1.0, \"fan_avg\", \"uniform\") (scheme=xavier)")])  # fmt: skip
def test_the_plain_weights_come_first(name, words):
    assert words in remedy(shape(3), (FUNCTIONS[name],) * 3, 0.5, GOOD, WITHIN)


def test_no_scaling_of_all_that_are_spoken_of_does_better():
    """The best of a grid of gains from .03 to 100, laid out here, for every activation of the program."""
    widths, depth = shape(20), 20
    laws = [initializers.fan_in().law(*pair) for pair in itertools.pairwise(widths)]
    for name in EVERY:
        functions = (getattr(activations, name)(),) * depth
        found = change_over_depth(widths, functions, laws, 0.5, np.geomspace(0.03, 100, 60) ** 2).most.min()
        words = remedy(widths, functions, 0.5, 1.0, WITHIN)
        numbers = re.search(r"signal changes by x ([\d.]+) and the gradient by x ([\d.]+)", words)
        most = max(max(float(number), 1 / float(number)) for number in numbers.groups())
        assert most <= 1.01 * found + 0.06, name  # two digits are printed


def test_a_sigmoid_keeps_its_size_at_a_large_gain():
    words = remedy(shape(20), (activations.sigmoid(),) * 20, 0.5, GOOD, WITHIN)
    assert "x 1 and the gradient by x 1 over these 20 layers" in words


def test_the_weights_in_use_are_no_remedy():
    functions, widths = (FUNCTIONS["relu"],) * 40, shape(40, 8)
    laws = [initializers.he().law(*pair) for pair in itertools.pairwise(widths)]
    words = remedy(widths, functions, 0.5, GOOD, WITHIN, laws)
    assert words.startswith("The weights in use keep signal and gradient within x 1 over 40 relu layers")
    assert "scheme=he" not in words


def test_what_does_not_pass_is_not_named():
    words = remedy(shape(3), (FUNCTIONS["relu"],) * 3, 0.5, GOOD, WITHIN, fault=lambda weights: "they fail")
    assert "Try" not in words
    assert words.endswith(
        "fail: they fail. Widen the layers, use fewer of them, add residual connections, or normalise."
    )


def test_dead_networks_want_width_or_a_leaky_slope():
    words = remedy(shape(10, 4), (FUNCTIONS["relu"],) * 10, 0.5, GOOD, WITHIN, dead=0.25)
    assert words.startswith("25% of such networks are born dead")
    assert words.endswith("Widen the layers, or use a leaky slope.")


def test_networks_drawn_as_advised_pass_where_those_before_failed():
    small = ["data.valid=50", "data.test=50", "probe.examples=50", "width=64", "depth=8", "activation=softsign"]
    configured = lambda *scheme: parse(compose("train", [*small, *scheme]))
    before = inspection.inspect_config(configured("scheme=standard"), 3)
    advised = re.search(r"\((scheme=[^)]*)\)", before.remedy)[1].split()
    after = inspection.inspect_config(configured(*advised), 3)
    assert before.findings[0].level == "FAIL"
    assert after.findings[0].level == "OK"
    assert after.remedy is None


def test_dead_units_to_expect_do_not_depend_on_the_size_of_the_inputs():
    x = np.random.default_rng(0).normal(size=(40, 30)) + 1
    functions = (activations.relu(),) * 8
    dead = expected_dead(functions, x @ x.T)
    np.testing.assert_array_equal(dead, expected_dead(functions, 100 * x @ x.T))
    assert 0 <= dead[0] < dead[-1] < 0.5
    assert expected_dead((activations.leaky_relu(0.1),), x @ x.T) == 0


def test_weights_that_leave_nothing_of_the_signal_are_not_the_best():
    """relu(x - 1) is 0 wherever faint signals go: there both products are 0 / 0."""
    f = activation_from("mine:f", lambda x: jnp.maximum(x - 1, 0), {})
    law = initializers.xavier().law(100, 100)
    change = change_over_depth((100,) * 6, [f] * 4, [law] * 5, 1.0, np.array([1e-6, 1.0, 10.0]))
    assert np.isinf(change.most[0])
    assert np.isfinite(change.most[2])
    assert "nan" not in remedy((100,) * 6, [f] * 4, 1.0, GOOD, WITHIN)
