"""A run and its folder: done, cut, killed, damaged, diverged, refused; every way ends where the plain way does."""

import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import xinit
from xinit import train
from xinit.commands import cli
from xinit.commands.console import Reporter
from xinit.core.errors import InputError
from xinit.runs import checkpoints, record, runner
from xinit.runs.run_directory import RunDirectory
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
SMALL = {"data": "synthetic", "width": 16, "depth": 3, "steps": 300, "scheme": "xavier", "probe.points": 8,
         "figure": False, "keep_params": True, "data.valid": 1000, "data.test": 1000}  # fmt: skip


def execute(out, **settings):
    config = parse(compose("train", overrides_from(SMALL | {"out": str(out)} | settings)))
    return runner.execute(config, Reporter(quiet=True))


def results(path):
    """Final weights and readings, all as arrays."""
    params = checkpoints.load_tree(path / "params")
    weights = {f"{l}/{part}": a for l, layer in params["layers"].items() for part, a in layer.items()}
    return weights | record.read_readings(path / "readings.nc")


def assert_same_results(one, other):
    one, other = results(one), results(other)
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An uninterrupted run."""
    return execute(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The folder of a run that was stopped at step 100 and again at step 200, so that it has two checkpoints."""
    out = tmp_path_factory.mktemp("cut")
    for stop in (100, 200):
        execute(out, stop_after=stop)
    return out


def test_what_a_run_leaves_behind(plain):
    summary = json.loads((plain.path / "summary.json").read_text())
    for key in ("test_error", "valid_error", "chance_error", "verdict", "steps", "steps_per_s", "compile_s", "wall_s",
                "versions", "precision", "device"):  # fmt: skip
        assert summary[key] is not None, key
    assert 0 < summary["test_error"] < summary["chance_error"] < 1
    assert record.read_json(plain.path / "status.json")["state"] == "done"
    assert (plain.path / "config.yaml").exists()
    assert not (plain.path / "checkpoints").exists()


def test_the_opened_run_is_labelled(plain):
    readings = xinit.open(plain.path)
    assert readings.act_std.dims == ("step", "layer")
    assert readings.act_quantile.sel(layer=1, quantile=0.5).shape == readings.step.shape
    assert list(readings.step.values) == sorted(readings.step.values)
    assert (int(readings.step[0]), int(readings.step[-1])) == (0, 300)
    assert readings.attrs["test_error"] == plain.summary["test_error"]
    assert "scheme" in readings.attrs["config"]


def test_xinit_run_is_the_same_path(plain, tmp_path):
    readings = xinit.run(progress=False, out=tmp_path, **SMALL)
    assert_same_results(plain.path, pathlib.Path(readings.attrs["path"]))


def test_a_finished_run_returns_at_once_and_force_runs_anew(plain, capsys):
    before = (plain.path / "readings.nc").stat().st_mtime_ns
    again = execute(plain.path.parents[1])
    assert again.summary["test_error"] == plain.summary["test_error"]
    assert (plain.path / "readings.nc").stat().st_mtime_ns == before
    execute(plain.path.parents[1], force=True)
    assert (plain.path / "readings.nc").stat().st_mtime_ns > before


@pytest.mark.parametrize("stop", [1, 123])
def test_a_stopped_run_goes_on_to_the_same_end(plain, tmp_path, stop):
    stopped = execute(tmp_path, stop_after=stop)
    assert stopped.summary == {}
    assert record.read_json(stopped.path / "status.json")["state"] == "stopped"
    done = execute(tmp_path)
    assert done.summary["resumed_from"] == stop
    assert_same_results(plain.path, done.path)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(plain, cut, tmp_path, damage, capsys):
    shutil.copytree(cut, tmp_path, dirs_exist_ok=True)
    (folder,) = tmp_path.glob("*/*/checkpoints/*")
    steps = sorted(int(path.name) for path in folder.iterdir())
    assert len(steps) == 2
    newest = folder / f"{steps[-1]:010d}"
    victim = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = victim.read_bytes()
    if damage == "missing":
        victim.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        victim.write_bytes(content[:middle] if damage == "truncated" else flipped)
    config = parse(compose("train", overrides_from(SMALL | {"out": str(tmp_path)})))
    done = runner.execute(config, Reporter())
    assert f"The checkpoint {newest} is damaged" in capsys.readouterr().out.replace("\n", "")
    assert done.summary["resumed_from"] == steps[0]
    assert_same_results(plain.path, done.path)


def test_after_two_damaged_checkpoints_new_ones_are_kept(cut, tmp_path):
    shutil.copytree(cut, tmp_path, dirs_exist_ok=True)
    for checksums in tmp_path.glob("*/*/checkpoints/*/*/checksums.json"):
        checksums.write_text("{}")
    assert execute(tmp_path, stop_after=50).summary == {}
    assert execute(tmp_path).summary["resumed_from"] == 50


