"""The examples in docstrings do what they show, in a folder of their own."""

import contextlib
import doctest
import importlib
import io
import pathlib

import numpy as np
import pytest

import xinit
from xinit.analysis.comparison import Comparison, Trial
from xinit.commands import sweeping
from xinit.runs import record, runner
from xinit.settings.compose import compose, overrides_from

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = {"data": "synthetic", "depth": 2, "width": 16, "steps": 20}
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "xinit").rglob("*.py"))
    if ">>>" in path.read_text()
]


def comparison():
    """He's scheme and Xavier's, each with two learning rates and three seeds."""
    search = (("he", 0.1, 0.3), ("he", 0.3, 0.2), ("xavier", 0.1, 0.25), ("xavier", 0.3, 0.4))
    scores = (("he", 0.3, (0.2, 0.21, 0.205)), ("xavier", 0.1, (0.25, 0.255, 0.26)))
    return Comparison(
        "MNIST, relu",
        0.9,
        "100 steps of 10",
        ("he", "xavier"),
        (0.1, 0.3),
        tuple(Trial(scheme, rate, 0, error, False) for scheme, rate, error in search),
        tuple(Trial(s, rate, seed, error, False) for s, rate, errors in scores for seed, error in enumerate(errors, 1)),
        {},
    )


def trained(folder):
    """Two runs that differ in their seed: what examples of readings begin with."""
    over = {"seed": [0, 1]}
    sweep = xinit.sweep(over, progress=False, out=str(folder), **SMALL)
    raws = [compose("train", overrides_from({**SMALL, "out": str(folder), "seed": seed})) for seed in (0, 1)]
    configs = sweeping.parse_all(raws)
    outcomes = [runner.from_disk(config) for config in configs]
    run = record.open(outcomes[0].path)
    limits = configs[0].verdict
    return {"sweep": sweep, "run": run, "outcomes": outcomes, "configs": configs, "limits": limits}


@pytest.fixture(scope="module")
def names(tmp_path_factory, compile_quickly):
    """What examples may use without an import: numpy, xinit, a comparison, and a small sweep with its first run."""
    return {"np": np, "xinit": xinit, "comparison": comparison()} | trained(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, runner = importlib.import_module(name), doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    with contextlib.redirect_stdout(io.StringIO()) as told:
        for example in doctest.DocTestFinder().find(module, extraglobs=names):
            runner.run(example, out=told.write)
    assert runner.failures == 0, told.getvalue()
