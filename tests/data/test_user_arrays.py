"""Arrays of the user's: which are refused and in what words, what they become, and how they are cut into parts."""

import jax.numpy as jnp
import numpy as np
import pytest

from xinit.core.errors import InputError
from xinit.data import user_parts
from xinit.data.contract import Sizes
from xinit.data.user_arrays import check, count_classes, named
from xinit.data.user_parts import cut, split

N = 100
X, Y = np.random.default_rng(0).normal(size=(N, 2, 3)), np.arange(N) % 4
OPEN = dict.fromkeys(("train", "valid", "test"))


def changed(array, place, value, dtype=None):
    array = array.astype(dtype or array.dtype)
    array[place] = value
    return array


MISTAKES = [  # arrays, words of the sentence
    ({}, "set has no arrays: there are none to train on; it must have x and y, or x_train and y_train, with"),
    ({"images": X, "labels": Y}, "set has images, labels: there are none to train on"),
    ({"x": X}, "set has x: y is missing"),
    ({"x": X, "y": Y, "y_test": Y}, "set has x, y, y_test: x_test is missing"),
    ({"x": X, "y": Y, "x_train": X, "y_train": Y}, "x and x_train are both to train on"),
    ({"x": X, "y": Y, "x_val": X, "y_val": Y}, "x_val has no meaning"),
    ({"x_test": X, "y_test": Y}, "there are none to train on"),
    ({"x": X, "y": Y[1:]}, "set has 100 examples in x and 99 in y; each example needs one of both."),
    ({"x": changed(X, (3, 1, 2), np.nan), "y": Y}, "x of set is nan at [3, 1, 2]; it must be finite in float32."),
    ({"x": changed(X, (7, 0, 1), -np.inf), "y": Y}, "x of set is -inf at [7, 0, 1]"),
    ({"x": changed(X, (0, 0, 0), 1e300), "y": Y}, "x of set is 1e+300 at [0, 0, 0]; it must be finite in float32."),
    ({"x": X.astype(str), "y": Y}, "x of set is of type <U32; inputs must be real numbers."),
    ({"x": X.astype(object), "y": Y}, "x of set is of type object; inputs must be real numbers."),
    ({"x": X * 1j, "y": Y}, "x of set is of type complex128; inputs must be real numbers."),
    ({"x": 3.0, "y": Y}, "x of set has the shape (); it must be (examples, ...), with none of them 0."),
    ({"x": X[:0], "y": Y[:0]}, "x of set has the shape (0, 2, 3)"),
    ({"x": X[:, :0], "y": Y}, "x of set has the shape (100, 0, 3)"),
    ({"x": [[1, 2], [3]], "y": [0, 1]}, "x of set is no array of numbers: ValueError, "),
    ({"x": np.ma.masked_less(X, 0), "y": Y}, "x of set has masked entries"),
    ({"x": X, "y": Y - 1}, "y of set is -1 at [0]; labels must be whole numbers from 0."),
    ({"x": X, "y": changed(Y, 5, 2**40)}, "y of set is 1099511627776 at [5]; labels must be whole numbers from 0."),
    ({"x": X, "y": np.eye(4, dtype=int)[Y]}, "y of set is int64 of shape (100, 4); labels must be (examples,)"),
    ({"x": X, "y": X}, "y of set is float64 of shape (100, 2, 3); values must be (examples,) or (examples, outputs)"),
    ({"x": X, "y": Y.astype(str)}, "y of set is of type <U21; it must be of an integer type, labels from 0,"),
    ({"x": X, "y": changed(Y, 9, np.nan, float)}, "y of set is nan at [9]; it must be finite in float64."),
    ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "another number of inputs: 6 to train on, 3 in the test part"),
    ({"x": X, "y": Y, "x_valid": X, "y_valid": Y * 1.0}, "another kind of y: labels, of an integer type to train on"),
    (
        {"x": X.astype("u1"), "y": Y, "x_test": X, "y_test": Y},
        "another type of inputs: uint8, which are pixels",
    ),
    (
        {"x": X, "y": X[:, 0], "x_test": X, "y_test": X[:, 0, :2]},
        "another number of outputs: (3,) to train on, (2,)",
    ),
]


@pytest.mark.parametrize(("arrays", "words"), MISTAKES, ids=[row[1][:50] for row in MISTAKES])
def test_what_is_wrong_is_named(arrays, words):
    with pytest.raises(InputError) as raised:
        check(arrays, "set")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i8", "?", "f2", "f4", ">f4", "f8", "bfloat16"])
