"""A sweep from the command line: grouped, trained, killed, re-issued, handed over, joined by another process."""

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import time
import typing

import jax.monitoring
import numpy as np
import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback

import xinit
from xinit import train
from xinit.commands import cli
from xinit.runs import record
from xinit.settings.compose import compose_many, conf_dir, container, normalise
from xinit.training.trainer import Trainer

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
SMALL = ["data=synthetic", "width=16", "depth=2", "steps=200", "probe=economy", "probe.points=5", "data.test=1000",
         "data.valid=1000", "optimizer.learning_rate=0.1"]  # fmt: skip
SWEEP = ["+scheme=standard,xavier", "seed=range(3)", "activation=tanh,softsign"]


def main(monkeypatch, tmp_path, *arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["xinit.train", "-m", *SMALL, *arguments])
    return train.main()


def aggregate(folder):
    """The one aggregate below a folder: its dataset, and what its other files hold."""
    (path,) = folder.glob("runs/sweeps/*/sweep.json")
    return xinit.open(path.parent), [(path.parent / name).read_text() for name in ("sweep.json", "table.csv")]


def assert_same_aggregate(one, other):
    (dataset, texts), (other_dataset, other_texts) = aggregate(one), aggregate(other)
    assert texts == other_texts
    for name in dataset.variables:
        if name != "path":
            np.testing.assert_array_equal(dataset[name].values, other_dataset[name].values, err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted sweep of twelve runs in two groups."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        assert main(patch, folder, *SWEEP) == cli.DONE
    return folder


def test_every_job_has_its_folder_and_the_sweep_its_aggregate(whole):
    dataset, (text, table) = aggregate(whole)
    assert dataset.sizes["replica"] == len(list(whole.glob("runs/*/*/summary.json"))) == 12
    assert {"scheme", "seed", "activation", "path"} <= set(dataset.coords)
    by_name = dataset.set_index(replica=["scheme", "seed", "activation"])
    one = by_name.sel(scheme="xavier", seed=1, activation="softsign")
    alone = record.open(one.path.item())
    np.testing.assert_array_equal(one.act_std.squeeze(), alone.act_std)
    assert one.test_error.item() == alone.attrs["test_error"]
    rows = [line.split(",") for line in table.splitlines()]
    assert rows[0][:4] == ["scheme", "activation", "test_error_mean", "test_error_std"]
    assert len(rows) == 5
    assert [row[rows[0].index("n")] for row in rows[1:]] == ["3"] * 4
    assert json.loads(text)["cells"][0]["diverged"] == 0


def test_one_training_program_and_one_call_for_a_replica_axis_of_24(tmp_path, monkeypatch):
    """By compile events and by the axis of what the training calls were given."""
    compiled, axes, advance = [], set(), Trainer.advance

    def noting(self, stop, *, before_probe=False):
        axes.add(self.state.loss_sum.shape)
        advance(self, stop, before_probe=before_probe)

    def note(event, seconds, **facts):
        compiled.append(facts["fun_name"]) if event.endswith("backend_compile_duration") else None

    monkeypatch.setattr(Trainer, "advance", noting)
    jax.monitoring.register_event_duration_secs_listener(note)
    swept = ["+scheme=standard,xavier,he", "seed=range(4)", "optimizer.learning_rate=0.01,0.03", "width=20"]
    assert main(monkeypatch, tmp_path, *swept) == cli.DONE
    jax.monitoring.unregister_event_duration_listener(note)
    assert (sum("segment" in name for name in compiled), axes) == (1, {(24,)})
    assert len(list(tmp_path.glob("runs/*/*/summary.json"))) == 24
    assert len(list(tmp_path.glob("runs/sweeps/*/readings.nc"))) == 1


def test_values_set_in_a_composed_config_are_those_that_hydra_sets(monkeypatch):
    from hydra import compose, initialize_config_dir

    jobs = [
        ["+scheme=xavier", "seed=3", "activation=relu", "scheme.gain=1.5"],
        ["scheme=custom", "scheme.fn=a.b:c", "scheme.kwargs={alpha:0.1,beta:[1,2]}", "init_seed=4"],
        ["experiment=glorot2010", "width=[30,20]", "seed=7", "name='a b'", "optimizer=adam", "optimizer.b1=0.5"],
        ["activation=[tanh,relu]", "depth=2", "stop_after=3epochs", "verdict.signal_warn=1e3", "out=a/b"],
    ]
    ours = compose_many("train", jobs)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        theirs = [container(compose("train", overrides=normalise(job))) for job in jobs]
    assert ours == theirs


def test_a_sweeper_gets_the_valid_errors_and_chance_where_a_job_diverged(monkeypatch, tmp_path):
    from hydra.core.utils import JobStatus

    from xinit.commands import launcher

    returned = []
    launch = launcher.PopulationLauncher.launch
    noting = lambda *a, **k: returned.extend(launch(*a, **k)) or returned
    monkeypatch.setattr(launcher.PopulationLauncher, "launch", noting)
    rates = "optimizer.learning_rate=0.1,1e30"
    assert main(monkeypatch, tmp_path, "scheme=he", "activation=relu", rates) == cli.DONE
    assert [job.status for job in returned] == [JobStatus.COMPLETED] * 2
    summaries = [record.read_json(path) for path in tmp_path.glob("runs/*/*/summary.json")]
    diverged, done = sorted(summaries, key=lambda summary: summary["diverged_at"] is None)
    assert [job.return_value for job in returned] == [done["valid_error"], diverged["chance_error"]]


def test_groups_handed_to_another_launcher_give_the_same_aggregate(whole, tmp_path, monkeypatch, capsys):
    assert main(monkeypatch, tmp_path, *SWEEP, "+hydra/launcher@hydra.launcher.inner=basic") == cli.DONE
    assert_same_aggregate(whole, tmp_path)
    output = capsys.readouterr().out
    assert output.count("6 runs at once") == 2


class Listener(Callback):
    """A callback of a user's, which keeps what it hears."""

    heard: typing.ClassVar[list] = []

    def on_job_start(self, config, *, task_function, **kwargs):
        self.heard.append(
            ("start", config.hydra.job.num, config.seed, HydraConfig.get().job.num, callable(task_function))
        )

    def on_job_end(self, config, job_return, **kwargs):
        values = job_return.status, job_return.return_value, job_return.overrides, job_return.task_name
        configs = job_return.cfg, job_return.hydra_cfg.hydra.job.num, config.hydra.runtime.output_dir
        self.heard.append(("end", config.seed, values, configs))


def test_callbacks_hear_each_job_of_a_population_as_of_any_other_launcher(tmp_path, monkeypatch):
    """Alone, and where the groups are handed to a launcher that has callbacks of its own."""
    heard = {}
    for launcher in ("hydra/launcher=basic", "depth=2", "+hydra/launcher@hydra.launcher.inner=basic"):
        monkeypatch.setattr(Listener, "heard", [])
        callback = f"+hydra.callbacks.mine._target_={__name__}.Listener"
        assert main(monkeypatch, tmp_path, "seed=3,4", "scheme=xavier", launcher, callback) == cli.DONE
        heard[launcher] = sorted(Listener.heard, key=lambda event: event[:2])  # one by one, or all starts first
    basic, population, handed_over = heard.values()
    assert [event[:2] for event in basic] == [("end", 3), ("end", 4), ("start", 0), ("start", 1)]
    assert without_overrides(population) == without_overrides(handed_over) == without_overrides(basic)


def without_overrides(heard):
    """The events but for their overrides, which name the launcher."""
    return [event if event[0] == "start" else (event[:2], event[2][:2], event[2][3:], *event[3]) for event in heard]


def test_another_launcher_alone_ends_with_the_sweeps_table(tmp_path, monkeypatch, capsys):
    """From the folders of the runs: its jobs may run in other processes. A mistake is found before the first."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs hydra-joblib-launcher, which is absent")
    joblib = ["scheme=standard,xavier", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]
    assert main(monkeypatch, tmp_path, *joblib, "depth=2,x") == cli.BAD_INPUT
    assert "depth is 'x'; it must be a whole number, at least 1. (2 of 4 jobs)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main(monkeypatch, tmp_path, *joblib) == cli.DONE
    assert "side by side" in capsys.readouterr().out
    assert aggregate(tmp_path)[0].sizes["replica"] == 2


def test_hydras_own_launcher_still_runs_the_jobs_one_by_one(whole, tmp_path, monkeypatch):
    jobs = ["scheme=standard,xavier", "seed=1", "activation=tanh", "hydra/launcher=basic"]
    assert main(monkeypatch, tmp_path, *jobs) == cli.DONE
    errors = aggregate(tmp_path)[0].set_index(replica=["scheme"]).test_error
    swept = aggregate(whole)[0].set_index(replica=["scheme", "seed", "activation"]).test_error
    for scheme in ("standard", "xavier"):
        assert errors.sel(replica=scheme) == swept.sel(scheme=scheme, seed=1, activation="tanh")


def test_schemes_of_ones_own_from_a_config_dir(tmp_path, monkeypatch):
    (tmp_path / "mine_of_a_user.py").write_text(
        "from jax.nn import initializers\ndef make(alpha): return initializers.normal(alpha)\n"
    )
    (tmp_path / "yaml" / "scheme").mkdir(parents=True)
    (tmp_path / "yaml" / "scheme" / "mine.yaml").write_text("fn: mine_of_a_user:make\nalpha: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    arguments = ["xinit.train", "-m", "--config-dir", "yaml", *SMALL, "scheme=xavier,mine", "steps=20"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert train.main() == cli.DONE
    assert sorted(aggregate(tmp_path)[0].scheme.values) == ["mine_of_a_user:make", "xavier"]


def test_from_python(tmp_path, whole):
    fixed = {key: yaml.safe_load(value) for key, value in (argument.split("=") for argument in SMALL)}
    over = {"scheme": ["standard", "xavier"], "seed": range(3), "activation": ["tanh", "softsign"]}
    dataset = xinit.sweep(over, progress=False, out=str(tmp_path / "runs"), **fixed)
    errors = aggregate(whole)[0].set_index(replica=["scheme", "seed", "activation"]).test_error.unstack()
    ours = dataset.set_index(replica=["scheme", "seed", "activation"]).test_error.unstack()
    np.testing.assert_array_equal(ours.values, errors.values)
    assert ours.dims == ("scheme", "seed", "activation")


def command(*arguments):
    return [sys.executable, "-m", "xinit.train", "-m", *SMALL, *arguments]


@pytest.mark.slow
def test_a_killed_sweep_re_issued_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    """SIGKILL at random moments of training; what is done stays, what was cut goes on."""
    arguments = [*SWEEP, "steps=5000", "checkpoint_every=0", "population.chunk=6"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    assert main(monkeypatch, whole, *arguments) == cli.DONE
    chance, killed_at, resumed = random.Random(0), [], 0
    while len(killed_at) < 3 and killed_at[-1:] != [False]:
        process = subprocess.Popen(command(*arguments), cwd=killed, stdout=subprocess.PIPE, text=True)
        for line in iter(process.stdout.readline, ""):
            resumed += "going on from the checkpoint" in line
            if len(killed_at) < 2 and line.startswith("step") and not line.startswith("step       0"):  # it is training
                time.sleep(chance.uniform(0.1, 0.7))  # there is a checkpoint at every look, twice a second
                process.send_signal(signal.SIGKILL)
        process.stdout.close()
        killed_at.append(process.wait() == -signal.SIGKILL)
    assert killed_at == [True, True, False]
    assert process.returncode == 0
    assert resumed >= 1
    assert len(list(killed.glob("runs/*/*/summary.json"))) == 12
    assert_same_aggregate(whole, killed)
    assert not list(killed.glob("runs/*/*/checkpoints"))


def test_ctrl_c_stops_a_sweep_in_a_state_that_goes_on(tmp_path):
    arguments = [*SWEEP, "steps=200000"]
    process = subprocess.Popen(
        command(*arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in iter(process.stdout.readline, ""):
        if line.startswith("step ") and "step       0" not in line:
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command goes on from there" in output
    assert "Traceback" not in errors
    states = [record.read_json(path)["state"] for path in tmp_path.glob("runs/*/*/status.json")]
    assert states == ["interrupted"] * 6


def test_a_second_sweep_of_the_same_shape_compiles_nothing(tmp_path, no_programs):
    """In a new process, with other seeds, rates and gains."""
    code = (
        "import jax.monitoring\n"
        "missed = []\n"
        "jax.monitoring.register_event_listener(lambda event, **_: missed.append(event)"
        " if event == '/jax/compilation_cache/cache_misses' else None)\n"
        "from xinit import train\n"
        "train.main()\n"
        "print('missed', len(missed))\n"
    )
    counts = []
    for seeds, rates, gain in (("0,1", "0.1,0.2", 1.0), ("5,6", "0.3,0.4", 1.5)):
        swept = [
            f"seed={seeds}",
            f"optimizer.learning_rate={rates}",
            f"scheme.gain={gain}",
            "scheme=xavier",
            "width=18",
        ]
        arguments = [sys.executable, "-c", code, "-m", *SMALL[:-1], *swept]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path)
        counts.append(int(done.stdout.rsplit("missed", 1)[1]))
    assert counts[0] > 0
    assert counts[1] == 0


@pytest.mark.slow
def test_two_processes_give_the_single_process_result(whole, tmp_path):
    """Joined by jax.distributed on the loopback address; each trains its share, the first writes the aggregate."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    code = (
        "import sys, jax\n"
        "jax.distributed.initialize(sys.argv.pop(1), 2, int(sys.argv.pop(1)))\n"
        "from xinit import train\n"
        "sys.exit(train.main())\n"
    )
    arguments = ["-m", *SMALL, *SWEEP]
    started = [
        subprocess.Popen([sys.executable, "-c", code, address, str(i), *arguments], cwd=tmp_path, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for i in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert_same_aggregate(whole, tmp_path)
    assert ["test error of 12 runs" in output for output, _ in outputs] == [True, False]
    pids = [record.read_json(path)["pid"] for path in tmp_path.glob("runs/*/*/status.json")]
    assert {pid: pids.count(pid) for pid in pids} == {process.pid: 6 for process in started}
