"""Arrays in files and of Python as data: they are read once, by what they hold, and train like any other set."""

import os
import pathlib
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xinit
from xinit.analysis.swept import swept
from xinit.commands import console
from xinit.core.errors import InputError
from xinit.data import array_files
from xinit.report import facts, sources
from xinit.runs import grouping, runner
from xinit.runs.run_directory import path_of
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training.population import Population, Strategy
from xinit.training.problem import build
from xinit.training.trainer import Trainer

N = 1500
X = np.random.default_rng(0).normal(size=(N, 4, 5))
Y = (X.reshape(N, -1) @ np.random.default_rng(1).normal(size=(20, 3))).argmax(axis=1)
SMALL = {"depth": 2, "width": 16, "steps": 20, "probe": "economy", "probe.examples": 100, "progress": False}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "points.npz"
    np.savez(path, x=X, y=Y)
    return path


def folder(path, **arrays):
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def config_of(data, **settings):
    settings = {key: value for key, value in (SMALL | settings).items() if key != "progress"}
    return parse(compose("train", overrides_from({**data, **settings})))


def of_file(path, **settings):
    return config_of({"data": "arrays", "data.file": path}, **settings)


# What is read


def test_a_file_a_folder_and_python_are_one_run(file, tmp_path):
    compressed, copied = tmp_path / "small.npz", folder(tmp_path / "points", x=X.astype("f4"), y=Y.astype("u1"))
    np.savez_compressed(compressed, x=X, y=Y, names=np.array(["a", None]))
    configs = [of_file(path) for path in (file, compressed, copied)]
    configs += [config_of({"data": value}) for value in ((X, Y), {"x": jnp.asarray(X), "y": Y.tolist()})]
    assert len({path_of(config).name for config in configs}) == 1
    assert [config.data.label for config in configs] == ["points", "small", "points", "arrays", "arrays"]
    assert [config.data.sizes for config in configs] == [(1050, 150, 300)] * 5
    assert configs[0].data.classes == 3
    others = [of_file(file, **{f"data.{name}": value}) for name, value in (("test", 0.3), ("standardise", True))]
    others += [config_of({"data": (X, np.roll(Y, 1))}), of_file(file, **{"data.split_seed": 1})]
    assert len({path_of(config).name for config in [configs[0], *others]}) == 5
    named = of_file(file, **{"data.train": 1050, "data.valid": 0.1, "data.test": 300, "data.classes": 3})
    assert path_of(named) == path_of(configs[0])


def test_a_file_is_read_once_until_it_changes(file, monkeypatch):
    read, load = [], np.load
    monkeypatch.setattr(np, "load", lambda *args, **named: read.append(args) or load(*args, **named))
    before = [of_file(file, seed=seed) for seed in range(5)]
    assert len(read) == 1
    np.savez(file, x=X, y=Y[::-1])
    os.utime(file, ns=(1, 1))
    after = of_file(file)
    assert len(read) == 2
    assert after.data.content != before[0].data.content
    with pytest.raises(InputError) as raised:
        before[0].data.dataset(10)
    assert str(raised.value) == (
        f"data.content is {before[0].data.content}; {file} has changed since, its arrays now have the checksum "
        f"{after.data.content}."
    )


def test_python_may_go_on_with_its_arrays():
    x, y = X.copy(), Y.copy()
    config = config_of({"data": (x, y)})
    x[:], y[:] = 0, 0
    loaded = config.data.dataset(10).load()
    assert np.std(loaded["train"].x) > 0.5
    assert np.std(loaded["train"].y) > 0.5


def test_arrays_of_another_process_are_named():
    with pytest.raises(
        InputError, match=r"^data.file is memory:0123456789abcdef, arrays that another process was given"
    ):
        of_file("memory:0123456789abcdef")


