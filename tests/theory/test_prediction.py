"""The prediction of every layer against networks that were drawn: five activations at five width profiles."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit import initializers
from xinit.initializers import Law
from xinit.networks import activations, profiles
from xinit.networks.mlp import make_params, plain
from xinit.probes.passes import backpropagate
from xinit.theory.prediction import predict

pytestmark = pytest.mark.heavy

XAVIER = initializers.xavier()
INITIALIZERS = {
    "linear": initializers.fan_in(),
    "tanh": XAVIER,
    "softsign": XAVIER,
    "relu": initializers.he(),
    "sigmoid": XAVIER,
}
ACTIVATIONS = {name: getattr(activations, name)() for name in INITIALIZERS}
PROFILES = ("constant", "taper", "grow", "bottleneck", "alternating")
SEEDS, DEPTH, WIDTH, INPUTS, CLASSES, EXAMPLES = 16, 6, 128, 64, 10, 40
MOMENTS = ("pre_second", "act_second", "grad_pre_second", "grad_w_second")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(EXAMPLES, INPUTS)) * RNG.uniform(0.4, 1.4, size=(EXAMPLES, 1))  # each of its own second moment
LABELS = RNG.integers(CLASSES, size=EXAMPLES)
GRAM = X @ X.T / INPUTS


def widths_of(profile):
    return (INPUTS, *getattr(profiles, profile)()(DEPTH, WIDTH), CLASSES)


@functools.cache
def measuring(widths):
    """One program for all cases: (shares, keys) -> second moments (seed, layer); a case has 1 among shares of 0."""
    shapes = list(itertools.pairwise(widths))

    def one(shares, key):
        mix = lambda parts: sum(share * part for share, part in zip(shares, parts, strict=True))
        kernels = []
        for own_key, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True):
            drawn = {draw: draw(own_key, shape, jnp.float32) for draw in dict.fromkeys(INITIALIZERS.values())}
            kernels.append(mix(drawn[draw] for draw in INITIALIZERS.values()))
        params = make_params(kernels, [jnp.zeros(o) for _, o in shapes])
        f = ACTIVATIONS["linear"]._replace(function=lambda z: mix(f.function(z) for f in ACTIVATIONS.values()))
        batch = jnp.asarray(X, jnp.float32), jnp.asarray(LABELS)
        passed = backpropagate(plain(widths, (f,) * DEPTH), params, {}, batch)
        mean_squares = lambda parts: jnp.stack([jnp.mean(part**2) for part in parts])
        return {
            "pre_second": mean_squares(passed.outputs.pre),
            "act_second": mean_squares(passed.outputs.post),
            "grad_pre_second": mean_squares(passed.at_layers),
            "grad_w_second": mean_squares(layer["kernel"] for layer in passed.params["layers"].values()),
        }

    return jax.jit(lambda shares, keys: jax.lax.map(functools.partial(one, shares), keys))


@functools.cache
def measured(name, profile):
    shares = jnp.array([float(other == name) for other in INITIALIZERS])
    keys = jax.random.split(jax.random.key(7, impl="rbg"), SEEDS)  # a generator that compiles fast
    found = measuring(widths_of(profile))(shares, keys)
    return {moment: np.asarray(values, float).mean(axis=0) for moment, values in found.items()}


def predicted(activation, initializer, widths, fans=lambda i, o: (i, o)):
    laws = [initializer.law(*fans(i, o)) for i, o in itertools.pairwise(widths)]
    return predict(plain(widths, (ACTIVATIONS[activation],) * DEPTH), laws, GRAM, LABELS)


@functools.cache
def prediction(name, profile):
    return predicted(name, INITIALIZERS[name], widths_of(profile))


def within(found, prediction, moment, level):
    low, high = prediction.interval(moment, SEEDS, level)
    return (low <= found[moment]) & (found[moment] <= high)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_layer_lies_within_the_interval(name, profile):
    for moment in MOMENTS:
        inside = within(measured(name, profile), prediction(name, profile), moment, 0.9999)
        assert inside.all(), f"{moment} in layers {np.flatnonzero(~inside) + 1}"


def test_nine_layers_in_ten_lie_within_the_95_percent_interval():
    every = [(name, profile) for name in INITIALIZERS for profile in PROFILES]
    for moment in MOMENTS:
        inside = [within(measured(*case), prediction(*case), moment, 0.95) for case in every]
        assert np.mean(inside) >= 0.9, moment


def test_the_intervals_are_narrow_enough_to_say_something():
    for moment in ("pre_second", "act_second", "grad_pre_second"):
        low, high = prediction("tanh", "constant").interval(moment, SEEDS)
        assert np.all(high / low < 1.6), moment


# What a slip in the theory or in a scheme would look like: other weights, another activation, fans the wrong way round.
WRONG = {
    "Xavier's weights for He's": ("relu", "constant", lambda w: predicted("relu", XAVIER, w)),
    "tanh for softsign": ("softsign", "constant", lambda w: predicted("tanh", XAVIER, w)),
    "fan-out for fan-in": (
        "linear",
        "alternating",
        lambda w: predicted("linear", initializers.fan_in(), w, fans=lambda i, o: (o, i)),
    ),
}


@pytest.mark.parametrize("slip", WRONG)
def test_a_wrong_prediction_is_caught(slip):
    name, profile, make = WRONG[slip]
    wrong = make(widths_of(profile))
    for moment in ("pre_second", "grad_pre_second"):
        assert np.mean(within(measured(name, profile), wrong, moment, 0.9999)) < 0.3, moment


def test_an_interval_is_wider_at_a_higher_level_and_narrower_over_more_networks():
    made = prediction("relu", "taper")
    for moment in MOMENTS:
        low, high = made.interval(moment, SEEDS)
        wide_low, wide_high = made.interval(moment, SEEDS, level=0.99)
        one_low, one_high = made.interval(moment)
        assert np.all((one_low < wide_low) & (wide_low < low) & (low < made.values[moment]))
        assert np.all((made.values[moment] < high) & (high < wide_high) & (wide_high < one_high))


def test_linear_networks_have_the_products_of_the_paper():
    """Glorot & Bengio 2010, eqs. 5 and 6, each layer's factor the one of its own widths."""
    widths, v = widths_of("alternating"), 0.01
    made = predict(plain(widths, (ACTIVATIONS["linear"],) * DEPTH), [Law(v)] * (DEPTH + 1), GRAM, LABELS)
    n = np.array(widths)
    forward = np.mean(np.diag(GRAM)) * np.cumprod(n[:-2] * v)
    np.testing.assert_allclose(made.values["pre_second"], forward, rtol=1e-12)
    np.testing.assert_allclose(made.values["act_second"], forward, rtol=1e-12)
    backward = made.values["grad_pre_second"]
    np.testing.assert_allclose(backward[:-1] / backward[1:], n[2:-1] * v, rtol=1e-12)
    cosines = GRAM / np.sqrt(np.outer(np.diag(GRAM), np.diag(GRAM)))
    mean = np.mean(cosines[np.triu_indices(EXAMPLES, k=1)])
    np.testing.assert_allclose(made.values["act_cosine"], mean, rtol=1e-9)


@pytest.mark.parametrize(
    ("structure", "unknown"),
    [
        ("fixed", {*MOMENTS, "act_cosine", "act_slope", "act_dead", "jacobian_sv_mean"}),
        ("mirrored", {"act_cosine", "grad_w_second", "act_dead", "jacobian_sv_mean"}),
    ],
)
def test_where_the_weights_void_the_theory_nothing_is_predicted(structure, unknown):
    law = Law(0.02, structure=structure)
    made = predict(plain(widths_of("constant"), (ACTIVATIONS["relu"],) * DEPTH), [law] * (DEPTH + 1), GRAM, LABELS)
    assert {name for name, values in made.values.items() if np.isnan(values).all()} == unknown
    assert made.void
