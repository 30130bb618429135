"""Any image classification set of TensorFlow Datasets (TFDS), read without TensorFlow.

What is on disk is judged from TFDS's own `dataset_info.json` and `features.json`; `records` reads the examples.
"""

import dataclasses
import difflib
import functools
import importlib.util
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import numpy as np

from xinit.core.errors import InputError
from xinit.core.identity import OUTSIDE_IDENTITY
from xinit.core.rules import Folder, Range, Rule, Text
from xinit.data.contract import DataSettings, Sizes
from xinit.data.parts import Asked, Parts, Span, cut
from xinit.data.records import MODES, Prepared, arrays, damaged, reason

if TYPE_CHECKING:
    from xinit.data.dataset import Dataset


PART = "a whole number, at least 1, or a slice as TFDS writes it, such as train[:80%]"
Part = Annotated[int | str, Rule(lambda v: v if isinstance(v, str) else v >= 1, PART)]

# Within so many examples networks with Xavier's weights left chance: two sigmoid layers of 128, the slowest that were
# measured, on two seeds; tanh networks, 5 layers of 256 and 30 of 128, did within 150, at rates of .01 to .1.
SOUND_EXAMPLES = {"mnist": 3_400, "cifar10": 1_300}


@dataclass(frozen=True)
class Settings(DataSettings):
    """The set's name in TFDS, the folder of the prepared sets, and the parts; a part that is None is counted."""

    kind: Text
    name: Text
    dir: Folder | None = field(metadata=OUTSIDE_IDENTITY)
    pixel_range: Range
    train: Part | None
    valid: Part
    test: Part | None

    @property
    def label(self) -> str:
        """The set's name."""
        return self.name.replace("/", "-")

    @property
    def sound_examples(self) -> int | None:
        """What was measured of the set, if it was."""
        return SOUND_EXAMPLES.get(self.name)

    @functools.cached_property
    def sizes(self) -> Sizes:
        """The sizes of the parts; the set need not be at hand yet where all are given as numbers."""
        counts = {name: part for name, part in self._parts.items() if isinstance(part, int)}
        if len(counts) == len(Sizes._fields):
            return Sizes(**counts)
        return sizes(self.name, self.dir, **self._parts)

    @property
    def _parts(self) -> dict[str, Asked]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def resolved(self, batch_size: int) -> Self:
        """The settings with every part that was left open as a number of examples."""
        if batch_size > self.sizes.train:
            raise InputError(
                f"batch_size is {batch_size}; {self.name} has {self.sizes.train} training examples, so at most that."
            )
        counted = {part: getattr(self.sizes, part) for part, asked in self._parts.items() if asked is None}
        return dataclasses.replace(self, **counted) if counted else self

    def dataset(self, batch_size: int) -> "Dataset":
        """The set as it is stored, in the memory of the host."""
        from xinit.data.dataset import pixels_to, stored

        splits = load(self.name, self.dir, **self._parts)
        sets = {
            "train": (splits.train_x, splits.train_y),
            "valid": (splits.valid_x, splits.valid_y),
            "test": (splits.test_x, splits.test_y),
        }
        decode = pixels_to(self.pixel_range)
        return stored(sets, batch_size, n_outputs=splits.n_classes, decode=decode, shape=splits.shape)


