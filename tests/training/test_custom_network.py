"""Training of a module of the user's: in a population, alone and cut it gives the same, with keys and state."""

import pathlib
import shutil
import sys

import jax
import numpy as np
import pytest

from tests.training.test_loop import states, trainer_of
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training.population import Population, Strategy
from xinit.training.problem import build, initial_run, load, plan
from xinit.training.trainer import Trainer

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
MODULES = pathlib.Path(__file__).resolve().parents[1] / "tracing" / "own_networks.py"
SMALL = {"data": "own_networks:images", "batch_size": 10, "width": 4, "depth": 1, "steps": 12, "probe": "off",
         "scheme": "own", "optimizer": "adam"}  # fmt: skip


@pytest.fixture(autouse=True)
def users_module(tmp_path, monkeypatch):
    shutil.copy(MODULES, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)


def config(**settings):
    return parse(compose("train", overrides_from(SMALL | settings)))


def assert_same(one, other):
    leaves, others = jax.tree.leaves(one), jax.tree.leaves(other)
    assert len(leaves) == len(others)
    for a, b in zip(leaves, others, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("network", ["resnet", "dropped"])
def test_cuts_change_nothing(network):
    """Neither the keys of dropout nor the batch statistics depend on where a run is cut."""
    run = build(config(network=f"own_networks:{network}"))
    whole, cut = states(run, [12], [1, 5, 6, 12])
    assert_same(whole, cut)
    assert bool(run.state) == (network == "resnet")
    assert ("network_key" in run.hyper) == (network == "dropped")


@pytest.mark.parametrize("network", ["resnet", "dropped"])
def test_a_member_of_a_population_is_the_run_on_its_own(network):
    """Several seeds, and a scheme's weights beside the module's own, share one program."""
    settings = {"network": f"own_networks:{network}"}
    members = [{"seed": 0}, {"seed": 1, "scheme": "xavier"}]
    planned = plan([config(**settings, **own) for own in members])
    data = load(planned)
    runs = [initial_run(planned, i, data) for i in range(len(members))]
    strategy = Strategy("map", tuple(jax.local_devices()[:1]), "several runs")
    together = Trainer(Population(planned.problem, data, strategy, 2, 1), runs)
    together.advance(12)
    several = together.state_of_members()
    for i, own in enumerate(members):
        alone = trainer_of(build(config(**settings, **own)))
        alone.advance(12)
        member = jax.tree.map(lambda a, i=i: a[i], several)
        assert_same(member, jax.tree.map(lambda a: a[0], alone.state_of_members()))


def test_schemes_draw_the_kernels_and_leave_the_rest_as_the_module_has_it():
    own, he = (build(config(network="own_networks:dropped", scheme=scheme)) for scheme in ("own", "he"))
    network = own.problem.network
    for weight, kernel, other in zip(network.weights, *map(network.kernels, (own.params, he.params)), strict=True):
        assert kernel.shape == weight.shape
        assert not np.array_equal(kernel, other)
        np.testing.assert_allclose(np.std(other) ** 2 * weight.fan_in, 2, rtol=0.5)
    assert_same(network.with_weights(own.params, network.kernels(he.params)), he.params)
