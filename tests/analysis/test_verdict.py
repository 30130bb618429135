"""Every rule, at readings that must and must not trip it; thresholds as shipped."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit.analysis import verdict
from xinit.networks import activations
from xinit.networks.mlp import make_params, plain
from xinit.probes.edges import edges_at_start, no_edges
from xinit.probes.probe import make_probe
from xinit.settings.compose import compose
from xinit.settings.parse import parse

LIMITS = parse(compose("train", [])).verdict
FACTS = {"test_error": 0.6, "chance_error": 5 / 6, "test_examples": 10_000, "learning_rate": 0.03, "steps": 20_000,
         "examples": 200_000, "sound_examples": 20_000, "diverged_at": None}  # fmt: skip
RANGE = {"tanh": (-1, 1), "sigmoid": (0, 1), "relu": (0, np.inf), "selu": (-1.758, np.inf)}


def readings(depth=5, function="tanh", **changed):
    """Two probe points of a sound network; `changed` replaces (start, end) rows of a reading."""
    low, high = (np.full(depth, bound) for bound in RANGE[function])
    mean = {"tanh": 0.0, "sigmoid": 0.5, "relu": 0.6, "selu": 0.0}[function]
    saturated = np.nan if function == "relu" else 0.05
    plain = {"act_std": 0.4, "grad_pre_std": 0.01, "act_slope": 0.8, "act_mean": mean, "act_saturated": saturated}
    made = {name: np.full((2, depth), value) for name, value in plain.items()}
    for name, (start, end) in changed.items():
        made[name] = np.array([np.broadcast_to(start, depth), np.broadcast_to(end, depth)], float)
    return made | {"step": np.array([0, 20_000]), "act_low": low, "act_high": high}


def judged(made, **facts):
    findings = verdict.judge(made, FACTS | facts, LIMITS)
    return findings[0].level, {finding.rule for finding in findings if finding.level == findings[0].level}, findings


def test_a_sound_network_is_ok_in_one_sentence():
    level, _, findings = judged(readings())
    assert level == "OK"
    assert verdict.sentence(findings) == (
        "OK: it learns: test error 60.0%, chance 83.3%, at learning rate 0.03 after 200,000 examples; "
        "the signal keeps its size over depth (x 1.00 a layer); "
        "the gradient keeps its size over depth (x 1.00 a layer)."
    )


@pytest.mark.parametrize(
    ("factor", "depth", "level"),
    [(0.95, 5, "OK"), (0.8, 5, "WARN"), (0.57, 5, "FAIL"), (1.7, 5, "FAIL"), (1.3, 5, "WARN"), (0.965, 50, "WARN"),
     (0.7, 50, "FAIL"), (0.1, 2, "FAIL"), (0.9, 2, "OK")],
)  # fmt: skip
@pytest.mark.parametrize(("rule", "name"), [("signal", "act_std"), ("gradient", "grad_pre_std")])
def test_signals_and_gradients_over_depth(rule, name, factor, depth, level):
    over_depth = factor ** np.arange(depth)
    values = over_depth if rule == "signal" else over_depth[::-1]
    found, rules, _ = judged(readings(depth, **{name: (values, values)}))
    assert found == level
    assert level == "OK" or rules == {rule}


@pytest.mark.parametrize("depth", [1, 2])
def test_shallow_networks_have_a_verdict(depth):
    assert judged(readings(depth))[0] == "OK"


@pytest.mark.parametrize(
    ("error", "level"), [(0.836, "FAIL"), (0.8333, "FAIL"), (0.82, "FAIL"), (0.80, "OK"), (0.1, "OK")]
)
def test_stuck_at_chance_says_at_which_rate_and_after_how_much(error, level):
    found, rules, findings = judged(readings(), test_error=error)
    assert found == level
    if level == "FAIL":
        assert rules == {"chance"}
        assert "at learning rate 0.03 after 200,000 examples" in findings[0].sentence


def test_an_absorbed_sigmoid_layer_is_called_so_though_few_units_pass_the_cut():
    """The top layer's mean .05, slopes .19 of their maximum: above the .05 cut, and stuck all the same."""
    at_end = {"act_mean": (0.5, [0.5, 0.5, 0.55, 0.7, 0.05]), "act_slope": (0.95, [0.9, 0.9, 0.9, 0.7, 0.19])}
    level, rules, findings = judged(readings(function="sigmoid", **at_end))
    assert (level, rules) == ("FAIL", {"absorbed"})
    assert "layer 5 is absorbed into a flat tail at the end (mean activation 0.05" in findings[0].sentence


