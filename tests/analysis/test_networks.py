"""The verdict of networks that are no plain stack of layers: drawn and measured, with the thresholds as shipped."""

import functools

import numpy as np
import pytest

from xinit.analysis import verdict
from xinit.analysis.layout import axis_title, layout_of, numbers, part
from xinit.analysis.over_depth import over_depth
from xinit.core.readings import EDGES
from xinit.settings.compose import compose
from xinit.settings.parse import parse
from xinit.settings.thresholds import thresholds
from xinit.training import ensemble
from xinit.training.expectations import bounds
from xinit.training.places import about, places
from xinit.training.problem import load, plan

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
LIMITS = thresholds()
FLAT = ["data=synthetic", "width=32", "data.valid=60", "data.test=60", "probe.examples=60", "probe=economy"]
IMAGES = ["data=shapeset", "width=32", "data.valid=20", "data.test=20", "probe.examples=20", "probe=economy"]
RESIDUAL = [*FLAT, "network=residual", "depth=20"]
CONVNET = [*IMAGES, "network=convnet"]


@functools.cache
def measured(*overrides, seeds=4):
    """Networks of these settings at initialisation, ready to be judged, and what is known of them."""
    planned = plan([parse(compose("train", list(overrides)))])
    network = planned.problem.network
    networks = ensemble.measure(planned, load(planned), range(seeds)) | bounds(planned.problem) | places(network)
    return networks, about(network)


def judged(*overrides):
    networks, known = measured(*overrides)
    return verdict.judge_start(networks, LIMITS, known)


