"""Figures 2, 3, 4, 9 and 10: readings whose answers are known, and claims that hold on results such as the paper's."""

import copy
import pathlib

import numpy as np
import pytest

from experiments import claims, drawing
from experiments.claims import FAIL, NOT_RUN, PASS
from experiments.glorot2010 import courses, figure2, figure3, figure4, figure9, figure10

FIGURES = figure2, figure3, figure4, figure9, figure10
FOLDER = pathlib.Path(courses.__file__).parent / "claims"
CLAIMS = [(part, claim) for part in FIGURES for claim in claims.load(FOLDER / f"{part.__name__.split('.')[-1]}.yaml")]
POINTS, SEEDS, BINS = 21, 5, 128
NEVER = POINTS


def moving(start, end, power=1.0):
    """(T,) from the start to the end; the power 1 is an even pace, a smaller one fast and then slow."""
    return start + (end - start) * np.linspace(0, 1, POINTS) ** power


def still(value):
    return np.full(POINTS, value)


def course(*layers_T):
    """(S, T, L) of seeds that scatter a little."""
    scatter = 1 + 0.002 * np.random.default_rng(0).standard_normal((SEEDS, 1, 1))
    return (scatter * np.stack(layers_T, axis=1)).tolist()


def histogram(*bumps):
    """(B,) shares in bins from -1 to 1 of normal bumps, each (place, width, height)."""
    at = (np.arange(BINS) + 0.5) / (BINS / 2) - 1
    share_B = sum(height * np.exp(-(((at - place) / width) ** 2) / 2) for place, width, height in bumps)
    return (share_B / share_B.sum()).tolist()


def model(activation, scheme, errors_T, low, **readings):
    """A model's results; its test error is the last validation error and 1 % more for every seed."""
    depth = len(readings["act_hist"][0])
    return {
        **{"label": activation, "activation": activation, "scheme": scheme, "depth": depth, "rate": 0.1, "edge": ""},
        "valid": {f"{depth} 0.1": float(errors_T[-1])},
        "step": list(range(0, 1000 * POINTS, 1000)),
        "valid_error": [errors_T.tolist()] * SEEDS,
        "test": [float(errors_T[-1]) + s for s in range(SEEDS)],
        "act_edges": [np.linspace(low, 1, BINS + 1).tolist()] * depth,
        **readings,
    }


def sigmoid(depth, escape):
    """The top layer is absorbed and the one below it rises until all return to .5."""
    stuck = np.arange(POINTS) < escape
    ends = {depth - 1: 0.02, depth - 2: 0.8}
    means = [np.where(stuck, moving(0.5, ends.get(l, 0.5), 0.1), 0.5) for l in range(depth)]
    readings = {"act_mean": course(*means), "act_std": course(*[still(0.1)] * depth)}
    hist = [histogram((2 * mean_T[-1] - 1, 0.1, 1)) for mean_T in means]
    return model("sigmoid", "standard", np.where(stuck, 83.5, 60), 0, act_hist=[hist] * SEEDS, **readings)


def symmetric(activation, scheme, reached, apart, saturated, error):
    """tanh or softsign: the probe points at which markers are at their ends, how far gradients part."""
    late, end, power = np.arange(POINTS), {"tanh": 1, "softsign": 0.85}[activation], {"tanh": 1, "softsign": 0.1}
    falls = 0.3 if (activation, scheme) == ("tanh", "standard") else 0
    piled = [histogram((0, 0.5, 0.3 + l), (-1, 0.03, 1), (1, 0.03, 1)) for l in range(5)]
    knees = [histogram((-0.7, 0.1, 1), (0.7, 0.1, 1))] * 3 + [histogram((0, 0.2, 1))] * 2
    return model(
        activation,
        scheme,
        moving(83, error),
        -1,
        act_mean=course(*[still(0)] * 5),
        act_std=course(*(moving(0.1, 0.6 - falls * l / 4, power[activation]) for l in range(5))),
        act_marker=[np.stack([np.where(late < first, 0.5, end) for first in reached], axis=1).tolist()] * SEEDS,
        act_saturated=course(*[still(saturated)] * 5),
        grad_w_std=course(*(moving(1, 1 + apart * l) for l in range(5)), still(9)),
        act_hist=[piled if activation == "tanh" else knees] * SEEDS,
    )


def results():
    """Of both stages, as the paper has them."""
    shared = {
        "data": "shapeset",
        "width": 100,
        "profile": "constant",
        "pixel_range": [-1, 1],
        "seeds": SEEDS,
        "rates": [0.1],
    }
    shared |= {"batch_size": 10, "steps": 20_000, "done": 20_000}
    models = {
        "tanh": symmetric("tanh", "standard", (1, 4, 8, 14, NEVER), 0.3, 0.1, 27),
        "tanh_n": symmetric("tanh", "xavier", [1] * 5, 0.1, 0.2, 16),
        "softsign": symmetric("softsign", "standard", [1] * 5, 0.1, 0.1, 17),
        "softsign_n": symmetric("softsign", "xavier", [1] * 5, 0.1, 0.1, 17),
    }
    deep = {"sigmoid4": sigmoid(4, escape=8), "sigmoid": sigmoid(5, escape=NEVER)}
    return {"shapeset": {**shared, "models": models}, "sigmoid": {**shared, "models": deep}}


def changed(found, changes):
    """The results with another model's under a label, that of the settings asked for, models.LABEL.SETTING=VALUE."""
    trained = [own for stage in found.values() for own in stage["models"].values()]
    wanted = {}
    for change in changes:
        path, value = change.split("=")
        _, label, setting = path.split(".")
        own = next(stage["models"][label] for stage in found.values() if label in stage["models"])
        wanted.setdefault(label, {name: own[name] for name in ("activation", "scheme", "depth")})[setting] = value
    found = copy.deepcopy(found)
    for label, settings in wanted.items():
        stage = next(stage for stage in found.values() if label in stage["models"])
        alike = [own for own in trained if all(str(own[name]) == str(value) for name, value in settings.items())]
        stage["models"][label] = alike[0]
    return found