def test_saturation_on_both_sides_warns_at_the_end_and_fails_at_the_start():
    saturated = [0.6, 0.6, 0.1, 0.1, 0.1]
    slope = [0.2, 0.2, 0.8, 0.8, 0.8]
    assert judged(readings(act_saturated=(0.0, saturated), act_slope=(0.9, slope)))[:2] == ("WARN", {"saturated"})
    level, _, findings = judged(readings(act_saturated=(saturated, 0.0), act_slope=(slope, 0.9)))
    assert level == "FAIL"
    assert findings[0].sentence == "layers 1, 2 are saturated at initialisation (up to 60 % of units)"


def test_a_rectifier_with_half_its_units_off_is_not_called_saturated():
    level, _, findings = judged(readings(function="relu", act_slope=(0.5, 0.3)))
    assert level == "OK"
    assert not {"saturated", "absorbed"} & {finding.rule for finding in findings}


def test_selu_is_absorbed_below_and_never_above():
    flat = {"act_slope": (0.9, 0.3)}
    assert judged(readings(function="selu", act_mean=(0.0, -1.6), **flat))[:2] == ("FAIL", {"absorbed"})
    assert judged(readings(function="selu", act_mean=(0.0, 2.4), **flat))[0] == "OK"


def test_divergence_comes_with_its_interval():
    _, _, findings = judged(readings(), test_error=None, diverged_at=150)
    assert findings[0].sentence.startswith("the loss became infinite or not a number at step 150")


def test_without_probes_only_the_error_is_judged():
    findings = verdict.judge({"step": np.array([100]), "train_loss": np.zeros(1)}, FACTS, LIMITS)
    assert [finding.rule for finding in findings] == ["chance"]


def networks(depth=5, n=6, **changed):
    """Several sound networks at initialisation; `changed` replaces readings."""
    plain = {
        name: np.repeat(a[:1], n, axis=0) for name, a in readings(depth).items() if name[-4:] not in ("_low", "high")
    }
    return plain | {"act_low": np.full(depth, -1.0), "act_high": np.full(depth, 1.0)} | changed


def test_a_rule_over_depth_fails_where_its_whole_interval_is_out_of_bounds():
    scatter = np.exp(np.random.default_rng(0).normal(size=(6, 1)))
    fading = 0.4 * np.array([1, 0.6, 0.4, 0.25, 0.15]) * np.ones((6, 1))
    sure = verdict.judge_start(networks(act_std=fading), LIMITS)[0]
    unsure = verdict.judge_start(networks(act_std=fading * scatter ** np.arange(5)), LIMITS)[0]
    assert (sure.level, unsure.level) == ("FAIL", "WARN")
    assert "in 6 networks" in sure.sentence
    assert verdict.calls_for_remedy([sure])
    assert not verdict.calls_for_remedy([unsure])
    assert verdict.sentence([sure], "Try this.").endswith(" Try this.")


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("alike", {"act_cosine_mean": np.full((6, 5), 0.999)}),
        ("copies", {"act_copies": np.full((6, 5), 0.5)}),
        ("dead", {"act_dead": np.full((6, 5), 0.6), "act_dead_expected": np.full(5, 0.3)}),
        ("spectrum", {"jacobian_total_sv_quantile": np.tile([0, 0, 0, 0.1, 0.2, 1, 20, 30, 40.0], (6, 1))}),
        ("spectrum", {"jacobian_total_sv_quantile": np.tile([0, 0, 0, 0, 0, 1, 20, 30, 40.0], (6, 1))}),
    ],
)
def test_what_else_is_looked_at_before_training(rule, changed):
    found = verdict.judge_start(networks(**changed), LIMITS)
    assert [finding.rule for finding in found if finding.level == "WARN"] == [rule]
    halved = {name: value / 10 if name != "act_dead_expected" else value for name, value in changed.items()}
    if rule != "spectrum":
        assert verdict.judge_start(networks(**halved), LIMITS)[0].level == "OK"


