"""The study of Schoenholz et al. 2017: its weights, its depth scales, a tiny map, its counterexamples."""

import json
import pathlib

import numpy as np
import pytest

from experiments import claims, publishing, study, tiers
from experiments.claims import FAIL
from experiments.schoenholz2017 import heatmap, plane, scales
from experiments.schoenholz2017.schemes import mean_field
from experiments.study import Place
from xinit.core.errors import InputError
from xinit.networks import activations
from xinit.networks.mlp import plain

STUDY = study.load("schoenholz2017")
# Claims about trained networks, tried below: networks that have not learnt.
COUNTEREXAMPLES = ("heatmap-reach", "heatmap-within", "heatmap-edge", "heatmap-order")
TINY = ["trained.data=synthetic", "trained.width=16", "trained.depths=[8,40]", "trained.steps=2"]


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_weights_have_the_stated_law_and_biases_keep_their_variance(weights, gain):
    import jax

    network = plain((60, 200, 200, 200, 10), (activations.tanh(),) * 3)
    scheme = mean_field(0.05, weights)
    params, lr_scale = scheme(jax.random.key(0), network, {"gain": gain}, None)
    kernels, laws = network.kernels(params), scheme.law(network)
    for kernel, law, weight in zip(kernels, laws, network.weights, strict=True):
        assert kernel.shape == weight.shape
        assert law.bias_variance == 0.05
        np.testing.assert_allclose(np.var(kernel), gain**2 * law.variance, rtol=0.1)
    assert laws[1].variance == pytest.approx(1 / 200)
    biases = np.concatenate([layer["bias"] for layer in params["layers"].values()])
    np.testing.assert_allclose(np.var(biases), 0.05, rtol=0.2)
    assert np.all(np.asarray(lr_scale) == 1)
    assert not np.allclose(kernels[1], kernels[2])
    if weights == "orthogonal":
        np.testing.assert_allclose(kernels[1].T @ kernels[1], gain**2 * np.eye(200), atol=1e-4)


@pytest.mark.parametrize(("variance", "weights"), [(-1, "gaussian"), (0.05, "sparse"), (float("nan"), "gaussian")])
def test_other_weights_are_refused(variance, weights):
    with pytest.raises(InputError, match="they must be gaussian or orthogonal"):
        mean_field(variance, weights)


def test_a_rate_is_the_slope_of_the_logarithm():
    course = 3 * np.exp(-np.arange(20) / 4.0)[None].repeat(2, 0)
    np.testing.assert_allclose(scales.rate(course, np.arange(5, 15)), -1 / 4)


def test_the_line_of_theory_is_that_of_the_phases():
    theory, curve = plane.theory("tanh", [1.2, 3.0], 0.05), plane.curve("tanh", [1.2, 3.0], 0.05)
    assert theory["c_star"][0] == 1 > theory["c_star"][1]
    assert [curve["xi_c"][0], curve["xi_c"][-1]] == pytest.approx(theory["xi_c"], rel=0.02)
    assert max(curve["xi_c"]) > 100  # the edge lies between


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["signal.ordered=[1.2,2.0]"], "it must be below 1"),
        (["signal.chaotic=[1.0,2.0]"], "it must be above 1"),
        (["signal.ordered=[1.4,1.2]"], "must be numbers that ascend"),
        (["signal.activation=tahn"], "tahn"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_work(changes, words):
    settings = tiers.load("schoenholz2017", "init", changes)
    with pytest.raises(InputError, match=words):
        STUDY.module("signal").prepare("signal", settings, Place(pathlib.Path("nowhere")))


def test_half_of_the_gain_is_lost_between_two_depths():
    assert heatmap._half_depth([10, 20, 40], np.array([80, 60, 20])) == pytest.approx(20 * 2**0.5)
    assert heatmap._half_depth([10, 20], np.array([80, 70])) == 20  # not lost: the greatest depth, at the least
    assert heatmap._half_depth([10, 20], np.array([0.0, 0.0])) == 10  # nothing gained


@pytest.mark.heavy
@pytest.mark.slow
def test_claims_about_the_map_fail_where_networks_have_not_learnt(tmp_path):
    by_id = {claim.id: claim for claim in STUDY.claims_of("heatmap")}
    (change,) = {tuple(by_id[name].counterexample) for name in COUNTEREXAMPLES}
    settings = tiers.load("schoenholz2017", "cpu", [*TINY, "trained.weight_variances=[1.0,1.76,4.0]", *change])
    measure = STUDY.module("trained").prepare("trained", settings, Place(tmp_path))
    found = {"trained": json.loads(json.dumps(measure()))}
    metrics = publishing.measured(STUDY, ["heatmap"], found, {})
    states = {one.claim.id: one.state for one in claims.check(list(by_id.values()), metrics, "cpu")}
    assert {states[name] for name in COUNTEREXAMPLES} == {FAIL}
    assert heatmap.draw(found).axes
