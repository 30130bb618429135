"""Any image classification set of TensorFlow Datasets (TFDS) as NumPy arrays, read without TensorFlow.

What is on disk is judged from TFDS's own `dataset_info.json` and `features.json`. The records are read through TFDS's
data source and decoded once: a copy of the pixels in the user's cache folder serves later processes.
"""

import contextlib
import difflib
import functools
import importlib.util
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xinit.data.parts import Asked, Parts, Sizes, Span, cut
from xinit.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # Pillow's name for images of so many channels


class Splits(NamedTuple):
    """A set's three parts: `*_x` uint8 (N, height * width * channels), `*_y` int32 (N,) in 0..n_classes-1."""

    train_x: np.ndarray
    train_y: np.ndarray
    valid_x: np.ndarray
    valid_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    n_classes: int


class _Prepared(NamedTuple):
    """A set on disk, as far as it is known without reading a record."""

    name: str
    folder: Path
    fingerprint: str
    shards: tuple[tuple[str, tuple[int, ...]], ...]  # each split with the number of examples in each of its files
    shape: tuple[int, ...]  # height, width, channels
    n_classes: int


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
    return Splits(*(array for part in parts for array in _taken(prepared, part)), n_classes=prepared.n_classes)


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
            "run `pip install tensorflow`, then the same command again"
        )
    print(f"xinit: downloading {name} and preparing it in {root} with TFDS, once", file=sys.stderr, flush=True)
    try:
        builder = tfds.builder(name, data_dir=root, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # network, checksum, disk, a licence to accept by hand: each has a type of its own
        raise InputError(f"TFDS could not prepare {name} in {root}: {_reason(error)}") from error
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
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is damaged or unreadable: {_reason(error)}; if damaged, delete {path.parent} and run again"
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}, {' '.join(str(error).split())}"  # on one line, as some of TFDS's run over many


def _open(name: str, data_dir: str | None) -> _Prepared:
    folder = prepare(name, data_dir)
    splits = _json(folder / "dataset_info.json", "splits")
    shards = tuple((split["name"], tuple(map(int, split.get("shardLengths", ())))) for split in splits)
    shape, n_classes = _image_and_label(name, _json(folder / "features.json", "featuresDict", "features"))
    # Names, sizes and times: what tells whether a decoded copy is still that of these records.
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    return _Prepared(name, folder, repr(stats), shards, shape, n_classes)


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


def _cut(prepared: _Prepared, train: Asked, valid: Asked, test: Asked) -> Parts:
    return cut(prepared.name, dict(prepared.shards), train=train, valid=valid, test=test)


def _taken(prepared: _Prepared, part: Sequence[Span]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a part; those of a single span share the memory of their split."""
    pieces = [[array[span.start : span.stop] for array in _arrays(prepared, span.split)] for span in part]
    x, y = pieces[0] if len(pieces) == 1 else map(np.concatenate, zip(*pieces, strict=True))
    return x, y


@functools.cache
def _arrays(prepared: _Prepared, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a whole split, from the copy in the cache folder where that is fresh."""
    base = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"), "xinit", "decoded")
    # One file a version, overwritten when the records change, so that copies do not pile up.
    copy = base / f"{prepared.name.replace('/', '-')}-{prepared.folder.name}-{split}.npz"
    arrays = _read_copy(copy, prepared.fingerprint)
    if arrays is None:
        arrays = _decode(prepared, split)
        _write_copy(copy, prepared.fingerprint, arrays)
    for array in arrays:
        array.setflags(write=False)  # all callers share them
    return arrays


def _read_copy(path: Path, fingerprint: str) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            fresh = stored["fingerprint"] == fingerprint
            return (stored["arr_0"], stored["arr_1"]) if fresh else None
    except Exception:  # absent, cut short, not ours: whatever is wrong with the copy, the records are still there
        return None


def _write_copy(path: Path, fingerprint: str, arrays: tuple[np.ndarray, ...]) -> None:
    """Writes to a temporary name and renames; a cache folder that cannot be written is no error."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            np.savez(Path(scratch, path.name), *arrays, fingerprint=fingerprint)
            Path(scratch, path.name).replace(path)


def _decode(prepared: _Prepared, split: str) -> tuple[np.ndarray, np.ndarray]:
    """A split's pixels (count, height * width * channels) and labels (count,)."""
    count = sum(dict(prepared.shards)[split])
    x, y = np.empty((count, np.prod(prepared.shape)), np.uint8), np.empty(count, np.int32)
    for i, (pixels, label) in enumerate(_examples(prepared, split)):
        if not 0 <= label < prepared.n_classes:  # -1 is TFDS's mark of an example without a label
            raise InputError(
                f"example {i} of the split {split} of {prepared.name} has the label {label}; the set states "
                f"{prepared.n_classes} classes, so labels run from 0 to {prepared.n_classes - 1}"
            )
        x[i], y[i] = pixels.reshape(-1), label
    return x, y


def _examples(prepared: _Prepared, split: str) -> Iterator[tuple[np.ndarray, int]]:
    """Pixels (height, width, channels) and label of each record, file by file so that a damaged one can be named."""
    import PIL.Image
    import tensorflow_datasets as tfds

    # Read in bulk and decoded here, MNIST takes 4 s; read and decoded by TFDS one by one, 24 s.
    builder = tfds.builder_from_directory(prepared.folder)
    decoders = {"image": tfds.decode.SkipDecoding()}
    for shard, file in enumerate(builder.info.splits[split].filepaths):
        try:
            source = builder.as_data_source(f"{split}[{shard}shard]", decoders=decoders)
            for record in source.__getitems__(range(len(source))):
                pixels = _pixels(PIL.Image.open(io.BytesIO(record["image"])), MODES[prepared.shape[-1]])
                if pixels.shape != prepared.shape:
                    raise ValueError(f"an image of shape {pixels.shape}, not {prepared.shape}")
                yield pixels, record["label"]
        except Exception as error:  # array_record, protobuf and pillow each have their own types for damage
            raise _damaged(Path(file), error) from error


def _pixels(image: "PIL.Image.Image", mode: str) -> np.ndarray:
    """Bytes (height, width, channels), as TFDS has TensorFlow make them: grey repeated, transparency left out."""
    import PIL.Image

    if image.mode.startswith("I"):  # 16 bits a pixel, of which Pillow would cut off what is beyond 255
        return _pixels(PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)), mode)
    opaque = image.convert("RGBA") if "transparency" in image.info else image
    return np.atleast_3d(opaque.convert(mode))
