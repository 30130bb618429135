"""TFDS image sets: the real MNIST and CIFAR-10 where they are at hand, and small sets written here for all the rest."""

import io
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

from xinit.core.errors import InputError
from xinit.data import records, tfds
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training import problem

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARDS = {"train": [40, 20], "test": [15]}  # examples in each file of a small set


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of decoded copies; without it, the tests would write to the user's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "xinit" / "decoded"


@pytest.fixture
def data_dir(tmp_path):
    write_set(tmp_path / "data" / "mnist" / "3.0.1")
    return tmp_path / "data"


@pytest.fixture
def folder(data_dir):
    return data_dir / "mnist" / "3.0.1"


def examples(split, shape=(5, 4, 1), shards=SHARDS):
    """Random images (N, height, width, channels) of a split, and labels 0, 1, 2, 0, ..."""
    n = sum(shards[split])
    return np.random.default_rng(n).integers(0, 256, (n, *shape), np.uint8), np.arange(n) % 3


def record(pixels, label):
    grey = pixels.shape[-1] == 1
    return record_of(PIL.Image.fromarray(pixels[..., 0] if grey else pixels), label)


def record_of(image, label, kind="PNG", **options):
    """A record whose image is in a file of this kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    example = tf_example_pb2.Example()
    example.features.feature["image"].bytes_list.value.append(file.getvalue())
    example.features.feature["label"].int64_list.value.append(int(label))
    return example.SerializeToString()


def write_records(folder, split, records, shards=SHARDS):
    """The record files of a split, as TFDS names them."""
    records = iter(records)
    for i, n in enumerate(shards[split]):
        name = f"mnist-{split}.array_record-{i:05d}-of-{len(shards[split]):05d}"
        writer = ArrayRecordWriter(str(folder / name), "group_size:1")
        for _ in range(n):
            writer.write(next(records))
        writer.close()


def write_set(folder, shape=(5, 4, 1), shards=SHARDS):
    """A set of three classes as TFDS prepares it in array_record format."""
    folder.mkdir(parents=True)
    for split in shards:
        write_records(folder, split, map(record, *examples(split, shape, shards)), shards)
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = [{"name": k, "shardLengths": [str(n) for n in v], "filepathTemplate": template} for k, v in shards.items()]
    info = {"fileFormat": "array_record", "name": "mnist", "splits": splits, "version": folder.name}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    kind = "tensorflow_datasets.core.features."
    image = {"dtype": "uint8", "shape": {"dimensions": [str(n) for n in shape]}}
    features = {
        "image": {"image": image, "pythonClassName": f"{kind}image_feature.Image"},
        "label": {"classLabel": {"numClasses": "3"}, "pythonClassName": f"{kind}class_label_feature.ClassLabel"},
    }
    whole = {"featuresDict": {"features": features}, "pythonClassName": f"{kind}features_dict.FeaturesDict"}
    (folder / "features.json").write_text(json.dumps(whole))


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def load(data_dir, valid=10, **sizes):
    return tfds.load("mnist", str(data_dir), valid=valid, **sizes)


# The real sets


@pytest.fixture(scope="module")
def real(tfds_dir):
    """`real(name)` loads a real set, decoded once for the whole suite: `cache` is not yet in force."""
    sets = {name: tfds.load(name, str(tfds_dir)) for name in ("mnist", "cifar10")}
    return sets.__getitem__


@pytest.mark.parametrize(("name", "train", "n_inputs"), [("mnist", 50_000, 784), ("cifar10", 40_000, 3072)])
@pytest.mark.heavy
def test_the_papers_splits(real, tfds_dir, name, train, n_inputs):
    splits = real(name)
    sizes = tfds.sizes(name, str(tfds_dir), train=None, valid=10_000, test=None)
    assert sizes == (train, 10_000, 10_000)
    assert splits.n_classes == 10
    for n, x, y in zip(sizes, splits[0:6:2], splits[1:6:2], strict=True):
        assert x.shape == (n, n_inputs)
        assert y.shape == (n,)
        assert (x.dtype, y.dtype) == (np.uint8, np.int32)
        assert (x.min(), x.max()) == (0, 255)
        # Shuffled with respect to class: even the smallest part, 10,000, has every class to about its share.
        assert np.all(np.abs(np.bincount(y, minlength=10) / n - 0.1) < 0.02)
    assert not np.may_share_memory(splits.train_x, splits.valid_x)
    assert not np.may_share_memory(splits.train_y, splits.valid_y)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        (
            "mnist",
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        ),
        ("cifar10", [5000] * 10, [1000] * 10),
    ],
)
@pytest.mark.heavy
def test_known_class_counts(real, name, train, test):
    splits = real(name)
    assert np.bincount(np.concatenate([splits.train_y, splits.valid_y])).tolist() == train
    assert np.bincount(splits.test_y).tolist() == test


# The figures everyone normalises with: mean intensity over the 60,000 and 50,000 training images, by channel.
@pytest.mark.parametrize(("name", "means"), [("mnist", [0.1307]), ("cifar10", [0.4914, 0.4822, 0.4465])])
@pytest.mark.heavy
def test_known_mean_intensities(real, name, means):
    splits = real(name)
    sums = sum(x.sum(0, dtype=np.int64) for x in (splits.train_x, splits.valid_x))
    found = sums.reshape(-1, len(means)).mean(0) / 255 / (len(splits.train_x) + len(splits.valid_x))
    np.testing.assert_allclose(found, means, atol=1e-4)


def test_a_real_record_file_cut_short_is_named(tfds_dir, tmp_path):
    shutil.copytree(tfds_dir / "mnist", tmp_path / "mnist", copy_function=shutil.copyfile)
    file = tmp_path / "mnist" / "3.0.1" / "mnist-train.array_record-00000-of-00001"
    file.parent.chmod(0o755)
    file.write_bytes(file.read_bytes()[:10_000_000])
    with pytest.raises(InputError, match=re.escape(str(file))):
        tfds.load("mnist", str(tmp_path))


# What is loaded


@pytest.mark.parametrize("shape", [(5, 4, 1), (7, 13, 1), (1, 1, 1), (1, 9, 2), (13, 7, 3), (5, 4, 4)])
def test_pixels_and_labels_come_back_in_order_over_all_files(tmp_path, shape):
    write_set(tmp_path / "mnist" / "3.0.1", shape)
    splits = load(tmp_path)
    (x, y), (test_x, test_y) = examples("train", shape), examples("test", shape)
    expected = (x[:50], y[:50], x[50:], y[50:], test_x, test_y)
    for found, part in zip(splits[:6], expected, strict=True):
        np.testing.assert_array_equal(found, part.reshape(found.shape))
    assert splits.n_classes == 3


@pytest.mark.parametrize(
    ("train", "valid", "test", "expected"),
    [(None, 10, None, (50, 10, 15)), (7, 10, 3, (7, 10, 3)), (30, 30, 15, (30, 30, 15)), (None, 59, 1, (1, 59, 1))],
)
def test_sizes_are_those_of_load(data_dir, train, valid, test, expected):
    assert tfds.sizes("mnist", str(data_dir), train=train, valid=valid, test=test) == expected
    splits = load(data_dir, train=train, valid=valid, test=test)
    assert tuple(len(x) for x in splits[0:6:2]) == tuple(len(y) for y in splits[1:6:2]) == expected
    x = examples("train")[0].reshape(60, -1)
    np.testing.assert_array_equal(splits.train_x, x[: len(splits.train_x)])
    np.testing.assert_array_equal(splits.valid_x, x[60 - valid :])


@pytest.mark.parametrize(
    "sizes", [{"train": 51}, {"valid": 60}, {"valid": 0}, {"train": 0}, {"test": 16}, {"test": 0}, {"valid": -1}]
)
def test_more_than_there_is(data_dir, sizes):
    message = "cannot be cut from mnist, which has 60 examples in train and 15 examples in test: "
    with pytest.raises(InputError, match=message):
        load(data_dir, **sizes)
    with pytest.raises(InputError, match=message):
        tfds.sizes("mnist", str(data_dir), **({"train": None, "valid": 10, "test": None} | sizes))


@pytest.mark.parametrize(
    ("shards", "slices"),
    [
        ({"train": [40, 21]}, ("train[:80%]", "train[80%:90%]", "train[90%:]")),
        ({"train": [40, 21]}, ("train[0shard]", "train[-21:-9]", "train[-9:]")),
        ({"train": [41], "validation": [19]}, ("train[33.3%:]+validation[:5]", "train[:10]", "validation[5:]")),
        ({"train": [41], "validation": [19]}, ("train", "validation[50%:]", "validation[:50%]")),
        ({"train": [30], "test": [12], "extra": [9]}, ("extra + train[5:]", "train[:5]", "test")),
    ],
)
def test_slices_are_what_tfds_reads(tmp_path, shards, slices):
    folder = tmp_path / "mnist" / "3.0.1"
    write_set(folder, shards=shards)
    parts = dict(zip(("train", "valid", "test"), slices, strict=True))
    splits = tfds.load("mnist", str(tmp_path), **parts)
    builder = tensorflow_datasets.builder_from_directory(folder)
    for text, x, y in zip(slices, splits[0:6:2], splits[1:6:2], strict=True):
        read = list(builder.as_data_source(text))
        np.testing.assert_array_equal(x, np.stack([example["image"].ravel() for example in read]))
        np.testing.assert_array_equal(y, [example["label"] for example in read])
    assert tfds.sizes("mnist", str(tmp_path), **parts) == tuple(len(y) for y in splits[1:6:2])


def test_a_run_is_cut_as_its_settings_say(tmp_path):
    write_set(tmp_path / "mnist" / "3.0.1", shards={"train": [41, 20]})
    parts = {"data.train": "train[:80%]", "data.valid": "train[80%:90%]", "data.test": "train[90%:]"}
    settings = {
        "data": "tfds",
        "data.name": "mnist",
        "data.dir": tmp_path,
        "probe.examples": 6,
        "batch_size": 7,
    } | parts
    config = parse(compose("train", [*overrides_from(settings), "steps=3epochs"]))
    assert config.steps == 21  # 49 examples in batches of 7, three times
    loaded = problem.build(config).data
    assert [len(loaded[part].y) for part in ("train", "valid", "test", "probe")] == [49, 6, 6, 6]
    half = parse(compose("train", overrides_from(settings | {"data.train": "train[:50%]"})))
    assert half.identity() != config.identity()
    with pytest.raises(InputError, match="batch_size is 50; mnist has 49 training examples"):
        parse(compose("train", overrides_from(settings | {"batch_size": 50})))


def test_a_set_with_its_own_splits_is_trained_on_as_it_is(tmp_path):
    write_set(tmp_path / "mnist" / "3.0.1", (7, 13, 1), {"train": [30, 11], "validation": [9], "test": [12]})
    settings = {"data": "tfds", "data.name": "mnist", "data.dir": tmp_path, "data.valid": "validation"}
    config = parse(compose("train", overrides_from(settings | {"probe.examples": 6})))
    assert config.data.sizes == (41, 9, 12)
    run = problem.build(config)
    assert run.problem.network.n_inputs == 7 * 13
    assert problem.needed_bytes(run.problem, config)["the stored examples (data)"] == (41 + 9 + 12) * (7 * 13 + 4)
    x, y = examples("validation", (7, 13, 1), {"validation": [9]})
    np.testing.assert_array_equal(run.data["valid"].x, x.reshape(9, -1))
    np.testing.assert_array_equal(run.data["valid"].y, y)


GREY, COLOUR = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4, examples("train", (8, 8, 4))[0][0]


# Each is an image as its file holds it, and the bytes that TensorFlow's decode_image gives for a number of channels.
@pytest.mark.parametrize(
    ("image", "pixels"),
    {
        "grey": (PIL.Image.fromarray(GREY), {1: GREY, 3: GREY}),
        "one bit": (PIL.Image.fromarray(GREY > 99), {1: 255 * (GREY > 99), 3: 255 * (GREY > 99)}),
        "16 bits": (PIL.Image.fromarray(GREY.astype(np.uint16) * 257), {1: GREY, 3: GREY}),
        "grey with alpha": (PIL.Image.fromarray(COLOUR[..., :2], "LA"), {1: COLOUR[..., 0], 3: COLOUR[..., 0]}),
        "colour": (PIL.Image.fromarray(COLOUR[..., :3]), {3: COLOUR[..., :3]}),
        "colour with alpha": (PIL.Image.fromarray(COLOUR), {3: COLOUR[..., :3], 4: COLOUR}),
        "palette": (PIL.Image.fromarray(GREY).convert("P"), {1: GREY, 3: GREY}),
    }.values(),
)
def test_an_image_has_the_channels_of_its_set(tmp_path, image, pixels):
    for channels, expected in pixels.items():
        folder = tmp_path / str(channels) / "mnist" / "3.0.1"
        write_set(folder, (8, 8, channels))
        write_records(folder, "test", [record_of(image, 0)] * 15)
        shown = load(folder.parents[1]).test_x[0].reshape(8, 8, channels)
        np.testing.assert_array_equal(shown, np.broadcast_to(np.atleast_3d(expected), shown.shape))


def test_a_jpeg_may_be_grey_or_made_for_printing_and_a_palette_transparent(tmp_path):
    write_set(tmp_path / "mnist" / "3.0.1", (8, 8, 3))
    kept, printed = PIL.Image.fromarray(GREY), PIL.Image.fromarray(COLOUR, "CMYK")
    records = [record_of(kept, 0, "JPEG"), record_of(printed, 1, "JPEG", quality=100)]
    records.append(record_of(kept.convert("P"), 2, "PNG", transparency=bytes(range(256))))
    write_records(tmp_path / "mnist" / "3.0.1", "test", records * 5)
    grey, cmyk, palette = load(tmp_path).test_x[:3].reshape(3, 8, 8, 3).astype(int)
    np.testing.assert_allclose(grey, np.broadcast_to(GREY[..., None], grey.shape), atol=2)
    inks, black = 255 - COLOUR[..., :3].astype(int), 255 - COLOUR[..., 3:].astype(int)
    np.testing.assert_allclose(cmyk, inks * black / 255, atol=12)
    np.testing.assert_array_equal(palette, np.broadcast_to(GREY[..., None], palette.shape))


def test_the_newest_version_that_can_be_read(data_dir, folder):
    for version in ("9.0.0", "10.0.0", "11.0.0"):
        shutil.copytree(folder, folder.parent / version)
    edit(folder.parent / "11.0.0" / "dataset_info.json", lambda info: info.update(fileFormat="tfrecord"))
    (folder.parent / "12.0.0.incomplete").mkdir()
    assert tfds.prepare("mnist", str(data_dir)).name == "10.0.0"


def test_a_set_in_two_formats(data_dir, folder):
    both = {"fileFormat": "tfrecord", "alternativeFileFormats": ["array_record"]}
    edit(folder / "dataset_info.json", lambda info: info.update(both))
    assert len(load(data_dir).train_x) == 50


def test_the_default_folder_is_that_of_tfds(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert len(tfds.load("mnist", None, valid=10).train_x) == 50
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(data_dir.parent))
    data_dir.rename(data_dir.parent / "tensorflow_datasets")
    assert tfds.sizes("mnist", None, train=None, valid=10, test=None) == (50, 10, 15)


def test_no_network(data_dir, monkeypatch):
    def refuse(*_):
        raise AssertionError("a prepared set needs no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(load(data_dir).train_x) == 50


# Decoded once


def next_process(monkeypatch):
    """Forgets what this process has decoded, and returns a list of the splits decoded from now on."""
    records.arrays.cache_clear()
    decoded, decode = [], records._decode
    monkeypatch.setattr(records, "_decode", lambda *args: decoded.append(args[1]) or decode(*args))
    return decoded


def test_one_process_decodes_once_and_shares_the_memory(data_dir):
    first, second = load(data_dir), load(data_dir, train=20)
    assert np.shares_memory(first.train_x, second.train_x)
    with pytest.raises(ValueError, match="read-only"):
        first.train_x[0] = 0


def test_the_next_process_reads_the_copy(data_dir, cache, monkeypatch):
    first = load(data_dir)
    assert sorted(path.name for path in cache.iterdir()) == ["mnist-3.0.1-test.npz", "mnist-3.0.1-train.npz"]
    decoded = next_process(monkeypatch)
    for a, b in zip(first, load(data_dir), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not decoded


def test_new_records_replace_the_copy(data_dir, folder, cache, monkeypatch):
    load(data_dir)
    decoded = next_process(monkeypatch)
    pixels, labels = examples("test")
    write_records(folder, "test", map(record, pixels, labels[::-1]))
    np.testing.assert_array_equal(load(data_dir).test_y, labels[::-1])
    assert decoded == ["train", "test"]
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"not a copy", None])
def test_a_damaged_copy_is_decoded_again(data_dir, cache, monkeypatch, content):
    load(data_dir)
    copy = cache / "mnist-3.0.1-test.npz"
    copy.write_bytes(copy.read_bytes()[:-500] if content is None else content)
    decoded = next_process(monkeypatch)
    np.testing.assert_array_equal(load(data_dir).test_y, examples("test")[1])
    assert decoded == ["test"]


def test_an_unwritable_cache_folder_is_no_error(data_dir, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(load(data_dir).train_x) == 50


@pytest.mark.heavy
def test_tensorflow_datasets_is_imported_only_to_decode(data_dir):
    code = (
        "import sys; from xinit.data import tfds\n"
        f"before = tfds.sizes('mnist', {str(data_dir)!r}, train=None, valid=10, test=None)\n"
        f"after = tuple(len(x) for x in tfds.load('mnist', {str(data_dir)!r}, valid=10)[0:6:2])\n"
        "assert before == after == (50, 10, 15), (before, after)\n"
        "print('tensorflow_datasets' in sys.modules)"
    )
    runs = [subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() for _ in range(2)]
    assert runs == ["True", "False"]  # the second reads the copy


# Not an image classification set


def drop_test_split(info):
    info["splits"] = info["splits"][:1]


def set_image(features, **changes):
    features["featuresDict"]["features"]["image"]["image"].update(changes)


def tensor_label(features):
    features["featuresDict"]["features"]["label"] = {"tensor": {}, "pythonClassName": "core.tensor_feature.Tensor"}


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("dataset_info.json", drop_test_split, "from mnist, which has 60 examples in train: test names no examples"),
        ("features.json", lambda f: set_image(f, dtype="uint16"), "the images of mnist are uint16, 5 x 4 x 1"),
        ("features.json", lambda f: set_image(f, dtype="float32"), "the images of mnist are float32, 5 x 4 x 1"),
        (
            "features.json",
            lambda f: set_image(f, shape={"dimensions": ["5", "4", "13"]}),
            "the images of mnist are uint8, 5 x 4 x 13: uint8 of one fixed shape is needed",
        ),
        (
            "features.json",
            lambda f: set_image(f, shape={"dimensions": ["-1", "-1", "3"]}),
            "the images of mnist are uint8, any x any x 3: uint8 of one fixed shape is needed",
        ),
        ("features.json", tensor_label, r"mnist has the features image \(Image\), label \(Tensor\)"),
        (
            "features.json",
            lambda f: f["featuresDict"]["features"].pop("image"),
            r"mnist has the features label \(ClassLabel\): image \(Image\) and label \(ClassLabel\) are needed",
        ),
    ],
)
def test_not_an_image_classification_set(data_dir, folder, file, change, message):
    edit(folder / file, change)
    with pytest.raises(InputError, match=message):
        tfds.sizes("mnist", str(data_dir), train=None, valid=10, test=None)
    with pytest.raises(InputError, match=message):
        load(data_dir)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_outside_the_classes_is_named(data_dir, folder, label):
    pixels, labels = examples("test")
    labels[4] = label
    write_records(folder, "test", map(record, pixels, labels))
    message = f"example 4 of the split test of mnist has the label {label}; the set states 3 classes, so .* 0 to 2"
    with pytest.raises(InputError, match=message):
        load(data_dir)


# Damaged


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("mnist-train.array_record-00001-of-00002", lambda path: path.write_bytes(path.read_bytes()[:-1000])),
        ("mnist-train.array_record-00001-of-00002", lambda path: path.write_bytes(b"")),
        ("mnist-test.array_record-00000-of-00001", lambda path: path.unlink()),
        ("mnist-test.array_record-00000-of-00001", lambda path: write_records(path.parent, "test", [b"x"] * 15)),
        (
            "mnist-test.array_record-00000-of-00001",
            lambda path: write_records(path.parent, "test", map(record, *examples("test", (4, 5, 1)))),
        ),
        ("dataset_info.json", lambda path: path.write_text(path.read_text()[:100])),
        ("dataset_info.json", lambda path: path.unlink()),
        ("features.json", lambda path: path.write_text("{}")),
        ("features.json", lambda path: path.unlink()),
    ],
)
def test_a_damaged_file_is_named(data_dir, folder, name, damage):
    damage(folder / name)
    with pytest.raises(InputError) as caught:
        load(data_dir)
    assert str(caught.value).startswith(f"{folder / name} is damaged or unreadable: ")
    assert str(caught.value).endswith(f"; if damaged, delete {folder} and run again")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "mnist").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=f"{tmp_path / 'mnist'} cannot be read: Not a directory"):
        load(tmp_path)


# Not prepared


@pytest.fixture(params=[False, True], ids=["without", "with"])
def tensorflow(request, monkeypatch):
    """Whether TensorFlow is said to be installed."""
    monkeypatch.setattr(tfds, "_has_tensorflow", lambda: request.param)
    return request.param


def test_missing_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "_has_tensorflow", lambda: False)
    commands = r"`pip install -e '.\[prepare\]'` and `python scripts/prepare_data.py mnist --dir FOLDER`"
    message = f"the data set mnist is not in {tmp_path}, .*: run {commands} once, and then the same command"
    with pytest.raises(InputError, match=message):
        load(tmp_path)
    with pytest.raises(InputError, match=message):
        tfds.sizes("mnist", str(tmp_path), train=None, valid=10_000, test=None)


def test_missing_with_tensorflow_is_prepared(tmp_path, monkeypatch, capsys):
    class Builder:
        def __init__(self, name, data_dir, file_format):
            assert file_format == "array_record"
            self.data_path = pathlib.Path(data_dir) / name / "3.0.1"

        def download_and_prepare(self):
            write_set(self.data_path)

    monkeypatch.setattr(tfds, "_has_tensorflow", lambda: True)
    monkeypatch.setattr(tensorflow_datasets, "builder", Builder)
    for _ in range(2):  # once prepared, silently found
        assert len(load(tmp_path).train_x) == 50
    assert capsys.readouterr().err == f"xinit: downloading mnist and preparing it in {tmp_path} with TFDS, once\n"


def test_a_failed_preparation_is_a_sentence(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route\n  to host")

    monkeypatch.setattr(tfds, "_has_tensorflow", lambda: True)
    monkeypatch.setattr(tensorflow_datasets, "builder", fail)
    message = f"TFDS could not prepare mnist in {tmp_path}: ConnectionError, no route to host"
    with pytest.raises(InputError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "TFDS has no data set 'mnits'; it has mnist, .*cifar10"),
        ("no_such_thing", "TFDS has no data set 'no_such_thing'; it has mnist, fashion_mnist, cifar10"),
        ("emnist", "'emnist' names no configuration: choose from .*emnist/letters"),
        ("emnist/words", "'emnist/words' names no configuration: choose from .*emnist/letters"),
        ("", "TFDS has no data set ''"),
    ],
)
def test_unknown_names(tmp_path, tensorflow, name, message):
    with pytest.raises(InputError, match=message):
        tfds.load(name, str(tmp_path))


def test_tfrecord_is_told_apart_from_missing(data_dir, folder, tensorflow):
    edit(folder / "dataset_info.json", lambda info: info.update(fileFormat="tfrecord"))
    install = "" if tensorflow else "pip install tensorflow && "
    code = f"from xinit.data.tfds import prepare; prepare('mnist', '{data_dir / 'array_record'}')"
    with pytest.raises(InputError) as caught:
        load(data_dir)
    assert str(caught.value).startswith(f"{folder} is in tfrecord format, not array_record")
    assert str(caught.value).endswith(f'with `{install}python -c "{code}"`')


def prepare_data(*arguments):
    command = [sys.executable, str(ROOT / "scripts" / "prepare_data.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.heavy
def test_the_script(data_dir, folder):
    done = prepare_data("mnist", "--dir", str(data_dir))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mnist is in {folder}\n", "")
    edit(folder / "dataset_info.json", lambda info: info.update(fileFormat="tfrecord"))
    failed = prepare_data("mnist", "--dir", str(data_dir))
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"prepare_data: {folder} is in tfrecord format")
    assert failed.stderr.count("\n") == 1
