"""The prediction along paths with branches and normalisations, against networks that are drawn and run."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit import initializers
from xinit.networks import activations, profiles
from xinit.networks.convnet import convnet
from xinit.networks.mlp import mlp, plain
from xinit.networks.network import Frame
from xinit.networks.residual import residual
from xinit.probes.passes import backpropagate
from xinit.theory import units
from xinit.theory.advice import change_of, change_over_depth
from xinit.theory.coverage import uncovered
from xinit.theory.moments import moments
from xinit.theory.prediction import MOMENTS, VALUES, predict
from xinit.theory.units import Units

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
FUNCTIONS = {name: getattr(activations, name)() for name in ("tanh", "relu", "gelu")}
HE, XAVIER = initializers.he(), initializers.xavier("normal")
SEEDS, DEPTH, WIDTH, INPUTS, CLASSES, EXAMPLES = 24, 4, 48, 24, 10, 20

RNG = np.random.default_rng(3)
X = RNG.normal(size=(EXAMPLES, INPUTS)) * RNG.uniform(0.4, 1.4, size=(EXAMPLES, 1))  # each of its own second moment
LABELS = RNG.integers(CLASSES, size=EXAMPLES)
GRAM = X @ X.T / INPUTS


def make(kind=residual, activation="relu", depth=DEPTH, profile="constant", **options):
    widths = tuple(getattr(profiles, profile)()(depth, WIDTH))
    return kind(Frame((INPUTS,), widths, (FUNCTIONS[activation],) * depth, CLASSES), **options)


def laws_of(network):
    weights = HE if network.activations[0].rectifies else XAVIER
    return [weights.law.at(weight.kernel) for weight in network.weights]


def measured(network):
    """(seed, layer) the second moments of networks with Gaussian weights of these laws, and the mean cosines."""
    params, state = network.start(jax.random.key(0))
    batch = jnp.asarray(X, jnp.float32), jnp.asarray(LABELS)
    stds = [float(np.sqrt(law.variance)) for law in laws_of(network)]
    mean_squares = lambda parts: jnp.stack([jnp.mean(part**2) for part in parts])

    def cosine(h):
        unit = h / jnp.linalg.norm(h, axis=1, keepdims=True)
        return jnp.mean((unit @ unit.T)[np.triu_indices(EXAMPLES, k=1)])

    def one(key):
        keys = jax.random.split(key, len(stds))
        shapes = [weight.shape for weight in network.weights]
        kernels = [std * jax.random.normal(own, shape) for own, std, shape in zip(keys, stds, shapes, strict=True)]
        passed = backpropagate(network, network.with_weights(params, kernels), state, batch)
        return {
            "pre_second": mean_squares(passed.outputs.pre),
            "act_second": mean_squares(passed.outputs.post),
            "grad_pre_second": mean_squares(passed.at_layers),
            "grad_w_second": mean_squares(network.kernels(passed.params)),
            "act_cosine": jnp.stack([cosine(h) for h in passed.outputs.post]),
        }

    keys = jax.random.split(jax.random.key(11, impl="rbg"), SEEDS)  # a generator that compiles fast
    found = jax.jit(functools.partial(jax.lax.map, one))(keys)
    return {name: np.asarray(values, float) for name, values in found.items()}


NETWORKS = {
    "one weight": {"weights": 1},
    "one weight, tanh": {"weights": 1, "activation": "tanh"},
    "two weights": {},
    "two weights, tanh": {"activation": "tanh", "scale": "1/sqrt(L)"},
    "1/L, gelu": {"activation": "gelu", "scale": "1/L"},
    "a skip of its own": {"skip": -0.7, "scale": 1.5},
    "learned": {"scale": "learned"},
    "post": {"order": "post"},
    "post, one weight, tanh": {"order": "post", "weights": 1, "activation": "tanh", "scale": "1/sqrt(L)"},
    "post, a skip of its own": {"order": "post", "skip": -0.7},
    "layer norm on the branch": {"norm": "layer"},
    "rms norm on the branch, tanh": {"norm": "rms", "activation": "tanh"},
    "rms norm at the sum": {"norm": "rms", "norm_at": "sum"},
    "post, layer norm at the sum": {"norm": "layer", "norm_at": "sum", "order": "post"},
    "fewer units": {"profile": "taper"},
    "more units": {"profile": "grow", "activation": "tanh"},
    "post, more units": {"profile": "grow", "order": "post"},
    "mlp, layer norm": {"kind": mlp, "norm": "layer", "activation": "tanh"},
    "mlp, rms norm": {"kind": mlp, "norm": "rms"},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_lies_within_the_interval(name):
    network = make(**NETWORKS[name])
    prediction, found = predict(network, laws_of(network), GRAM, LABELS), measured(network)
    assert prediction.void == ""
    for moment in MOMENTS:
        low, high = prediction.interval(moment, SEEDS, 0.99999)
        mean = found[moment].mean(axis=0)
        # Of what is 0 there is no band; and a normalised signal hardly scatters.
        inside = np.where(np.isnan(low), mean < 1e-30, (0.98 * low <= mean) & (mean <= 1.02 * high))
        assert inside.all(), f"{moment} in {np.flatnonzero(~inside)}"
    np.testing.assert_allclose(prediction.values["act_cosine"], found["act_cosine"].mean(axis=0), atol=0.1)


def on_main_path(network, values):
    return np.array([value for layer, value in zip(network.layers, values, strict=True) if layer.branch is None])


@pytest.mark.parametrize("weights", [1, 2])
def test_he_weights_double_the_variance_at_every_branch(weights):
    """De & Smith 2020."""
    network = make(weights=weights, depth=6)
    sums = on_main_path(network, predict(network, laws_of(network), GRAM, LABELS).values["pre_second"])
    np.testing.assert_allclose(sums[1:] / sums[:-1], 2, rtol=1e-6)
    assert change_of(network, laws_of(network), 1.0).signal == pytest.approx(2 ** (6 / 2))


def test_behind_a_norm_every_branch_adds_the_same():
    """De & Smith 2020: the variance grows linearly with the number of branches."""
    network = make(norm="layer", depth=8)
    sums = on_main_path(network, predict(network, laws_of(network), GRAM, LABELS).values["pre_second"])
    np.testing.assert_allclose(np.diff(sums), 1, rtol=0.05)


def test_tanh_branches_change_signal_and_gradient_more_slowly_than_any_exponential():
    """Yang & Schoenholz 2017: the gradient's logarithm grows like sqrt(L), the variance at most like L."""
    changes = {}
    for depth in (10, 40, 160):
        network = make(activation="tanh", depth=depth, weights=1)
        changes[depth] = change_of(network, laws_of(network), 1.0)
        assert 1 < changes[depth].signal ** 2 < 1 + 2 * depth  # f^2 < 1, beside what the first layer has, 2/3
    for shallow, deep in ((10, 40), (40, 160)):
        assert np.log(changes[deep].gradient) / np.log(changes[shallow].gradient) < 2.6  # an exponential has 4


