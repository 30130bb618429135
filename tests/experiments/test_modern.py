"""The study of modern networks: closed forms beside numbers drawn in NumPy, and what is made of trained networks."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import study, tiers
from experiments.claims import FAIL, PASS, NotRun
from experiments.modern import (
    alphas,
    choices,
    coactivation,
    depths,
    drawn,
    gains,
    networks,
    shattering,
    trained,
    variance,
)
from experiments.study import Place
from tests.experiments import counterexamples
from xinit.commands import cli
from xinit.core.errors import InputError

OWN = study.load("modern")
pytestmark = pytest.mark.usefixtures("compile_quickly")


# ---- closed forms


@pytest.mark.parametrize("cosine", [-0.6, 0.0, 0.3, 0.9])
def test_coactivation_is_that_of_numbers_drawn_in_numpy(cosine):
    a, other = np.random.default_rng(0).normal(size=(2, 400_000))
    b = cosine * a + np.sqrt(1 - cosine**2) * other
    assert coactivation.both_active(cosine) == pytest.approx(2 * np.mean((a > 0) & (b > 0)), abs=0.01)
    products = np.maximum(a, 0) * np.maximum(b, 0)
    assert coactivation.next_cosine(cosine) == pytest.approx(2 * np.mean(products), abs=0.02)


def test_the_same_input_twice_shares_all_and_opposite_ones_nothing():
    assert (coactivation.both_active(1.0), coactivation.next_cosine(1.0)) == (1.0, 1.0)
    assert coactivation.both_active(-1.0) == pytest.approx(0) == coactivation.next_cosine(-1.0)


@pytest.mark.parametrize("network", coactivation.EXPECTED)
def test_a_correlation_starts_at_1_and_never_grows(network):
    correlation = coactivation.EXPECTED[network](40)
    assert (len(correlation), correlation[0]) == (41, 1)
    assert np.all(np.diff(correlation) <= 0)


@pytest.mark.parametrize(("network", "exponent"), [("plain", -3.0), ("residual_normed", -0.5 / coactivation.LASTING)])
def test_the_power_with_which_a_correlation_falls_in_the_end(network, exponent):
    """Angles between inputs fall like 3 pi / l in plain networks, so that a layer's factor is 1 - 3/l."""
    n = 20_000
    correlation = coactivation.EXPECTED[network](n)
    assert np.log(correlation[n] / correlation[n // 2]) / np.log(2) == pytest.approx(exponent, rel=0.02)


# ---- networks that are drawn


def test_what_rows_have_in_common_is_the_mean_over_all_pairs():
    rows = np.random.default_rng(0).normal(size=(6, 20)) + 0.5
    pairs = [rows[i] @ rows[j] for i, j in itertools.permutations(range(6), 2)]
    expected = np.mean(pairs) / np.mean(np.sum(rows**2, axis=1))
    assert float(shattering.in_common(jnp.asarray(rows, jnp.float32))) == pytest.approx(expected, rel=1e-4)
    assert float(shattering.in_common(jnp.ones((4, 3)))) == pytest.approx(1)
    assert float(shattering.in_common(jnp.eye(4))) == pytest.approx(0, abs=1e-6)


def stream_in_numpy(random, blocks, width, examples, normed):
    """Mean squares of h + W_2 relu(norm(W_1 relu(norm(h)))) over its blocks, with nothing of ours."""
    norm = lambda z: (z - z.mean(0)) / z.std(0) if normed else z
    weights = lambda: random.normal(size=(width, width)) * np.sqrt(2 / width)
    h = random.normal(size=(examples, width))
    squares = [np.mean(h**2)]
    for _ in range(blocks):
        h = h + np.maximum(norm(np.maximum(norm(h), 0) @ weights()), 0) @ weights()
        squares.append(np.mean(h**2))
    return np.array(squares) / squares[0]


@pytest.mark.parametrize("label", ["one", "normed"])
def test_the_residual_stream_grows_as_networks_in_numpy_do(label):
    random = np.random.default_rng(0)
    drawn_SL = [stream_in_numpy(random, 4, 64, 64, label == "normed") for _ in range(60)]
    np.testing.assert_allclose(np.mean(drawn_SL, 0), variance.EXPECTED[label](np.arange(5), 4), rtol=0.08)


SMALL = {"width": 64, "examples": 32, "networks": 2}


@pytest.mark.heavy
def test_a_learned_scale_starts_as_the_identity_and_a_looks_linear_network_has_one_derivative():
    learned = {"network": "residual", "depth": 4, "weights": 2, "scale": "learned", "norm": "none", "scheme": "he"}
    own = SMALL | {"models": {"learned": learned}}
    found = variance.prepare("variance", {"variance": own}, Place(None))()["models"]["learned"]
    np.testing.assert_allclose(found["signal"], np.array(found["signal"])[:, :1] * np.ones(5))
    assert not np.any(found["share"])
    mirrored = {"network": "mlp", "depth": 6, "norm": "none", "scheme": "looks_linear"}
    own = SMALL | {"models": {"looks_linear": mirrored}}
    found = shattering.prepare("shattering", {"shattering": own}, Place(None))()["models"]["looks_linear"]
    np.testing.assert_allclose(found["correlation"], 1, atol=1e-3)


@pytest.mark.heavy
def test_batch_statistics_are_numbers_in_a_derivative():
    """Those of a plain network of one layer, by hand: W_1 / std, then W_2 where the rectifier is active."""
    own = SMALL | {"models": {"one": {"network": "mlp", "depth": 2, "norm": "batch", "scheme": "he"}}}
    (planned,) = drawn.plans("shattering", own).values()
    params, state, x_BI = next(drawn.drawn(planned, own))
    found = shattering.correlations(planned.problem.network, params, state, x_BI)
    first, second = (np.array(params["layers"][l]["kernel"], float) for l in (0, 1))
    z_BN = np.array(x_BI, float) @ first
    derivative_BN = (z_BN > z_BN.mean(0)) * (first.sum(0) / z_BN.std(0)) @ second
    expected = shattering.in_common(jnp.asarray(derivative_BN, jnp.float32))
    np.testing.assert_allclose(found, [1, float(expected)], atol=1e-3)


# ---- what trains


def row(tests, valid=(5.0,), rate=0.1):
    by_rate = {f"{rate * 10**i:g}": error for i, error in enumerate(valid)}
    return {"rate": rate, "edge": "", "valid": by_rate, "test": list(tests), "chance": 88.65, "diverged": 0, "runs": 2}


def test_a_range_is_taken_seed_by_seed():
    model = {"starts": {"he": {"0.5": row([10, 20]), "1": row([5, 30]), "2": row([50, 40])}}}
    measured = gains.metrics({"gains": {"models": {"plain": model}}})
    assert measured["gains.plain.range"].value == (45 + 20) / 2
    assert measured["gains.plain.small"].value == (5 + 10) / 2
    assert measured["gains.plain.at.2"].value == 45


def test_what_the_usual_scheme_loses_is_paired_and_the_best_is_chosen_by_validation():
    starts = {"standard": row([9, 7], [8.0]), "he": row([4, 6], [6.0, 3.0]), "lsuv": row([3, 3], [4.0, 5.0])}
    model = {"starts": {scheme: {"1": own} for scheme, own in starts.items()}}
    assert choices.best(model) == "he"
    measured = choices.metrics({"choices": {"models": {"a": model}}})
    assert measured["choices.a.best"] == measured["choices.a.he"]
    assert measured["choices.a.he"].value == (5 + 1) / 2
    assert measured["choices.a.spread"].value == (6 + 4) / 2


def test_a_stage_has_every_model_from_every_start():
    own = {"gains": [0.5, 1.0], "models": {"a": {"schemes": ["he", "lsuv"]}, "b": {"schemes": ["he"]}}}
    labels = [start.label for start in trained.starts(own)]
    assert labels == ["a-he-0.5", "a-he-1", "a-lsuv-0.5", "a-lsuv-1", "b-he-0.5", "b-he-1"]


TINY = ["gains.data=synthetic", "gains.width=8", "gains.steps=4", "gains.seeds=2", "gains.rates=[0.01]",
        "gains.gains=[0.5,1.0]", "gains.models.plain.depth=2"]  # fmt: skip


@pytest.mark.heavy
def test_a_tiny_run_trains_and_goes_on_where_it_was_stopped(tmp_path):
    settings = tiers.load("modern", "cpu", TINY)
    settings["gains"]["models"] = {"plain": settings["gains"]["models"]["plain"]}
    stopped = trained.prepare("gains", settings, Place(tmp_path, stop_after="2"))()
    assert isinstance(gains.metrics({"gains": stopped})["gains"], NotRun)
    results = trained.prepare("gains", settings, Place(tmp_path))()
    assert results["done"] == 4
    measured = gains.metrics({"gains": results})
    assert measured["gains.plain.range"].n == 2
    assert gains.draw({"gains": results}).axes
    assert len(gains.table({"gains": results})) == 1


def test_the_largest_gain_that_trains_falls_with_the_power_that_made_it():
    """Errors that pass half of chance at a gain of 4 / sqrt(L), 10 below and 80 above."""
    gains_G = 2.0 ** np.arange(-3, 5)

    def model(depth):
        errors_G = np.interp(np.log2(gains_G * np.sqrt(depth) / 4), [-1, 1], [10, 78.65])
        return {
            "depth": depth,
            "starts": {"lecun": {f"{g:g}": row([e, e]) for g, e in zip(gains_G, errors_G, strict=True)}},
        }

    models = {f"{scale}{depth}": model(depth) for scale in depths.SCALES for depth in (4, 16, 64)}
    measured = depths.metrics({"depths": {"models": models}})
    assert measured["depths.one.exponent"].value == pytest.approx(-0.5, abs=0.02)
    never = {"starts": {"lecun": {"1": row([9]), "2": row([10])}}}
    assert np.isnan(depths.largest(never)).all()


def test_a_figure_of_scales_has_a_panel_for_each_depth():
    models = {f"{rule}{depth}": {"depth": depth, "starts": {"he": {"1": row([5, 6], [7.0, 5.0])}}}
              for rule in alphas.RULES for depth in (5, 50)}  # fmt: skip
    own = {"data": "mnist", "width": 8, "steps": 4, "done": 4, "batch_size": 8, "optimizer": "sgd", "seeds": 2,
           "rates": [0.1, 1.0], "models": models}  # fmt: skip
    assert len(alphas.draw({"alphas": own}).axes) == 2
    assert len(alphas.table({"alphas": own})) == 8


def test_without_its_data_training_is_not_run(tmp_path):
    settings = tiers.load("modern", "cpu")
    assert isinstance(trained.prepare("gains", settings, Place(tmp_path)), NotRun)


def test_an_unknown_scale_is_said():
    with pytest.raises(InputError, match=r"a\.scale is 'two'; it must be one of one, root, learned"):
        networks.settings_of({"scale": "two"}, "a")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure=variance", "variance.models.one.scale=two"], "variance.models.one.scale is 'two'"),
        (["figure=shattering", "shattering.models.plain.norm=some"], "network.norm is 'some'"),
        (["figure=gains"], "tier=init does not measure figure=gains; use tier=cpu"),
    ],
)
def test_a_mistake_ends_with_2_before_any_work(tmp_path, capsys, arguments, words):
    assert study.main("modern", [*arguments, f"out={tmp_path / 'out'}"]) == cli.BAD_INPUT
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ---- claims about trained networks


