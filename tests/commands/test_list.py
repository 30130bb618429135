"""`python -m xinit.list`: every choice with its formula, and the schemes' variances at a pair of fans."""

import pathlib
import re
import subprocess
import sys

import pytest

import xinit.list
from xinit import initializers
from xinit.commands import cli, listing
from xinit.networks import activations

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"
GROUPS = listing.groups()


def printed(capsys, *arguments):
    """What the command prints, and its lines with runs of spaces as one."""
    assert xinit.list.main(arguments) == cli.DONE
    return re.sub(r"[ \n]+", " ", capsys.readouterr().out)


@pytest.mark.heavy
def test_the_command_runs_and_imports_no_jax_for_a_plain_list():
    code = (
        "import sys, xinit.list; code = xinit.list.main(['schemes']); assert 'jax' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 120
    done = subprocess.run([sys.executable, "-m", "xinit.list", "schemas"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("xinit: Unknown group 'schemas'; did you mean scheme? Allowed: activation, data,")


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_of_every_group_has_a_formula(group, capsys):
    found = listing.choices(group)
    assert all(choice.formula for choice in found)
    singular, plural = printed(capsys, group), printed(capsys, group if group == "data" else f"{group}s")
    assert singular == plural
    assert all(f" {choice.name} " in singular for choice in found)


def test_every_file_below_a_folder_of_conf_is_a_choice_of_one_group():
    """Those of Hydra's own groups and the tiers of studies, which lie a folder deeper, among them."""
    listed = [f"{group}/{choice.name}.yaml" for group in GROUPS for choice in listing.choices(group)]
    assert sorted(listed) == sorted(path.relative_to(CONF).as_posix() for path in CONF.glob("*/**/*.yaml"))
    assert "experiment/compromise/init.yaml" in listed
    assert listing.group_named("launchers") == "hydra/launcher"


def test_settings_are_those_of_the_command_line_and_not_too_many(capsys):
    launchers, tiers = printed(capsys, "hydra/launcher"), printed(capsys, "experiment")
    assert "inner.n_jobs=-1" in launchers
    assert "defaults" not in launchers
    assert re.search(r"initial\.width=1000, .*\.\.\. \(\d+ more\)", tiers)


def test_without_a_group_it_names_them(capsys):
    out = printed(capsys)
    assert all(f" {group} " in out for group in GROUPS)
    assert "xavier" in out
    assert printed(capsys, "--help") == out


def test_every_scheme_from_a_paper_has_its_source():
    sources = {choice.name: choice.source for choice in listing.choices("scheme")}
    assert sources["xavier"] == "Glorot & Bengio 2010, eq. 16, for f(z) = z near 0"
    assert {name for name, source in sources.items() if not re.search(r"\b(19|20)\d\d\b", source)} == {
        "constant", "custom", "identity", "mean_of_variances", "own",
    }  # fmt: skip


def test_a_choice_may_have_a_comment_of_several_lines():
    shapeset = next(choice for choice in listing.choices("data") if choice.name == "shapeset")
    assert shapeset.formula.endswith("generated without end (Glorot & Bengio 2010, section 2.1)")
    assert shapeset.settings["size"] == 32


@pytest.mark.parametrize(
    ("scheme", "cells"),  # Var W, n_in Var, n_out Var, std, bound of a uniform
    [
        ("fan_in", "0.001276 1 0.1276 0.03571 0.06186"),
        ("fan_out", "0.01 7.84 1 0.1 0.1732"),
        ("xavier", "0.002262 1.774 0.2262 0.04757 0.08239"),
        ("geometric", "0.003571 2.8 0.3571 0.05976 0.1035"),
        ("mean_of_variances", "0.005638 4.42 0.5638 0.07508 0.1301"),
        ("orthogonal", "0.001276 1 0.1276 0.03571 -"),
        ("critical", "0.002747 2.153 0.2747 0.05241 0.09077"),  # on the edge of tanh: 2.1533 / n_in
    ],
)
def test_the_schemes_at_a_pair_of_fans(scheme, cells, capsys):
    assert f" {scheme} {cells} " in printed(capsys, "schemes", "fans=784,100")


def test_fans_show_why_2_and_6_are_one_variance_and_leave_out_no_scheme(capsys):
    out = printed(capsys, "schemes", "fans=784,100", "activation=relu")
    assert "sqrt(2 / (784 + 100)) = 0.04757" in out
    assert "sqrt(6 / (784 + 100)) = 0.08239" in out
    assert "0.04757^2 = 0.08239^2 / 3 = 0.002262" in out
    assert "by the same amount, +0.774 and -0.774, and the geometric mean by the same factor, 2.8 and 0.357" in out
    assert "Not in the table: custom (it is yours); depth_mup, fixup, residual_scaled, zero_init_branches (needs" in out
    assert "; lsuv (its weights depend on the data); own (keeps the weights that a module of yours draws, and" in out
    sigmoid = printed(capsys, "schemes", "fans=[784,100]", "activation=sigmoid")
    assert "critical (sigmoid has no edge of chaos at q = 1" in sigmoid
    for path in (CONF / "scheme").glob("*.yaml"):
        assert re.search(rf" {path.stem}\b", out)
        assert re.search(rf" {path.stem}\b", sigmoid)


def test_rows_are_the_laws_of_hidden_layers():
    rows = {row.choice.name: row.law for row in listing.laws_at(300, 50, "relu")}
    assert list(rows)[:5] == ["fan_in", "fan_out", "xavier", "geometric", "mean_of_variances"]
    assert rows["he"] == initializers.he().law(300, 50)
    assert rows["mup"] == initializers.lecun().law(300, 50)
    assert rows["looks_linear"].variance == 2 / 300
    assert rows["delta_orthogonal"] == initializers.orthogonal().law(300, 50)
    assert activations.relu().negative_slope == 0.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["schemes", "fans=784"],
            "fans is '784'; it must be two whole numbers above 0, fan-in and fan-out: fans=784,100.",
        ),
        (["schemes", "fans=0,3"], "fans is '0,3'; it must be two whole numbers above 0"),
        (["schemes", "fans=3,4", "activation=tan"], "Unknown activation 'tan'; did you mean tanh?"),
        (
            ["schemes", "activation=tanh"],
            "'schemes activation=tanh' cannot be read; it must be python -m xinit.list GROUP",
        ),
        (["schemes", "fan=3,4"], "'schemes fan=3,4' cannot be read"),
        (["data", "fans=3,4"], "'data fans=3,4' cannot be read"),
        (["fans=3,4"], "'fans=3,4' cannot be read"),
        (["schemes", "data"], "'schemes data' cannot be read"),
    ],
)
def test_bad_arguments_are_one_sentence_and_exit_code_2(arguments, words, capsys):
    assert xinit.list.main(arguments) == cli.BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
