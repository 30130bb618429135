"""Runs under other losses: what they minimise, what their error and chance are, and what is said of them."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xinit
from xinit import data, report
from xinit.commands.console import Reporter
from xinit.commands.tables import error_line
from xinit.core.errors import InputError
from xinit.runs import runner
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training.problem import build_problem

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]

LINE = '''"""Values: two linear functions of eight Gaussian inputs, with noise of a tenth of their variance."""

import dataclasses
from dataclasses import dataclass

from xinit.core.rules import Text
from xinit.data.contract import DataSettings, Sizes


@dataclass(frozen=True)
class Settings(DataSettings):
    kind: Text

    @property
    def sizes(self):
        return Sizes(200, 100, 100)

    def dataset(self, batch_size):
        import numpy as np
        from xinit.data.dataset import stored

        rng = np.random.default_rng(2)
        x = rng.standard_normal((400, 8)).astype(np.float32)
        y = x @ rng.standard_normal((8, 2))
        y += np.sqrt(0.1 / 0.9) * y.std(axis=0) * rng.standard_normal(y.shape)
        y = ((y - y[:200].mean(axis=0)) / y[:200].std(axis=0) * np.r_[np.ones(300), 0.8 * np.ones(100)][:, None])
        places = {"train": slice(200), "valid": slice(200, 300), "test": slice(300, 400)}
        parts = {name: (x[place], y[place].astype(np.float32)) for name, place in places.items()}
        return dataclasses.replace(stored(parts, batch_size, n_outputs=2, decode=lambda x: x), targets="values")
'''
SMALL = {"depth": 2, "width": 16, "steps": 400, "probe": "economy", "probe.points": 3,
         "probe.examples": 20, "figure": False}  # fmt: skip


def container(tmp_path, **settings):
    raw = compose("train", overrides_from(SMALL | {"out": str(tmp_path / "runs"), "scheme": "xavier"} | settings))
    return raw | {"data": {"kind": "line"}}


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A data set of values whose module lies in a folder of its own."""
    (tmp_path / "line.py").write_text(LINE)
    monkeypatch.setattr(data, "__path__", [*data.__path__, str(tmp_path)])


def test_a_regression_learns_and_its_page_says_what_its_error_is(line, tmp_path):
    outcome = runner.execute(parse(container(tmp_path, loss="regression")), Reporter(quiet=True))
    summary = outcome.summary
    y = build_problem(outcome.config).dataset.load()["test"].y
    assert summary["error_is"] == "1 - R^2"
    assert summary["chance_error"] == pytest.approx(np.mean(np.asarray(y) ** 2), rel=1e-5)
    assert 0.05 < summary["test_error"] < 0.3 * summary["chance_error"]
    assert summary["test_loss"] == pytest.approx(summary["test_error"] / 2, rel=1e-5)
    assert json.loads((outcome.path / "summary.json").read_text())["error_is"] == "1 - R^2"
    assert re.match(r"test error \d+\.\d% of the variance \(1 - R\^2\), chance \d+\.\d%, 4,000 ex", error_line(summary))
    readings = xinit.open(outcome.path)
    assert readings.train_loss.values[1:] == pytest.approx(readings.train_error.values[1:] / 2, rel=1e-4)
    assert "error, % of the variance" in [axes.get_title() for axes in xinit.figure(readings).axes]
    page = report.write([outcome.path]).read_text()
    assert "of the variance (1 - R^2), where the best constant answer leaves" in page
    assert "misclassified" not in page


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "label_smoothing"])
def test_losses_of_labels_do_not_take_values(line, tmp_path, loss):
    with pytest.raises(InputError) as raised:
        build_problem(parse(container(tmp_path, loss=loss)))
    fn = {"label_smoothing": "cross_entropy"}.get(loss, loss)
    assert str(raised.value) == (
        f"loss={fn} needs labels, whole numbers of an integer type, as targets; data=line has values, real numbers "
        "of a float type. "
        "Choose loss=regression, or a function of your own."
    )


def absolute_or_brier(outputs, y, scale: float = 1.0):
    """|o - y| for values, the Brier score for labels."""
    if jnp.issubdtype(y.dtype, jnp.floating):
        return scale * jnp.abs(outputs - y).sum(axis=1)
    return scale * jnp.sum((jax.nn.softmax(outputs) - jax.nn.one_hot(y, outputs.shape[1])) ** 2, axis=1)


def test_a_function_of_the_users_takes_either_kind_of_targets(line, tmp_path):
    config = parse(container(tmp_path, loss=absolute_or_brier))
    assert config.loss.fn == f"{__name__}:absolute_or_brier"
    summary = runner.execute(config, Reporter(quiet=True)).summary
    assert (summary["error_is"], summary["test_error"] < 0.5) == ("1 - R^2", True)
    settings = SMALL | {"data": "synthetic", "out": str(tmp_path / "runs"), "progress": False, "steps": 300}
    readings = xinit.run(loss=absolute_or_brier, scheme="xavier", optimizer={"learning_rate": 0.3}, **settings)
    assert readings.attrs["error_is"] == "share misclassified"
    assert readings.attrs["test_error"] < readings.attrs["chance_error"] - 0.1


def test_a_sweep_over_losses_has_one_kind_of_error_and_names_them(tmp_path):
    settings = {"data": "synthetic", "depth": 2, "width": 16, "steps": 20, "probe": "economy", "out": str(tmp_path)}
    sweep = xinit.sweep({"loss": ["cross_entropy", "squared_error"]}, progress=False, **settings)
    assert sweep.loss.values.tolist() == ["cross_entropy", "squared_error"]
    assert sweep.attrs["error_is"] == "share misclassified"
    assert xinit.figure(sweep).axes[0].get_title() == "test error, %"