@pytest.mark.parametrize("name", ["readings.nc", "status.json", "summary.json"])
def test_a_finished_run_with_a_damaged_file_is_computed_again(plain, tmp_path, name):
    shutil.copytree(plain.path.parents[1], tmp_path, dirs_exist_ok=True)
    (file,) = tmp_path.glob(f"*/*/{name}")
    file.write_bytes(file.read_bytes()[:40])
    assert_same_results(plain.path, execute(tmp_path).path)
    assert record.is_finished(file.parent)


def test_what_a_killed_process_left_half_written_is_no_obstacle(plain, cut, tmp_path):
    shutil.copytree(cut, tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("*/*")
    (path / ".params.123").mkdir()
    (path / ".readings.nc.123").write_text("half")
    done = execute(tmp_path)
    assert_same_results(plain.path, done.path)
    assert not list(done.path.glob(".*.123"))


def test_two_probe_points_and_none_reach_the_last_step(tmp_path):
    assert execute(tmp_path, **{"probe.points": 2}).summary["steps"] == 300
    diverged = {"probe": "off", "activation": "relu", "optimizer.learning_rate": 1e20, "seed": 3}
    first = execute(tmp_path, **diverged)
    assert record.is_finished(first.path)
    assert execute(tmp_path, **diverged).summary["wall_s"] == first.summary["wall_s"]


def test_a_forced_run_that_is_cut_goes_on(plain, tmp_path):
    shutil.copytree(plain.path.parents[1], tmp_path, dirs_exist_ok=True)
    execute(tmp_path, force=True, stop_after=100)
    assert execute(tmp_path, force=True).summary["resumed_from"] == 100


DRIVER = """
import os, signal, sys
from xinit.runs import checkpoints, pace; from xinit.core import files, manifests; from xinit import train
from xinit.training.trainer import Trainer

pace.TICK_SECONDS = 0.1
where, nth, log = sys.argv.pop(1), int(sys.argv.pop(1)), open(sys.argv.pop(1), "a", buffering=1)

def die_at(module, name, applies=lambda *a: True, count=[0]):
    original = getattr(module, name)
    def dying(*arguments):
        count[0] += applies(*arguments)
        if applies(*arguments) and count[0] == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)
    setattr(module, name, dying)

advance, calls = Trainer.advance, []
def logged_advance(self, stop, *, before_probe=False):
    if not calls:
        print("from", self.step, file=log)
    calls.append(stop)
    advance(self, stop, before_probe=before_probe)
    print("at", self.step, file=log)
Trainer.advance = logged_advance
if where == "checkpoint":  # orbax has written its files, they have no checksums yet
    die_at(manifests, "checksums", lambda path: path.name.startswith("."))
if where == "readings":  # the temporary file is written, the name is the old one's
    die_at(files.os, "replace", lambda old, new: str(new).endswith("readings.nc"))
sys.exit(train.main())
"""


def child(out, log, where="nowhere", nth=0, *, steps):
    settings = SMALL | {"steps": steps, "checkpoint_every": 0, "out": str(out)}
    arguments = [where, str(nth), str(log), *overrides_from(settings)]
    return subprocess.Popen([sys.executable, "-c", DRIVER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process):
    """The exit code of a child, and what it complained of."""
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors.decode()


def logged(log):
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(word, int(step)) for word, step in lines]


@pytest.mark.parametrize(
    ("kills", "steps"),
    [
        (("checkpoint", "readings"), 10_000),
        pytest.param(("nowhere", "checkpoint", "nowhere", "readings"), 40_000, marks=pytest.mark.slow),
    ],
)
def test_killed_it_ends_bit_for_bit_where_an_uninterrupted_run_does(tmp_path, kills, steps):
    """SIGKILL at random times, during a checkpoint write and during a readings write; then the same command."""
    whole = execute(tmp_path / "whole", steps=steps)
    log, chance = tmp_path / "killed.log", random.Random(0)
    for where in kills:
        before = len(logged(log))
        process = child(tmp_path / "killed", log, where, nth=3, steps=steps)
        if where == "nowhere":
            while len(logged(log)) <= before + 1 and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.4))
            process.kill()
        code, errors = ended(process)
        assert code == -signal.SIGKILL, errors
        assert any(word == "at" for word, _ in logged(log)[before:])
    assert ended(child(tmp_path / "killed", log, steps=steps))[0] in (0, cli.FAILED)
    events = logged(log)
    redone = [step - later for (word, step), (next_word, later) in itertools.pairwise(events)
              if (word, next_word) == ("at", "from")]  # fmt: skip
    assert len(redone) == len(kills)
    assert 0 < sum(redone) < steps
    (killed,) = (tmp_path / "killed").glob("*/*")
    assert_same_results(whole.path, killed)
    assert not list(killed.glob(".*.[0-9]*"))


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path):
    log = tmp_path / "log"
    process = child(tmp_path / "out", log, steps=200_000)
    while not any(word == "at" for word, _ in logged(log)):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command goes on from there" in output
    assert b"Traceback" not in errors
    path = next((tmp_path / "out").glob("*/*"))
    assert record.read_json(path / "status.json")["state"] == "interrupted"
    assert (path / "readings.nc").exists()


