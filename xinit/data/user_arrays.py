"""What arrays of the user's must be, whether they come from a file, from Python or from a function.

They have names: `x` and `y`, which are cut into parts (`user_parts`), or `x_train`, `y_train` and so on.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from xinit.core.errors import InputError
from xinit.data.records import reason

FORMS = (
    "x and y, or x_train and y_train, with x_valid, y_valid, x_test and y_test where these are not to be cut from them"
)
SUFFIXES = {"": "train", "_train": "train", "_valid": "valid", "_test": "test"}
NAMES = tuple(f"{array}{suffix}" for suffix in SUFFIXES for array in "xy")
LARGEST_LABEL = 2**31 - 2


class Pair(NamedTuple):
    """Inputs (N, I), uint8 or float32, and labels (N,) int32 or values (N, K) float64; all finite."""

    x: np.ndarray
    y: np.ndarray


class Given(NamedTuple):
    """Arrays that were checked, by the part they are for; what others are cut from is `train`. `source` is in words.

    `content` is a checksum of what they hold, `targets` what y is: "labels" or "values". `shape` is (height, width,
    channels) of examples that are images, of one channel where they have none; () of others.
    """

    source: str
    parts: Mapping[str, Pair]
    content: str
    targets: str
    shape: tuple[int, ...] = ()

    @property
    def content_and_shape(self) -> str:
        """What tells the same numbers in another shape apart: the checksum, and the shape of images."""
        return "-".join([self.content, *(["x".join(map(str, self.shape))] if self.shape else [])])


def named(value: Any, given: str) -> dict[str, Any]:
    """Arrays by their names, from a mapping of them, (x, y), or a pair (x, y) for each part; `given` begins a sentence.

    Raises:
      InputError: it is none of these.
    """
    if isinstance(value, Mapping):
        return {str(name): array for name, array in value.items()}
    items = tuple(value) if isinstance(value, tuple | list) else ()
    parts = {2: ("train", "test"), 3: ("train", "valid", "test")}.get(len(items), ())
    if parts and all(isinstance(item, tuple) and len(item) == 2 for item in items):
        return {
            f"{name}_{part}": pair[i] for part, pair in zip(parts, items, strict=True) for i, name in enumerate("xy")
        }
    if len(items) != 2 or any(isinstance(item, str) for item in items):
        raise InputError(
            f"{given} {_described(value)}; it must be (x, y), ((x, y), (x, y), (x, y)) for training, validation "
            f"and test, or a mapping of arrays with the names {FORMS}."
        )
    return dict(zip("xy", items, strict=True))


def _described(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else f"{value!r:.80}"


def check(arrays: Mapping[str, Any], source: str, *, copy: bool = False) -> Given:
    """Arrays by their names, checked; others beside them are left out. A copy stays when its owner changes the array.

    Raises:
      InputError: one is missing, of another length or width than its partner, no numbers, not finite; bad labels.
    """
    check_names(arrays, source)
    parts, shapes = {}, {}
    for suffix, part in SUFFIXES.items():
        if f"x{suffix}" in arrays:
            x, y = (_as_array(arrays[name], name, source, copy) for name in (f"x{suffix}", f"y{suffix}"))
            pair = Pair(_inputs(x, f"x{suffix}", source), _targets(y, f"y{suffix}", source))
            if len(pair.x) != len(pair.y):
                raise InputError(
                    f"{source} has {len(x):,} examples in x{suffix} and {len(y):,} in y{suffix}; each example needs "
                    "one of both."
                )
            parts[part] = pair
            shapes[part] = (*x.shape[1:], 1)[:3] if x.ndim in (3, 4) else ()
    for part in parts:
        _check_alike(parts["train"], parts[part], part, source)
        if shapes[part] != shapes["train"] and shapes[part] and shapes["train"]:
            raise InputError(
                f"{source} has parts with images of another shape: {shapes['train']} to train on, {shapes[part]} in "
                f"the {part} part; they must be alike."
            )
    targets = "labels" if parts["train"].y.dtype == np.int32 else "values"
    return Given(source, parts, _checksum(parts), targets, shapes["train"])


def check_names(names: Collection[str], source: str) -> None:
    """InputError unless these arrays make a data set; those whose names say nothing here may lie beside them."""
    there = [suffix for suffix in SUFFIXES if {f"x{suffix}", f"y{suffix}"} & set(names)]
    mistakes = [f"{name} has no meaning" for name in names if name[:2] in ("x_", "y_") and name not in NAMES]
    for suffix in there:
        mistakes += [f"{array}{suffix} is missing" for array in "xy" if f"{array}{suffix}" not in names]
    if not {"", "_train"} & set(there):
        mistakes.append("there are none to train on")
    if {"", "_train"} <= set(there):
        mistakes.append("x and x_train are both to train on")
    if mistakes:
        listed = ", ".join(names) or "no arrays"
        raise InputError(f"{source} has {listed:.200}: {mistakes[0]}; it must have {FORMS}.")


def _as_array(value: Any, name: str, source: str, copy: bool) -> np.ndarray:
    if np.ma.is_masked(value):
        raise InputError(f"{name} of {source} has masked entries; every number must be there.")
    try:
        array = np.array(value) if copy else np.asarray(value)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    except Exception as error:  # whatever an object that says it is an array does
        raise InputError(f"{name} of {source} is no array of numbers: {reason(error)}.") from error


def _inputs(x: np.ndarray, name: str, source: str) -> np.ndarray:
    """Inputs (N, I): bytes as they are, other numbers as float32."""
    if x.dtype.kind not in "buif":
        raise InputError(f"{name} of {source} is of type {x.dtype}; inputs must be real numbers.")
    if x.ndim == 0 or not x.size:
        raise InputError(
            f"{name} of {source} has the shape {x.shape}; it must be (examples, ...), with none of them 0."
        )
    flat = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        return np.ascontiguousarray(flat)
    with np.errstate(all="ignore"):
        converted = np.ascontiguousarray(flat, np.float32)
    _check_finite(converted, x, name, source)
    return converted


def _targets(y: np.ndarray, name: str, source: str) -> np.ndarray:
    """Labels (N,) int32 where y is of an integer type, else values (N, K) float64."""
    if y.dtype.kind not in "buif":
        raise InputError(
            f"{name} of {source} is of type {y.dtype}; it must be of an integer type, labels from 0, or of a float "
            "type, values for loss=regression."
        )
    column = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    labels = y.dtype.kind != "f"
    if column.ndim not in ((1,) if labels else (1, 2)) or not y.size:
        allowed = "labels must be (examples,)" if labels else "values must be (examples,) or (examples, outputs)"
        raise InputError(f"{name} of {source} is {y.dtype} of shape {y.shape}; {allowed}, with none of them 0.")
    if not labels:
        values = np.ascontiguousarray(column.reshape(len(y), -1), np.float64)
        _check_finite(values, y, name, source)
        return values
    for extreme, i in ((column.min(), column.argmin()), (column.max(), column.argmax())):
        if not 0 <= extreme <= LARGEST_LABEL:
            raise InputError(f"{name} of {source} is {extreme} at [{i}]; labels must be whole numbers from 0.")
    return np.ascontiguousarray(column, np.int32)


def _check_finite(converted: np.ndarray, original: np.ndarray, name: str, source: str) -> None:
    finite = np.isfinite(converted)
    if not finite.all():
        place = np.unravel_index(int(finite.argmin()), original.shape)
        at = ", ".join(str(int(i)) for i in place)
        raise InputError(f"{name} of {source} is {original[place]} at [{at}]; it must be finite in {converted.dtype}.")


def _check_alike(train: Pair, other: Pair, part: str, source: str) -> None:
    """InputError where a part has another kind of inputs or targets than the training examples."""
    words = lambda pair: {
        "number of inputs": pair.x.shape[1],
        "type of inputs": "uint8, which are pixels" if pair.x.dtype == np.uint8 else "numbers other than uint8",
        "kind of y": "labels, of an integer type" if pair.y.dtype == np.int32 else "values, of a float type",
        "number of outputs": pair.y.shape[1:],
    }
    for what, value in words(train).items():
        if (others := words(other)[what]) != value:
            raise InputError(
                f"{source} has parts with another {what}: {value} to train on, {others} in the {part} part; they must "
                "be alike."
            )


def _checksum(parts: Mapping[str, Pair]) -> str:
    digest = hashlib.sha256()
    for part, pair in parts.items():
        for array in pair:
            digest.update(f"{part} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:16]


def count_classes(given: Given, asked: int | None) -> int | None:
    """The number of classes: as asked for, or one more than the largest label; None where y is values.

    Raises:
      InputError: a label is beyond them, or there are none.
    """
    if given.targets == "values":
        if asked is not None:
            raise InputError(
                f"data.classes is {asked}; y of {given.source} is of a float type, so it is values, which have no "
                "classes; labels must be of an integer type, as y.astype(int) makes them."
            )
        return None
    largest = {part: int(pair.y.max()) for part, pair in given.parts.items()}
    part = max(largest, key=lambda name: largest[name])
    n, examples = largest[part] + 1, sum(len(pair.y) for pair in given.parts.values())
    if asked is not None and n > asked:
        raise InputError(
            f"data.classes is {asked}; {given.source} has the label {n - 1} in y at "
            f"[{int(given.parts[part].y.argmax())}] of the {part} part, so it must be at least {n}, or null."
        )
    if asked is None and not 1 < n <= max(examples, 2):
        raise InputError(
            f"y of {given.source} has labels up to {n - 1} for {examples:,} examples; labels must run from 0 over at "
            "least two classes, data.classes=N says how many there are, and y for loss=regression must be of a float "
            "type."
        )
    return asked or n
