"""Batches as users give them: pairs, mappings and NamedTuples with a label inside, and what is refused."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit.core.errors import InputError
from xinit.tracing.batches import batch_of

X, Y = np.ones((4, 3), np.float32), np.arange(4)


class Labelled(NamedTuple):
    inputs: Any
    mask: Any
    Targets: Any


class Graph(NamedTuple):
    nodes: Any
    senders: Any
    globals: Any = None


@pytest.mark.parametrize(
    ("batch", "x", "y"),
    [
        (X, X, None),
        ((X, Y), X, Y),
        ((X, None), X, None),
        ([X, Y], [X, Y], None),
        ({"image": X, "label": Y}, X, Y),
        ({"a": X, "b": X, "LABELS": Y}, {"a": X, "b": X}, Y),
        ({"x": X, "y": Y, "target": Y}, {"x": X, "y": Y, "target": Y}, None),
        ({"label": Y}, {"label": Y}, None),
        (Labelled(X, Y, Y), {"inputs": X, "mask": Y}, Y),
        (Graph(X, Y), Graph(X, Y), None),
        ((Graph(X, Y), Y), Graph(X, Y), Y),
        ((X, {"a": Y, "b": Y}), X, {"a": Y, "b": Y}),
    ],
)
def test_a_batch_is_taken_apart_into_x_and_y(batch, x, y):
    made = batch_of(batch)
    assert jax.tree.structure((made.x, made.y)) == jax.tree.structure((x, y))
    jax.tree.map(np.testing.assert_array_equal, (made.x, made.y), (x, y))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(made.whole))
    assert made.n_examples == 4


def test_images_of_bytes_and_tokens_keep_their_types():
    made = batch_of({"image": np.zeros((2, 4, 4, 3), np.uint8), "tokens": np.zeros((2, 7), np.int32)})
    assert (made.x["image"].dtype, made.x["tokens"].dtype) == (jnp.uint8, jnp.int32)
    assert made.moments is None


def test_the_moments_are_those_of_the_floating_input():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 6)).astype(np.float32)
    mean, deviation, cosine = batch_of(({"tokens": np.arange(5), "x": x}, Y)).moments
    units = x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = (units @ units.T)[~np.eye(5, dtype=bool)]
    np.testing.assert_allclose((mean, deviation, cosine), (x.mean(), x.std(), pairs.mean()), rtol=1e-5)


@pytest.mark.parametrize(
    ("y", "expected"), [([1, 1, 1], True), ([1, 2, 1], False), ([1.0, 1.0, 1.0], False), ([1], False)]
)
def test_whether_all_labels_are_one_class(y, expected):
    assert batch_of((X[: len(y)], np.array(y))).one_class is expected


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((X, Y, Y), "batch is a tuple of 3; it must be x or (x, y)."),
        ((X,), "batch is a tuple of 1; it must be x or (x, y)."),
        ("images", "batch must be arrays, x or (x, y)"),
        ((X, ["cat", "dog"]), "batch must be arrays, x or (x, y)"),
        (np.array([[1, np.nan], [np.inf, 0]]), "The batch has 2 values that are infinite or not numbers."),
        ((X, np.array([0, 0, np.nan, 0])), "The batch has 1 values that are infinite or not numbers at y."),
        ({"a": X, "b": {"c": X * np.nan}}, "at b/c."),
        (np.ones((0, 3)), "The batch has no examples"),
        (np.float32(3), "The batch has no examples"),
        ({}, "The batch has no examples"),
        (None, "The batch has no examples"),
    ],
)
def test_wrong_batches_are_refused_in_a_sentence(batch, message):
    with pytest.raises(InputError) as caught:
        batch_of(batch)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
