"""Where the backward recursion begins: derivatives of losses, and gradients of networks as predicted from them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit import activations, initializers
from xinit.networks.losses import Loss, cross_entropy, regression, squared_error
from xinit.networks.mlp import make_params, plain
from xinit.probes.passes import backpropagate
from xinit.theory.output_errors import output_errors
from xinit.theory.prediction import predict

EXAMPLES, SEEDS, CLASSES = 40, 24, 5
WIDTHS = (20, 100, 100, 100, CLASSES)
X = np.random.default_rng(0).standard_normal((EXAMPLES, WIDTHS[0])).astype(np.float32)
GRAM = X.astype(float) @ X.T.astype(float) / WIDTHS[0]
LABELS = np.arange(EXAMPLES, dtype=np.int32) % CLASSES
VALUES = np.random.default_rng(1).standard_normal((EXAMPLES, CLASSES)).astype(np.float32)


def brier(outputs, y):
    return jnp.sum((jax.nn.softmax(outputs) - jax.nn.one_hot(y, outputs.shape[1])) ** 2, axis=1)


def without_residual(loss):
    return loss._replace(residual=None)


LOSSES = {
    "squared error": (squared_error(), LABELS),
    "smoothed": (cross_entropy(0.3), LABELS),
    "regression": (regression(), VALUES),
    "of a user's": (Loss("brier", brier, None), LABELS),
}
SCHEMES = {"xavier": (initializers.xavier(), activations.tanh()), "he": (initializers.he(), activations.relu())}


@pytest.mark.parametrize("loss", [cross_entropy(), cross_entropy(0.3), squared_error()])
def test_jax_differentiates_to_what_the_residual_says(loss):
    outputs, examples = np.random.default_rng(2).standard_normal((3, CLASSES, 2)), np.array([7, 31])
    ours, by_jax = (output_errors(one, LABELS, CLASSES) for one in (loss, without_residual(loss)))
    np.testing.assert_allclose(by_jax.own(outputs, examples), ours.own(outputs, examples), atol=1e-6)
    np.testing.assert_allclose(by_jax.shared(outputs), ours.shared(outputs), atol=1e-6)


def predicted(loss, targets, scheme):
    initializer, activation = SCHEMES[scheme]
    laws = [initializer.law(*shape) for shape in itertools.pairwise(WIDTHS)]
    return predict(plain(WIDTHS, (activation,) * (len(WIDTHS) - 2)), laws, GRAM, targets, loss)


def measured(loss, targets, scheme):
    """(seed, layer) the mean squares of dL/dz."""
    initializer, activation = SCHEMES[scheme]
    network = plain(WIDTHS, (activation,) * (len(WIDTHS) - 2))
    batch = jnp.asarray(X), jnp.asarray(targets)

    def one(key):
        keys = jax.random.split(key, len(WIDTHS) - 1)
        shapes = list(itertools.pairwise(WIDTHS))
        kernels = [initializer(own, shape, jnp.float32) for own, shape in zip(keys, shapes, strict=True)]
        params = make_params(kernels, [jnp.zeros(o) for _, o in shapes])
        passed = backpropagate(network, params, {}, batch, loss)
        return jnp.stack([jnp.mean(d**2) for d in passed.at_layers])

    keys = jax.random.split(jax.random.key(3, impl="rbg"), SEEDS)  # a generator that compiles fast
    return np.asarray(jax.jit(functools.partial(jax.lax.map, one))(keys), float)


@pytest.mark.parametrize(
    ("name", "scheme"), [*((name, "he") for name in LOSSES), ("squared error", "xavier"), ("regression", "xavier")]
)
def test_gradients_are_as_predicted(name, scheme):
    networks = predicted(*LOSSES[name], scheme).networks["grad_pre_second"]
    found = measured(*LOSSES[name], scheme)
    logs, expected = np.log(found), np.log(networks)
    error = np.sqrt(np.var(logs, axis=0) / SEEDS + np.var(expected, axis=0) / len(expected))
    assert np.all(np.abs(logs.mean(axis=0) - expected.mean(axis=0)) < 4 * error)


def test_another_loss_is_another_prediction():
    sizes = [predicted(*LOSSES[name], "he").values["grad_pre_second"] for name in LOSSES]
    for one, other in itertools.combinations(sizes, 2):
        assert np.max(np.abs(np.log(one / other))) > 0.1


def test_a_derivative_that_is_not_finite_leaves_the_gradients_unpredicted():
    steep = lambda outputs, y: jnp.sum(jnp.sqrt(2 - outputs), axis=1)
    made = predicted(Loss("steep", steep, None), LABELS, "he")
    assert made.void == "the loss's derivative is infinite or not a number at the outputs of such networks"
    assert made.unbounded == ""
    assert all(np.isnan(made.values[name]).all() for name in ("grad_pre_second", "grad_w_second"))
    forward = predicted(squared_error(), LABELS, "he")
    np.testing.assert_array_equal(made.values["act_second"], forward.values["act_second"])
