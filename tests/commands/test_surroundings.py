"""The same numbers and untouched surroundings, whatever else a session has set: jax's flags, Hydra, threads."""

import concurrent.futures
import contextlib
import io
import logging
import os
import pathlib
import subprocess
import sys

import hydra
import jax
import numpy as np
import pytest
import threadpoolctl
import yaml
from flax import nnx
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton

import xinit
from xinit import inspect, report
from xinit import list as listing
from xinit.core import prng
from xinit.runs import record
from xinit.theory import __main__ as theory
from xinit.theory.prediction import on_one_core

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
SMALL = {"data": "synthetic", "width": 8, "depth": 2, "steps": 20, "probe": "economy", "probe.points": 2,
         "data.test": 300, "data.valid": 300, "figure": False}  # fmt: skip
WORDS = [f"{key}={value}" for key, value in SMALL.items()]


@contextlib.contextmanager
def flag(name, value):
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        yield
    finally:
        jax.config.update(name, before)


def run(folder, **settings):
    return xinit.run(out=str(folder), progress=False, **(SMALL | settings))


def arrays(dataset):
    return {name: np.asarray(values) for name, values in dataset.data_vars.items()}


def printed(monkeypatch, main, *words):
    """What a command prints, but for lines with the folders of this test."""
    monkeypatch.setattr(sys, "argv", ["xinit", *words])
    with contextlib.redirect_stdout(io.StringIO()) as output:
        main()
    return [line for line in output.getvalue().splitlines() if "/" not in line and " s left" not in line]


def weights(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))]


def network():
    return nnx.Sequential(nnx.Linear(6, 8, rngs=nnx.Rngs(0)), nnx.tanh, nnx.Linear(8, 3, rngs=nnx.Rngs(1)))


BATCH = np.linspace(-1, 1, 60, dtype=np.float32).reshape(10, 6), np.arange(10) % 3
SCHEMES = ["critical", "sparse", "lsuv"]  # draw by rules of their own

# Every entry, given a new folder and pytest's monkeypatch; a comparison trains as a sweep does.
ENTRIES = {
    "run": lambda folder, patch: arrays(run(folder, probe="full", optimizer="adam")),
    **{name: lambda folder, patch, name=name: arrays(run(folder, scheme=name)) for name in SCHEMES},
    "sweep": lambda folder, patch: arrays(
        xinit.sweep({"seed": [0, 1]}, out=str(folder), progress=False, **{"population.strategy": "vmap"}, **SMALL)
    ),
    "inspect": lambda folder, patch: printed(patch, inspect.main, "scheme=lsuv", "seeds=2", f"out={folder}", *WORDS),
    "theory": lambda folder, patch: printed(patch, theory.main, "activation=gelu", "depth=4", "figure=false"),
    "list": lambda folder, patch: printed(patch, listing.main, "schemes", "fans=7,10"),
    "predict": lambda folder, patch: xinit.predict(scheme="lsuv", **SMALL).values,
    "probe": lambda folder, patch: str(xinit.probe(network(), BATCH)),
    "probe without labels": lambda folder, patch: str(xinit.probe(network(), BATCH[0])),
    "initialize": lambda folder, patch: weights(xinit.initialize(network(), "orthogonal", jax.random.key(0))),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_gives_the_same_numbers_in_a_session_of_64_bits(tmp_path, monkeypatch, entry):
    expected = ENTRIES[entry](tmp_path / "32", monkeypatch)
    with flag("jax_enable_x64", True):
        found = ENTRIES[entry](tmp_path / "64", monkeypatch)
        assert jax.numpy.zeros(1).dtype == np.float64
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert jax.tree.map(lambda a: getattr(a, "dtype", None), found) == jax.tree.map(
        lambda a: getattr(a, "dtype", None), expected
    )


def test_a_page_of_a_run_is_the_same_in_a_session_of_64_bits(tmp_path):
    folder = run(tmp_path).attrs["path"]
    expected = report.write([folder], tmp_path / "32.html").read_text()
    with flag("jax_enable_x64", True):
        assert report.write([folder], tmp_path / "64.html").read_text() == expected


OTHERS = {
    "unsafe_rbg": ("jax_default_prng_impl", "unsafe_rbg"),
    "threefry2x32, not partitionable": ("jax_threefry_partitionable", False),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_random_number_generator_is_another_run(tmp_path, name):
    usual = run(tmp_path)
    with flag(*OTHERS[name]):
        other = run(tmp_path)
        sweep = xinit.sweep({"seed": [7, 0]}, out=str(tmp_path / "sweep"), progress=False,
                            **{"population.strategy": "vmap"}, **SMALL)  # fmt: skip
    path = pathlib.Path(other.attrs["path"])
    assert path != pathlib.Path(usual.attrs["path"])
    assert other.attrs["test_loss"] != usual.attrs["test_loss"]
    assert yaml.safe_load((path / "config.yaml").read_text())["prng"] == name == other.attrs["prng"]
    np.testing.assert_allclose(sweep.test_loss[1], other.attrs["test_loss"], rtol=1e-6)  # beside others as alone


def test_a_run_says_which_generator_it_had_and_the_usual_one_is_not_in_its_hash(tmp_path):
    usual = run(tmp_path)
    assert usual.attrs["prng"] == prng.DEFAULT == "threefry2x32"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "threefry2x32 False"),
        ({"JAX_DEFAULT_PRNG_IMPL": "rbg"}, "rbg True"),
        ({"JAX_THREEFRY_PARTITIONABLE": "0"}, "threefry2x32, not partitionable True"),
    ],
)
def test_jax_is_imported_only_where_somebody_may_have_chosen_its_generator(variables, expected):
    code = "import sys; from xinit.core import prng; print(prng.generator(), 'jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | variables)
    assert done.stdout.strip() == expected


