"""python -m xinit.theory: what it prints and draws, which weights it recommends, and what it refuses."""

import math
import re
import sys

import numpy as np
import pytest
import yaml
from matplotlib.image import imread

from xinit.commands import cli
from xinit.networks import activations
from xinit.networks.activations import Activation
from xinit.settings.compose import conf_dir
from xinit.theory import __main__ as entry
from xinit.theory import courses, figures, tables
from xinit.theory.courses import Weights, best, course, edge_for, usual
from xinit.theory.question import take_question

pytestmark = pytest.mark.heavy


@pytest.fixture
def answered(tmp_path, monkeypatch, capsys):
    """What the command prints in a folder of its own."""

    def run(*arguments, code=cli.DONE):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["xinit.theory", *arguments])
        assert entry.main() == code
        printed = capsys.readouterr()
        return " ".join((printed.out if code == cli.DONE else printed.err).split())

    return run


def test_tanh_at_its_critical_point(answered, tmp_path):
    printed = answered("activation=tanh", "weight_variance=1", "depth=40")
    assert "│ 0.0000 │ 0.3943 │ 0.4644 │" in printed
    assert re.search(r"1/sqrt\(E f\^2\) │ 1.5925 │ 2.5362 │ 1 │ 1.18 │", printed)
    assert "│ s_b^2 = 0.05 │ 0.57 │ 1.761 │ 0.05 │" in printed
    assert "The asymptotic scale misleads" in printed
    assert "q_l = 1 / (2 l)." in printed
    assert "Longest trainable depth: 14 layers" in printed
    assert "Use s_w^2 = 1.761, s_b^2 = 0.05 (edge of chaos)" in printed
    drawn = imread(tmp_path / "runs/theory/tanh-weight_variance=1-depth=40.png")
    assert drawn.shape[0] > 800
    assert np.ptp(drawn[:, :, :3], axis=(0, 1)).min() > 0.9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["activation=relu", "depth=20"], ["any q* │ any │ 2 │ 0 │ the only point", "Use s_w^2 = 2, s_b^2 = 0 (he,"]),
        (["activation=sigmoid", "depth=10"], ["4.8013 │ 23.053 │ 8.86 │ 0.482", "1.8462 │ 3.4086 │ 1 │ 0.153",
                                  "unreachable", "45.62 │ 103.01 │ 0 │ in saturation", "take another activation"]),
        (["activation=gelu", "depth=8"], ["1 (repels)", "do not hold a signal"]),
        (["activation=leaky_relu", "activation.negative_slope=0.2", "depth=5"], ["1.9231"]),
        (["activation=selu", "bias_variance=0.2", "depth=8"], ["s_b^2 = 0.2", "over 8 layers"]),
        (["activation=linear", "weight_variance=2", "depth=5"], ["grows without end: there is no c*"]),
        (["activation=squared_relu", "depth=5"], ["0.5000 │ 1.5000 │ 2.0000 │ neither", "│ 0.5 │ 1 │ 0.125 │ repels"]),
        (["activation.fn=jax.nn:silu", "depth=5"], ["jax.nn:silu: moments", "0.2066 │ 0.3558 │ 0.3795 │ neither"]),
    ],
)  # fmt: skip
def test_what_is_said_of_others(answered, tmp_path, arguments, words):
    printed = answered(*arguments, "figure=false")
    assert [each for each in words if each not in printed] == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["activation=tangh"], "Unknown activation 'tangh'; did you mean tanh?"),
        (["activation=[tanh,relu]"], "theory takes one by its name"),
        (["activation.slope=2"], "Unknown setting activation.slope"),
        (["activation=leaky_relu", "activation.negative_slope=1.5"], "negative_slope is 1.5; it must be at least 0"),
        (["activation=endless"], "The activation endless has no finite Gaussian moments"),
        (["weight_variance=-1"], "weight_variance is -1; it must be a number from 1e-06 to 1e+06, or null"),
        (["weight_variance=nan"], "weight_variance is nan"),
        (["bias_variance=-0.1"], "bias_variance is -0.1; it must be a number from 0 to 1e+06"),
        (["weigth_variance=1"], "Unknown setting weigth_variance; did you mean weight_variance?"),
        (["scheme=xavier"], "Unknown setting scheme"),
        (["~depth"], "The setting depth is missing; conf/theory.yaml has its default."),
        (["depth=1"], "depth is 1; it must be a whole number from 2 to 1000"),
        (["figure=maybe"], "figure is 'maybe'; it must be true or false"),
        (["out=3"], "out is 3; it must be the name of a folder"),
    ],
)
def test_a_mistake_is_one_sentence_before_any_work(answered, tmp_path, monkeypatch, arguments, words):
    endless = lambda: Activation("endless", lambda x: 1 / x, lambda x: -1 / x**2, 1.0, -math.inf, math.inf)
    endless.__module__ = activations.__name__
    monkeypatch.setattr(activations, "endless", endless, raising=False)
    if arguments == ["activation=endless"]:  # it has no YAML file
        arguments = ["++activation.fn=endless"]
    error = answered(*arguments, code=cli.BAD_INPUT)
    assert error.startswith("xinit: ")
    assert words in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("activation", "label"),
    [
        ({"fn": "jax.nn:silu"}, "jax.nn-silu-depth=5"),
        ({"fn": "jax.nn:elu", "alpha": 2, "facts": {"kinks": [0]}}, "jax.nn-elu-alpha=2-facts=-kinks-0--depth=5"),
    ],
)
def test_a_label_is_the_name_of_a_file(activation, label):
    raw = {"activation": activation, "weight_variance": None, "bias_variance": 0, "depth": 5}
    assert take_question(raw | {"out": "runs", "figure": False}).label == label


