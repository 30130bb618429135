"""The records of a TFDS set that is on disk, decoded once: a copy in the user's cache folder serves later processes."""

import contextlib
import functools
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xinit.core.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # Pillow's name for images of so many channels


class Prepared(NamedTuple):
    """A set on disk, as far as it is known without reading a record."""

    name: str
    folder: Path
    fingerprint: str
    shards: tuple[tuple[str, tuple[int, ...]], ...]  # each split with the number of examples in each of its files
    shape: tuple[int, ...]  # height, width, channels
    n_classes: int


def damaged(path: Path, error: Exception) -> InputError:
    """The error for a file that cannot be read."""
    return InputError(
        f"{path} is damaged or unreadable: {reason(error)}; if damaged, delete {path.parent} and run again"
    )


def reason(error: Exception) -> str:
    """An exception in words."""
    return f"{type(error).__name__}, {' '.join(str(error).split())}"  # on one line, as some of TFDS's run over many


@functools.cache
def arrays(prepared: Prepared, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a whole split, from the copy in the cache folder where that is fresh."""
    base = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"), "xinit", "decoded")
    # One file a version, overwritten when the records change, so that copies do not pile up.
    copy = base / f"{prepared.name.replace('/', '-')}-{prepared.folder.name}-{split}.npz"
    decoded = _read_copy(copy, prepared.fingerprint)
    if decoded is None:
        decoded = _decode(prepared, split)
        _write_copy(copy, prepared.fingerprint, decoded)
    for array in decoded:
        array.setflags(write=False)  # all callers share them
    return decoded


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


def _decode(prepared: Prepared, split: str) -> tuple[np.ndarray, np.ndarray]:
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


def _examples(prepared: Prepared, split: str) -> Iterator[tuple[np.ndarray, int]]:
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
            raise damaged(Path(file), error) from error


def _pixels(image: "PIL.Image.Image", mode: str) -> np.ndarray:
    """Bytes (height, width, channels), as TFDS has TensorFlow make them: grey repeated, transparency left out."""
    import PIL.Image

    if image.mode.startswith("I"):  # 16 bits a pixel, of which Pillow would cut off what is beyond 255
        return _pixels(PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)), mode)
    opaque = image.convert("RGBA") if "transparency" in image.info else image
    return np.atleast_3d(np.asarray(opaque.convert(mode)))
