"""Parts of the user's own, from a file outside the project: swept, killed, issued again, compared, and edited."""

import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import xinit
from xinit import compare, train
from xinit.commands import cli
from xinit.runs import record

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
OWN = """
import jax.numpy as jnp
import optax

def swish(x, rate=1.0):
    return x / (1 + jnp.exp(-rate * x))

def plain(learning_rate):
    return optax.sgd(learning_rate)

def heavy(learning_rate, momentum=0.5):
    return optax.sgd(learning_rate, momentum=momentum)

def small(key, shape, dtype):
    return 0.1 * optax.tree.random_like(key, jnp.zeros(shape, dtype))

def rank(params, batch, outputs):
    '''Participation ratio of each layer's units.'''
    values = [jnp.linalg.svd(h, compute_uv=False) ** 2 for h in outputs.post]
    return {"participation": jnp.stack([v.sum() ** 2 / (v**2).sum() for v in values])}
"""
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "howto" / "own-parts.md"
COMMANDS = re.search(r"Every choice can be your own.*?```\n(.*?)```", PAGE.read_text(), re.S)[1].splitlines()
SMALL = ["data=synthetic", "width=16", "depth=2", "steps=300", "probe.points=5", "data.valid=1000", "data.test=1000",
         "population.strategy=map"]  # fmt: skip
SWEEP = ["scheme=xavier", "activation=tanh,own:swish", "optimizer=sgd,own:plain,own:heavy", "seed=0,1",
         "optimizer.learning_rate=0.05", "probe.extra=[own:rank]"]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the user's, with a module in it, that commands run in."""
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    return tmp_path


def run(monkeypatch, entry, *arguments):
    monkeypatch.setattr(sys, "argv", [entry.__name__, *SMALL, *arguments])
    return entry.main()


def aggregate(out):
    (path,) = pathlib.Path(out).glob("sweeps/*/sweep.json")
    return xinit.open(path.parent), (path.parent / "table.csv").read_text()


@pytest.mark.slow
def test_a_sweep_over_own_and_built_in_parts_that_was_killed_ends_as_an_uncut_one(folder, monkeypatch):
    longer = [*SWEEP, "steps=4000", "checkpoint_every=0"]
    assert run(monkeypatch, train, "-m", *longer, "out=whole") == cli.DONE
    command = [sys.executable, "-m", "xinit.train", "-m", *SMALL, *longer, "out=killed"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    for line in iter(process.stdout.readline, ""):
        if line.startswith("step ") and "step       0" not in line:
            time.sleep(random.Random(0).uniform(0.1, 0.4))
            process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert run(monkeypatch, train, "-m", *longer, "out=killed") == cli.DONE
    (whole, table), (killed, other_table) = aggregate("whole"), aggregate("killed")
    assert table == other_table
    for name in set(whole.variables) - {"path"}:
        np.testing.assert_array_equal(whole[name].values, killed[name].values, err_msg=name)
    assert whole.sizes["replica"] == 12
    assert set(whole.activation.values) == {"tanh", "own:swish"}
    assert set(whole.optimizer.values) == {"sgd", "own:plain", "own:heavy"}
    assert whole.participation.dims == ("replica", "step", "layer")
    same = whole.set_index(replica=["activation", "optimizer", "seed"]).valid_error
    np.testing.assert_array_equal(same.sel(optimizer="sgd").values, same.sel(optimizer="own:plain").values)


def test_editing_the_function_makes_new_runs(folder, monkeypatch):
    sweep = ["-m", "activation=own:swish", "seed=0,1", "steps=20", "probe=economy"]
    for expected, text in ((2, OWN), (2, OWN), (4, OWN.replace("rate=1.0", "rate=2.0"))):
        (folder / "own.py").write_text(text)
        assert run(monkeypatch, train, *sweep) == cli.DONE
        assert len(list(folder.glob("runs/synthetic-swish-2x16-standard/*/config.yaml"))) == expected


def test_own_parts_are_compared(folder, monkeypatch, capsys):
    settings = ["schemes=[xavier,own:small]", "activation=own:swish", "optimizer=own:heavy", "optimizer.momentum=0.8"]
    small = ["learning_rates=[0.05,0.1]", "search_seeds=1", "score_seeds=2", "steps=50", "probe=economy"]
    assert run(monkeypatch, compare, *settings, *small) == cli.DONE
    assert "own:small" in capsys.readouterr().out
    assert len(list(folder.glob("runs/synthetic-swish-2x16-*/*/summary.json"))) == 2 * (2 + 2)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_readme(command, folder, monkeypatch):
    (folder / "mypkg").mkdir()
    names = {"small": "my_init", "swish": "my_activation", "heavy": "my_optimizer", "rank": "my_reading"}
    text = re.sub(r"(?<=def )\w+", lambda name: names.get(name[0], name[0]), OWN)
    (folder / "mypkg" / "mymodule.py").write_text(text)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypkg"]:
        monkeypatch.delitem(sys.modules, name)
    generator = np.random.default_rng(0)
    np.savez(folder / "my.npz", x=generator.normal(size=(150, 5)).astype("f"), y=generator.integers(3, size=150))
    words, *arguments = command.removeprefix("python -m ").split()
    assert words == "xinit.train"
    given = [argument for argument in SMALL if "data=arrays" not in arguments or not argument.startswith("data")]
    monkeypatch.setattr(sys, "argv", [words, *given, "steps=20", "probe=economy", *arguments])
    assert train.main() == cli.DONE
    runs = list(folder.glob("runs/*/*/summary.json"))
    assert len(runs) == (8 if "-m" in arguments else 1)
    configs = "".join((path.parent / "config.yaml").read_text() for path in runs)
    for function in re.findall(r"\w[\w.]*:\w+", command):
        assert function in configs


def test_functions_that_python_gives(folder):
    import own

    chosen = {"activation": own.swish, "optimizer": own.heavy, "scheme": own.small, "probe.extra": [own.rank]}
    small = {"data": "synthetic", "width": 16, "depth": 2, "steps": 20, "progress": False}
    readings = xinit.run(**chosen, **small)
    assert record.load(pathlib.Path(readings.attrs["path"])).config.count("own:") == 5
    assert readings.participation.dims == ("step", "layer")
