"""He et al. 2015: the paper's products as properties, networks that were drawn beside them, and what trains."""

import math

import numpy as np
import pytest

from experiments import kept, study, tiers, untrained
from experiments.claims import FAIL, PASS, NotRun
from experiments.he2015 import drawn, equations, fans, signal, trained
from experiments.study import Place
from tests.experiments import counterexamples
from xinit.commands import cli

OWN = study.load("he2015")
pytestmark = pytest.mark.usefixtures("compile_quickly")


# ---- the products


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (8, 1), (8, 2), (7, 2), (28, 2)])
def test_a_border_window_has_two_thirds_and_every_other_one_all(side, stride):
    shares = equations.border(side, stride).sum(axis=1)
    assert len(shares) == -(-side // stride)
    assert set(shares.round(6)) <= {round(2 / 3, 6), 1.0}
    assert (shares < 0.99).sum() == (2 if stride == 1 else side % 2 + 1)


@pytest.mark.parametrize("side", [3, 7, 8])
def test_what_lasts_is_the_largest_eigenvalue_in_both_directions(side):
    assert equations.lasting(side) == pytest.approx(np.linalg.eigvalsh(equations.border(side, 1)).max() ** 2)
    signal_L, _ = equations.signal(np.ones((side, side)), [2.0] * 200, [1] * 200)
    assert signal_L[-1] / signal_L[-2] == pytest.approx(equations.lasting(side))


@pytest.mark.parametrize("slope", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("widths", [(8, 2, 8, 2), (5, 5, 5), (16, 4, 2, 8)])
def test_he_keeps_the_side_of_its_fan_and_the_other_telescopes(widths, slope):
    n, m, factor = np.array(widths[:-1]), np.array(widths[1:]), 2 / (1 + slope**2)
    up = lambda fan: equations.signal(np.ones((1, 1)), factor * n / fan, [], slope)[0]
    down = lambda fan: equations.gradient(factor * m[1:] / fan[1:], [], slope)
    np.testing.assert_allclose(up(n), factor)
    np.testing.assert_allclose(down(m), 1)
    np.testing.assert_allclose(up(m)[-1] / up(m)[0], widths[1] / widths[-1])  # c_2 / d_L
    np.testing.assert_allclose(down(n)[0], widths[-1] / widths[1])


def test_the_gradient_of_a_convnet_goes_back_through_the_windows_that_the_signal_came_by():
    """<g, A q A'> = <A' g A, q>: summed over positions, what goes down is the transpose of what goes up."""
    random, side = np.random.default_rng(0), 9
    q, g, a = random.random((side, side)), random.random((5, 5)), equations.border(side, 2)
    assert np.sum(g * (a @ q @ a.T)) == pytest.approx(np.sum((a.T @ g @ a) * q))


# ---- networks that were drawn


NETWORKS = {
    "perceptron": {"data": "synthetic", "data.inputs": 16, "width": [32, 8, 32]},
    "prelu": {"data": "synthetic", "data.inputs": 16, "width": [32, 32], "activation": "prelu",
              "activation.negative_slope": 0.5},
    "convnet": {"data": "shapeset", "data.size": 12, "network": "convnet", "network.halve": [1], "depth": 3,
                "width": 8},
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.heavy
def test_drawn_networks_scatter_about_the_products(kind):
    settings = {"activation": "relu", "scheme": "he", "probe": "economy", "probe.examples": 4, **NETWORKS[kind]}
    found = drawn.measured(untrained.plans({"he": settings}), 100)["he"]
    for side in signal.SIDES:
        moments_SL, expected_L = np.array(found[side]), np.array(found[f"expected_{side}"])
        error_L = moments_SL.std(axis=0, ddof=1) / math.sqrt(len(moments_SL))
        sharing = 0.1 * expected_L if (kind, side) == ("convnet", "gradient") else 0.0  # what the equations neglect
        assert np.all(np.abs(moments_SL.mean(axis=0) - expected_L) <= 4 * error_L + sharing + 1e-6)
        assert np.all(error_L[1:-1] > 0)


@pytest.mark.parametrize("depth", [6, 10, 30])
@pytest.mark.parametrize("profile", ["alternating", "stages"])
def test_a_profile_has_the_same_ends_at_every_depth(profile, depth):
    widths = fans._widths(profile, 64, depth)
    assert (len(widths), sorted({widths[0], widths[-1]})) == (depth, [16, 64])


# ---- what trains


@pytest.mark.parametrize(
    ("errors", "updates"),
    [([90, 80, 40, 10], 187.5), ([90, 45, 10, 10], 100), ([90, 80, 70, 50], math.nan), ([40, 90, 90, 90], 0)],
)
def test_updates_to_half_of_chance(errors, updates):
    model = {"step": [0, 100, 200, 300], "chance": 90, "valid_error": [errors]}
    assert trained.updates_to_half(model)[0] == pytest.approx(updates, nan_ok=True)


TINY = ["mlp.data=synthetic", "mlp.width=8", "mlp.steps=4", "mlp.points=3", "mlp.seeds=2", "mlp.rates=[0.01]"]
TINY += [f"mlp.models.{name}.layers=4" for name in ("he14", "he22", "xavier22", "he30", "xavier30", "out30")]


@pytest.mark.heavy
@pytest.mark.slow
def test_a_tiny_run_trains_every_model_and_goes_on_where_it_was_stopped(tmp_path):
    settings = tiers.load("he2015", "cpu", TINY)
    stopped = trained.prepare("mlp", settings, Place(tmp_path, stop_after="2"))()
    assert isinstance(trained.metrics("mlp", stopped, [])["mlp"], NotRun)
    results = trained.prepare("mlp", settings, Place(tmp_path))()
    assert results["done"] == 4
    assert np.shape(results["models"]["xavier22"]["valid_error"]) == (2, 3)
    metrics = OWN.module("mlp").metrics({"mlp": results})
    assert metrics["mlp.he22"].n == 2
    assert metrics["mlp.xavier30.least"].value <= np.min(results["models"]["xavier30"]["valid_error"]) + 1e-4
    assert OWN.module("mlp").draw({"mlp": results}).axes


def test_without_its_data_training_is_not_run(tmp_path):
    settings = tiers.load("he2015", "cpu")
    assert isinstance(trained.prepare("mlp", settings, Place(tmp_path)), NotRun)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure=fans", "fans.profiles=[taper]"], "Unknown profile 'taper'"),
        (["figure=prelu", "prelu.schemes.without=none"], "prelu.schemes has 'none'"),
        (["figure=prelu", "prelu.slopes=[1.5]"], "negative_slope is 1.5"),
        (["figure=signal", "signal.schemes.he=nix"], "Unknown scheme 'nix'"),
        (["figure=mlp"], "tier=init does not measure figure=mlp; use tier=cpu or tier=paper."),
    ],
)
def test_a_mistake_ends_with_2_before_any_work(tmp_path, capsys, arguments, words):
    assert study.main("he2015", [*arguments, f"out={tmp_path / 'out'}"]) == cli.BAD_INPUT
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ---- claims


def test_the_products_without_a_border_would_not_fit_a_convnet():
    """The claim that has no counterexample among the settings."""
    (claim,) = (claim for claim in OWN.claims() if claim.id == "signal-convnet-border")
    if "he2015" not in kept.names():
        pytest.skip("needs the kept results of the study, which are absent")
    found = counterexamples.kept_results("he2015")[1]
    convnet = found["signal"]["convnet"]
    full = {
        scheme: {**moments, "expected_signal": [2.0] * len(moments["expected_signal"])}  # as if every window were full
        for scheme, moments in convnet["schemes"].items()
    }
    without_border = {**found, "signal": {**found["signal"], "convnet": {**convnet, "schemes": full}}}
    assert counterexamples.state(OWN, claim, without_border) == FAIL


# Until a trained tier is kept: claims about trained networks, on courses such as the paper's figures show.
COUNTEREXAMPLES = [claim.id for claim in OWN.claims() if claim.tier != "init"]
FALLS = {"he14": 100, "he22": 200, "xavier22": 900, "he30": 400, "xavier30": math.inf, "out30": 500}
ENDS = {"he14": 5.0, "he22": 7.0, "xavier22": 20.0, "he30": 12.0, "xavier30": 88.65, "out30": 15.0}


def as_the_paper_has_it(stage, models):
    """Results of a stage whose models fall from chance to their ends at an update each; three seeds that scatter."""
    steps, rows = list(range(0, 1300, 50)), {}
    for label in models:
        course = lambda shift, label=label: [88.65 if t < FALLS[label] + shift else ENDS[label] for t in steps]
        seeds = [course(shift) for shift in (0, 50, 100)]
        rows[label] = {"rate": 0.01, "edge": "", "test": [ENDS[label] + i / 10 for i in range(3)], "chance": 88.65,
                       "step": steps, "valid_error": seeds, "least": min(map(min, seeds))}  # fmt: skip
    return {stage: {"models": rows, "steps": 1250, "done": 1250}}


@pytest.mark.parametrize("claim", [c for c in OWN.claims() if c.id in COUNTEREXAMPLES], ids=lambda claim: claim.id)
def test_a_claim_about_training_holds_on_the_papers_courses_and_fails_where_models_are_exchanged(claim):
    (stage,) = OWN.module(counterexamples.part_of(OWN, claim)).STAGES
    before, after = (tiers.load("he2015", claim.tier, changes) for changes in ((), claim.counterexample))
    found = as_the_paper_has_it(stage, before[stage]["models"])
    assert counterexamples.state(OWN, claim, found) == PASS
    models = found[stage]["models"]
    now = {label: counterexamples.becomes(found[stage], stage, label, before, after) for label in models}
    found[stage] = {**found[stage], "models": {label: models[other] for label, other in now.items()}}
    assert counterexamples.state(OWN, claim, found) == FAIL
