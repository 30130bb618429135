"""The command line as a person uses it: exit codes, one sentence for a mistake, sweeps, the wheel."""

import math
import os
import pathlib
import subprocess
import sys
import venv

import jax.numpy as jnp
import numpy as np
import pytest

import xinit
from xinit import train
from xinit.commands import cli
from xinit.core.errors import InputError
from xinit.runs import record
from xinit.settings.compose import compose, compose_many, normalise, overrides_from

pytestmark = pytest.mark.usefixtures("compile_quickly")
ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = ["data=synthetic", "width=16", "depth=3", "steps=300", "figure=false", "probe.points=5", "data.test=1000",
         "optimizer.learning_rate=0.1"]  # fmt: skip


def main(monkeypatch, tmp_path, *arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["xinit.train", *arguments])
    return train.main()


@pytest.mark.parametrize(
    ("arguments", "normal"),
    [
        (["scheme=xavier", "depth=3"], ["+scheme=xavier", "++depth=3"]),
        (["+scheme=xavier", "-m", "activation=relu"], ["+scheme=xavier", "-m", "activation=relu"]),
        (["activation=[tanh,relu]", "scheme.gain=2"], ["++activation.fn=[tanh,relu]", "++scheme.gain=2"]),
        (["experiment=glorot2010", "hydra.verbose=true"], ["+experiment=glorot2010", "hydra.verbose=true"]),
        (["--config-dir", "x", "~verdict"], ["--config-dir", "x", "~verdict"]),
        (["-m", "activation.fn=a:f,tanh"], ["-m", "activation=custom", "++activation.fn=a:f,tanh"]),
        (["data.train=train[:5]"], ["++data.train='train[:5]'"]),
        (["data.test=a+b[:9%]+c,d[3:]"], ["++data.test='a+b[:9%]+c','d[3:]'"]),
        (["data.test='train[:5]'", "data.pixel_range=[0,1]"], ["++data.test='train[:5]'", "++data.pixel_range=[0,1]"]),
    ],
)
def test_arguments_reach_hydra_in_its_spelling(arguments, normal):
    assert normalise(arguments) == normal


def test_settings_as_overrides():
    settings = {"scheme": "xavier", "optimizer": {"learning_rate": 0.1}, "width": [3, 4], "force": True, "name": None,
                "out": "a b's"}  # fmt: skip
    expected = [
        "scheme=xavier",
        "optimizer.learning_rate=0.1",
        "width=[3,4]",
        "force=true",
        "name=null",
        r"out='a b\'s'",
    ]
    assert overrides_from(settings) == expected
    assert compose("train", overrides_from(settings))["out"] == "a b's"
    arrays = {"seed": np.int64(3), "optimizer": {"learning_rate": np.float64(0.1)}, "width": np.array([4, 3])}
    assert overrides_from(arrays) == ["seed=3", "optimizer.learning_rate=0.1", "width=[4,3]"]


TEXTS = [
    *("", " ", "true", "Null", "inf", "NaN", "on", "~", "1", "-1", ".5", "1e3", "0x10", "1_000", "e5", "a,b", "a=b"),
    *("[1]", "{a: 1}", "(x)", "choice(1,2)", "range(3)", "#x", "a;b", "a: b", "%", "*", "!", "?", "@", "$", "é"),
    *("it's", "'", "''", '"', "\\", "a\\", "\\'", "\\\\'", "q\\'q", "two\nlines", "a\tb", "C:\\new", "~/x"),
    *("日本", "/tmp/a b", "${seed}", "x${seed}y", "${", "$${seed}"),
    *("\\${seed}", "\\\\${seed}", "${oc.env:HOME}", "a\\b${seed}", "'${seed}'"),
]  # fmt: skip


def test_a_value_from_python_stays_what_it_is():
    numbers = [None, True, False, 0, -3, 2**70, 1e-3, 1e-30, 1e300, math.inf, -math.inf]
    given = [*TEXTS, *numbers, [], TEXTS, [numbers, [["a"]], {"k": "true"}]]
    settings = [overrides_from({"out": value}) for value in given]
    assert [composed["out"] for composed in compose_many("train", settings)] == given