def state(part, claim, found):
    return claims.check([claim], part.metrics(found), "cpu")[0].state


@pytest.mark.parametrize(("part", "claim"), CLAIMS, ids=[claim.id for _, claim in CLAIMS])
def test_a_claim_holds_on_the_papers_results_and_fails_under_its_counterexample(part, claim):
    assert state(part, claim, results()) == PASS
    assert state(part, claim, changed(results(), claim.counterexample)) == FAIL


def test_test_errors_of_unfinished_runs_are_not_run():
    found = results()
    for stage in found.values():
        stage["done"] = 5000
        stage["models"] |= {label: {**own, "test": None} for label, own in stage["models"].items()}
    unfinished = {claim.id for part, claim in CLAIMS if state(part, claim, found) == NOT_RUN}
    assert unfinished == {"figure2-escapes", "figure2-stuck", "figure10-wins"}
    assert "of which 5,000 are done" in figure10.draw(found).get_supxlabel().replace("\n", " ")


@pytest.mark.parametrize(
    ("first", "tau"),
    [
        ((1, 2, 3, NEVER), 1),
        ((NEVER, 3, 2, 0), -1),
        ((3, 3, 3, 3), 0),
        ((NEVER,) * 4, 0),
        ((1, NEVER, NEVER, NEVER), 1 / 2),
        ((1, 3, 2, 4), 2 / 3),
    ],
)
def test_order_in_which_layers_reach_the_asymptote(first, tau):
    marker_STL = np.where(np.arange(POINTS)[None, :, None] < np.array(first)[None, None, :], courses.ASYMPTOTE, 1)
    np.testing.assert_allclose(courses.from_the_bottom(marker_STL), [tau])


def test_a_marker_is_relative_to_where_the_activation_ends():
    own = {"activation": "lecun_tanh", "act_marker": [[[1.7159, 0.85795]]]}
    np.testing.assert_allclose(courses.markers(own), [[[1, 0.5]]])


@pytest.mark.parametrize(("power", "share"), [(1, 0.1), (0.5, 0.1**0.5), (2, 0.01)])
@pytest.mark.parametrize("points", [11, 16, 41])
def test_share_of_the_change_in_the_first_tenth(points, power, share):
    """Whatever the scale and sign of the change; between probe points as on a straight line."""
    steps = np.linspace(0, 600, points)
    way = np.interp(60, steps, (steps / 600) ** power)
    course_STL = 0.3 + np.array([0.5, -2.0])[None, None, :] * ((steps / 600) ** power)[None, :, None]
    np.testing.assert_allclose(figure3.early(steps, course_STL), [[way, way]])
    assert way == pytest.approx(share, abs=0.02)


def test_the_top_layer_is_looked_at_before_the_escape():
    share_STL = np.array([[[0.5, 0.5], [0.6, 0.2], [0.7, 0.1], [0.4, 0.01]]] * 2)
    np.testing.assert_allclose(figure2.absorbed(share_STL, np.array([2, 4])), [[0.7, 0.1], [0.4, 0.01]])


@pytest.mark.parametrize(("errors", "escape"), [([90, 83, 79, 81], 2), ([83, 83, 84, 82], 4)])
def test_escape_is_the_first_error_below_chance(errors, escape):
    assert figure2.escapes({"valid_error": [errors]}).tolist() == [escape]


def test_the_seed_shown_escapes_at_the_median_time():
    late = [[90] * first + [60] * (9 - first) for first in (7, 2, 9, 1, 4)]
    assert figure2.median_seed({"valid_error": late}) == 4


def test_densities_of_both_sides_together():
    own = {"act_hist": [[histogram((0.5, 0.05, 1)), histogram((-0.5, 0.05, 1))]]}
    own["act_edges"] = [np.linspace(-1, 1, BINS + 1).tolist()] * 2
    (density_LB,) = courses.folded(own)
    np.testing.assert_allclose(density_LB[0], density_LB[1])
    np.testing.assert_allclose(density_LB.sum(1) * 2 / courses.BINS, 1)
    assert set((density_LB.argmax(1) + 0.5) / courses.BINS) <= {7.5 / 16, 8.5 / 16}


def test_distance_of_the_layers_gradients_is_a_ratio_without_the_output_layer():
    std_STW = np.array([[[1.0, 2, 4, 99], [3, 3, 3, 99]]])
    for scale in (1, 1e-4):
        np.testing.assert_allclose(courses.spread({"grad_w_std": scale * std_STW}), [[4, 1]])


def test_a_model_cut_after_an_update_has_the_courses_up_to_it_and_no_densities():
    own = results()["shapeset"]["models"]["tanh"]
    cut = courses.until(5000, own)
    assert cut["step"] == own["step"][:6]
    for name in ("valid_error", "act_std"):
        np.testing.assert_array_equal(cut[name], np.array(own[name])[:, :6])
    assert "act_hist" not in cut
    assert courses.until(own["step"][-1], own) == own


@pytest.mark.parametrize("part", FIGURES, ids=lambda part: part.__name__.split(".")[-1])
def test_a_figure_names_its_layers_and_says_its_scale(part):
    figure = part.draw(results())
    assert drawing.rendered(figure).startswith(b"\x89PNG")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[:5] == [f"Layer {l}" for l in range(1, 6)]
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "20,000 updates of 10, 5 seeds" in caption
    assert "The paper: layers of 1,000 units" in caption
