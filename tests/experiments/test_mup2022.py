"""The laws of the study against independent draws, its transfers on losses that are known, and a tiny training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import study, tiers
from experiments.claims import FAIL, PASS, NotRun
from experiments.mup2022 import depth, law, response, trained, transfers
from experiments.study import Place
from tests.experiments import counterexamples
from xinit.commands import cli
from xinit.core.errors import InputError
from xinit.initializers import lecun
from xinit.networks import activations
from xinit.networks.mlp import plain
from xinit.networks.network import Frame
from xinit.networks.residual import residual
from xinit.schemes import depth_mup, layerwise, mup

OWN = study.load("mup2022")
COUNTEREXAMPLES = [claim.id for claim in OWN.claims() if claim.tier == "cpu"]  # tried below
pytestmark = pytest.mark.usefixtures("compile_quickly")


# ---- the law of one step


@pytest.mark.parametrize("layers", [1, 2, 5, 12])
def test_the_closed_form_is_the_sum_over_all_pairs_of_layers(layers):
    pairs = [1 + 2 * min(k, j) for k in range(layers) for j in range(layers)]
    assert law.change(layers) == pytest.approx(sum(pairs))


def test_for_deep_networks_the_rate_goes_as_the_depth_to_the_power_of_minus_three_halves():
    deep, deeper = law.change(1000) ** -0.5, law.change(2000) ** -0.5
    assert np.log2(deeper / deep) == pytest.approx(-1.5, abs=0.01)


@pytest.mark.parametrize("depth", [2, 6])
def test_the_closed_form_is_that_of_networks_that_are_drawn(depth):
    keys = jax.random.split(jax.random.key(0), 60)
    squares = np.array([mean_squares(key, depth, 150) for key in keys])
    ratio = squares[:, 0].mean() / squares[:, 1].mean()
    assert ratio == pytest.approx(law.change(depth), rel=0.25)


@functools.partial(jax.jit, static_argnums=(1, 2))
def mean_squares(key, depth, width):
    """Of the change, over the width of what each layer reads, and of the gradient at the top."""
    weights, x = response.drawn(key, width, depth, 16, 2**0.5, 1 / width**2)
    weights = weights._replace(last=weights.last * 1e-3)  # so that the error is the same for all networks
    top = top_gradient(weights, x)
    changed = response.change(weights, x, width / 16) / width
    return jnp.stack([jnp.mean(jnp.square(changed)), jnp.mean(jnp.square(top))])


def pre_activations(weights, x):
    z = weights.first @ x
    for kernel in weights.hidden:
        z = kernel @ jax.nn.relu(z)
    return z


def loss_at(weights, z):
    return -jax.nn.log_softmax(weights.last @ jax.nn.relu(z))[0]


def top_gradient(weights, x):
    return jax.grad(lambda z: loss_at(weights, z))(pre_activations(weights, x))


@pytest.mark.parametrize("first_rate", [1.0, 3.0])
def test_the_change_is_the_derivative_of_the_network_along_its_gradient(first_rate):
    weights, x = response.drawn(jax.random.key(3), width=7, depth=4, inputs=5, gain=2**0.5, last_variance=0.2)
    gradient = jax.grad(lambda weights: loss_at(weights, pre_activations(weights, x)))(weights)
    step = gradient._replace(first=first_rate * gradient.first)
    _, expected = jax.jvp(lambda weights: pre_activations(weights, x), (weights,), (step,))
    np.testing.assert_allclose(response.change(weights, x, first_rate), expected, rtol=1e-4, atol=1e-5)


def test_its_parametrisations_are_those_of_the_library():
    network = plain((16, 64, 64, 10), [activations.relu()] * 2)
    for name, scheme in {"lecun": layerwise(lecun()), "mup": mup(16, "sgd")}.items():
        variances, rates = variances_and_rates(scheme, network)
        first_rate, last_variance = response.PARAMETRISATIONS[name](64, 16)
        assert (rates[0], variances[-1]) == pytest.approx((first_rate, last_variance))
        assert (rates[1], variances[0], variances[1]) == pytest.approx((1, 1 / 16, 1 / 64))


def check_of(sizes, changes):
    return {"sizes": sizes, "change": np.outer(changes, [1.0, 1.0]).tolist()}


def test_the_largest_rate_is_where_the_change_would_be_one():
    sizes = [4, 8, 16]
    found = {"response": {"depth": check_of(sizes, [4.0 * n**3 for n in sizes]), "width": check_of(sizes, [1.0] * 3)}}
    metrics = depth.metrics(found)
    assert metrics["depth.depth"].value == pytest.approx(-1.5)
    assert metrics["depth.width"].value == pytest.approx(0)
    assert depth.largest(found["response"]["depth"])[0, 0] == pytest.approx(1 / 16)


# ---- parametrisations


def variances_and_rates(scheme, network):
    batch = jnp.zeros((2, network.n_inputs)), jnp.zeros(2, int)
    _, lr_scale = scheme(jax.random.key(0), network, {"gain": 1.0}, batch)
    return [law.variance for law in scheme.law(network)], np.asarray(lr_scale)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_at_the_base_width_both_parametrisations_are_one(optimizer):
    network = plain((8, 16, 16, 10), [activations.relu()] * 2)
    variances, rates = variances_and_rates(mup(16, optimizer), network)
    assert variances == pytest.approx([1 / weight.fan_in for weight in network.weights])
    np.testing.assert_allclose(rates, 1)


@pytest.mark.parametrize("depth", [4, 16])
def test_with_adam_at_one_width_complete_p_is_branches_times_one_over_their_number(depth):
    network = residual(Frame((8,), (16,) * depth, (activations.tanh(),) * depth, 10), scale="1/L")
    variances, rates = variances_and_rates(depth_mup(16, 4, "adam"), network)
    assert variances == pytest.approx([1 / weight.fan_in for weight in network.weights])
    np.testing.assert_allclose(rates, 1)


# ---- trained networks


def losses(drifts, sizes=(64, 128, 256, 512), seeds=3):
    """Results of models whose best rate goes as size^p, p by model, with losses that are parabolas over log rate."""
    rates = 2.0 ** np.arange(-10, 0)
    best = {model: 2.0**-5 * (np.array(sizes) / sizes[0]) ** p for model, p in drifts.items()}
    off = {model: np.log2(rates[None, :] / rates_S[:, None]) for model, rates_S in best.items()}
    of_seed = np.array([1.0, 1.01, 1.02])[:seeds, None]
    loss = {model: np.minimum(trained.CHANCE, (0.5 + 0.05 * x[:, None] ** 2) * of_seed) for model, x in off.items()}
    return {"over": "width", "sizes": sizes, "rates": rates.tolist(), "steps": 1, "done": 1,
            "models": {model: {"loss": values.tolist()} for model, values in loss.items()}}  # fmt: skip


def test_exponents_and_costs_of_losses_that_are_known():
    metrics = transfers.metrics_of("w", losses({"drifts": -1.0, "stays": 0.0}))
    assert metrics["w.drifts"].value == pytest.approx(-1, abs=0.01)
    assert metrics["w.stays"].value == pytest.approx(0, abs=1e-6)
    assert metrics["w.drifts.cost"].value == pytest.approx(0.05 * 9 / 0.5, rel=0.01)  # three rates off
    assert metrics["w.drifts-stays"].value == pytest.approx(1, abs=0.01)
    assert metrics["w.drifts-stays.cost"].value == pytest.approx(metrics["w.drifts.cost"].value)


AS_PUBLISHED = {
    "width": {"adam": {"standard": -1.0, "mup": 0.0}, "sgd": {"standard": -1.0, "mup": 0.0}},
    "branches": {"branches": {"one": -1.0, "root": -0.5, "inverse": 0.0}},
}


@pytest.mark.parametrize("claim", [c for c in OWN.claims() if c.id in COUNTEREXAMPLES], ids=lambda claim: claim.id)
def test_a_claim_about_best_rates_holds_as_published_and_fails_under_its_counterexample(claim):
    part = counterexamples.part_of(OWN, claim)
    found = {stage: losses(drifts) for stage, drifts in AS_PUBLISHED[part].items()}
    assert counterexamples.state(OWN, claim, found) == PASS
    before, after = (tiers.load("mup2022", "cpu", changes) for changes in ((), claim.counterexample))
    for stage, results in found.items():
        now = {model: counterexamples.becomes(results, stage, model, before, after) for model in results["models"]}
        results["models"] = {model: results["models"][other] for model, other in dict(now).items()}
    assert counterexamples.state(OWN, claim, found) == FAIL


TINY = ["sizes=[3,4]", "width=4", "data=synthetic", "batch_size=4", "steps=3", "seeds=2", "rates=[0.001,0.01,0.2]"]


@pytest.mark.slow
def test_a_tiny_training_has_a_loss_at_every_rate_and_goes_on_where_it_was_stopped(tmp_path):
    settings = tiers.load("mup2022", "cpu", [f"branches.{change}" for change in TINY])
    stopped = trained.prepare("branches", settings, Place(tmp_path, stop_after="2"))()
    part = OWN.module("branches")
    assert isinstance(part.metrics({"branches": stopped})["branches"], NotRun)
    results = trained.prepare("branches", settings, Place(tmp_path))()
    assert set(results["models"]) == set(part.MODELS)
    for model in results["models"].values():
        assert np.shape(model["loss"]) == (2, 2, 3)
        assert np.all(np.array(model["loss"]) <= trained.CHANCE)
    assert part.metrics({"branches": results})["branches.one"].n == 2
    assert part.draw({"branches": results}).axes
    assert part.table({"branches": results})


def test_without_its_data_training_is_not_run(tmp_path):
    assert isinstance(trained.prepare("branches", tiers.load("mup2022", "cpu"), Place(tmp_path)), NotRun)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["adam.over=height"], "Unknown"),
        (["branches.models.one.scale=two", "branches.data=synthetic"], "Unknown scale of branches 'two'"),
        (["adam.sizes=[64,64]"], "at least two different"),
    ],
)
def test_a_wrong_setting_is_one_sentence_before_any_work(tmp_path, changes, words):
    settings = tiers.load("mup2022", "cpu", changes)
    stage = changes[0].partition(".")[0]
    with pytest.raises(InputError, match=words):
        trained.prepare(stage, settings, Place(tmp_path))


def test_a_mistake_ends_with_2(tmp_path, capsys):
    arguments = ["figure=coordinates", "coordinates.checks.mup_adam.scheme=nix", f"out={tmp_path / 'out'}"]
    assert study.main("mup2022", arguments) == cli.BAD_INPUT
    assert "nix" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