def test_a_branch_that_is_scaled_by_0_has_no_gradient_and_no_band():
    network = make(scale="learned")
    made = predict(network, laws_of(network), GRAM, LABELS)
    on_branch = np.array([weight.branch is not None for weight in network.weights])
    np.testing.assert_array_equal(made.values["grad_w_second"] == 0, on_branch)
    for moment, band in (("grad_w_second", on_branch), ("pre_second", np.zeros(len(network.layers), bool))):
        np.testing.assert_array_equal(np.isnan(made.networks[moment]).all(axis=0), band)
    change = change_of(network, laws_of(network), 1.0)
    assert change.signal == change.gradient == 1


PIXELS = Frame((6, 6, 2), (4, 4), (FUNCTIONS["relu"],) * 2, CLASSES)
VOID = {
    "batch normalisation": lambda: make(norm="batch"),
    "convolution": lambda: convnet(PIXELS),
    "module": lambda: dataclasses.replace(make(kind=mlp), path=None),
}


@pytest.mark.parametrize("word", VOID)
def test_what_theory_does_not_cover_is_nan_with_a_reason(word):
    network = VOID[word]()
    made = predict(network, laws_of(network), GRAM, LABELS)
    assert word in made.void
    assert made.void == uncovered(network)
    layers, weights = len(network.layers), len(network.weights)
    lengths = dict.fromkeys(VALUES, layers) | {"grad_w_second": weights, "jacobian_sv_mean": layers - 1}
    assert {name: len(values) for name, values in made.values.items()} == lengths
    assert all(np.isnan(values).all() for values in (*made.values.values(), *made.networks.values()))
    assert np.isnan(change_of(network, laws_of(network), 1.0)).all()


def test_of_a_plain_network_the_change_is_the_product_over_its_layers():
    functions, widths = (FUNCTIONS["tanh"],) * 5, (INPUTS, 30, 60, 40, 50, 30, CLASSES)
    network = plain(widths, functions)
    laws, sizes, second = laws_of(network), [], 0.7
    for n, law in zip(widths[:-2], laws, strict=False):
        sizes.append(n * law.variance * second)
        second = float(moments(FUNCTIONS["tanh"], sizes[-1]).second)
    change = change_of(network, laws, 0.7)
    assert change.signal == pytest.approx(np.sqrt(sizes[-1] / sizes[0]))
    assert change.gradient == pytest.approx(change_over_depth(widths, functions, laws, 0.7).gradient)


def test_units_that_are_drawn_have_the_moments_of_those_that_are_not():
    rng, f = np.random.default_rng(0), FUNCTIONS["relu"]
    analytic = (Units(5, GRAM), Units(3, 2 * GRAM))
    drawn = tuple(u._replace(values=units.with_values(u, rng)) for u in analytic)
    for kind in ("layer", "rms"):
        pair = [units.activated(f, units.normalised(signal, kind)[0]) for signal in (analytic, drawn)]
        for one, other in zip(*pair, strict=True):
            np.testing.assert_allclose(units.mean_gram(one), units.mean_gram(other), atol=0.03)
    sums = [units.added(signal, analytic, rng, skip=0.5, scale=2.0) for signal in (analytic, drawn)]
    np.testing.assert_allclose(*map(units.mean_gram, sums))
    assert all(np.isfinite(u.values).all() for u in sums[1])
