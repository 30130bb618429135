"""A user's own modules through `network=custom`: swept, killed, issued again, reported, edited, and refused."""

import functools
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import xinit
from xinit import train
from xinit.commands import cli
from xinit.report import __main__ as report
from xinit.runs import record

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
MODULES = pathlib.Path(__file__).resolve().parents[1] / "tracing" / "own_networks.py"
SMALL = ["data=own_networks:images", "width=4", "depth=1", "batch_size=10",
         "steps=40", "probe.points=3", "optimizer=adam"]  # fmt: skip
SWEEP = ["-m", "scheme=xavier,he,own", "seed=0,1"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the user's, with the modules in it, that commands run in."""
    shutil.copy(MODULES, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    return tmp_path


def run(monkeypatch, *arguments, entry=train):
    monkeypatch.setattr(sys, "argv", [entry.__name__, *arguments])
    return entry.main()


def aggregate(out):
    (path,) = pathlib.Path(out).glob("sweeps/*/sweep.json")
    return path.parent, xinit.open(path.parent), (path.parent / "table.csv").read_text()


@pytest.mark.parametrize("network", ["transformer", "resnet"])
@pytest.mark.slow
def test_a_sweep_that_was_killed_ends_as_an_uncut_one_and_is_reported(network, folder, monkeypatch):
    command = [sys.executable, "-m", "xinit.train", *SMALL, *SWEEP, f"network=own_networks:{network}"]
    command += ["steps=600", "checkpoint_every=0"]
    start = functools.partial(subprocess.Popen, cwd=folder, stdout=subprocess.PIPE, text=True)
    uncut, process = start([*command, "out=whole"]), start([*command, "out=killed"])
    for line in iter(process.stdout.readline, ""):
        if line.startswith("step ") and "step       0" not in line:
            process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert not list(folder.glob("killed/sweeps/*/table.csv"))
    again = start([*command, "out=killed"])
    assert [(other.communicate(), other.returncode)[1] for other in (uncut, again)] == [cli.DONE] * 2
    (path, whole, table), (_, killed, other_table) = aggregate("whole"), aggregate("killed")
    assert table == other_table
    for name in set(whole.variables) - {"path"}:
        np.testing.assert_array_equal(whole[name].values, killed[name].values, err_msg=name)
    assert whole.sizes["replica"] == 6
    assert np.isfinite(whole.pre_std.values).all()
    assert run(monkeypatch, str(path), entry=report) == cli.DONE


def test_editing_the_module_makes_new_runs(folder, monkeypatch):
    command = [*SMALL, "network=own_networks:dropped", "scheme=he", "probe=off"]
    text = MODULES.read_text()
    for expected, source in ((1, text), (1, text), (2, text.replace("Dropout(0.5", "Dropout(0.25"))):
        (folder / "own_networks.py").write_text(source)
        assert run(monkeypatch, *command) == cli.DONE
        assert len(list(folder.glob("runs/*-dropped-*/*/summary.json"))) == expected


def test_a_function_that_python_gives(folder):
    import own_networks

    settings = {"data": own_networks.images, "batch_size": 10, "steps": 20}
    readings = xinit.run(network=own_networks.dropped, scheme="he", progress=False, **settings)
    assert "own_networks:dropped" in record.load(pathlib.Path(readings.attrs["path"])).config
    assert readings.sizes["layer"] == 2
    assert readings.sizes["weight"] == 3


REFUSED = {  # arguments -> words of the sentence
    "network=custom": "network.fn",
    "network=own_networks:none": "the module own_networks has no function 'none'.",
    "network=nowhere:make": "there is no module 'nowhere'",
    "network=own_networks:fails": "failed with RuntimeError: on purpose",
    "network=own_networks:no_module": "it must return a flax.nnx or flax.linen module.",
    "network=own_networks:wrong_size": "it must give logits of shape (2, 3) and type float32.",
    "network=own_networks:no_layer network.n=3": "makes a module without a layer that can be seen",
    "network=own_networks:hidden": "so that no scheme could draw inner/kernel",
    "network=own_networks:transformer network.pach=2": "Unknown setting network.pach; did you mean patch?",
    "network=own_networks:transformer network.patch=two": "failed with",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_is_refused_in_one_sentence_before_any_work(arguments, folder, monkeypatch, capsys):
    assert run(monkeypatch, *SMALL, *arguments.split()) == cli.BAD_INPUT
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert REFUSED[arguments] in line
    assert not (folder / "runs").exists()