def test_the_bounds_are_the_verdicts():
    limits = yaml.safe_load((conf_dir() / "verdict/default.yaml").read_text())
    assert (limits["signal_fail"], limits["slope_absorbed"]) == (courses.BOUND, courses.ABSORBED) == (5, 0.4)


@pytest.mark.parametrize(
    ("name", "bias_variance", "expected"),
    [
        ("tanh", 0.0, (0.0, 1.0)),
        ("lecun_tanh", 0.0, (0.0, (1.7159 * 2 / 3) ** -2)),
        ("relu", 0.0, (0.0, 2.0)),
        ("relu", 0.05, None),
        ("gelu", 0.0, None),
        ("gelu", 0.05, None),
        ("gelu", 0.2, (4.471, 1.9707)),
        ("sigmoid", 0.0, (45.62, 103.01)),
    ],
)
def test_the_edge_is_offered_where_signals_settle_on_it(name, bias_variance, expected):
    edge = edge_for(getattr(activations, name)(), bias_variance)
    assert (edge and edge[:2]) == (expected and pytest.approx(expected, rel=1e-3))


@pytest.mark.parametrize(
    ("name", "named", "lasts"),
    [("relu", "he", 30), ("tanh", "edge of chaos", 30), ("selu", "edge of chaos", 30), ("sigmoid", "1/std f", 6)],
)
def test_the_best_weights_last_longest(name, named, lasts):
    f = getattr(activations, name)()
    found = [course(f, weights, 30) for weights in usual(f)]
    chosen = best(found)
    assert named in chosen.weights.name
    assert chosen.layers == lasts
    assert all(one.layers <= lasts or one.slope < courses.ABSORBED for one in found)


def test_a_course_is_what_a_deep_network_does():
    """He's weights keep both, Xavier's halve both second moments a layer, under ReLU; cosines rise all the same."""
    f = activations.relu()
    he, xavier = course(f, Weights("he", 2.0), 11), course(f, Weights("xavier", 1.0), 11)
    assert (he.signal, he.gradient, he.layers) == pytest.approx((1.0, 1.0, 11))
    assert (xavier.signal, xavier.gradient) == pytest.approx((2**-5, 2**-5))
    assert xavier.layers == 5  # 2^-2 at layer 5, 2^-2.5 = 1 / 5.7 at layer 6
    assert he.cosine == pytest.approx(xavier.cosine)
    assert he.cosine > 0.8


def test_equal_weights_share_a_line():
    found = usual(activations.selu(), more=[Weights("asked", 1.0)])
    (shared,) = [one for one in found if one.weight_variance == pytest.approx(1)]
    assert shared.name == "xavier, fan-in, 1/sqrt(E f^2), 1/std f, asked"
    assert [one[1:] for one in found] == sorted(one[1:] for one in found)


def test_the_power_law_of_a_faint_signal():
    """tanh: q' = q - 2 q^2; softsign: q' = q - 2 E |z|^3 q^1.5, so q_l = (E |z|^3 l)^-2 with E |z|^3 = 1.596."""
    for name, law in (("tanh", "q_l = 1 / (2 l)"), ("softsign", "q_l = (1.6 l)^-2")):
        f = getattr(activations, name)()
        assert law in " ".join(tables.reach_sentences(f, course(f, Weights("asked", 1.0), 60), 60))
    ordered = course(activations.tanh(), Weights("asked", 0.9), 60)
    assert "q_l" not in " ".join(tables.reach_sentences(activations.tanh(), ordered, 60))


@pytest.mark.parametrize("name", ["relu", "gelu", "linear"])
def test_no_panel_is_empty(name):
    f = getattr(activations, name)()
    drawn = figures.figure(f, [course(f, weights, 10) for weights in usual(f)], 10)
    for axes in drawn.axes[:4]:
        assert any(np.isfinite(line.get_ydata()).any() for line in axes.lines)
        assert axes.get_title()
    words = " ".join(text.get_text() for text in drawn.axes[0].texts)
    assert "grows" in words
    assert ("the edge of chaos is one point" in words) == (name != "gelu")
