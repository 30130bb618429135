"""Losses: their values and derivatives by hand, their YAML, and the user's own checked before there are data."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import yaml

from xinit.core.errors import InputError
from xinit.networks import custom_loss
from xinit.networks.choices import loss_of, losses_for
from xinit.networks.losses import cross_entropy, regression, squared_error
from xinit.settings.compose import conf_dir

EXAMPLES, CLASSES = 6, 4
OUTPUTS = np.random.default_rng(0).standard_normal((EXAMPLES, CLASSES)).astype(np.float32)
LABELS = np.arange(EXAMPLES, dtype=np.int32) % CLASSES
VALUES = np.random.default_rng(1).standard_normal((EXAMPLES, CLASSES)).astype(np.float32)
ONE_HOT = np.eye(CLASSES)[LABELS]
LOG_P = OUTPUTS - np.log(np.exp(OUTPUTS.astype(float)).sum(axis=1, keepdims=True))

BY_HAND = {
    "cross-entropy": (cross_entropy(), LABELS, -(ONE_HOT * LOG_P).sum(axis=1)),
    "smoothed": (cross_entropy(0.2), LABELS, -((0.8 * ONE_HOT + 0.05) * LOG_P).sum(axis=1)),
    "squared error": (squared_error(), LABELS, ((OUTPUTS - ONE_HOT) ** 2).mean(axis=1) / 2),
    "regression": (regression(), VALUES, ((OUTPUTS - VALUES) ** 2).mean(axis=1) / 2),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_values(name):
    loss, targets, expected = BY_HAND[name]
    np.testing.assert_allclose(loss.function(jnp.asarray(OUTPUTS), jnp.asarray(targets)), expected, rtol=1e-5)


@pytest.mark.parametrize("name", BY_HAND)
def test_what_theory_goes_on_from_is_the_derivative(name):
    loss, targets, _ = BY_HAND[name]
    slope_BO = jax.grad(lambda outputs: loss.function(outputs, jnp.asarray(targets)).sum())(jnp.asarray(OUTPUTS))
    mean = loss.residual.mean(OUTPUTS.T[None].astype(float))[0]
    np.testing.assert_allclose(mean - loss.residual.target(targets, CLASSES), slope_BO.T, atol=1e-6)


def test_without_smoothing_it_is_the_very_function_that_it_always_was():
    assert cross_entropy(0.0).function is optax.softmax_cross_entropy_with_integer_labels


def test_every_choice_of_ours_names_a_factory_and_data_have_losses():
    files = {path.stem: yaml.safe_load(path.read_text()) for path in pathlib.Path(conf_dir(), "loss").glob("*.yaml")}
    del files["custom"]
    made = {name: loss_of(raw.pop("fn"), raw) for name, raw in files.items()}
    assert {name: loss.targets for name, loss in made.items()} == {
        "cross_entropy": "labels", "label_smoothing": "labels", "squared_error": "labels", "regression": "values",
    }  # fmt: skip
    assert losses_for("labels") == ["cross_entropy", "squared_error"]
    assert losses_for("values") == ["regression"]


@pytest.mark.parametrize("smoothing", [1.0, -0.1, float("nan"), float("inf")])
def test_smoothing_out_of_bounds_is_refused(smoothing):
    with pytest.raises(InputError, match="it must be at least 0 and below 1"):
        loss_of("cross_entropy", {"smoothing": smoothing})


# Functions of a user's.
def brier(outputs, y, scale: float = 1.0):
    return scale * jnp.sum((jax.nn.softmax(outputs) - jax.nn.one_hot(y, outputs.shape[1])) ** 2, axis=1)


def absolute(outputs, y):
    return jnp.abs(outputs - y).sum(axis=1)


def averaged(outputs, y):
    return jnp.mean(outputs**2)


def over_the_batch(outputs, y):
    return jnp.mean(outputs**2, axis=0)


def counting(outputs, y):
    return (jnp.argmax(outputs, axis=1) != y).astype(jnp.float32)


def whole(outputs, y):
    return jnp.argmax(outputs, axis=1) - y


def logarithm(outputs, y):
    return jnp.log(outputs).sum(axis=1)


def failing(outputs, y):
    raise RuntimeError("out of ideas\nat all")


def on_the_host(outputs, y):
    return np.asarray(outputs).sum(axis=1)


def nothing(outputs, y):
    return None


def of_one(outputs):
    return outputs


def with_a_need(outputs, y, alpha):
    return alpha * jnp.sum(outputs**2, axis=1)


def label_targets(n):
    return jax.ShapeDtypeStruct((n,), jnp.int32)


def value_targets(n):
    return jax.ShapeDtypeStruct((n, CLASSES), jnp.float32)


def checked(function, targets=label_targets, **options):
    loss = loss_of(f"{__name__}:{function.__name__}", options)
    custom_loss.check(loss, CLASSES, targets)
    return loss


REFUSED = {
    averaged: "gives one number of type float32 for 5 examples with 4 outputs; it must give the loss of each example, "
    r"shape \(5,\) and type float32",
    over_the_batch: r"gives shape \(4,\) of type float32 for 5 examples",
    whole: r"gives shape \(5,\) of type int32",
    nothing: "gives no array of type NoneType",
    counting: "has a derivative with respect to the outputs that is zero",
    logarithm: "or its derivative is infinite or not a number at outputs drawn from",
    failing: "failed with RuntimeError: out of ideas$",
    on_the_host: "failed with TracerArrayConversionError",
    of_one: r"takes \(outputs\); a loss takes \(outputs, y\)",
    with_a_need: "needs loss.alpha",
    absolute: "failed with",  # of labels, whose shape does not go with the outputs'
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda function: function.__name__)
def test_a_function_that_is_no_loss_is_refused(function):
    with pytest.raises(InputError, match=REFUSED[function]):
        checked(function)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"scales": 1.0}, "Unknown setting loss.scales; did you mean scale"), ({"scale": "much"}, "of type float")],
)
def test_settings_are_checked_against_its_signature(options, words):
    with pytest.raises(InputError, match=words):
        checked(brier, **options)


def test_a_function_of_the_users_gets_its_settings():
    loss = checked(brier, scale=3.0)
    assert (loss.name, loss.targets, loss.residual) == (f"{__name__}:brier", None, None)
    at = functools.partial(brier, jnp.asarray(OUTPUTS), jnp.asarray(LABELS))
    np.testing.assert_array_equal(loss.function(jnp.asarray(OUTPUTS), jnp.asarray(LABELS)), at(scale=3.0))
    checked(absolute, value_targets)


def test_a_function_of_optax_will_do():
    loss = loss_of("optax:softmax_cross_entropy_with_integer_labels", {})
    custom_loss.check(loss, CLASSES, label_targets)