def surroundings():
    hydras = {kind: (instance, dict(vars(instance))) for kind, instance in Singleton._instances.items()}
    return hydras, HydraConfig.get(), os.getcwd(), logging.root.handlers[:], logging.root.level


def test_inside_somebody_elses_hydra(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["theirs", "hydra.job.chdir=true", "depth=78"])
    (tmp_path / "theirs.yaml").write_text("depth: 77")
    seen = []

    @hydra.main(str(tmp_path), "theirs", version_base="1.2")
    def theirs(config):
        before = surroundings()
        seen.append(run(tmp_path / "runs"))
        seen.append(xinit.sweep({"seed": [0, 1]}, out=str(tmp_path / "runs"), progress=False, **SMALL))
        seen.append(xinit.predict(**SMALL))
        assert surroundings() == before
        assert config.depth == 78

    theirs()
    assert len(seen) == 3


def test_beside_somebody_elses_composition(tmp_path):
    (tmp_path / "theirs.yaml").write_text("depth: 77")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert run(tmp_path / "runs").attrs["steps"] == SMALL["steps"]
        assert hydra.compose("theirs").depth == 77


@pytest.mark.slow
def test_threads_run_side_by_side(tmp_path):
    jobs = [{"keep_params": True, "figure": True}, {"scheme": "lsuv", "checkpoint_every": 0}, {"seed": 1}, {"seed": 2}]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        side_by_side = list(pool.map(lambda job: run(tmp_path / "threads", **job), jobs))
    for job, found in zip(jobs, side_by_side, strict=True):
        jax.tree.map(np.testing.assert_array_equal, arrays(found), arrays(run(tmp_path / "alone", **job)))
        assert record.is_finished(pathlib.Path(found.attrs["path"]))


def test_theory_in_several_threads_leaves_blas_its_cores():
    cores = lambda: [library["num_threads"] for library in threadpoolctl.threadpool_info()]
    before, limited = cores(), on_one_core(cores)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(set(found) == {1} for found in pool.map(lambda _: limited(), range(40)))
    assert cores() == before


def test_threads_that_want_one_run_compute_it_once(tmp_path):
    def attempt(_):
        try:
            return run(tmp_path).attrs["test_loss"]
        except xinit.InputError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(attempt, range(4)))
    losses = {loss for loss in found if isinstance(loss, float)}
    assert losses == {run(tmp_path).attrs["test_loss"]}
    assert all("is being computed by process" in words for words in found if isinstance(words, str))
