"""Which examples of a TFDS set are for training, for validation and for the test.

A part is a number of examples, as papers cut MNIST, or a text in TFDS's own slicing syntax such as `train[:80%]` or
`validation+train[:1000]` (https://www.tensorflow.org/datasets/splits).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from xinit.core.errors import InputError
from xinit.data.contract import Sizes

Asked = int | str | None


class Span(NamedTuple):
    """The examples start..stop-1 of one of TFDS's splits."""

    split: str
    start: int
    stop: int


class Parts(NamedTuple):
    """The spans that each part is made of, one after the other."""

    train: tuple[Span, ...]
    valid: tuple[Span, ...]
    test: tuple[Span, ...]

    @property
    def sizes(self) -> Sizes:
        """The number of examples in each part."""
        return Sizes(*(sum(span.stop - span.start for span in part) for part in self))


def cut(name: str, shards: Mapping[str, Sequence[int]], *, train: Asked, valid: Asked, test: Asked) -> Parts:
    """The parts of a set whose splits have files of so many examples each (`shards`).

    As a number, `train` is the first examples of the split train (None: all but `valid`), `valid` its last ones, and
    `test` the first of the split test (None: all).

    Raises:
      InputError: a part cannot be read, is empty or reaches beyond its split, or two parts overlap.
    """
    asked, counts = {"train": train, "valid": valid, "test": test}, {k: sum(lengths) for k, lengths in shards.items()}
    spans, mistakes = {}, []
    for part, value in asked.items():
        try:
            spans[part] = _sliced(value, shards) if isinstance(value, str) else _counted(part, asked, counts)
        except (ValueError, KeyError, NotImplementedError):  # a syntax, a split, a slice that there is not
            mistakes.append(f"{part} names no examples of this set")
    mistakes += [] if mistakes else _mistakes(spans, counts)
    if mistakes:
        given = ", ".join(f"{part}={value!r}" for part, value in asked.items())
        splits = " and ".join(f"{n} examples in {split}" for split, n in counts.items()) or "no splits"
        raise InputError(
            f"{given} cannot be cut from {name}, which has {splits}: {mistakes[0]}. Each part is a number, or a slice "
            "as TFDS writes it, such as data.train=train[:80%] data.valid=train[80%:90%] data.test=train[90%:]."
        )
    return Parts(**spans)


def _counted(part: str, asked: Mapping[str, Any], counts: Mapping[str, int]) -> tuple[Span, ...]:
    """The span that a number, or None, means."""
    split, value, valid = "test" if part == "test" else "train", asked[part], asked["valid"]
    n = counts[split]
    if part == "valid":
        return (Span(split, n - value, n),)
    left = n - valid if part == "train" and isinstance(valid, int) else n
    return (Span(split, 0, left if value is None else value),)


def _sliced(text: str, shards: Mapping[str, Sequence[int]]) -> tuple[Span, ...]:
    """The spans that TFDS reads in a text; it raises where there are none."""
    import tensorflow_datasets as tfds

    info = lambda lengths: SimpleNamespace(num_examples=sum(lengths), shard_lengths=list(lengths))
    infos = {split: info(lengths) for split, lengths in shards.items()}
    read = tfds.core.ReadInstruction.from_spec(text).to_absolute(infos)
    end = lambda span: infos[span.splitname].num_examples if span.to is None else span.to
    return tuple(Span(span.splitname, span.from_ or 0, end(span)) for span in read)


def _mistakes(parts: Mapping[str, Sequence[Span]], counts: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with the parts, in words."""
    spans = [(part, span) for part, part_spans in parts.items() for span in part_spans]
    for part, span in spans:
        if span.start >= span.stop:
            yield f"{part} has no examples"
        elif span.start < 0 or span.stop > counts[span.split]:
            yield f"{part} asks for more examples than there are in {span.split}"
    for (part, a), (other, b) in itertools.combinations(spans, 2):
        first, last = max(a.start, b.start), min(a.stop, b.stop) - 1
        if part != other and a.split == b.split and first <= last:
            yield f"{part} and {other} share the examples {first} to {last} of {a.split}"