def test_inputs_are_bytes_or_float32(dtype):
    x = (np.arange(24).reshape(4, 2, 3) % 2 * 3).astype(jnp.bfloat16 if dtype == "bfloat16" else dtype)
    stored = check({"x": x, "y": [0, 1, 0, 1]}, "set").parts["train"].x
    assert stored.dtype == (np.uint8 if dtype == "u1" else np.float32)
    np.testing.assert_array_equal(stored, x.astype(np.float32).reshape(4, 6))


@pytest.mark.parametrize("y", [Y, Y.astype("u1"), Y[:, None], Y.astype(">i2"), jnp.asarray(Y), Y.tolist()])
def test_whole_numbers_are_labels(y):
    given = check({"x": X, "y": y}, "set")
    assert given.targets == "labels"
    np.testing.assert_array_equal(given.parts["train"].y, Y.astype(np.int32), strict=True)
    assert count_classes(given, None) == 4
    assert count_classes(given, 7) == 7
    assert count_classes(check({"x": X, "y": Y > 1}, "set"), None) == 2


@pytest.mark.parametrize(
    ("y", "asked", "words"),
    [
        (
            Y,
            3,
            "data.classes is 3; set has the label 3 in y at [3] of the train part, so it must be at least 4, or null.",
        ),
        (Y * 0, None, "y of set has labels up to 0 for 100 examples; labels must run from 0 over at least two classes"),
        (Y * 1000, None, "y of set has labels up to 3000 for 100 examples;"),
        (Y / 2, 3, "data.classes is 3; y of set is of a float type, so it is values, which have no classes;"),
    ],
)
def test_labels_and_classes_must_agree(y, asked, words):
    with pytest.raises(InputError) as raised:
        count_classes(check({"x": X, "y": y}, "set"), asked)
    assert words in str(raised.value)


def test_the_checksum_is_of_what_arrays_hold():
    content = lambda x, y: check({"x": x, "y": y}, "set").content
    first = content(X, Y)
    assert content(X.astype("f4"), Y.astype("u1")) == content(X.reshape(N, 6), Y[:, None]) == first
    assert check({"x_train": X, "y_train": Y, "names": None}, "other").content == first
    others = [content(X[::-1], Y), content(X, Y[::-1]), content(X, Y * 1.0), content(X[:, :1], Y)]
    others += [content(changed(X, (99, 1, 2), 0), Y), check({"x": X, "y": Y, "x_test": X, "y_test": Y}, "").content]
    assert len({first, *others}) == 7


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ((X, Y), ["x", "y"]),
        ([X, Y], ["x", "y"]),
        (((X, Y), (X, Y)), ["x_train", "y_train", "x_test", "y_test"]),
        (((X, Y), (X, Y), (X, Y)), ["x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test"]),
        ({"x": X, "y": Y}, ["x", "y"]),
    ],
)
def test_arrays_have_names_or_places(value, names):
    arrays = named(value, "f returns")
    assert list(arrays) == names
    assert all(array is (X if name[0] == "x" else Y) for name, array in arrays.items())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (X, "f returns an array of shape (100, 2, 3); it must be (x, y),"),
        ((X, Y, 3), "f returns a tuple of 3;"),
        ([], "f returns a list of 0;"),
        (["mnist", "cifar10"], "f returns a list of 2;"),
        (None, "f returns None;"),
    ],
)
def test_what_is_no_data_is_named(value, words):
    with pytest.raises(InputError) as raised:
        named(value, "f returns")
    assert str(raised.value).startswith(words)


# Parts

ONE = check({"x": X, "y": Y}, "set")
OWN_TEST = check({"x_train": X, "y_train": Y, "x_test": X[:40], "y_test": Y[:40]}, "set")
ALL_OWN = check({f"{a}_{part}": v for part in ("train", "valid", "test") for a, v in (("x", X), ("y", Y))}, "set")


@pytest.mark.parametrize(
    ("given", "asked", "sizes"),
    [
        (ONE, {}, (70, 10, 20)),
        (ONE, {"valid": 5, "test": 0.29}, (66, 5, 29)),
        (ONE, {"train": 0.5}, (50, 10, 20)),
        (ONE, {"train": 1, "valid": 1, "test": 98}, (1, 1, 98)),
        (OWN_TEST, {}, (90, 10, 40)),
        (OWN_TEST, {"test": 0.5, "valid": 0.5}, (50, 50, 20)),
        (ALL_OWN, {}, (100, 100, 100)),
        (ALL_OWN, {"train": 30, "valid": 0.3}, (30, 30, 100)),
    ],
)
@pytest.mark.parametrize("seed", [0, 3, None])
def test_parts_have_their_sizes_and_share_no_example(given, asked, sizes, seed):
    cut_sizes = cut(given, OPEN | asked)
    assert cut_sizes == sizes
    parts = split(given, cut_sizes, seed)
    rows = {}
    for part, pair in parts.items():
        places = [int(np.flatnonzero((given.parts["train"].x == x).all(axis=1))[0]) for x in pair.x]
        assert len(set(places)) == len(places) == len(pair.y) == getattr(cut_sizes, part)
        np.testing.assert_array_equal(pair.y, Y[places])
        if seed is None:
            assert places == sorted(places)
        rows[part] = set(places)
    cut_from_train = [rows[part] for part in rows if part == "train" or part not in given.parts]
    assert len(set.union(*cut_from_train)) == sum(map(len, cut_from_train))