COUNTEREXAMPLES = [claim.id for claim in OWN.claims() if claim.tier != "init"]
CHANCE = 88.65
ERRORS = {  # percent of test error at the gains of the stage, or of each scheme, as the claims expect them
    "plain": [CHANCE, CHANCE, 12, CHANCE, CHANCE],
    "normed": [20, 15, 12, 14, 30],
    "residual": [13, 11, 10, CHANCE, CHANCE],
    "both": [10, 9, 9, 10, 11],
    "plain-relu": [CHANCE, 20, 10, 12, 11],
    "plain-tanh": [CHANCE, 9, 12, 8, 9],
    "plain-sigmoid": [CHANCE, 89, 89, CHANCE, 89],
    "plain-selu": [20, 9, 30, 9, 9],
    "normed-relu": [9, 10, 11, 9, 9],
    "residual-relu": [9, 8, 11, 10, 9],
    "both-relu": [9, 9, 9.5, 9, 9],
    "normed-tanh": [9, 9, 9, 7.5, 9],
    "residual-tanh": [8.5, 8.5, 8.4, 8, 10],
    "both-tanh": [7.3, 7.4, 7.2, 7.2, 7.1],
    "conv-tanh": [67, 15, 11, 15, 11],
    "conv-relu": [CHANCE, CHANCE, 20, 80, 25],
    "conv-normed": [9, 7, 10, 9, 6],
    "one25": [CHANCE],
    "learned25": [9],
    "root25": [9],
    "fixup25": [10],
    "one100": [CHANCE],
    "root100": [9],
    "learned100": [9],
    "fixup100": [12],
    "standard": [CHANCE],
    "he": [50],
    "lsuv": [40],
    "looks_linear": [9],
    "selu": [14],
    "tanh": [17],
    "batch_norm": [58],
    "skips": [9],
    "one4": [11, 9, 10, 33, 60, 70],
    "one16": [10, 10, 23, 60, 68, 80],
    "one64": [11, 20, 65, 70, 83, CHANCE],
    "root4": [11, 9, 9, 20, 60, 70],
    "root16": [11, 9, 9, 21, 60, 70],
    "root64": [11, 9, 9, 22, 60, 70],
}