def test_a_live_run_refuses_a_second_process_and_a_dead_ones_lock_is_taken_over(tmp_path):
    outcome = execute(tmp_path, steps=20)
    directory = RunDirectory(outcome.path)
    directory.claim()
    directory.begin("")
    with pytest.raises(InputError, match=f"is being computed by process {os.getpid()} on "):
        execute(tmp_path, steps=20, force=True)
    directory.release()  # as the operating system does when a process dies; the status still says running
    assert record.read_json(outcome.path / "status.json")["state"] == "running"
    execute(tmp_path, steps=20)
    assert record.read_json(outcome.path / "status.json")["state"] == "done"


def test_a_diverged_run_says_where_and_keeps_its_readings(tmp_path):
    settings = {"activation": "relu", "scheme": "he", "optimizer.learning_rate": 1e6, "steps": 200}
    outcome = execute(tmp_path, **settings)
    status = record.read_json(outcome.path / "status.json")
    assert (status["state"], outcome.summary["test_error"]) == ("diverged", None)
    assert 0 < outcome.summary["diverged_at"] == status["step"] <= 200
    assert outcome.findings[0].rule == "diverged"
    assert len(xinit.open(outcome.path).step) >= 1
    again = execute(tmp_path, **settings)
    assert again.summary["diverged_at"] == outcome.summary["diverged_at"]


def test_a_folder_that_cannot_be_written_is_said_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"run folder .* cannot be written: Not a directory; choose another with out="):
        execute(tmp_path / "file")


def test_a_disk_that_fills_up_loses_nothing_already_written(cut, tmp_path):
    """A file-size limit makes the write of the readings fail for real, in a process of its own."""
    shutil.copytree(cut, tmp_path, dirs_exist_ok=True)
    (readings,) = tmp_path.glob("*/*/readings.nc")
    before = readings.read_bytes()
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)); "
    code += "from xinit import train; sys.exit(train.main())"
    arguments = overrides_from(SMALL | {"out": str(tmp_path)})
    process = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert process.returncode == cli.BAD_INPUT, process.stderr
    assert "cannot be written: File too large; choose another with out=DIR" in process.stderr
    assert "Traceback" not in process.stderr
    assert readings.read_bytes() == before
    assert execute(tmp_path).summary["resumed_from"] >= 200


def test_no_checkpoint_is_begun_where_there_is_no_room_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1000, 999, 1))
    with pytest.raises(InputError, match="cannot be written: No space left on device; choose another with out=DIR"):
        checkpoints.save(tmp_path / "checkpoints", 1, ["a"], {"w": np.zeros((1, 1000))}, {})
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_network_without_signal_is_judged_and_drawn(tmp_path):
    outcome = execute(tmp_path, scheme="constant", figure=True)
    assert outcome.summary["verdict"].startswith("FAIL: ")
    assert "the signal is zero or not finite in some layer at initialisation" in outcome.summary["verdict"]
    assert (outcome.path / "figures" / "layers.png").stat().st_size > 10_000


SCHEME = """
import jax

def my_init(key, shape, dtype):
    return {scale} * jax.random.normal(key, shape, dtype)
"""


@pytest.mark.slow
def test_an_edited_custom_function_is_another_run(tmp_path, monkeypatch):
    """Outside the project, through the command line: the same command, an edit, the same command."""
    package = tmp_path / "mypkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    out = {"out": str(tmp_path / "runs"), "scheme": "custom", "scheme.fn": "mypkg.mymodule:my_init", "steps": 50}
    arguments = [sys.executable, "-m", "xinit.train", *overrides_from(SMALL | out)]
    outputs = []
    for scale in (0.05, 0.05, 0.1):
        (package / "mymodule.py").write_text(SCHEME.format(scale=scale))
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode in (cli.DONE, cli.FAILED), done.stderr
        outputs.append("this run is done already" in done.stdout)
    assert outputs == [False, True, False]
    runs = list((tmp_path / "runs").glob("synthetic-tanh-3x16-my_init/*"))
    stds = sorted(float(xinit.open(run).pre_std[0, 0]) for run in runs)
    assert len(runs) == 2
    assert stds[1] == pytest.approx(2 * stds[0], rel=1e-5)


