"""The laws of single networks against independent draws, and the claims about trained networks under other weights."""

import itertools
import json

import jax
import numpy as np
import pytest

from experiments import claims, study, tiers
from experiments.claims import FAIL, PASS, NotRun
from experiments.hanin2018 import drawn, law, lengths, products, start, training, width
from experiments.study import Place
from xinit.core.errors import InputError

OWN = study.load("hanin2018")
HE = drawn.Weights(2.0, "normal")
COUNTEREXAMPLES = ("start-small-variance", "start-large-variance", "start-truncated", "width-narrow")  # tried below


# ---- laws


@pytest.mark.parametrize("activation", law.PER_LAYER)
def test_the_exact_law_of_a_factor_is_that_of_numbers_drawn_in_numpy(activation):
    n, scale, draws = 12, 1 / law.MEAN_SQUARE[activation], 200_000
    g = np.random.default_rng(0).normal(size=(draws, n))
    squares = np.sum(np.where((g > 0) | (activation == "linear"), g, 0) ** 2, axis=1)
    logs = np.log(scale / n * squares[squares > 0])
    mean, variance = law.exact(activation, (n, n), scale)
    assert abs(logs.mean() - mean) < 4 * logs.std() / np.sqrt(len(logs))
    assert variance == pytest.approx(logs.var(), rel=0.02)


@pytest.mark.parametrize("activation", law.PER_LAYER)
def test_the_exact_law_tends_to_that_of_the_paper(activation):
    widths, scale = (4000,) * 101, 1 / law.MEAN_SQUARE[activation]
    b = law.PER_LAYER[activation] * law.sum_of_reciprocals(widths)
    assert law.exact(activation, widths, scale) == pytest.approx((-b / 2, b), rel=2e-3)


def test_the_variance_between_layers_is_that_of_all_pairs_of_layers():
    widths = (10, 20, 50, 10, 30)
    second = np.cumprod([1 + 5 / n for n in widths[1:]])
    pairs = [second[min(pair)] for pair in itertools.product(range(4), repeat=2)]
    assert law.between_layers(widths) == pytest.approx(second.mean() - np.mean(pairs))


# ---- drawing


def test_a_network_is_that_of_its_key_whatever_is_drawn_beside_it():
    keys = drawn.keys_of(seeds=2, networks=3, row=7)
    together, alone = (drawn.logs(some, (8,) * 5, HE).signal for some in (keys, keys[4:5]))
    np.testing.assert_allclose(together[4:5], alone, rtol=1e-5, atol=1e-6)


def test_no_two_networks_of_the_study_share_a_key():
    rows = [drawn.keys_of(3, 5, row) for row in (0, 1, 2001)]
    assert len(np.unique(np.concatenate([jax.random.key_data(keys) for keys in rows]), axis=0)) == 45


@pytest.mark.parametrize(("skip", "scales"), [(0.0, None), (1.0, [0.5, 0.25, 1.0])])
@pytest.mark.parametrize("activation", drawn.ACTIVATIONS)
def test_signal_and_change_are_those_of_the_network_and_its_jacobian(activation, skip, scales):
    """The same weights, drawn again from the same keys, as one function that JAX differentiates."""
    keys, n = drawn.keys_of(1, 1, 3), 6
    found = drawn.logs(keys, (n,) * 4, HE, activation, skip, scales)
    folded = lambda number: drawn._folded(keys, number)
    x, v = (drawn._normal(folded(part), n)[0] for part in (0, 1))
    draw = lambda key: np.sqrt(2) * drawn.variance_scaling(1.0, "in", "normal")(key, (n, n))
    kernels = [draw(folded(2 + l)[0]) for l in range(3)]

    def network(h):
        for kernel, eta in zip(kernels, scales or [1.0] * 3, strict=True):
            z = h @ kernel
            h = skip * h + eta * (jax.nn.relu(z) if activation == "relu" else z)
        return h

    h, change = jax.jvp(network, (x,), (v,))
    log_ratio = lambda a, b: np.log(np.mean(np.square(a)) / np.mean(np.square(b)))
    assert found.signal[0, -1] == pytest.approx(log_ratio(h, x), abs=1e-4)
    assert found.change[0, -1] == pytest.approx(log_ratio(change, v), abs=1e-4)


