"""A population computes what its members compute alone, whatever the strategy, devices, chunks and neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit.commands import sweeping
from xinit.commands.console import Reporter, SweepReporter
from xinit.runs import checkpoints, chunks, grouping, record, runner
from xinit.settings.compose import compose, compose_many, overrides_from
from xinit.settings.parse import parse
from xinit.training import population
from xinit.training.population import Strategy, choose_strategy, chunk_size, replica_bytes, stream_count, stream_places
from xinit.training.problem import build, plan
from xinit.training.trainer import Trainer

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
SMALL = {"data": "synthetic", "width": 16, "depth": 2, "steps": 200, "probe": "economy", "probe.schedule": "linear",
         "probe.points": 5, "keep_params": True, "data.valid": 1000, "data.test": 1000, "optimizer": "momentum",
         "figure": False}  # fmt: skip
LSUV = '''
import jax, jax.numpy as jnp
from xinit import schemes, initializers; from xinit.networks import mlp as model

def lsuv(key, widths, activations, hyper, batch):
    """Orthogonal, then each layer divided by the std of its output on the batch (Mishkin & Matas 2015)."""
    params, lr_scale = schemes.layerwise(initializers.orthogonal())(key, model.plain(widths, activations), hyper, batch)
    h, kernels = batch[0], []
    for l, layer in params["layers"].items():
        kernels.append(layer["kernel"] / jnp.std(h @ layer["kernel"]))
        h = activations[l].function(h @ kernels[l]) if l < len(activations) else h
    return model.make_params(kernels, [layer["bias"] for layer in params["layers"].values()]), lr_scale / 2
'''
# Five runs that share nothing but the program: schemes (one sees data), seeds, gains, rates, momenta, data order.
MIXED = [
    {"scheme": "standard", "init_seed": 1, "data_seed": 0},
    {"scheme": "xavier", "init_seed": 2, "data_seed": 0, "scheme.gain": 1.5},
    {"scheme": "orthogonal", "seed": 3, "optimizer.learning_rate": 0.1},
    {"scheme": "custom", "scheme.fn": "lsuv_of_a_user:lsuv", "seed": 3, "optimizer.momentum": 0.5},
    {"scheme": "he", "scheme.distribution": "uniform", "seed": 5, "optimizer.learning_rate": 0.2},
]  # fmt: skip


@pytest.fixture(autouse=True)
def users_module(tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "lsuv_of_a_user.py").write_text(LSUV)
    monkeypatch.syspath_prepend(tmp_path / "modules")


def configs(out, members=MIXED, **settings):
    jobs = [overrides_from(SMALL | {"out": str(out)} | settings | own) for own in members]
    return sweeping.parse_all(compose_many("train", jobs))


def execute_all(out, members=MIXED, reporter=None, **settings):
    reporter = reporter or SweepReporter(quiet=True)
    return runner.execute_all(configs(out, members, **settings), reporter)


def results(outcome):
    """Initial and final weights and readings, all as arrays."""
    params = checkpoints.load_tree(outcome.path / "params") if (outcome.path / "params").exists() else {}
    return dict(enumerate(jax.tree.leaves(params))) | record.read_readings(outcome.path / "readings.nc")


def assert_same(one, other):
    one, other = results(one), results(other)
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=str(name))


@pytest.fixture(scope="module")
def solo(tmp_path_factory):
    """Each of the five runs on its own."""
    folder = tmp_path_factory.mktemp("solo")
    (folder / "lsuv_of_a_user.py").write_text(LSUV)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return [runner.execute(config, Reporter(quiet=True)) for config in configs(folder / "runs")]


@pytest.mark.parametrize(("strategy", "chunk"), [("map", None), ("sequential", 2), ("vmap", None)])
def test_a_replica_equals_its_solo_run(solo, tmp_path, strategy, chunk):
    """Bit for bit on a CPU, but for batched matrix products (vmap), whose sums are taken in another order."""
    together = execute_all(tmp_path, **{"population.strategy": strategy, "population.chunk": chunk})
    assert [outcome.path.name for outcome in together] == [outcome.path.name for outcome in solo]
    for one, alone in zip(together, solo, strict=True):
        if strategy != "vmap":
            assert_same(one, alone)
        np.testing.assert_allclose(one.readings["train_loss"], alone.readings["train_loss"], atol=1e-5)
        assert one.summary["test_error"] == pytest.approx(alone.summary["test_error"], abs=2e-3)
    assert {outcome.summary["replicas"] for outcome in together} == ({5} if chunk is None else {2, 1})


def test_the_initial_weights_are_bitwise_those_of_a_solo_run(tmp_path):
    planned = plan(configs(tmp_path))
    from xinit.training.problem import initial_run, load

    data = load(planned)
    for i, config in enumerate(planned.configs):
        alone, member = build(config), initial_run(planned, i, data)
        jax.tree.map(np.testing.assert_array_equal, alone.params, member.params)
        np.testing.assert_array_equal(alone.hyper["lr_scale"], member.hyper["lr_scale"])
    assert planned.draws[0] is not planned.draws[1]


def test_equal_schemes_are_compiled_once(tmp_path):
    planned = plan(configs(tmp_path, [{"scheme": "xavier", "seed": s, "scheme.gain": s + 1} for s in range(3)]))
    assert len(set(planned.draws)) == 1


RELU = [{"scheme": "he", "activation": "relu", "seed": s} for s in range(3)]
DIVERGING = RELU[2] | {"optimizer.learning_rate": 1e6}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run that diverges, on its own."""
    return runner.execute(configs(tmp_path_factory.mktemp("alone"), [DIVERGING])[0], Reporter(quiet=True))


