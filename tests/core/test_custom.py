"""A user's function by its name: found from the function, and its source, which is part of what a run is."""

import functools
import linecache
import subprocess
import sys
import types

import jax
import numpy as np
import optax
import pytest

from xinit.core import custom
from xinit.core.errors import InputError
from xinit.settings.compose import compose, normalise, overrides_from
from xinit.settings.parse import parse


def half(x):
    return x / 2


third = lambda x: x / 3


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (half, f"{__name__}:half"),
        (third, f"{__name__}:third"),
        (jax.nn.silu, "jax.nn:silu"),
        (optax.lion, "optax:lion"),
        (optax.contrib.muon, "optax.contrib:muon"),
        (np.tanh, "numpy:tanh"),
    ],
)
def test_a_functions_name_leads_back_to_it(function, name):
    assert custom.name_of("activation", function) == name
    assert custom.import_function("activation.fn", name) is function


@pytest.mark.parametrize("function", [lambda x: x, functools.partial(half), half.__get__(3)])
def test_a_function_without_a_name_at_the_top_of_a_module_is_refused(function):
    with pytest.raises(InputError, match=r"activation is .*; a function must have a name at the top of a module"):
        overrides_from({"activation": function})


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        ("activation.fn=jax.nn:silu", "activation=custom ++activation.fn=jax.nn:silu"),
        ("activation=jax.nn:silu", "activation=custom ++activation.fn=jax.nn:silu"),
        ("activation=custom activation.fn=jax.nn:silu", "activation=custom ++activation.fn=jax.nn:silu"),
        ("activation=mine activation.fn=a:b", "activation=mine ++activation.fn=a:b"),
        ("activation.fn=tanh,jax.nn:silu", "activation=custom ++activation.fn=tanh,jax.nn:silu"),
        ("activation=tanh,jax.nn:silu", "activation=tanh,jax.nn:silu"),  # each job of the sweep is read anew
        (r"activation=jax.nn\:silu", r"activation=custom ++activation.fn=jax.nn\:silu"),  # as a sweeper writes it
        ("activation.fn=[tanh,a:b]", "activation=custom ++activation.fn=[tanh,a:b]"),
        ("activation=[tanh,a:b]", "++activation.fn=[tanh,a:b]"),
        ("activation.fn=relu", "++activation.fn=relu"),
        ("scheme.fn=a.b:c", "+scheme=custom ++scheme.fn=a.b:c"),
        ("+scheme=custom scheme.fn=a.b:c", "+scheme=custom ++scheme.fn=a.b:c"),
        ("scheme=a.b:c", "+scheme=custom ++scheme.fn=a.b:c"),
        ("data.fn=a:b data.n=3", "data=custom ++data.fn=a:b ++data.n=3"),
        ("optimizer.fn=optax:lion schedule.fn=a:b", "optimizer=custom ++optimizer.fn=optax:lion schedule=custom "
         "++schedule.fn=a:b"),
        ("probe.extra=[a:b]", "++probe.extra=[a:b]"),
        ("hydra.fn=a:b", "hydra.fn=a:b"),
    ],
)  # fmt: skip
def test_a_function_alone_chooses_the_groups_custom_yaml(arguments, overrides):
    normalised = normalise(arguments.split())
    assert normalised == overrides.split()
    assert normalise(normalised) == normalised


def test_a_functions_source_is_part_of_what_a_run_is(tmp_path, monkeypatch):
    module = tmp_path / "source_of_mine.py"
    monkeypatch.syspath_prepend(tmp_path)
    module.write_text("def f(x): return x\n")
    chosen = {"activation": "source_of_mine:f", "scheme": "source_of_mine:f", "probe.extra": ["source_of_mine:f"]}
    config = parse(compose("train", overrides_from(chosen)))
    settings = ("scheme.fn", "activation.fn", "probe.extra")
    assert config.own_functions() == [(path, "source_of_mine:f") for path in settings]
    assert custom.sources_of(config.own_functions()) == "def f(x): return x\n"