@pytest.mark.parametrize(
    ("value", "means"),
    [
        (pathlib.Path("a b"), "a b"),
        ((1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("true"), "true"),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (jnp.float32(0.5), 0.5),
    ],
)
def test_a_value_of_another_type_becomes_yamls(value, means):
    assert compose("train", overrides_from({"out": value}))["out"] == means


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", 1j, object()])
def test_a_value_that_no_setting_has_is_refused(value):
    with pytest.raises(InputError, match=r"optimizer\.learning_rate is .*; it must be a text, a number, true, false,"):
        overrides_from({"optimizer": {"learning_rate": value}})


@pytest.mark.parametrize("values", [3, "xavier", [], iter(())])
def test_a_sweep_from_python_takes_lists_of_values(values):
    with pytest.raises(InputError, match=r"scheme is .*; a sweep takes a list of values, at least one, as in seed="):
        xinit.sweep({"seed": [0], "scheme": values})


@pytest.mark.heavy
def test_exit_codes(monkeypatch, tmp_path, capsys):
    run = lambda *arguments: main(monkeypatch, tmp_path, *SMALL, *arguments)
    assert run("scheme=xavier") == cli.DONE
    assert run("scheme=xavier", "activation=tanh") == cli.DONE  # done already
    assert run("scheme=constant") == cli.FAILED
    assert run("scheme=he", "activation=relu", "optimizer.learning_rate=1e7") == cli.DIVERGED
    assert run("scheme=xavier", "verdict.signal_warn=1.001") == cli.DONE
    assert run("scheme=xavier", "verdict.signal_warn=1.001", "strict=true") == cli.WARNED
    capsys.readouterr()
    assert run("scheme=xaviar") == cli.BAD_INPUT
    errors = capsys.readouterr().err
    assert errors.startswith("xinit: Unknown scheme 'xaviar'; did you mean xavier? Allowed: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["depth=0"], "depth is 0; it must be a whole number, at least 1."),
        (["+depht=3"], "Unknown setting depht; did you mean depth?"),
        (["data=mnist", "data.dir=nowhere"], "mnist is not in"),
        (["scheme=he", "scheme.negative_slope=activation"], "needs a rectifier, but the activation is tanh; use relu"),
        (["scheme=custom"], "The setting scheme.fn is missing"),
        (["depth=1,2"], "Ambiguous value for argument"),
        (["depth=["], "no viable alternative at input"),
        (["activation=3"], "A group takes a name"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(monkeypatch, tmp_path, capsys, arguments, words):
    monkeypatch.setattr("xinit.data.tfds._has_tensorflow", lambda: False)
    assert main(monkeypatch, tmp_path, *arguments) == cli.BAD_INPUT
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.heavy
def test_a_sweep_ends_with_its_runs_side_by_side(monkeypatch, tmp_path, capsys):
    assert main(monkeypatch, tmp_path, "-m", *SMALL, "scheme=standard,xavier", "depth=2,3") == cli.DONE
    table = capsys.readouterr().out.split("side by side")[1]
    assert [word in table for word in ("scheme", "depth", "test error", "verdict")] == [True] * 4
    runs = [record.open(path.parent) for path in tmp_path.glob("runs/*/*/summary.json")]
    assert len(runs) == 4
    for run in runs:
        assert f"{run.attrs['test_error']:.1%}" in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["depth=0,2"], "depth is 0; it must be a whole number, at least 1. (1 of 2 jobs)"),
        (["+depht=1,2"], "Unknown setting depht; did you mean depth?"),
        (["scheme=xavier,nix"], "Unknown scheme 'nix'"),
        (["scheme=xavier,he", "scheme.negative_slope=activation"], "Unknown setting scheme.negative_slope"),
        (["seed=0,1", "population.strategy=fast"], "must be one of auto, vmap, map, sequential"),
    ],
)
def test_a_mistake_in_one_job_of_a_sweep_is_found_before_any_work(monkeypatch, tmp_path, capsys, arguments, words):
    assert main(monkeypatch, tmp_path, "-m", *SMALL, "steps=20", *arguments) == cli.BAD_INPUT
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.startswith("xinit: ")
    assert not list(tmp_path.glob("runs/*/*/status.json"))


@pytest.mark.heavy
def test_help_lists_the_choices_without_jax(tmp_path):
    code = "import sys; from xinit import train; code = train.main(); sys.exit(code or 'jax' in sys.modules)"
    command = [sys.executable, "-c", code, "--help", "all"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    for words in ("scheme: constant, critical, custom,", "optimizer.learning_rate=0.03", "+scheme=xavier"):
        assert words in done.stdout


@pytest.mark.heavy
def test_the_wheel_runs_in_an_environment_of_its_own(tmp_path):
    """Built, installed where the clone is out of sight, and run from a folder that has a `conf` of its own."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", wheel], check=True, capture_output=True)
    (own,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    dependencies = [p for p in sys.path if p.endswith("site-packages")]
    (own / "dependencies.pth").write_text("\n".join(dependencies))  # not installed twice
    (tmp_path / "work" / "conf" / "scheme").mkdir(parents=True)
    (tmp_path / "work" / "conf" / "train.yaml").write_text("depth: 99\n")
    (tmp_path / "work" / "conf" / "__init__.py").write_text("raise RuntimeError('the wrong conf')\n")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-m", "xinit.train", "scheme=xavier", *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "work", env=clean)
    assert done.returncode == cli.DONE, done.stderr
    swept = [python, "-m", "xinit.theory", "-m", "depth=2,3", "figure=false"]  # by a sweeper from the wheel's own YAML
    done = subprocess.run(swept, capture_output=True, text=True, cwd=tmp_path / "work", env=clean)
    assert (done.returncode, done.stdout.count("over 3 layers")) == (cli.DONE, 2), done.stderr
    where = [python, "-c", "import xinit; print(xinit.__file__)"]
    place = subprocess.run(where, capture_output=True, text=True, cwd=tmp_path / "work", env=clean).stdout
    assert str(own) in place
    assert (own / "xinit" / "commands" / "completion.bash").exists()
    assert list((tmp_path / "work" / "runs").glob("*/*/summary.json"))
