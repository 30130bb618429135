"""Training of other networks than the plain MLP: populations, runs that were cut, what is kept, and the memory."""

import jax
import numpy as np
import pytest

from xinit.commands import sweeping
from xinit.commands.console import Reporter, SweepReporter
from xinit.core.errors import InputError
from xinit.runs import checkpoints, record, runner
from xinit.settings.compose import compose, compose_many, overrides_from
from xinit.settings.parse import parse
from xinit.training import population, problem

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]

ROWS = np.random.RandomState(0).normal(size=(150, 36)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 7] > 0)
SMALL = {"width": 6, "depth": 2, "steps": 60, "probe": "economy", "probe.points": 3, "keep_params": True,
         "figure": False, "scheme": "he", "activation": "relu", "probe.examples": 20}  # fmt: skip
NETWORKS = {
    "residual": {"network": "residual", "network.norm": "batch", "network.order": "post"},
    "learned": {"network": "residual", "network.scale": "learned", "network.norm": "rms"},
    "convnet": {"network": "convnet", "network.norm": "batch", "network.residual": True, "network.halve": [2]},
}


@pytest.fixture
def images(tmp_path):
    np.savez(tmp_path / "images.npz", x=ROWS.reshape(-1, 6, 6), y=LABELS)
    return {"data": "arrays", "data.file": str(tmp_path / "images.npz")}


def configs(out, *several, **settings):
    jobs = [overrides_from(SMALL | {"out": str(out)} | settings | own) for own in several]
    return sweeping.parse_all(compose_many("train", jobs))


def results(path):
    """Last weights, state and readings, all as arrays."""
    trees = [checkpoints.load_tree(path / name) for name in ("params", "state") if (path / name).exists()]
    return dict(enumerate(jax.tree.leaves(trees))) | record.read_readings(path / "readings.nc")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_is_the_same_alone_in_a_population_and_after_a_cut(name, images, tmp_path):
    settings = images | NETWORKS[name]
    members = [{"seed": seed} for seed in range(3)]
    (config,) = configs(tmp_path / "alone", members[1], **settings)
    alone = runner.execute(config, Reporter(quiet=True))
    expected = results(alone.path)
    assert (alone.path / "state").exists() == ("network.norm" in settings and settings["network.norm"] == "batch")
    for strategy in ("map", "vmap"):
        several = configs(tmp_path / strategy, *members, **settings, **{"population.strategy": strategy})
        found = results(runner.execute_all(several, SweepReporter(quiet=True))[1].path)
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            if strategy == "vmap":  # batched products sum in another order
                np.testing.assert_allclose(found[key], values, rtol=2e-2, atol=2e-3, err_msg=str(key))
            else:
                np.testing.assert_array_equal(found[key], values, err_msg=str(key))
    (cut,) = configs(tmp_path / "cut", members[1], **settings, stop_after=37)
    assert runner.execute(cut, Reporter(quiet=True)).summary == {}
    (whole,) = configs(tmp_path / "cut", members[1], **settings)
    done = runner.execute(whole, Reporter(quiet=True))
    assert done.summary["resumed_from"] == 37
    for key, values in results(done.path).items():
        np.testing.assert_array_equal(values, expected[key], err_msg=str(key))


def test_the_running_averages_are_kept_and_a_forced_run_removes_them(images, tmp_path):
    (config,) = configs(tmp_path, {}, **images, **NETWORKS["residual"])
    path = runner.execute(config, Reporter(quiet=True)).path
    state = checkpoints.load_tree(path / "state")
    params = checkpoints.load_tree(path / "params")
    norms, network = state["norms"], problem.build_problem(config).network
    assert len(norms) == len(network.weights) - 1
    assert np.abs(norms["0"]["mean"] if "0" in norms else norms[0]["mean"]).max() > 0
    assert set(params) == {"layers", "norms"}
    (again,) = configs(tmp_path, {}, **images, **NETWORKS["residual"], force=True, keep_params=False)
    assert runner.execute(again, Reporter(quiet=True)).path == path
    assert not (path / "state").exists()
    assert not (path / "params").exists()


def test_the_same_numbers_in_another_shape_are_another_run_of_networks_that_read_it(tmp_path):
    np.savez(tmp_path / "rows.npz", x=ROWS, y=LABELS)
    np.savez(tmp_path / "square.npz", x=ROWS.reshape(-1, 6, 6), y=LABELS)
    np.savez(tmp_path / "channel.npz", x=ROWS.reshape(-1, 6, 6, 1), y=LABELS)
    np.savez(tmp_path / "flat.npz", x=ROWS.reshape(-1, 4, 9), y=LABELS)

    def config(name, **settings):
        data = {"data": "arrays", "data.file": str(tmp_path / f"{name}.npz")}
        return parse(compose("train", overrides_from(SMALL | data | settings)))

    plain = [config(name).identity() for name in ("rows", "square", "channel", "flat")]
    assert plain[0] == plain[1] == plain[2] == plain[3]
    square, channel, flat = (config(name, network="convnet") for name in ("square", "channel", "flat"))
    assert square.identity() == channel.identity() != flat.identity()
    assert problem.build_problem(flat).network.path[0].shape == (4, 9, 1)
    with pytest.raises(InputError, match=r"network=convnet needs images; the data has 36 numbers an example\."):
        problem.build_problem(config("rows", network="convnet"))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_memory_counts_what_a_network_has(name, images, tmp_path):
    (config,) = configs(tmp_path, {}, **images, **NETWORKS[name])
    made = problem.build_problem(config)
    params, state = made.network.start(jax.random.key(0))
    n_params, n_state = (sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (params, state))
    assert population.weight_bytes(made) == 4 * n_params
    needed = problem.needed_bytes(made, config)
    assert needed["the weights and their update (width, depth)"] == 8 * (n_params + n_state)
    shapes = jax.eval_shape(made.network.apply, params, state, np.zeros((1, 36), np.float32))[1].pre
    assert problem.signal_values(made) == 36 + sum(shape.size for shape in shapes) + made.network.n_outputs
    if name == "convnet":
        assert [shape.shape[1:] for shape in shapes] == [(6, 6, 6), (6, 6, 6), (6, 6, 6), (3, 3, 6), (3, 3, 6)]


def test_convolutions_learn_and_so_do_networks_of_learned_scale(tmp_path):
    np.savez(tmp_path / "bright.npz", x=ROWS.reshape(-1, 6, 6), y=(ROWS.mean(1) > 0).astype(int))
    common = {"data": "arrays", "data.file": str(tmp_path / "bright.npz"), "steps": 150, "probe.points": 2,
              "optimizer.learning_rate": 0.1, "keep_params": False}  # fmt: skip
    for settings in ({"network": "convnet", "network.norm": "batch"}, NETWORKS["learned"] | {"depth": 4}):
        (config,) = configs(tmp_path, {}, **(settings | common))
        losses = runner.execute(config, Reporter(quiet=True)).readings["train_loss"]
        assert losses[-1] < 0.6  # the mean of all steps; chance is ln 2
