"""Sweeps through joblib, submitit and Ray, in processes of their own, and studies by Optuna."""

import contextlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import BrokenExecutor

import numpy as np
import pytest
import yaml
from hydra.core.utils import JobReturn, JobStatus

import xinit
from xinit import train
from xinit.commands import cli, handover, launcher, sweeping
from xinit.core.errors import InputError
from xinit.runs import record, runner
from xinit.settings.compose import compose_many

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]

SMALL = ["data=synthetic", "depth=2", "width=12", "steps=50", "probe=economy", "probe.points=3", "data.test=1000",
         "data.valid=1000"]  # fmt: skip
SWEEP = ["scheme=xavier,mine", "seed=0,1", "width=12,16"]  # two groups of four runs
MINE = """
from jax.nn import initializers

def make(alpha):
    def draw(key, shape, dtype):
        if shape[1] == 17:
            raise ValueError("not 17")
        return initializers.normal(alpha)(key, shape, dtype)
    return draw
"""


def needs(package):
    """Skip, and name the package, where it is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others import, and how
        pytest.importorskip(package, reason=f"needs {package}: pip install 'xinit[launchers]'")


def folder_of_a_user(path):
    """A folder with a module and a config of the user's own."""
    (path / "yaml" / "scheme").mkdir(parents=True)
    (path / "mine_of_a_user.py").write_text(MINE)
    (path / "yaml" / "scheme" / "mine.yaml").write_text("fn: mine_of_a_user:make\nalpha: 0.1\n")
    return path


def train_there(folder, *arguments, **environment):
    """What the command printed, run in a process of its own in `folder`."""
    command = [sys.executable, "-m", "xinit.train", "-m", "--config-dir", "yaml", *SMALL, *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, timeout=240)


def main(monkeypatch, folder, *arguments):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["xinit.train", "-m", *SMALL, *arguments])
    return train.main()


def aggregates(folder):
    return sorted(path.parent for path in folder.glob("runs/**/sweeps/*/sweep.json"))