def test_what_is_tested_on_stays_when_less_is_trained_on():
    large, small = (split(ONE, Sizes(n, 10, 20), 0) for n in (70, 20))
    for part in ("valid", "test"):
        np.testing.assert_array_equal(large[part].x, small[part].x)
    assert not np.array_equal(large["test"].y, split(ONE, Sizes(70, 10, 20), 1)["test"].y)


@pytest.mark.parametrize(
    ("given", "asked", "words"),
    [
        (ONE, {"train": 90}, "train=90 valid=10 test=20 cannot be cut from set, which has 100 examples in"),
        (ONE, {"train": 90}, "what is cut from the training examples would be 120;"),
        (ONE, {"valid": 80}, "no examples would be left in train;"),
        (ONE, {"test": 0.001}, "no examples would be left in test;"),
        (OWN_TEST, {"test": 41}, "100 examples in its train part and 40 examples in its test part: there are not"),
    ],
)
def test_parts_that_cannot_be_cut_are_named(given, asked, words):
    with pytest.raises(InputError) as raised:
        cut(given, OPEN | asked)
    assert words in str(raised.value)


def loaded(arrays, **settings):
    given = check(arrays, "set")
    settings = {"seed": 0, "classes": count_classes(given, None), "pixel_range": (-1.0, 1.0)} | settings
    dataset = user_parts.dataset(given, cut(given, OPEN), 10, **settings)
    return dataset, dataset.load()


def test_pixels_are_scaled_and_numbers_are_not():
    pixels = np.arange(200, dtype=np.uint8).reshape(100, 2)
    dataset, data = loaded({"x": pixels, "y": Y})
    assert data["train"].x.dtype == jnp.uint8
    np.testing.assert_allclose(dataset.decode(data["test"].x), data["test"].x.astype(float) / 127.5 - 1, atol=1e-6)
    dataset, data = loaded({"x": pixels, "y": Y}, pixel_range=None)
    np.testing.assert_array_equal(dataset.decode(data["test"].x), data["test"].x.astype(jnp.float32))
    assert dataset.stored_bytes == 100 * 2 + 100 * 4
    dataset, data = loaded({"x": pixels.astype("i4"), "y": Y})
    np.testing.assert_array_equal(dataset.decode(data["test"].x), data["test"].x)
    assert dataset.stored_bytes == 100 * 2 * 4 + 100 * 4


@pytest.mark.parametrize("dtype", ["f8", "u1"])
def test_standardised_inputs_have_mean_0_and_variance_1(dtype):
    x = np.concatenate([X.reshape(N, 6) * 50 + 100, np.full((N, 1), 7)], axis=1).astype(dtype)
    dataset, data = loaded({"x": x, "y": Y}, standardise=True)
    train = np.asarray(dataset.decode(data["train"].x), float)
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(axis=0), [1] * 6 + [0], atol=1e-5)
    assert abs(np.mean(data["test"].x)) > 1e-3  # by the training examples' numbers


@pytest.mark.parametrize(("y", "outputs"), [(X[:, 0, 0] * 1e6 + 3e8, 1), (X[:, 1] * 0.01 - 5, 3)])
def test_values_have_mean_0_and_variance_1_over_the_training_examples(y, outputs):
    dataset, data = loaded({"x": X, "y": y})
    assert (dataset.targets, dataset.n_outputs) == ("values", outputs)
    assert {part: examples.y.shape[1:] for part, examples in data.items()} == dict.fromkeys(data, (outputs,))
    assert data["train"].y.dtype == jnp.float32
    np.testing.assert_allclose(np.mean(data["train"].y, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(data["train"].y, axis=0), 1, atol=1e-5)


def test_an_output_that_does_not_vary_is_named():
    y = np.stack([X[:, 0, 0], np.full(N, 0.1)], axis=1)
    with pytest.raises(InputError, match=r"^Output 2 of y of set is 0.1 in all training examples; it must vary"):
        loaded({"x": X, "y": y})