def test_a_live_session_runs_what_it_hashes_also_where_a_package_only_passes_a_function_on(tmp_path, monkeypatch):
    package = tmp_path / "passing"
    package.mkdir()
    (package / "__init__.py").write_text("from passing.inner import my_init\n")
    monkeypatch.syspath_prepend(tmp_path)
    stds = []
    for scale in (0.05, 0.125):
        (package / "inner.py").write_text(SCHEME.format(scale=scale))
        outcome = execute(tmp_path / "runs", scheme="custom", steps=20, **{"scheme.fn": "passing:my_init"})
        stds.append(float(outcome.readings["pre_std"][0, 0]))
    assert stds[1] == pytest.approx(2.5 * stds[0], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scheme.fn": "no.such.module:f"}, "there is no module 'no.such.module' that can be imported"),
        ({"scheme.fn": "math:nothing"}, "the module math has no function 'nothing'"),
        (
            {"scheme.fn": "bad:wrong_shape"},
            r"made a kernel of layer 1 .* of shape \(2, 2\) and type float32; it must be of shape",
        ),
        ({"scheme.fn": "bad:wrong_type"}, "type float16; it must be of shape"),
        ({"scheme.fn": "bad:crashes"}, "scheme 'bad:crashes' failed with ZeroDivisionError: division by zero"),
        ({"scheme.fn": "bad:nothing_back"}, "scheme 'bad:nothing_back' must return"),
        ({"scheme.fn": "broken:f"}, "importing 'broken' failed with SyntaxError"),
        ({"scheme.fn": "bad:wrong_shape", "scheme.kwargs": {"key": 1}}, "needs scheme.dtype, scheme.shape"),
        ({"scheme.fn": "bad:wrong_shape", "scheme.kwargs": 3}, "scheme.kwargs is 3; it must be a mapping"),
        ({"scheme.fn": "attribute:f"}, "importing 'attribute' failed with AttributeError"),
    ],
)
def test_a_custom_function_that_does_not_work_is_refused_before_any_work(settings, words, tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text(
        "import jax.numpy as jnp\n"
        "def wrong_shape(key, shape, dtype): return jnp.zeros((2, 2))\n"
        "from xinit.networks.mlp import make_params\n"
        "def wrong_type(key, widths, activations, hyper, batch):\n"
        "    shapes = list(zip(widths, widths[1:]))\n"
        "    kernels = [jnp.zeros(shape, jnp.float16) for shape in shapes]\n"
        "    return make_params(kernels, [jnp.zeros(o) for _, o in shapes]), jnp.ones(len(shapes))\n"
        "def crashes(key, shape, dtype): return 1 / 0\n"
        "def nothing_back(key, widths, activations, hyper, batch): return None\n"
    )
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "attribute.py").write_text("import math\nmath.nothing\ndef f(key, shape, dtype): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=words):
        execute(tmp_path / "runs", **{"scheme": "custom"} | settings)
    assert not (tmp_path / "runs").exists()


def test_yaml_and_a_factory_outside_the_package(tmp_path, monkeypatch):
    """A scheme of one's own as a YAML file, found with --config-dir, its options the factory's arguments."""
    (tmp_path / "mine.py").write_text(
        "from jax.nn import initializers\ndef make(alpha): return initializers.normal(alpha)\n"
    )
    (tmp_path / "yaml" / "scheme").mkdir(parents=True)
    (tmp_path / "yaml" / "scheme" / "mine.yaml").write_text("fn: mine:make\nalpha: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    overrides = overrides_from(SMALL | {"scheme": "mine", "steps": 20, "out": "runs", "scheme.alpha": 0.2})
    monkeypatch.setattr(sys, "argv", ["xinit.train", "--config-dir", "yaml", *overrides])
    assert train.main() in (cli.DONE, cli.FAILED)
    run = next((tmp_path / "runs").glob("synthetic-tanh-3x16-make/*"))
    assert float(xinit.open(run).pre_std[0, 0]) == pytest.approx(0.2 * np.sqrt(64), rel=0.1)


def test_a_second_process_compiles_nothing(tmp_path, no_programs):
    """No cache miss in a new process, with other seeds, rates and gains."""
    code = (
        "import sys, jax, jax.monitoring\n"
        "missed = []\n"
        "jax.monitoring.register_event_listener(lambda event, **_: missed.append(event)"
        " if event == '/jax/compilation_cache/cache_misses' else None)\n"
        "from xinit import train\n"
        "train.main()\n"
        "print('missed', len(missed))\n"
    )
    counts = []
    for seed, rate, gain in ((0, 0.1, 1.0), (1, 0.2, 1.5)):
        settings = SMALL | {"width": 17, "out": str(tmp_path / str(seed)), "seed": seed, "scheme.gain": gain}
        arguments = overrides_from(settings | {"optimizer.learning_rate": rate})
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        counts.append(int(done.stdout.rsplit("missed", 1)[1]))
    assert counts[0] > 0
    assert counts[1] == 0