@pytest.mark.parametrize(("ratio", "words"), [(0.2, "lower the rate"), (1e-9, "raise the rate"), (1e-3, None)])
def test_the_last_update_beside_the_weights(ratio, words):
    updates = np.array([[np.nan] * 6, [ratio] * 6])
    level, rules, findings = judged(readings() | {"update_ratio": updates})
    assert (level, rules & {"update"}) == (("WARN", {"update"}) if words else ("OK", set()))
    assert words is None or words in findings[0].sentence


@pytest.mark.parametrize(("schedule", "level"), [("constant", "WARN"), ("cosine", "OK")])
def test_under_a_schedule_the_last_update_may_be_none(schedule, level):
    updates = np.array([[1e-3] * 6, [1e-9] * 6])
    assert judged(readings() | {"update_ratio": updates}, schedule=schedule)[0] == level


WIDTHS = (32, 24, 24, 24, 24, 24, 5)


@functools.cache
def probing(function):
    """One compiled probe for all networks of an activation, on fixed examples; what it gives is ready to be judged."""
    functions = (getattr(activations, function)(),) * (len(WIDTHS) - 2)
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(50, WIDTHS[0])).astype(np.float32), rng.integers(WIDTHS[-1], size=50)
    network = plain(WIDTHS, functions)
    probe, edges = jax.jit(make_probe(network, "economy")), no_edges(len(functions), len(functions) + 1)

    def measure(kernels):
        params = make_params([jnp.asarray(kernel) for kernel in kernels], [jnp.zeros(o) for o in WIDTHS[1:]])
        first = jax.tree.map(np.asarray, probe(params, {}, batch, edges))
        ranges = {name: edges_at_start(functions, first)[name] for name in ("act_low", "act_high")}
        return {name: value[None] for name, value in first.items()} | ranges

    return measure


def drawn(variance, seed=1):
    """Gaussian kernels with n_in Var W = variance."""
    rng = np.random.default_rng(seed)
    shapes = itertools.pairwise(WIDTHS)
    return [(rng.normal(size=(i, o)) * (variance / i) ** 0.5).astype(np.float32) for i, o in shapes]


def constant(value):
    return [np.full(shape, value, np.float32) for shape in itertools.pairwise(WIDTHS)]


def in_pairs(kernels):
    """Each hidden unit twice, with the same weights in and out."""
    twice = lambda axis, w: np.repeat(np.take(w, range(w.shape[axis] // 2), axis), 2, axis)
    ins = [w if l == 0 else twice(0, w) / 2**0.5 for l, w in enumerate(kernels)]
    return [w if l == len(ins) - 1 else twice(1, w) for l, w in enumerate(ins)]


NETWORKS = {
    "sound tanh": ("tanh", drawn(1.7), "OK", {"signal", "gradient"}),
    "sound relu": ("relu", drawn(2.0), "OK", {"signal", "gradient"}),
    "every weight the same, tanh": ("tanh", constant(0.05), "FAIL", {"copies"}),
    "every weight the same, relu": ("relu", constant(1 / 24), "FAIL", {"copies"}),
    "every unit twice": ("relu", in_pairs(drawn(2.0)), "WARN", {"copies"}),
    "zeros": ("tanh", constant(0.0), "FAIL", {"signal", "gradient"}),
    "last layer of zeros": ("tanh", [*drawn(1.7)[:-1], constant(0.0)[-1]], "FAIL", {"gradient"}),
    "small weights": ("tanh", drawn(0.1), "FAIL", {"signal", "gradient"}),
    "large weights": ("tanh", drawn(200.0), "FAIL", {"saturated", "gradient"}),
    "weights that explode": ("relu", drawn(12.0), "FAIL", {"signal", "gradient"}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_and_the_verdict_they_deserve(name):
    function, kernels, level, rules = NETWORKS[name]
    findings = verdict.judge_start(probing(function)(kernels), LIMITS)
    assert (findings[0].level, {finding.rule for finding in findings if finding.level == level}) == (level, rules)
