"""A function of the user's as data: what it may return, when it is called, and what is said where it fails."""

import sys

import numpy as np
import pytest

from xinit.analysis.swept import swept
from xinit.commands import console
from xinit.core.errors import InputError
from xinit.runs import runner
from xinit.runs.run_directory import path_of
from xinit.settings.compose import compose, normalise, overrides_from
from xinit.settings.parse import parse

SPIRALS = '''"""Points on the arms of spirals."""

import numpy as np

calls = []


def spirals(n=600, classes=3, noise: float = 0.1):
    calls.append(n)
    random = np.random.RandomState(0)
    y, t = np.arange(n) % classes, random.rand(n)
    angle = 4 * t + 2 * np.pi * y / classes
    return t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * random.randn(n, 2), y


def parts():
    x, y = spirals()
    return (x[:400], y[:400]), (x[400:500], y[400:500]), (x[500:], y[500:])


def by_name():
    x, y = spirals()
    return {"x_train": x[:500], "y_train": y[:500], "x_test": x[500:], "y_test": y[500:], "about": "spirals"}


def values():
    x, y = spirals()
    return x, np.sin(x[:, 0])


def pixels():
    x, y = spirals()
    return (x * 50 + 100).astype(np.uint8), y


def random():
    x, y = spirals()
    return x + np.random.default_rng().normal(), y


def nothing():
    pass


def failing():
    raise OSError("no such\\nserver")


def nan():
    x, y = spirals()
    return x * np.nan, y
'''


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    """A module of the user's, importable from the current folder."""
    file = tmp_path / "arms.py"
    file.write_text(SPIRALS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "arms", raising=False)
    return file


def config_of(fn, **settings):
    small = {"depth": 2, "width": 16, "steps": 20, "probe": "economy", "probe.examples": 50}
    return parse(compose("train", overrides_from({"data": f"arms:{fn}"} | small | settings)))


@pytest.mark.parametrize(
    ("fn", "sizes", "targets"),
    [
        ("spirals", (420, 60, 120), "labels"),
        ("parts", (400, 100, 100), "labels"),
        ("by_name", (450, 50, 100), "labels"),
        ("values", (420, 60, 120), "values"),
    ],
)
def test_what_a_function_may_return(fn, sizes, targets):
    data = config_of(fn).data
    assert (data.sizes, data.targets, data.label) == (sizes, targets, fn)
    dataset = data.dataset(10)
    loaded = dataset.load()
    assert tuple(len(loaded[part].x) for part in ("train", "valid", "test")) == sizes
    assert (dataset.targets, dataset.n_inputs, dataset.n_outputs) == (targets, 2, 3 if targets == "labels" else 1)


def test_pixels_are_scaled_as_the_settings_say():
    decoded = {}
    for pixel_range in ([-1, 1], [0, 1], None):
        dataset = config_of("pixels", **{"data.pixel_range": pixel_range}).data.dataset(10)
        decoded[str(pixel_range)] = np.asarray(dataset.decode(dataset.load()["test"].x))
    np.testing.assert_allclose(decoded["[-1, 1]"], decoded["[0, 1]"] * 2 - 1, atol=1e-6)
    np.testing.assert_allclose(decoded["None"], decoded["[0, 1]"] * 255, rtol=1e-6)


def test_a_function_is_called_once_for_its_options_and_its_source(module):
    configs = [config_of("spirals", seed=seed, **{"data.n": n}) for seed in range(3) for n in (600, 700)]
    configs[0].data.dataset(10)
    calls = sys.modules["arms"].calls
    assert calls == [600, 700]
    assert len({path_of(config).name for config in configs}) == 6
    expected = [{"n": n, "train": None, "seed": seed} for seed in range(3) for n in (600, 700)]
    assert swept(configs) == [{k: v for k, v in settings.items() if v is not None} for settings in expected]
    module.write_text(SPIRALS.replace("RandomState(0)", "RandomState(1)"))
    edited = config_of("spirals", **{"data.n": 600})
    assert edited.data.content != configs[0].data.content
    assert path_of(edited) != path_of(configs[0])


def test_functions_in_a_sweep_are_told_apart():
    configs = [config_of(fn) for fn in ("spirals", "parts")]
    assert swept(configs) == [{"data": "arms:spirals"}, {"data": "arms:parts"}]


def test_both_spellings_name_the_choice():
    assert normalise(["data=arms:spirals"]) == ["data=custom", "++data.fn=arms:spirals"]
    assert normalise(["data.fn=arms:spirals", "data.n=5"]) == ["data=custom", "++data.fn=arms:spirals", "++data.n=5"]


@pytest.mark.parametrize(
    ("fn", "settings", "words"),
    [
        ("nothing", {}, "data.fn 'arms:nothing' returns None; it must be (x, y), ((x, y), (x, y), (x, y)) for"),
        ("failing", {}, "data.fn 'arms:failing' failed with OSError: no such"),
        ("nan", {}, "x of data.fn 'arms:nan' is nan at [0, 0]; it must be finite in float32."),
        ("absent", {}, "data.fn is 'arms:absent'; the module arms has no function 'absent'."),
        (
            "spirals",
            {"data.clases": 4},
            "Unknown setting data.clases; did you mean classes? Allowed: classes, fn, n, noise",
        ),
        ("spirals", {"data.noise": "much"}, "data.noise is 'much'; it must be of type float."),
        (
            "spirals",
            {"data.n": 2},
            "test=1 cannot be cut from data.fn 'arms:spirals', which has 2 examples in its train",
        ),
        (
            "spirals",
            {"data.classes": 1},
            "y of data.fn 'arms:spirals' has labels up to 0 for 600 examples; labels must",
        ),
        (
            "spirals",
            {"batch_size": 421},
            "batch_size is 421; data.fn 'arms:spirals' has 420 training examples, so at most",
        ),
        ("spirals", {"data.fn": "arms"}, "data.fn is 'arms'; it must be a function of yours, as module:function."),
        ("spirals", {"data.content": "abc"}, "data.content is abc; data.fn 'arms:spirals' now returns arrays with the"),
    ],
)
def test_what_goes_wrong_is_a_sentence(fn, settings, words):
    with pytest.raises(InputError) as raised:
        config_of(fn, **settings)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_function_that_returns_something_else_each_time_is_another_run_each_time(monkeypatch):
    first = config_of("random")
    assert path_of(config_of("random")) == path_of(first)
    monkeypatch.setattr("xinit.data.custom._returned", {})  # as a new process has
    assert path_of(config_of("random")) != path_of(first)


@pytest.mark.heavy
def test_a_function_of_the_users_trains():
    settings = {"steps": 400, "optimizer.learning_rate": 0.3}
    summary = runner.execute(config_of("spirals", **settings), console.Reporter(quiet=True)).summary
    assert summary["test_error"] < 0.7 * summary["chance_error"]