def test_a_network_that_died_is_minus_infinity_from_there_on():
    signal = drawn.logs(drawn.keys_of(1, 200, 0), (1,) * 6, HE).signal
    dead = np.isneginf(signal)
    assert 0 < dead[:, -1].sum() < 200
    assert not np.isnan(signal).any()
    assert (dead[:, :-1] <= dead[:, 1:]).all()


def test_the_branch_scales_with_a_finite_sum_are_inverse_and_geometric():
    sums = {name: [scales(n).sum() for n in (100, 400)] for name, scales in lengths.BRANCH_SCALES.items()}
    assert {name for name, (short, long) in sums.items() if long < 1.1 * short} == {"inverse", "geometric"}


# ---- settings


@pytest.mark.parametrize(
    ("stage", "changes", "words"),
    [
        ("products", ["products.rows.relu.activation=tanh"], "it must be one of relu, linear"),
        ("products", ["products.rows.relu.distribution=cauchy"], "it must be one of uniform, normal, truncated_normal"),
        ("products", ["products.shapes.32x64.depth=20000"], "it must be at most 10000"),
        ("lengths", ["lengths.residual.branches.one=two"], "it must be one of plain, one, root, inverse, geometric"),
        ("lengths", ["lengths.growth.weights.he.distribution=cauchy"], "it must be one of"),
    ],
)
def test_a_wrong_setting_is_one_sentence_before_any_work(stage, changes, words, tmp_path):
    settings = tiers.load("hanin2018", "init", changes)
    with pytest.raises(InputError, match=words):
        OWN.module(stage).prepare(stage, settings, Place(tmp_path))


def test_training_needs_its_data(tmp_path):
    settings = tiers.load("hanin2018", "cpu")
    assert isinstance(training.prepare("equal", settings, Place(tmp_path)), NotRun)


def test_a_shape_takes_its_widths_in_turn():
    assert products.widths_of({"widths": [3, 5], "depth": 3}, "shape") == (3, 3, 5, 3)


# ---- trained networks


@pytest.fixture
def kept():
    """The stages that trained, as they are kept."""
    return {stage: json.loads((OWN.results / f"{stage}.json").read_text()) for stage in ("equal", "narrow")}


def models_of(settings):
    """Weights and shape of each model, by stage and label."""
    return {
        (stage, f"{weights}-{shape}"): (kind, size)
        for stage in ("equal", "narrow")
        for weights, kind in settings[stage]["weights"].items()
        for shape, size in settings[stage]["shapes"].items()
    }


def exchanged(found, changes):
    """The kept results, those of a model whose settings change being of the model that it becomes."""
    before, settings = models_of(tiers.load("hanin2018", "cpu")), tiers.load("hanin2018", "cpu", changes)
    changed = {stage: {**found[stage], "shapes": settings[stage]["shapes"], "models": {}} for stage in found}
    for (stage, label), wanted in models_of(settings).items():
        now, model = next(key for key, own in before.items() if own == wanted)
        changed[stage]["models"][label] = found[now]["models"][model]
    return changed


@pytest.mark.parametrize("id", COUNTEREXAMPLES)
def test_a_claim_about_training_fails_under_its_counterexample(id, kept):
    (claim,) = (claim for claim in OWN.claims() if claim.id == id)
    part = start if id.startswith("start") else width
    state = lambda found: claims.check([claim], part.metrics(found), "cpu")[0].state
    assert state(kept) == (FAIL if id == "start-truncated" else PASS)
    assert state(exchanged(kept, claim.counterexample)) == FAIL


def test_training_that_was_stopped_early_says_so(kept):
    kept["narrow"]["done"] = 10
    assert "stopped after 10" in width.metrics(kept)["width"].why


def test_every_network_that_started_did_so_within_the_budget(kept):
    for model in (model for stage in kept.values() for model in stage["models"].values()):
        assert all(
            (epochs < 0.5) >= reached
            for epochs, reached in zip(model["error20"], model["error20_reached"], strict=True)
        )
        assert all(early <= late for early, late in zip(model["accuracy20"], model["error20"], strict=True))
