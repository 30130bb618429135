"""A data set is one module and one YAML file: its kind is found by its name, and it trains."""

import dataclasses
import pathlib

import numpy as np
import pytest
import yaml

from xinit import data
from xinit.commands.console import Reporter
from xinit.core.errors import InputError
from xinit.data.contract import kinds, settings_class
from xinit.runs import runner
from xinit.settings.compose import compose, conf_dir, overrides_from
from xinit.settings.parse import parse

CORNERS = '''"""Points in a square, in two classes by the side of its diagonal."""

from dataclasses import dataclass

from xinit.core.rules import Count, Text
from xinit.data.contract import DataSettings, Sizes


@dataclass(frozen=True)
class Settings(DataSettings):
    kind: Text
    valid: Count
    test: Count

    @property
    def sizes(self):
        return Sizes(100, self.valid, self.test)

    def dataset(self, batch_size):
        import jax
        from xinit.data.dataset import Examples, endless

        def sample(key, n):
            x = jax.random.uniform(key, (n, 2))
            return Examples(x, (x[:, 0] > x[:, 1]).astype("int32"))

        numbers = {"n_inputs": 2, "n_outputs": 2, "n_valid": self.valid, "n_test": self.test}
        return endless(sample, batch_size, decode=lambda x: x, chance_error=0.5, **numbers)
'''


@pytest.fixture
def corners(tmp_path, monkeypatch):
    """A set whose module lies in a folder of its own, on the path of the package."""
    folder = tmp_path / "sets"
    folder.mkdir()
    (folder / "corners.py").write_text(CORNERS)
    monkeypatch.setattr(data, "__path__", [*data.__path__, str(folder)])


def test_kinds_are_the_modules_with_settings():
    assert {"shapeset", "synthetic", "tfds"} <= set(kinds())
    assert [settings_class(kind).__module__ for kind in kinds()] == [f"xinit.data.{kind}" for kind in kinds()]


@pytest.mark.parametrize(
    "kind", ["new", "contract", "dataset", "scenes", "records", "__init__", "..shapeset", "", None, 3]
)
def test_another_kind_is_refused_with_those_there_are(kind):
    with pytest.raises(InputError) as raised:
        settings_class(kind)
    assert str(raised.value) == f"data.kind is {kind!r}; it must be one of {', '.join(kinds())}."


def test_every_choice_names_a_kind_that_there_is():
    for file in pathlib.Path(conf_dir(), "data").glob("*.yaml"):
        assert yaml.safe_load(file.read_text())["kind"] in kinds(), file


def test_a_yaml_of_the_users_need_not_repeat_defaults():
    for kind, required in (("arrays", {"file"}), ("custom", {"fn"})):
        stored = yaml.safe_load((conf_dir() / "data" / f"{kind}.yaml").read_text())
        fields = {field.name: field.default for field in dataclasses.fields(settings_class(kind))}
        for name in stored.keys() - required - {"kind"}:
            assert np.array_equal(fields[name], stored[name]), name
        assert required == {name for name, value in stored.items() if value == "???"}


def test_memory_of_what_is_generated():
    choice = lambda name, *more: (
        parse(compose("train", [f"data={name}", "data.valid=300", "data.test=400", *more])).data
    )
    assert choice("shapeset", "data.size=20").generated_bytes == 700 * 20 * 20
    assert choice("synthetic", "data.inputs=5").generated_bytes == 700 * 5 * 4
    assert choice("mnist").generated_bytes == 0


def test_shapeset_has_a_published_number_of_examples():
    assert settings_class("shapeset").published_examples == 25_000_000
    assert settings_class("synthetic").published_examples is None


SMALL = {"depth": 1, "width": 4, "steps": "1epoch", "probe.examples": 10, "probe.points": 2, "figure": False}


def container(tmp_path, **of_data):
    """A config whose data set is the one above."""
    raw = compose("train", overrides_from(SMALL | {"out": str(tmp_path / "runs")}))
    return raw | {"data": {"kind": "corners", "valid": 20, "test": 30} | of_data}


@pytest.mark.heavy
def test_a_new_set_is_one_module_that_trains(corners, tmp_path):
    assert "corners" in kinds()
    config = parse(container(tmp_path))
    assert (config.name, config.steps) == ("corners-tanh-1x4-standard", 10)
    outcome = runner.execute(config, Reporter(quiet=True))
    assert outcome.state == "done"
    assert (outcome.summary["chance_error"], outcome.summary["test_examples"]) == (0.5, 30)
    assert outcome.summary["paper_share"] is None


@pytest.mark.parametrize(
    ("of_data", "words"),
    [
        ({"valid": 0}, "data.valid is 0; it must be a whole number, at least 1."),
        ({"tset": 3}, "Unknown setting data.tset; did you mean test? Allowed: kind, test, valid."),
        ({"published_examples": 3}, "Unknown setting data.published_examples; Allowed: kind, test, valid."),
        ({"test": 9}, "probe.examples is 10; the test set has 9 examples, so at most that."),
    ],
)
def test_its_settings_are_checked(corners, tmp_path, of_data, words):
    with pytest.raises(InputError) as raised:
        parse(container(tmp_path, **of_data))
    assert str(raised.value) == words
