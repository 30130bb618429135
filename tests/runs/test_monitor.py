"""xinit.Monitor in loops as others write them, and the record that it leaves."""

import json
import pathlib
import signal
import subprocess
import sys
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import xinit
from tests.tracing.models import CLASSES, LinenMLP, NnxMLP, variables_of
from xinit import report
from xinit.analysis import saved_monitors
from xinit.core.errors import InputError
from xinit.runs import monitor_schedule
from xinit.runs.monitor_schedule import schedule

pytestmark = pytest.mark.usefixtures("compile_quickly")
RNG = np.random.default_rng(0)
ROOT = pathlib.Path(__file__).resolve().parents[2]
X = RNG.normal(size=(24, 12)).astype(np.float32)
Y = RNG.integers(0, CLASSES, 24)


def cross_entropy(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, Y).mean()


def two_layers(params, x):
    return jnp.tanh(x @ params["first"]) @ params["last"]


def drawn():
    shapes = {"first": (12, 16), "last": (16, CLASSES)}
    return {name: jnp.asarray(RNG.normal(size=shape) / 4, jnp.float32) for name, shape in shapes.items()}


def scaled(params, factor):
    return jax.tree.map(lambda w: factor * w, params)


def train(folder, first, last, **options):
    """A training whose weights grow by a tenth in each step; the steps that were recorded."""
    params = drawn()
    with xinit.Monitor(two_layers, (X, Y), folder, variables=params, **options) as monitor:
        for step in range(first, last):
            monitor(step, scaled(params, 1.1**step))
    return xinit.open(folder).step.values.tolist()


def test_an_nnx_loop(tmp_path):
    model = NnxMLP(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def update(model, optimizer):
        optimizer.update(model, nnx.grad(lambda model: cross_entropy(model(X)))(model))

    monitor = xinit.Monitor(model, (X, Y), tmp_path / "watched", every=lambda step: step != 5)
    for step in range(8):
        monitor(step, model)
        update(model, optimizer)
    monitor.close()

    readings = xinit.open(tmp_path / "watched")
    assert readings.step.values.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert readings.layer_name.values.tolist() == [f"layers/{i}" for i in range(4)]
    assert readings.loss[-1] < readings.loss[0]
    assert np.isnan(readings.update_ratio[0]).all()
    assert (readings.update_ratio[1:] > 0).all()


def test_a_linen_loop_with_optax(tmp_path):
    model = LinenMLP()
    variables = variables_of(model, X)
    optimizer = optax.adam(0.01)
    state = optimizer.init(variables)

    @jax.jit
    def update(variables, state):
        gradient = jax.grad(lambda variables: cross_entropy(model.apply(variables, X)))(variables)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(variables, updates), state

    kept = []
    with xinit.Monitor(model, (X, Y), tmp_path, variables=variables, every=3) as monitor:
        for step in range(8):
            monitor(step, variables)
            kept.append(variables)
            variables, state = update(variables, state)

    readings = xinit.open(tmp_path)
    assert readings.step.values.tolist() == [0, 3, 6]
    kernels = [np.asarray(own["params"]["Dense_1"]["kernel"]) for own in kept]
    expected = np.linalg.norm(kernels[6] - kernels[5]) / np.linalg.norm(kernels[5])
    np.testing.assert_allclose(readings.update_ratio[2, 1], expected, rtol=1e-4)
    probed = xinit.probe(model, (X, Y), variables=kept[6])
    np.testing.assert_allclose(readings.pre_std[2], probed.readings["pre_std"], rtol=1e-5)
    assert readings.loss[2] == pytest.approx(probed.loss)


def test_an_equinox_loop_that_reuses_memory(tmp_path):
    model = eqx.nn.MLP(12, CLASSES, 16, 2, key=jax.random.key(0))
    optimizer = optax.sgd(0.1)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit(donate="all")
    def update(model, state):
        gradient = eqx.filter_grad(lambda model: cross_entropy(jax.vmap(model)(X)))(model)
        updates, state = optimizer.update(gradient, state)
        return eqx.apply_updates(model, updates), state

    own = jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, model)
    with xinit.Monitor(own, (X, Y), tmp_path, every=lambda step: step in (0, 4)) as monitor:
        for step in range(6):
            monitor(step, model)
            model, state = update(model, state)

    readings = xinit.open(tmp_path)
    assert readings.step.values.tolist() == [0, 4]
    assert (readings.update_ratio[1] > 0).all()
    assert readings.loss[1] < readings.loss[0]


def test_each_layer_of_a_stack_has_an_update_ratio_of_its_own(tmp_path):
    stack = jnp.asarray(RNG.normal(size=(3, 12, 12)) / 4, jnp.float32)
    model = lambda stack, x: jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, stack)[0]
    with xinit.Monitor(model, X, tmp_path, variables=stack, every=1) as monitor:
        monitor(0, stack)
        monitor(1, stack * jnp.array([1.0, 1.1, 1.2])[:, None, None])
    np.testing.assert_allclose(xinit.open(tmp_path).update_ratio[1], [0, 0.1, 0.2], rtol=1e-4, atol=1e-7)