def in_a_notebook(monkeypatch, *cells):
    """The module `__main__` as a notebook has it, its cells executed."""
    main = types.ModuleType("__main__")
    for number, cell in enumerate(cells):
        name = f"<cell {number}>"
        monkeypatch.setitem(linecache.cache, name, (len(cell), None, cell.splitlines(keepends=True), name))
        exec(compile(cell, name, "exec"), main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    return main


def source_in(monkeypatch, *cells):
    main = in_a_notebook(monkeypatch, *cells)
    name = custom.name_of("activation", main.f)
    assert name == "__main__:f"
    assert custom.import_function("activation.fn", name) is main.f
    return custom.source_of("activation.fn", name)


def test_the_source_of_a_notebooks_function_has_what_it_uses_of_the_notebook(monkeypatch):
    f, g = "def f(x):\n    return SCALE * g(x)\n", "def g(x):\n    return x + (f(x) if x > 3 else 0)\n"
    source = source_in(monkeypatch, "import math\n", g, "SCALE = 2.5\n", f)
    assert source == f + "2.5" + g
    assert source_in(monkeypatch, g, "SCALE = 3.5\n", f) != source
    assert source_in(monkeypatch, g.replace("3", "4"), "SCALE = 2.5\n", f) != source
    assert source_in(monkeypatch, "def h(x):\n    return 0\n", g, "SCALE = 2.5\n", f) == source  # h is not used
    jitted = source_in(monkeypatch, "import jax\n", g, "SCALE = 2.5\n", f"@jax.jit\n{f}")
    assert jitted == f"@jax.jit\n{f}" + "2.5" + g


def test_a_notebooks_function_without_source_is_refused(monkeypatch):
    main = in_a_notebook(monkeypatch)
    exec("def f(x): return x", main.__dict__)
    with pytest.raises(InputError, match=r"whose source is not to be found; put it into a module\."):
        custom.source_of("activation.fn", "__main__:f")


SCRIPT = """
import jax, xinit
def my_init(key, shape, dtype): return {scale} * jax.random.normal(key, shape, dtype)
if __name__ == "__main__":
    small = dict(data="synthetic", depth=2, width=8, steps=4, probe="economy", progress=False)
    readings = xinit.run(scheme=my_init, **small)
    print(readings.attrs["path"], float(readings.pre_std[0, 0]))
"""


@pytest.mark.heavy
@pytest.mark.slow
def test_a_script_gives_a_function_of_its_own_and_an_edited_one_is_another_run(tmp_path):
    seen = []
    for scale in (0.1, 0.1, 0.2):
        (tmp_path / "script.py").write_text(SCRIPT.format(scale=scale))
        done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        seen.append(done.stdout.split())
    assert seen[0] == seen[1] != seen[2]
    assert seen[0][0].startswith("runs/synthetic-tanh-2x8-my_init/")
    assert float(seen[2][1]) == pytest.approx(2 * float(seen[0][1]), rel=1e-5)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("return []", "returned []; it must return a list of widths, at least one."),
        ("return 'wide'", "returned 'wide'; it must return a list of widths, at least one."),
        ("return [4, 2.5]", "width is 2.5; it must be a whole number, at least 1."),
        ("return 1 / 0", "failed with ZeroDivisionError: division by zero"),
    ],
)
def test_a_profile_of_ones_own_is_checked(source, words, tmp_path, monkeypatch):
    (tmp_path / "own_profile.py").write_text(f"def f(depth, width):\n    {source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_profile", raising=False)
    with pytest.raises(InputError) as raised:
        parse(compose("train", ["profile=own_profile:f"]))
    assert words in str(raised.value)


def test_a_profile_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "ramp.py").write_text("def up(depth, width, step): return [width + step * l for l in range(depth)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = parse(compose("train", ["profile.fn=ramp:up", "profile.step=2", "depth=3", "width=8"]))
    assert config.widths == (8, 10, 12)
    assert config.name == "shapeset-tanh-3x8-up-standard"