def assert_same_aggregate(one, other):
    """Every array bit for bit, and the tables letter for letter."""
    (path,) = aggregates(one)
    other_path = other / path.relative_to(one)
    for name in ("sweep.json", "table.csv", "runs.csv"):
        assert (path / name).read_text() == (other_path / name).read_text()
    dataset, other_dataset = xinit.open(path), xinit.open(other_path)
    assert set(dataset.variables) == set(other_dataset.variables)
    for name in set(dataset.variables) - {"path"}:
        np.testing.assert_array_equal(dataset[name].values, other_dataset[name].values, err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep in one process."""
    folder = folder_of_a_user(tmp_path_factory.mktemp("whole"))
    done = train_there(folder, *SWEEP)
    assert done.returncode == cli.DONE, done.stderr
    assert done.stdout.count("4 runs at once") == 2
    return folder


@pytest.mark.slow
def test_through_joblib_with_a_group_that_is_refused(whole, tmp_path):
    """What is refused is named and costs the others nothing; what is done is not handed over again."""
    needs("hydra_plugins.hydra_joblib_launcher")
    arguments = [*SWEEP, "hydra/launcher=population_joblib"]
    done = train_there(folder_of_a_user(tmp_path), *arguments, "width=12,16,17")
    assert done.returncode == cli.BAD_INPUT, done.stderr
    why = "scheme 'mine_of_a_user:make' failed with ValueError: not 17"
    assert done.stderr == f"xinit: job 3 of 3 (seed=0 scheme=xavier width=17 and 3 more): {why}\n"
    for k in (1, 2):
        assert f"job {k} of 3: 4 runs at once, sequential on 1 device" in done.stdout
    again = train_there(tmp_path, *arguments)
    assert again.returncode == cli.DONE, again.stderr
    assert again.stdout.startswith("8 runs, 0 jobs for JoblibLauncher; 8 are done already\n")
    assert_same_aggregate(whole, tmp_path)


@pytest.mark.slow
def test_through_submitits_local_executor(whole, tmp_path):
    needs("hydra_plugins.hydra_submitit_launcher")
    arguments = ["hydra/launcher=population_local", "hydra.launcher.cores_per_job=null"]
    done = train_there(folder_of_a_user(tmp_path), *SWEEP, *arguments)
    assert done.returncode == cli.DONE, done.stderr
    assert_same_aggregate(whole, tmp_path)
    logs = [path.read_text() for path in tmp_path.glob("runs/hydra/.submitit/*/*_log.out")]
    assert sorted(log.count("4 runs at once") for log in logs) == [1, 1]


def test_what_slurm_is_asked_for(tmp_path):
    """By a Slurm that refuses everything."""
    needs("hydra_plugins.hydra_submitit_launcher")
    for command in ("srun", "sbatch"):
        (tmp_path / command).write_text("#!/bin/sh\ncp $1 asked\nexit 1\n")
        (tmp_path / command).chmod(0o755)
    asked = ["hydra.launcher.inner.partition=fast", "hydra.launcher.inner.gpus_per_node=1", "seed=0,1", "width=12,16"]
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = train_there(folder_of_a_user(tmp_path), "hydra/launcher=population_slurm", *asked, PATH=path)
    assert done.returncode == cli.BAD_INPUT
    assert "job 1 of 2 (seed=0 width=12 and 1 more), job 2 of 2" in done.stderr
    assert not aggregates(tmp_path)
    options = {line.removeprefix("#SBATCH --") for line in (tmp_path / "asked").read_text().splitlines()}
    assert {"array=0-1%2", "partition=fast", "gpus-per-node=1", "time=240", "job-name=xinit"} <= options


@pytest.fixture
def ray_environment(tmp_path):
    """Where Ray leaves its files, which are gone afterwards, as are its processes; a socket's path must be short."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ray-"))
    yield {"RAY_TMPDIR": str(folder), "HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    until = time.monotonic() + 20
    while (left := processes_of(folder)) and time.monotonic() < until:
        time.sleep(0.2)
    shutil.rmtree(folder)
    assert not left


def processes_of(folder):
    """The command lines that name a folder."""
    lines = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_text())
    return [line for line in lines if str(folder) in line]


@pytest.mark.slow
def test_through_a_local_ray_cluster(whole, tmp_path, ray_environment):
    needs("hydra_plugins.hydra_ray_launcher")
    arguments = ["hydra/launcher=population_ray", "hydra.launcher.inner.ray.remote.num_cpus=2"]
    done = train_there(folder_of_a_user(tmp_path), *SWEEP, *arguments, **ray_environment)
    assert done.returncode == cli.DONE, done.stderr
    assert_same_aggregate(whole, tmp_path)
    assert "8 runs, 2 jobs for RayLauncher" in done.stdout


def outcomes_of(*jobs):
    """What the runs' folders, of which there are none yet, hold of some jobs."""
    raws = compose_many("train", [[*SMALL, *job] for job in jobs])
    return [runner.from_disk(config) for config in sweeping.parse_all(raws)]


@pytest.mark.parametrize(
    ("most", "places"),
    [
        (None, [[0, 3, 1, 4, 2], [5]]),  # runs of a seed are neighbours
        (6, [[0, 3, 1, 4, 2], [5]]),
        (4, [[0, 3], [1, 4, 2], [5]]),  # as equal as can be
        (2, [[0], [3, 1], [4, 2], [5]]),
        (1, [[0], [3], [1], [4], [2], [5]]),
    ],
)
def test_how_groups_are_divided(most, places, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    seeds = [("seed=0", "scheme=xavier"), ("seed=1", "scheme=xavier"), ("seed=2", "scheme=xavier")]
    jobs = [*seeds, ("seed=0", "scheme=he"), ("seed=1", "scheme=he"), ("seed=0", "depth=3"), ("seed=0", "depth=3")]
    outcomes = outcomes_of(*jobs)
    divided = handover.divide(outcomes, most)
    assert [job.places for job in divided] == [[6] if part == [5] else part for part in places]  # 5 and 6 are one run
    assert [job.name for job in divided] == [f"job {k + 1} of {len(places)}" for k in range(len(places))]
    assert divided[-1].label == "seed=0 scheme=standard depth=3"
    done = [outcome._replace(summary={"valid_error": 0.5}) if i < 3 else outcome for i, outcome in enumerate(outcomes)]
    assert sorted(i for job in handover.divide(done, most) for i in job.places) == [3, 4, 6]


def test_a_job_is_packed_whatever_its_settings_say():
    from hydra.core.override_parser.overrides_parser import OverridesParser

    raws = [{"out": "runs", "seed": 0}, {"out": "it's \\ \"quoted\" \\' é", "seed": 0}]
    packed = handover.pack(handover.Job("job 1 of 1", "", [0, 1]), raws, 3)
    given = handover.unpack(OverridesParser.create().parse_override(packed).value())
    assert given["members"] == [{}, {"out": raws[1]["out"]}]
    assert (given["job"], given["cores"], given["folder"]) == ("job 1 of 1", 3, os.getcwd())


def test_a_worker_is_set_up(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES", raising=False)
    (tmp_path / "there").mkdir()
    handover.set_up_worker(str(tmp_path / "there"), 3)
    assert (pathlib.Path.cwd(), os.environ["JAX_NUM_CPU_DEVICES"]) == (tmp_path / "there", "3")
    handover.set_up_worker(str(tmp_path), 5)
    assert os.environ["JAX_NUM_CPU_DEVICES"] == "3"  # somebody chose
    with pytest.raises(InputError, match=r"A worker cannot enter .*nowhere, in which the sweep was started"):
        handover.set_up_worker(str(tmp_path / "nowhere"), None)


def completed(value):
    return JobReturn(status=JobStatus.COMPLETED, _return_value=value)


def failed(error):
    return JobReturn(status=JobStatus.FAILED, _return_value=error)


def test_what_went_wrong_is_told_with_the_names_of_its_jobs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(handover, "SECONDS_UNTIL_SEEN", 0.0)
    none = outcomes_of(*((f"seed={seed}",) for seed in range(4)))
    done = [outcome._replace(state="done", summary={"valid_error": 0.5}) for outcome in none]
    begun = [outcome._replace(state="running") for outcome in none]
    jobs = handover.divide(none, 2)
    over = completed([0.5, 0.5])
    handover.wait_until_seen(jobs, [over, over], none)
    assert handover.error_of(jobs, [over, over], done) is None
    assert handover.error_of(jobs, [over, failed(OSError("late"))], done) is None  # it was done before
    assert handover.error_of(jobs, [completed([None, None])] * 2, begun) is None  # as stop_after leaves them
    error = handover.error_of(jobs, [over, completed("the data are missing.")], done[:2] + none[2:])
    assert str(error) == "job 2 of 2 (seed=2 and 1 more): the data are missing."
    error = handover.error_of(jobs, [over, over], done[:2] + none[2:])
    assert str(error).startswith("job 2 of 2 (seed=2 and 1 more): it is done, but its runs are not in ")
    error = handover.error_of(jobs, [failed(OSError("no such host"))] * 2, none)
    assert isinstance(error, InputError)
    names = "job 1 of 2 (seed=0 and 1 more), job 2 of 2 (seed=2 and 1 more)"
    assert str(error) == f"{names}: OSError: no such host"
    crash = MemoryError("at 3 GB")
    error = handover.error_of(jobs, [over, failed(crash)], done[:2] + begun[2:])
    assert (type(error), error.__cause__) == (RuntimeError, crash)
    assert str(error).startswith("job 2 of 2 (seed=2 and 1 more): MemoryError: at 3 GB\nWhat is done is kept;")


def test_a_process_that_dies_and_takes_others_along_fails_alone_in_the_end():
    launched = []

    class Engine:
        def launch(self, jobs, first_index):
            launched.append([job[0] for job in jobs])
            if ["deadly"] in jobs:
                raise BrokenExecutor("killed")
            return [completed((job[0], first_index + k)) for k, job in enumerate(jobs)]

    population = launcher.PopulationLauncher()
    population.engine = Engine()
    returned = population._run_by_inner([["a"], ["b"], ["deadly"], ["c"]], 7)
    assert launched == [["a", "b", "deadly", "c"], ["a", "b"], ["deadly", "c"], ["deadly"], ["c"]]
    assert [job.status == JobStatus.COMPLETED for job in returned] == [True, True, False, True]
    assert [returned[i].return_value for i in (0, 1, 3)] == [("a", 7), ("b", 8), ("c", 10)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hydra/launcher=population_jobib"], "Allowed: basic,"),
        (
            ["hydra/launcher=population_joblib", "hydra.launcher.runs_per_job=0"],
            "runs_per_job is 0; it must be a whole",
        ),
        (["hydra.launcher.runs_per_job=8"], "name one, as in hydra/launcher=population_joblib."),
        (["hydra/sweeper=tune", "scheme=xavier", "scheme.gian=1"], "Unknown setting scheme.gian; did you mean gain?"),
        (
            ["hydra/sweeper=tune", "hydra.sweeper.n_trials=x"],
            "The setting hydra.sweeper.n_trials cannot be read: Value",
        ),
        (["hydra/sweeper=tune", "hydra.sweeper.n_trails=3"], "Could not override 'hydra.sweeper.n_trails'."),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, monkeypatch, tmp_path, capsys):
    needs("optuna")
    assert main(monkeypatch, tmp_path, *arguments) == cli.BAD_INPUT
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("runs/*/*/status.json"))


ABSENT = {
    "hydra/launcher=population_joblib hydra.launcher.inner.n_jobs=2": "joblib-launcher",
    "hydra/launcher=population_local": "submitit-launcher",
    "hydra/launcher=population_slurm hydra.launcher.inner.partition=fast": "submitit-launcher",
    "hydra/launcher=population_ray hydra.launcher.inner.ray.init.address=auto": "ray-launcher",
    "+hydra/launcher@hydra.launcher.inner=joblib": "joblib-launcher",
    "hydra/launcher=joblib": "joblib-launcher",
    "hydra/launcher=submitit_local": "submitit-launcher",
    "hydra/launcher=submitit_slurm": "submitit-launcher",
    "hydra/launcher=ray": "ray-launcher",
    "hydra/sweeper=tune hydra.sweeper.n_trials=3": "optuna-sweeper",
    "hydra/sweeper=optuna": "optuna-sweeper",
}


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(tmp_path):
    """By a Python that sees all packages but those plugins."""
    (tmp_path / "packages").mkdir()
    for path in pathlib.Path(np.__file__).parents[1].iterdir():
        if path.name != "hydra_plugins" and path.suffix != ".pth":
            (tmp_path / "packages" / path.name).symlink_to(path)
    code = (
        "import sys; from xinit import train\n"
        "for words in sys.argv[1:]: sys.argv = ['xinit.train', '-m', *words.split()]; print(train.main())"
    )
    root = pathlib.Path(xinit.__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path / 'packages'}{os.pathsep}{root}"}
    command = [sys.executable, "-S", "-c", code, *ABSENT]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.stdout.split() == [str(cli.BAD_INPUT)] * len(ABSENT), done.stderr
    assert done.stderr.splitlines() == [
        f"xinit: hydra-{name} is not installed; pip install 'xinit[launchers]' brings it." for name in ABSENT.values()
    ]
    assert not (tmp_path / "runs").exists()


ANOTHER_APPLICATION = """
import pkgutil, sys
import hydra

if sys.argv.pop(1) == "without":
    walk = pkgutil.walk_packages  # by which Hydra finds plugins
    pkgutil.walk_packages = lambda *a, **k: (m for m in walk(*a, **k) if m.name != "hydra_plugins.xinit_population")

@hydra.main(config_path=None, version_base="1.3")
def application(config):
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path

    loader = ConfigLoaderImpl(create_config_search_path(None))
    for group in loader.list_groups("hydra"):
        print(*(f"hydra/{group}={name}" for name in loader.get_group_options(f"hydra/{group}")), sep="\\n")

application()
"""


def test_another_hydra_application_sees_our_launcher_and_our_sweeper_alone(tmp_path):
    seen = {}
    for which in ("with", "without"):
        command = [sys.executable, "-c", ANOTHER_APPLICATION, which, "hydra.run.dir=.", "hydra.output_subdir=null"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        seen[which] = set(done.stdout.split())
    assert {"hydra/launcher=basic", "hydra/sweeper=basic"} <= seen["without"]
    assert seen["with"] ^ seen["without"] == {"hydra/launcher=population", "hydra/sweeper=population"}


STUDY = ["hydra/sweeper=tune", "scheme=xavier", "hydra.sweeper.n_jobs=3"]


@contextlib.contextmanager
def noting_what_is_compiled(compiled):
    """Adds the names of the programs that are compiled, and not found in the cache, to a list."""
    import jax.monitoring

    last = []
    note_event = lambda event, **_: last.append(event) if event.startswith("/jax/compilation_cache/cache_") else None

    def note_name(event, _, **more):
        if event.endswith("backend_compile_duration") and last[-1:] == ["/jax/compilation_cache/cache_misses"]:
            compiled.append(more["fun_name"])

    jax.monitoring.register_event_listener(note_event)
    jax.monitoring.register_event_duration_secs_listener(note_name)
    yield
    jax.monitoring.unregister_event_listener(note_event)
    jax.monitoring.unregister_event_duration_listener(note_name)


@pytest.fixture(scope="module")
def study(tmp_path_factory, no_programs):
    """A study of two populations: its folder, what it printed, and what each compiled."""
    needs("optuna")
    folder, printed = tmp_path_factory.mktemp("study"), io.StringIO()
    compiled, populations, launch = [], [], launcher.PopulationLauncher.launch
    noting = lambda *a, **k: (launch(*a, **k), populations.append(compiled[sum(map(len, populations)) :]))[0]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed), noting_what_is_compiled(compiled):
        patch.setattr(launcher.PopulationLauncher, "launch", noting)
        assert main(patch, folder, *STUDY, "hydra.sweeper.n_trials=6") == cli.DONE
    return folder, printed.getvalue(), populations


def test_the_second_population_of_a_study_compiles_nothing_to_train(study):
    _, printed, populations = study
    assert printed.count("3 runs at once") == len(populations) == 2
    programs = {"jit(draw)", "jit(segment)", "jit(measure)"}
    assert [programs & set(compiled) for compiled in populations] == [programs, set()]


def test_a_group_in_parts_gives_the_same_aggregate(study, monkeypatch, tmp_path, capsys):
    """In parts of three runs, as many as the study's populations have: nothing is left to compile."""
    seeds = ["scheme=xavier", "init_seed=range(6)"]
    (tmp_path / "whole").mkdir(), (tmp_path / "parts").mkdir()
    assert main(monkeypatch, tmp_path / "whole", *seeds, "population.chunk=3") == cli.DONE
    capsys.readouterr()
    parts = ["+hydra/launcher@hydra.launcher.inner=basic", "hydra.launcher.runs_per_job=5"]
    assert main(monkeypatch, tmp_path / "parts", *seeds, *parts) == cli.DONE
    output = capsys.readouterr().out
    assert output.startswith(
        "6 runs, 2 jobs for BasicLauncher\njob 1 of 2: init_seed=0 and 2 more\njob 2 of 2: init_seed=3"
    )
    assert "job 2 of 2: 3 runs at once, map on 3 devices" in output
    assert_same_aggregate(tmp_path / "whole", tmp_path / "parts")


def test_a_study_is_one_sweep_and_names_its_best_trial(study):
    folder, printed, _ = study
    (path,) = aggregates(folder)
    dataset = xinit.open(path)
    assert dataset.sizes["replica"] == len(set(dataset.gain.values)) == len(set(dataset.learning_rate.values)) == 6
    assert ((dataset.gain > 0.5) & (dataset.gain < 4)).all()
    best = dataset.isel(replica=np.argmin(dataset.final_valid_error.values))
    settings = f"gain={best.gain.item():g} learning_rate={best.learning_rate.item():g}"
    where = pathlib.Path(best.path.item()).relative_to(folder)
    line = f"best of 6 runs: valid error {best.final_valid_error.item():.1%} with {settings}, {where}"
    assert printed.splitlines()[-1] == line
    results = yaml.safe_load((path / launcher.RESULTS).read_text())
    assert results["best_value"] == pytest.approx(best.final_valid_error.item())
    assert list(results["best_params"]) == ["scheme.gain", "optimizer.learning_rate"]


def test_a_study_again_trains_nothing_and_leaves_the_sweeps_of_others_alone(study, monkeypatch):
    folder, _, _ = study
    (path,) = aggregates(folder)
    files = [*folder.glob("runs/*/*/summary.json"), *(path / name for name in ("sweep.json", "table.csv", "runs.csv"))]
    before = {file: file.read_bytes() for file in files}
    assert main(monkeypatch, folder, *STUDY, "hydra.sweeper.n_trials=3") == cli.DONE  # a study of its own
    (smaller,) = set(aggregates(folder)) - {path}
    assert main(monkeypatch, folder, *STUDY, "hydra.sweeper.n_trials=6") == cli.DONE
    assert aggregates(folder) == sorted([path, smaller])
    assert {file: file.read_bytes() for file in files} == before
    assert len(list(folder.glob("runs/*/*/summary.json"))) == 6


def test_a_diverged_trial_counts_as_chance(study, monkeypatch, tmp_path):
    """And a setting that is fixed, or given another range, is one no more."""
    ranges = ["scheme.gain=1", "optimizer.learning_rate=interval(1e29, 1e30)", "activation=relu"]
    assert main(monkeypatch, tmp_path, *STUDY, *ranges, "hydra.sweeper.n_trials=3") == cli.DONE
    (path,) = aggregates(tmp_path)
    (chance,) = set(xinit.open(path).chance_error.values)
    results = yaml.safe_load((path / launcher.RESULTS).read_text())
    assert results["best_value"] == chance
    assert list(results["best_params"]) == ["optimizer.learning_rate"]
    assert record.read_json(path / "sweep.json")["cells"][0]["diverged"] == 1


def test_optunas_own_sweeper_runs_over_ours(monkeypatch, tmp_path):
    needs("optuna")
    asked = ["hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=3", "scheme=xavier"]
    ranges = ["scheme.gain=tag(log, interval(0.5, 4))", "optimizer.learning_rate=tag(log, interval(0.003, 0.3))"]
    assert main(monkeypatch, tmp_path, "hydra/sweeper=optuna", *asked, *ranges) == cli.DONE
    (path,) = aggregates(tmp_path)
    assert xinit.open(path).sizes["replica"] == 6
    assert "best_value" in (tmp_path / "runs" / "hydra" / launcher.RESULTS).read_text()