KILLED = """
import os, signal, sys
from tests.runs.test_monitor import X, Y, drawn, scaled, two_layers, xinit
monitor, params = xinit.Monitor(two_layers, (X, Y), sys.argv[1], variables=drawn(), every=2), drawn()
for step in range(9):
    monitor(step, scaled(params, 1.1**step))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.heavy
def test_a_loop_that_is_killed_and_started_again_has_no_hole_and_no_step_twice(tmp_path):
    folder = tmp_path / "cut"
    assert subprocess.run([sys.executable, "-c", KILLED, folder], cwd=ROOT, timeout=200).returncode == -signal.SIGKILL
    with open(folder / saved_monitors.ROWS, "ab") as file:
        file.write(b"part of a row")
    assert xinit.open(folder).attrs["state"] == "running"
    assert xinit.open(folder).step.values.tolist() == [0, 2, 4, 6, 8]
    assert train(folder, 5, 13, every=2) == [0, 2, 4, 6, 8, 10, 12]
    assert xinit.open(folder).attrs["state"] == "closed"
    assert train(folder, 0, 2, every=2) == [0]  # from the start once more


def test_the_record_of_a_cut_loop_is_that_of_one_that_was_not_cut(tmp_path):
    params = drawn()
    for folder, parts in {"whole": [(0, 12)], "cut": [(0, 7), (5, 12)]}.items():
        for first, last in parts:
            with xinit.Monitor(two_layers, (X, Y), tmp_path / folder, variables=params, every=3) as monitor:
                for step in range(first, last):
                    monitor(step, scaled(params, 1.1**step))
    whole, cut = (saved_monitors.load(tmp_path / folder) for folder in ("whole", "cut"))
    assert whole.findings == cut.findings
    assert whole.history == cut.history
    for name, values in whole.readings.items():
        np.testing.assert_array_equal(values, cut.readings[name], err_msg=name)


def test_on_finding_hears_when_a_rule_turns_bad_and_only_then(tmp_path):
    heard, params = [], drawn()
    options = {"variables": params, "every": 1, "on_finding": lambda step, finding: heard.append((step, finding))}
    factors = [1.0, 1.0, 500.0, 500.0, np.nan]
    with xinit.Monitor(two_layers, (X, Y), tmp_path, **options) as monitor:
        for step, factor in enumerate(factors):
            monitor(step, scaled(params, factor))
    rules = [(step, finding.rule, finding.level) for step, finding in heard]
    assert (2, "confident", "WARN") in rules
    assert (4, "finite", "FAIL") in rules
    assert not [step for step, *_ in rules if step in (0, 1, 3)]
    readings = xinit.open(tmp_path)
    assert readings.level.values.tolist() == [0, 0, *readings.level.values[2:4].tolist(), 2]
    assert readings.attrs["verdict"].startswith("FAIL: ")
    assert [step for step, _ in saved_monitors.load(tmp_path).history] == [0, 2, 4]


def test_the_record_as_a_table_a_figure_and_a_page(tmp_path):
    train(tmp_path / "<b>watched", 0, 12, every=2)
    table = xinit.frame(tmp_path / "<b>watched")
    assert {"step", "layer", "pre_std", "update_ratio"} <= set(table.columns)
    assert table.layer_name.tolist() == 6 * ["first", "last"]
    by_step, whole = (xinit.frame(tmp_path / "<b>watched", by) for by in ("step", "run"))
    assert by_step.columns.tolist() == ["step", "loss", "level"]
    assert whole.loc[0, "last_step"] == by_step.step.iloc[-1] == 10
    assert whole.loc[0, "last_loss"] == by_step.loss.iloc[-1]
    assert whole.loc[0, "verdict"] in ("OK", "WARN", "FAIL")
    assert "test_error" not in whole
    with pytest.raises(InputError, match="no readings by weight; a monitor has them by layer, by step and by run"):
        xinit.frame(tmp_path / "<b>watched", "weight")
    assert len(table) == 2 * 6
    drawn = xinit.figure(tmp_path / "<b>watched")
    assert [axes.get_title() for axes in drawn.axes][:2] == ["z, root mean square", "dL/dz, root mean square"]
    drawn.savefig(tmp_path / "figure.png")
    page = report.write([tmp_path / "<b>watched"]).read_text()
    assert "&lt;b&gt;watched" in page
    assert "<b>watched" not in page
    assert "Update over weights" in page
    assert "from 0 to 10" in page


def test_the_page_of_a_monitor_that_measured_nothing(tmp_path):
    with xinit.Monitor(two_layers, (X, Y), tmp_path, variables=drawn()):
        assert "Nothing was measured yet." in report.write([tmp_path]).read_text()
    with pytest.raises(InputError, match="measured nothing yet"):
        xinit.open(tmp_path)


def test_a_point_that_had_to_wait_has_its_update_ratio(tmp_path, monkeypatch):
    """At 8 there is nothing to compare with: the kernels are kept there, and measured at 9."""
    params, paid = drawn(), set()
    monkeypatch.setattr(monitor_schedule.Budget, "allows", lambda budget: budget._calls - 1 in paid)
    with xinit.Monitor(two_layers, X, tmp_path, variables=params) as monitor:
        paid |= {0, 3, *range(8, 20)}
        reports = [monitor(step, scaled(params, 1.1**step)) for step in range(14)]
    steps = [step for step, report in enumerate(reports) if report is not None]
    assert steps == xinit.open(tmp_path).step.values.tolist() == [0, 1, 4, 9, 10, 13]
    np.testing.assert_allclose(xinit.open(tmp_path).update_ratio[1:], 0.1, rtol=1e-3)


@pytest.mark.parametrize(("per_step", "per_point", "early", "before_5000"), [
    (0.1, 0.2, 8, 20), (0.003, 0.02, 4, 8), (0.001, 0.017, 1, 3), (0.0005, 0.02, 0, 0),
])  # fmt: skip
def test_the_default_schedule_keeps_its_budget_and_spreads_its_points(
    per_step, per_point, early, before_5000, monkeypatch
):
    """A simulated training whose clock is set: calls and points take what they are said to take."""
    now, steps, spent = 0.0, [], 0.0
    monkeypatch.setattr(monitor_schedule, "time", types.SimpleNamespace(perf_counter=lambda: now))
    budget, is_due = monitor_schedule.Budget(), schedule(None)
    for step in range(50_000):
        budget.count()
        if is_due(step, steps[-1] if steps else None) and budget.allows():
            steps.append(step)
            begun, now = now, now + (3 if step == 0 else per_point)  # the first one compiles
            budget.spend(begun, is_point=True)
            spent += per_point if step > 0 else 0
        now += 2 if step == 0 else per_step  # so does the training
        if step >= monitor_schedule.LENGTH:
            assert spent <= max(0.02 * per_step * step, per_point)
    assert steps[:2] == [0, 1]
    assert sum(1 < step < 100 for step in steps) >= early
    assert sum(1 < step < 5000 for step in steps) >= before_5000
    assert steps[-1] > 20_000


def test_schedules():
    assert [step for step in range(30) if schedule(10)(step, None if step == 0 else (step - 1))] == [0, 10, 20]
    # Called at other steps than multiples of ten.
    assert schedule(10)(25, 12)
    assert not schedule(10)(19, 12)
    for wrong in (0, -3, 2.5, True, "often"):
        with pytest.raises(InputError, match=r"^every is .*1 or more, or a function"):
            schedule(wrong)


def test_bad_input_is_one_sentence(tmp_path):
    params = drawn()
    options = {"variables": params, "every": 1}
    with xinit.Monitor(two_layers, (X, Y), tmp_path / "a", **options) as monitor:
        monitor(0, params)
        with pytest.raises(InputError, match="in use by another monitor"):
            xinit.Monitor(two_layers, (X, Y), tmp_path / "a", **options)
        for step in (-1, 1.5, "first"):
            with pytest.raises(InputError, match="it must be a whole number from 0 on"):
                monitor(step, params)
        with pytest.raises(InputError, match="other shapes"):
            monitor(1, {**params, "last": params["last"][:, :3]})
    monitor.close()
    with pytest.raises(InputError, match="was closed"):
        monitor(2, params)
    with pytest.raises(InputError, match="another model, which differs in"):
        xinit.Monitor(lambda p, x: x @ p["w"], (X, Y), tmp_path / "a", variables={"w": params["first"]})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt and no record"):
        xinit.Monitor(two_layers, (X, Y), tmp_path / "b", **options)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("")
    with pytest.raises(InputError, match=r"a is a monitor and .*run is none; a page shows monitors, or runs"):
        report.write([tmp_path / "run", tmp_path / "a"])


@pytest.mark.parametrize(("key", "value"), [
    ("format", "new"), ("format", 99), ("identity", "../.."), ("identity", "0" * 12), ("state", "lost"),
    ("layers", [1]), ("layers", ["one"]), ("functions", 3), ("columns", [["step", [10**15]]]), ("columns", 7),
    ("columns", [["../x", []]]), ("history", [[0, []]]), ("history", [[0, [{"level": "OK"}]]]), ("latest", "x"),
])  # fmt: skip
def test_a_damaged_record_is_one_sentence(tmp_path, key, value):
    params = drawn()
    with xinit.Monitor(two_layers, (X, Y), tmp_path, variables=params, every=1) as monitor:
        monitor(0, params)
    facts = json.loads((tmp_path / saved_monitors.FACTS).read_text())
    (tmp_path / saved_monitors.FACTS).write_text(json.dumps(facts | {key: value}))
    with pytest.raises(InputError):
        saved_monitors.load(tmp_path)
    with pytest.raises(InputError):
        xinit.Monitor(two_layers, (X, Y), tmp_path, variables=params)


def test_a_linen_module_may_be_called_with_more(tmp_path):
    class Noisy(linen.Module):
        @linen.compact
        def __call__(self, x, train):
            return linen.Dense(CLASSES)(linen.Dropout(0.5, deterministic=not train)(x))

    with xinit.Monitor(Noisy(), (X, Y), tmp_path, train=True, rngs={"dropout": jax.random.key(1)}) as monitor:
        assert monitor(0).names == ("Dense_0",)