@pytest.mark.parametrize("strategy", ["map", "sequential", "vmap"])
def test_a_diverging_neighbour_changes_nothing_bit_for_bit(alone, tmp_path, strategy):
    settings = {"population.strategy": strategy}
    calm = execute_all(tmp_path / "calm", RELU, **settings)
    wild = execute_all(tmp_path / "wild", [*RELU[:2], DIVERGING], **settings)
    for one, other in zip(calm[:2], wild[:2], strict=True):
        assert_same(one, other)
    assert [outcome.state for outcome in wild] == ["done", "done", "diverged"]
    assert alone.summary["diverged_at"] == wild[2].summary["diverged_at"] > 1
    assert len(alone.readings["step"]) == len(wild[2].readings["step"]) < len(calm[2].readings["step"])


def test_eight_devices_and_replicas_that_do_not_divide_them(tmp_path):
    members = [{"scheme": "xavier", "init_seed": s, "data_seed": s % 4} for s in range(9)]
    assert jax.local_device_count() == 8
    spread = execute_all(tmp_path / "eight", members, **{"population.strategy": "map"})
    one = execute_all(tmp_path / "one", members, **{"population.strategy": "sequential"})
    for a, b in zip(spread, one, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("data", ["mnist", pytest.param("shapeset", marks=pytest.mark.slow)])
def test_replicas_that_share_a_data_seed_share_its_batches(tmp_path, data, tfds_dir):
    """Drawn once for each stream and device, and yet every replica sees what it would see alone."""
    settings = {"data": data, "steps": 60, "probe.points": 3, "population.strategy": "map"}
    if data == "mnist":
        settings |= {"data.dir": str(tfds_dir), "data.train": 400}
    members = [{"scheme": "xavier", "init_seed": s, "data_seed": s // 3} for s in range(6)]
    together = execute_all(tmp_path / "together", members, **settings)
    alone = configs(tmp_path / "alone", members, **settings)
    for r in (1, 5):
        assert_same(together[r], runner.execute(alone[r], Reporter(quiet=True)))


def test_streams_are_counted_by_device():
    places, streams = stream_places(["a", "a", "b", "b", "b", "c"], 2)
    assert (places, streams) == ([0, 0, 1, 0, 0, 1], [["a", "b"], ["b", "c"]])
    assert stream_count([1, 1, 1, 1], 2) == 1
    assert stream_count([1, 2, 3], 2) == 2  # the fourth place is a copy of the third


class Noting(SweepReporter):
    def __init__(self):
        super().__init__(quiet=True)
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.mark.parametrize("after", [0, 50])
def test_out_of_memory_halves_the_chunk_and_goes_on(solo, tmp_path, monkeypatch, after):
    """Injected where a real one comes from; at step 50 there is a checkpoint to go on from, at 0 there is none."""
    advance, sizes = Trainer.advance, []

    def limited(self, stop, *, before_probe=False):
        if self.population.n > 2 and stop > after:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes.")
        sizes.append(self.population.n)
        advance(self, stop, before_probe=before_probe)

    monkeypatch.setattr(Trainer, "advance", limited)
    reporter = Noting()
    together = execute_all(tmp_path, reporter=reporter, checkpoint_every=0)
    assert "out of memory with 5 runs at once; going on with 3." in reporter.notes
    assert "out of memory with 3 runs at once; going on with 2." in reporter.notes
    assert max(sizes[-2:]) <= 2
    for one, alone in zip(together, solo, strict=True):
        assert_same(one, alone)
        assert one.summary["resumed_from"] == after
        assert not (one.path / "checkpoints").exists()


def test_a_crash_marks_the_runs_of_its_chunk_and_leaves_the_others(tmp_path, monkeypatch, capsys):
    members = [{"scheme": "xavier", "seed": s} for s in range(4)]
    initial_run = chunks.initial_run

    def crashing(planned, i, data):
        if planned.configs[i].init_seed == 1:
            raise ZeroDivisionError("injected")
        return initial_run(planned, i, data)

    monkeypatch.setattr(chunks, "initial_run", crashing)
    outcomes = execute_all(tmp_path, members, **{"population.chunk": 2})
    assert [outcome.state for outcome in outcomes] == ["failed", "failed", "done", "done"]
    assert "ZeroDivisionError: injected" in capsys.readouterr().err
    assert record.read_json(outcomes[0].path / "status.json")["reason"] == "ZeroDivisionError: injected"
    monkeypatch.undo()
    assert [outcome.state for outcome in execute_all(tmp_path, members)] == ["done"] * 4


def test_a_stopped_sweep_goes_on_in_other_chunks_or_alone(solo, tmp_path):
    """Its checkpoint holds five states; two of them, one, and the rest are taken from it."""
    stopped = execute_all(tmp_path, stop_after=77)
    assert {outcome.state for outcome in stopped} == {"stopped"}
    assert_same(runner.execute(configs(tmp_path)[2], Reporter(quiet=True)), solo[2])
    assert {outcome.summary["resumed_from"] for outcome in execute_all(tmp_path, MIXED[3:])} == {77}
    done = execute_all(tmp_path, **{"population.chunk": 2})
    for one, alone in zip(done, solo, strict=True):
        assert one.summary["resumed_from"] == 77
        assert_same(one, alone)
        assert not (one.path / "checkpoints").exists()


# Numbers of an optimizer with all its settings and of a schedule: one program, cut in the warm-up of one of them.
SCHEDULED = [
    {"optimizer.learning_rate": 0.01},
    {"optimizer.weight_decay": 1.0, "optimizer.b1": 0.5},
    {"schedule.warmup": 0.5, "schedule.end": 0.1, "optimizer.clip": 0.1},
]
BY_ADAMW = {"optimizer": "adamw", "optimizer.clip": 1.0, "schedule": "cosine"}


def test_numbers_of_optimizer_and_schedule_are_traced_and_a_cut_schedule_goes_on(tmp_path):
    asked = configs(tmp_path / "together", SCHEDULED, **BY_ADAMW)
    assert grouping.by_program(asked) == [[0, 1, 2]]
    stopped = execute_all(tmp_path / "together", SCHEDULED, stop_after=77, **BY_ADAMW)
    assert {outcome.state for outcome in stopped} == {"stopped"}
    together = runner.execute_all(asked, SweepReporter(quiet=True))
    [alone] = configs(tmp_path / "alone", SCHEDULED[2:], **BY_ADAMW)
    assert {outcome.summary["resumed_from"] for outcome in together} == {77}
    assert_same(together[2], runner.execute(alone, Reporter(quiet=True)))
    losses = [outcome.readings["train_loss"][-1] for outcome in together]
    assert len(set(map(float, losses))) == 3


def test_what_is_done_is_left_and_duplicates_are_one_run(tmp_path):
    first = execute_all(tmp_path, MIXED[:2])
    before = [(outcome.path / "readings.nc").stat().st_mtime_ns for outcome in first]
    reporter = Noting()
    again = execute_all(tmp_path, [*MIXED[:3], MIXED[2]], reporter)
    assert "3 runs; 2 are done already" in reporter.notes[0]
    assert [(outcome.path / "readings.nc").stat().st_mtime_ns for outcome in again[:2]] == before
    assert again[2] is again[3]


def problem(width, depth=5):
    return build(parse(compose("train", overrides_from(SMALL | {"width": width, "depth": depth})))).problem


def test_auto_chooses_by_backend_and_shape(monkeypatch):
    narrow, wide = problem(16), problem(300)
    monkeypatch.setattr(population, "last_level_cache", lambda: 1 << 20)
    assert choose_strategy("auto", narrow, 1).name == "sequential"
    assert len(choose_strategy("auto", narrow, 5).devices) == 5
    spread = choose_strategy("auto", narrow, 50)
    assert (spread.name, len(spread.devices)) == ("map", 8)
    assert choose_strategy("auto", wide, 50)[0] == "sequential"
    assert "the 1 MB cache holds" in choose_strategy("auto", wide, 50).why
    assert choose_strategy("vmap", wide, 50)[::2] == ("vmap", "as asked")
    monkeypatch.setattr(population.jax, "local_devices", lambda: [FakeGpu()] * 4)
    gpu = choose_strategy("auto", wide, 50)
    assert (gpu.name, len(gpu.devices)) == ("vmap", 4)
    assert "gpu" in gpu.why


class FakeGpu:
    platform = "gpu"


def test_a_chunk_fits_the_memory_of_its_devices():
    wide = problem(300)
    weights = population.weight_bytes(wide)
    cpu = Strategy("map", tuple(jax.local_devices()), "")
    gpus = Strategy("vmap", (FakeGpu(),) * 4, "")
    hyper = {"learning_rate": jnp.float32(0.1), "optimizer.momentum": jnp.float32(0.9)}
    for strategy, copies in ((cpu, 3), (gpus, 4)):  # weights, momentum, one kept for update_ratio, gradients
        assert replica_bytes(wide, hyper, strategy) == pytest.approx(copies * weights, rel=1e-3)
    footprint = 3 * weights
    assert chunk_size(cpu, footprint, 20 * footprint) == 10
    assert chunk_size(gpus, footprint, 20 * footprint) == 40
    assert chunk_size(cpu, footprint, footprint) == 1
    assert chunk_size(cpu, footprint, 10**15) == 32