def as_expected(stage, settings):
    """Results of a stage with these errors; three seeds that scatter by a tenth of a point."""
    own, models = settings[stage], {}
    for label, model in own["models"].items():
        starts = list(itertools.product(model["schemes"], own["gains"]))
        by_scheme = {scheme: {} for scheme in model["schemes"]}
        for (scheme, gain), error in zip(starts, ERRORS[label], strict=True):
            by_scheme[scheme][f"{gain:g}"] = row([error, error + 0.1, error + 0.2], [error])
        models[label] = {**model, "starts": by_scheme}
    return {stage: {"models": models, "steps": 1, "done": 1}}


@pytest.mark.parametrize("claim", [c for c in OWN.claims() if c.id in COUNTEREXAMPLES], ids=lambda claim: claim.id)
def test_a_claim_about_training_holds_as_expected_and_fails_where_models_are_exchanged(claim):
    (stage,) = OWN.module(counterexamples.part_of(OWN, claim)).STAGES
    before, after = (tiers.load("modern", claim.tier, changes) for changes in ((), claim.counterexample))
    found = as_expected(stage, before)
    assert counterexamples.state(OWN, claim, found) == PASS
    models = found[stage]["models"]
    now = {label: counterexamples.becomes(found[stage], stage, label, before, after) for label in models}
    found[stage] = {**found[stage], "models": {label: models[other] for label, other in now.items()}}
    assert counterexamples.state(OWN, claim, found) == FAIL