EXPECTED = {
    "he doubles the variance": ([*RESIDUAL, "activation=relu", "scheme=he"], "FAIL", {"signal", "gradient"}),
    "1/sqrt(L)": ([*RESIDUAL, "activation=relu", "scheme=he", "network.scale=1/sqrt(L)"], "OK", None),
    "1/L": ([*RESIDUAL, "activation=relu", "scheme=he", "network.scale=1/L"], "OK", None),
    "learned": ([*RESIDUAL, "activation=relu", "scheme=he", "network.scale=learned"], "OK", None),
    "norm on the branch": ([*RESIDUAL, "activation=relu", "scheme=he", "network.norm=layer"], "OK", None),
    "batch norm on the branch": ([*RESIDUAL, "activation=relu", "scheme=he", "network.norm=batch"], "OK", None),
    "tanh": ([*RESIDUAL, "activation=tanh", "scheme=xavier"], "OK", None),
    "tanh, one weight": ([*RESIDUAL, "activation=tanh", "scheme=xavier", "network.weights=1"], "OK", None),
    "one weight": ([*RESIDUAL, "activation=relu", "scheme=he", "network.weights=1"], "FAIL", {"signal", "gradient"}),
    "constant": ([*RESIDUAL, "activation=tanh", "scheme=constant", "scheme.value=0.01"], "FAIL", None),
    "convnet he": ([*CONVNET, "activation=relu", "scheme=he", "depth=12"], "OK", None),
    "convnet xavier": ([*CONVNET, "activation=relu", "scheme=xavier", "depth=12"], "FAIL", {"signal", "gradient"}),
    "layer norm": ([*FLAT, "network.norm=layer", "depth=20", "activation=relu", "scheme=he"], "OK", None),
    "layer norm, weights of any size": (
        [*FLAT, "network.norm=layer", "depth=20", "activation=relu", "scheme=he", "scheme.gain=10.0"], "OK", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_networks_and_the_verdict_they_deserve(name):
    overrides, level, rules = EXPECTED[name]
    findings = judged(*overrides)
    assert findings[0].level == level, findings
    if rules:
        assert {finding.rule for finding in findings if finding.level == level} == rules, findings


def test_what_an_old_config_judges_a_plain_run_by_is_enough():
    """Thresholds that other networks brought are looked up for these alone."""
    networks, known = measured(*FLAT, "depth=3", "activation=relu", "scheme=he")
    brought = ("rate_fail_normalised", "branch_power", "saturated_skipped")
    old = {name: value for name, value in LIMITS.items() if name not in brought}
    assert verdict.judge_start(networks, old, known) == verdict.judge_start(networks, LIMITS, known)
    assert not set(networks) & {"act_branch", "act_skipped", "act_normalised", "act_units"}


def test_what_lies_within_branches_is_called_by_its_branch():
    networks, known = measured(*RESIDUAL, "activation=relu", "scheme=he", "network.scale=learned")
    layout = layout_of(networks, known["layers"])
    assert known["layers"][:4] == ["input", "branch 1, weight 1", "sum 1", "branch 2, weight 1"]
    assert known["weights"][:4] == ["input", "branch 1, weight 1", "branch 1, weight 2", "branch 2, weight 1"]
    assert layout.names == layout_of(networks).names == tuple(known["layers"])
    assert (int(layout.main.sum()), layout.has_skips, layout.is_known) == (21, True, True)
    assert layout.skipped.all()


def test_no_gradient_comes_into_branches_whose_scale_is_0_before_it_moves():
    networks, known = measured(*RESIDUAL, "activation=relu", "scheme=he", "network.scale=learned")
    found = {finding.rule: finding for finding in verdict.judge_start(networks, LIMITS, known)}
    assert found["reach"].level == "OK"
    assert found["reach"].sentence.startswith("no gradient comes into 20 branches before the scales")
    steps = {name: values if name in EDGES else np.stack([values[0]] * 2) for name, values in networks.items()}
    facts = {"test_error": 0.1, "chance_error": 0.9, "test_examples": 1000, "learning_rate": 0.1, "steps": 9,
             "examples": 90, "diverged_at": None, **known}  # fmt: skip
    unmoved = verdict.judge(steps | {"step": np.array([0, 9])}, facts, LIMITS)
    assert (unmoved[0].level, unmoved[0].rule) == ("WARN", "reach")


def test_a_last_weight_of_0_that_moves_is_no_fault():
    """As Fixup's: no gradient comes below it, and its own is not 0."""
    networks, known = measured(*RESIDUAL, "activation=relu", "scheme=he", "network.scale=learned")
    cut_off = networks | {"grad_pre_std": np.zeros_like(networks["grad_pre_std"])}
    moving = np.zeros_like(networks["grad_w_norm"])
    moving[:, -1] = 1.0
    judged = lambda norms: verdict.judge_start(cut_off | {"grad_w_norm": norms}, LIMITS, known)
    assert judged(moving)[0].level == "OK"
    assert "before their first step" in next(f.sentence for f in judged(moving) if f.rule == "gradient")
    assert (judged(0 * moving)[0].level, judged(0 * moving)[0].rule) == ("FAIL", "gradient")


def made(std, **more):
    std = np.asarray(std, float)[None]
    return {"act_std": std, "grad_pre_std": std[:, ::-1], "act_branch": np.zeros(std.shape[1])} | more


@pytest.mark.parametrize(
    ("n", "std", "level", "words"),
    [
        (
            100,
            lambda k: 2 ** (k / 2),
            "FAIL",
            "explodes over 100 branches: at initialisation its std grows by x 1.41",
        ),
        (100, lambda k: (1 + k) ** 0.5, "OK", "no faster than their number"),
        (100, lambda k: 1.0 + 0 * k, "OK", "keeps its size over 100 branches (x 1.00 a branch"),
        (10, lambda k: 2 ** (k / 2), "WARN", "grows over 10 branches"),
        (30, lambda k: 0.8**k, "FAIL", "vanishes over 30 branches: at initialisation its std shrinks by x 0.80 a"),
        (4, lambda k: 2 ** (k / 2), "OK", "no faster than their number"),
    ],
)
def test_a_power_of_the_number_of_branches_is_sound_and_a_factor_a_branch_is_not(n, std, level, words):
    readings = made(std(np.arange(n + 1)))
    for rule in ("signal", "gradient"):
        found = over_depth(rule, readings, layout_of(readings), LIMITS)
        assert (found.level, words in found.sentence) == (level, True), found


def test_what_theory_says_stands_beside_what_was_measured():
    readings = made(2 ** (np.arange(21) / 2), act_rms_predicted=3 * 1.5 ** np.arange(21))
    found = over_depth("signal", readings, layout_of(readings), LIMITS)
    assert "x 1.41 a branch (x 1e+03 in all, predicted x 1.50 a branch)" in found.sentence
    silent = over_depth("signal", readings, layout_of(readings), LIMITS, "nobody knows")
    assert "measured, not predicted" in silent.sentence


@pytest.mark.parametrize(
    ("std", "level"),
    [
        (1 + 0.3 * np.sin(np.arange(20) * 7), "OK"),
        (np.where(np.arange(20) == 19, 0, 1.0), "OK"),  # a head that starts at 0
        (1.5 ** np.arange(20), "FAIL"),
        (0.5 ** np.arange(20), "FAIL"),
        ([1.0, 2.0], "OK"),
    ],
)
def test_sizes_of_layers_whose_skips_nobody_sees(std, level):
    n = len(std)
    z = np.array(std, float)[None]
    behind = np.geomspace(1, 1e-6, n)  # functions behind some of them give other sizes, of which nothing is judged
    readings = made(behind, act_branch=np.full(n, np.nan), pre_std=z)
    found = over_depth("signal", readings, layout_of(readings), LIMITS, "nobody knows the way")
    assert found.level == level, found
    assert "measured, not predicted" in found.sentence


def test_an_update_of_weights_that_were_0_is_not_called_large():
    networks, known = measured(*FLAT, "depth=3", "activation=relu", "scheme=he")
    steps = {name: values if name in EDGES else np.stack([values[0]] * 2) for name, values in networks.items()}
    steps |= {"step": np.array([0, 9]), "update_ratio": np.array([[np.nan] * 4, [1e-3, 1e-3, 1e-3, np.inf]])}
    facts = {"test_error": 0.1, "chance_error": 0.9, "test_examples": 1000, "learning_rate": 0.1, "steps": 9,
             "examples": 90, "diverged_at": None, **known}  # fmt: skip
    assert verdict.judge(steps, facts, LIMITS)[0].level == "OK"


def test_the_parts_of_the_readings_and_their_numbers():
    readings = {"step": np.arange(2), "act_std": np.arange(10.0).reshape(2, 5), "update_ratio": np.ones((2, 6)),
                "act_branch": np.array([0, 1, 0, 2, 0]), "act_edges": np.arange(15.0).reshape(5, 3)}  # fmt: skip
    main, within = part(readings), part(readings, within=True)
    assert (numbers(main), axis_title(main)) == ([0, 1, 2], "sum behind branch")
    assert (numbers(within), axis_title(within)) == ([1, 2], "branch")
    np.testing.assert_array_equal(within["act_std"], [[1, 3], [6, 8]])
    np.testing.assert_array_equal(main["act_edges"][:, 0], [0, 6, 12])
    assert main["update_ratio"].shape == (2, 6)
    plain = {name: values for name, values in readings.items() if name != "act_branch"}
    assert (numbers(plain), axis_title(plain), part(plain)["act_std"].shape) == ([1, 2, 3, 4, 5], "layer", (2, 5))