class Splits(NamedTuple):
    """A set's three parts: `*_x` uint8 (N, height * width * channels), `*_y` int32 (N,) in 0..n_classes-1.

    `shape` is (height, width, channels) of its images.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    valid_x: np.ndarray
    valid_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    n_classes: int
    shape: tuple[int, ...]


def load(name: str, data_dir: str | None, *, train: Asked = None, valid: Asked = 10_000, test: Asked = None) -> Splits:
    """Loads an image classification set: by default 50k/10k/10k of MNIST, 40k/10k/10k of CIFAR-10.

    `train`, `valid` and `test` are numbers of examples or slices of TFDS's splits, see `parts.cut`. TFDS shuffles the
    records when it prepares a set: each part mixes the classes, and the validation examples are not the last 10,000 of
    the original files. The arrays are read-only and decoded once per process; grey and colour pixels are flattened as
    stored.

    Args:
      name: a TFDS name, with its configuration where there are several: `mnist`, `emnist/letters`.
      data_dir: the folder of the prepared sets; None is TFDS's own, `$TFDS_DATA_DIR` or `~/tensorflow_datasets`. A
        set that is not there is downloaded and prepared first, if TensorFlow is installed.

    Raises:
      InputError: the set is unknown, missing, damaged, in tfrecord format, too small, or no image classification set.
    """
    prepared = _open(name, data_dir)
    parts = _cut(prepared, train, valid, test)
    train_x, train_y, valid_x, valid_y, test_x, test_y = (a for part in parts for a in _taken(prepared, part))
    return Splits(train_x, train_y, valid_x, valid_y, test_x, test_y, prepared.n_classes, prepared.shape)


def sizes(name: str, data_dir: str | None, *, train: Asked, valid: Asked, test: Asked) -> Sizes:
    """The sizes of what `load` returns for the same arguments, from the JSON files alone; raises what it raises."""
    return _cut(_open(name, data_dir), train, valid, test).sizes


def prepare(name: str, data_dir: str | None = None) -> Path:
    """Returns the folder of a set in array_record format; one that is not in `data_dir` is downloaded and prepared.

    Raises:
      InputError: TFDS has no such set, it is there in another format, TensorFlow is missing, or TFDS failed.
    """
    default = os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    root = Path(os.path.abspath(os.path.expanduser(data_dir or default)))
    if folder := _find(name, root):
        return folder
    import tensorflow_datasets as tfds

    _check_known(tfds, name)
    if not _has_tensorflow():
        raise InputError(
            f"the data set {name} is not in {root}, and TFDS needs TensorFlow to prepare it there: "
            f"run `pip install -e '.[prepare]'` and `python scripts/prepare_data.py {name} --dir FOLDER` once, "
            "and then the same command with data.dir=FOLDER"
        )
    print(f"xinit: downloading {name} and preparing it in {root} with TFDS, once", file=sys.stderr, flush=True)
    try:
        builder = tfds.builder(name, data_dir=root, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # network, checksum, disk, a licence to accept by hand: each has a type of its own
        raise InputError(f"TFDS could not prepare {name} in {root}: {reason(error)}") from error
    return Path(builder.data_path)


def _has_tensorflow() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def _check_known(tfds: Any, name: str) -> None:
    base, _, config = name.partition("/")
    known = tfds.list_builders(with_community_datasets=False)  # the community's list is on the network
    if base not in known:
        some = dict.fromkeys([*difflib.get_close_matches(base, known), "mnist", "fashion_mnist", "cifar10"])
        raise InputError(f"TFDS has no data set {name!r}; it has {', '.join(some)} and {len(known)} in all")
    configs = tfds.builder_cls(base).builder_configs
    if configs and config not in configs:
        raise InputError(f"{name!r} names no configuration: choose from {', '.join(f'{base}/{c}' for c in configs)}")


def _find(name: str, root: Path) -> Path | None:
    """The newest version of a set that is there in array_record format; None where it is not there at all."""
    try:
        versions = [path for path in (root / name).iterdir() if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{root / name} cannot be read: {error.strerror}") from error
    infos = {path: _json(path / "dataset_info.json") for path in versions}
    formats = {path: {info.get("fileFormat"), *info.get("alternativeFileFormats", ())} for path, info in infos.items()}
    readable = [path for path in versions if "array_record" in formats[path]]
    if versions and not readable:
        # In a second folder, since TFDS refuses a second format in the first; its own command line needs apache-beam.
        install = "" if _has_tensorflow() else "pip install tensorflow && "
        call = f"prepare({name!r}, {str(root / 'array_record')!r})"
        raise InputError(
            f"{versions[0]} is in {infos[versions[0]].get('fileFormat', 'tfrecord')} format, not array_record: prepare "
            "the set again in a second folder, and read that one, with "
            f'`{install}python -c "from xinit.data.tfds import prepare; {call}"`'
        )
    return max(readable, key=lambda path: [int(part) for part in path.name.split(".")], default=None)


def _json(path: Path, *keys: str) -> Any:
    """What a JSON file holds below these keys."""
    try:
        return functools.reduce(lambda content, key: content[key], keys, json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise damaged(path, error) from error


def _open(name: str, data_dir: str | None) -> Prepared:
    folder = prepare(name, data_dir)
    splits = _json(folder / "dataset_info.json", "splits")
    shards = tuple((split["name"], tuple(map(int, split.get("shardLengths", ())))) for split in splits)
    shape, n_classes = _image_and_label(name, _json(folder / "features.json", "featuresDict", "features"))
    # Names, sizes and times: what tells whether a decoded copy is still that of these records.
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    return Prepared(name, folder, repr(stats), shards, shape, n_classes)


def _image_and_label(name: str, features: dict[str, Any]) -> tuple[tuple[int, ...], int]:
    """The shape of the images and the number of classes."""
    try:
        image, n_classes = features["image"]["image"], int(features["label"]["classLabel"]["numClasses"])
    except KeyError:
        found = ", ".join(f"{key} ({feature['pythonClassName'].split('.')[-1]})" for key, feature in features.items())
        raise InputError(f"{name} has the features {found}: image (Image) and label (ClassLabel) are needed") from None
    shape = tuple(int(n) for n in image["shape"]["dimensions"])
    if image["dtype"] != "uint8" or min(shape) < 1 or shape[-1] not in MODES:  # TFDS writes -1 for a side that differs
        found = " x ".join("any" if n < 1 else str(n) for n in shape)
        raise InputError(f"the images of {name} are {image['dtype']}, {found}: uint8 of one fixed shape is needed")
    return shape, n_classes


def _cut(prepared: Prepared, train: Asked, valid: Asked, test: Asked) -> Parts:
    return cut(prepared.name, dict(prepared.shards), train=train, valid=valid, test=test)


def _taken(prepared: Prepared, part: Sequence[Span]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a part; those of a single span share the memory of their split."""
    pieces = [[array[span.start : span.stop] for array in arrays(prepared, span.split)] for span in part]
    x, y = pieces[0] if len(pieces) == 1 else map(np.concatenate, zip(*pieces, strict=True))
    return x, y
