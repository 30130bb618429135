"""The parts that arrays of the user's are cut into, and the data set that they make.

A part that has no arrays of its own is cut from those that the training examples come from.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from xinit.core.errors import InputError
from xinit.data.contract import Sizes
from xinit.data.user_arrays import Given, Pair

if TYPE_CHECKING:
    from xinit.data.dataset import Dataset

SHARES = {"valid": 0.1, "test": 0.2}  # of the examples that parts are cut from, where a part is left open


def cut(given: Given, asked: Mapping[str, float | int | None]) -> Sizes:
    """The sizes of the parts, each asked for as a number, as a share of the arrays it comes from, or None.

    None is a tenth for validation and a fifth for the test, all there are of a part with arrays of its own, and all
    that are left for training.

    Raises:
      InputError: a part would be empty, or there are not so many examples.
    """
    n = len(given.parts["train"].y)
    sizes = dict.fromkeys(("train", "valid", "test"), 0)
    for part in ("test", "valid", "train"):
        there = len(given.parts[part].y) if part in given.parts else n
        left = n - sum(sizes[other] for other in sizes.keys() - given.parts.keys()) if part == "train" else there
        share = asked[part]
        if share is None:
            sizes[part] = left if part in given.parts else max(1, round(SHARES[part] * n))
        else:
            sizes[part] = round(share * there) if share < 1 else int(share)
    if mistakes := list(_mistakes(given, sizes)):
        words = " and ".join(f"{len(pair.y):,} examples in its {part} part" for part, pair in given.parts.items())
        listed = " ".join(f"{part}={size}" for part, size in sizes.items())
        raise InputError(
            f"{listed} cannot be cut from {given.source}, which has {words}: {mistakes[0]}; data.train, data.valid and "
            "data.test are each a number of examples, or a share such as 0.1."
        )
    return Sizes(**sizes)


def _mistakes(given: Given, sizes: Mapping[str, int]) -> Iterator[str]:
    for part, size in sizes.items():
        if size < 1:
            yield f"no examples would be left in {part}"
        if part in given.parts and size > len(given.parts[part].y):
            yield f"there are not so many for {part}"
    together = sum(size for part, size in sizes.items() if part == "train" or part not in given.parts)
    if together > len(given.parts["train"].y):
        yield f"what is cut from the training examples would be {together:,}"


def check_batch(batch_size: int, sizes: Sizes, given: Given) -> None:
    """InputError where an epoch is less than a batch."""
    if batch_size > sizes.train:
        raise InputError(
            f"batch_size is {batch_size}; {given.source} has {sizes.train} training examples, so at most that."
        )


def split(given: Given, sizes: Sizes, seed: int | None) -> dict[str, Pair]:
    """The examples of each part: training ones from the front of what they share, validation and test from its end."""
    parts, end = {}, len(given.parts["train"].y)
    for part in ("test", "valid", "train"):
        size, source = getattr(sizes, part), given.parts.get(part, given.parts["train"])
        start = 0 if part in given.parts else (end := end - size)
        if size == len(source.y):
            parts[part] = source
        else:
            rows = _order(len(source.y), seed)[start : start + size]
            parts[part] = Pair(source.x[rows], source.y[rows])
    return parts


def _order(n: int, seed: int | None) -> np.ndarray:
    """A permutation of n examples, the same in every version of NumPy, which promises that of RandomState alone."""
    return np.arange(n) if seed is None else np.random.RandomState(seed).permutation(n)


def dataset(
    given: Given,
    sizes: Sizes,
    batch_size: int,
    *,
    seed: int | None,
    classes: int | None,
    pixel_range: tuple[float, float] | None,
    standardise: bool = False,
) -> "Dataset":
    """The data set that checked arrays make; `classes` is None where y is values.

    Raises:
      InputError: an output is the same in all training examples.
    """
    from xinit.data.dataset import numbers, pixels_to, stored

    parts = split(given, sizes, seed)
    pixels = parts["train"].x.dtype == np.uint8 and pixel_range is not None and not standardise
    decode = pixels_to(pixel_range) if pixels and pixel_range else numbers
    if standardise:
        parts = _standardised(parts, "x")
    if given.targets == "values":
        _check_varied(parts["train"].y, given.source)
        parts = _standardised(parts, "y")
    n_outputs = classes or parts["train"].y.shape[1]
    return stored(parts, batch_size, n_outputs=n_outputs, decode=decode, targets=given.targets, shape=given.shape)


def _check_varied(y: np.ndarray, source: str) -> None:
    spread = y.max(axis=0) - y.min(axis=0)
    if not np.all(spread > 0):
        place = int(np.argmin(spread))
        raise InputError(
            f"Output {place + 1} of y of {source} is {y[0, place]} in all training examples; it must vary to be learnt."
        )


def _standardised(parts: Mapping[str, Pair], name: str) -> dict[str, Pair]:
    """x or y (N, K) as float32 with mean 0 and variance 1 over the training examples; what is constant becomes 0."""
    train = getattr(parts["train"], name)
    mean, std = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    scale = np.where(train.min(axis=0) == train.max(axis=0), np.inf, std)
    changed = lambda a: ((a - mean) / scale).astype(np.float32)
    return {part: pair._replace(**{name: changed(getattr(pair, name))}) for part, pair in parts.items()}