class Trap:
    """An object whose pickle writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def damaged(tmp_path):
    """Files that cannot be read, and words of the sentence."""
    np.savez(tmp_path / "whole.npz", x=X, y=Y)
    content, trap = (tmp_path / "whole.npz").read_bytes(), np.array([Trap(tmp_path / "sprung")])
    flipped = content[:5000] + bytes(255 - byte for byte in content[5000:5100]) + content[5100:]
    contents = {"cut.npz": content[:-1000], "flipped.npz": flipped, "empty.npz": b"", "text.npz": b"x,y\n1,2\n"}
    contents["pickled.npz"] = pickle.dumps(Trap(tmp_path / "sprung"))
    for name, written in contents.items():
        (tmp_path / name).write_bytes(written)
        words = (
            "x of {} is damaged or unreadable: "
            if name == "flipped.npz"
            else "data.file is {}, which is no .npz, or a damaged one;"
        )
        yield tmp_path / name, words
    np.save(tmp_path / "single.npy", X)
    yield tmp_path / "single.npy", "data.file is {}, which is no .npz, or a damaged one; it must be an .npz or a folder"
    np.savez(tmp_path / "objects.npz", x=trap, y=Y)
    yield tmp_path / "objects.npz", "x of {} holds Python objects, which are not read since that may execute anything;"
    yield folder(tmp_path / "objects", x=X, y=trap), "y of {} holds Python objects, which are not read"
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("x.npy", "no array")
        archive.writestr("y.npy", "no array")
    yield tmp_path / "zip.npz", "x of {} "
    yield folder(tmp_path / "nothing"), "{} has no arrays: there are none to train on; it must have x and y, or"
    yield folder(tmp_path / "other", images=X, labels=Y), "{} has images, labels: there are none to train on;"
    folder(tmp_path / "half", x=X, y=Y)
    (tmp_path / "half" / "y.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00")
    yield tmp_path / "half", "y of {} is damaged or unreadable: "
    os.mkfifo(tmp_path / "pipe.npz")
    yield tmp_path / "pipe.npz", "data.file is {}, which is no file; it must be an .npz or a folder of .npy."
    yield tmp_path / "nowhere.npz", "data.file is {}, which cannot be read: No such file or directory."


def test_what_cannot_be_read_is_named_and_nothing_is_executed(tmp_path):
    for path, words in damaged(tmp_path):
        with pytest.raises(InputError) as raised:
            of_file(path)
        assert words.format(path) in str(raised.value), path
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_unpacks_to_more_than_the_memory_is_refused(file, monkeypatch):
    monkeypatch.setattr(array_files.os, "sysconf", lambda name: 100)
    with pytest.raises(InputError, match=r"^The arrays of .*points.npz take 0 GB and there are 0 GB.$"):
        of_file(file)


def test_only_data_takes_large_arrays():
    for settings in ({"width": np.ones(10_001)}, {"optimizer": {"learning_rate": X}}):
        with pytest.raises(
            InputError, match=r" is an array of shape .*; only data takes examples, as in data=\(x, y\)."
        ):
            overrides_from(settings)
    assert overrides_from({"width": np.array([32, 16])}) == ["width=[32,16]"]


# What is done with it


def test_a_batch_is_no_more_than_there_are(file):
    with pytest.raises(InputError, match=r"^batch_size is 1051; .*points.npz has 1050 training examples, so at most"):
        of_file(file, batch_size=1051)
    assert of_file(file, **{"probe.examples": 301}).probe.examples == 300  # all of the test set
    assert of_file(file, steps="2epochs").steps == 210


def test_a_sweep_is_told_by_its_files(file, tmp_path):
    np.savez(other := tmp_path / "other.npz", x=X[:1000], y=Y[:1000])
    configs = [of_file(path, seed=seed) for path in (file, other) for seed in (0, 1)]
    assert swept(configs) == [{"file": str(path), "seed": seed} for path in (file, other) for seed in (0, 1)]
    assert [len(group) for group in grouping.by_program(configs)] == [2, 2]
    parts = [of_file(file, **{"data.test": size}) for size in (300, 200)]
    assert swept(parts) == [{"train": 1050, "test": 300}, {"train": 1150, "test": 200}]


def test_two_sets_of_the_same_shapes_share_their_programs(file, tmp_path):
    np.savez(other := tmp_path / "other.npz", x=X[::-1] * 2, y=Y[::-1])
    texts = []
    for path in (file, other):
        run, strategy = build(of_file(path)), Strategy("sequential", tuple(jax.local_devices()[:1]), "one run")
        trainer = Trainer(Population(run.problem, run.data, strategy, 1, 1), [run])
        texts.append(trainer.population.segment._jitted.lower(*trainer._segment_arguments(20)).as_text())
    assert "tensor<1050x20xf32>" in texts[0]
    assert texts[0] == texts[1]  # so that no number of the data is in them


@pytest.mark.heavy
def test_arrays_train_resume_and_are_shown(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = xinit.run(data=(X, Y), out="whole", **SMALL | {"steps": 40, "optimizer.learning_rate": 0.3})
    settings = {"steps": 40, "out": str(tmp_path / "cut"), "optimizer.learning_rate": 0.3}
    runner.execute(of_file(file, stop_after=17, **settings), console.Reporter(quiet=True))
    stored = runner.execute(of_file(file, **settings), console.Reporter(quiet=True)).path
    readings = xinit.open(stored)
    assert readings.attrs["resumed_from"] == 17
    assert pathlib.Path(whole.attrs["path"]).name == stored.name
    for name in whole.data_vars:
        np.testing.assert_array_equal(readings[name], whole[name])
    assert readings.attrs["test_error"] < readings.attrs["chance_error"] == pytest.approx(np.mean(Y != 2), abs=0.1)
    shown = facts.facts(sources.load(stored))["data"]
    assert shown.startswith("arrays (file=points.npz train=1050 valid=150 test=300 ")
