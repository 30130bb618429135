"""Saxe et al. 2013, executable: its closed forms, its networks, a tiny run, and every claim's counterexample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import claims, measuring, publishing, study, tiers
from experiments.claims import FAIL, PASS
from experiments.saxe2013 import __main__ as command
from experiments.saxe2013 import closed_forms, figure6b, hierarchy, linear, mnist, products, starts
from xinit.commands import cli
from xinit.core.errors import InputError

SAXE = study.load("saxe2013")
pytestmark = pytest.mark.usefixtures("compile_quickly")


# ---- closed forms


@pytest.mark.parametrize("s", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("start", [1e-6, 0.1])
def test_a_mode_of_three_layers_solves_its_equation(s, start):
    """u' = 2 u (s - u), eq. 10; eq. 11 is its inverse; eq. 15 with two matrices is the same."""
    t = np.linspace(0, 12 / s, 400)
    u = closed_forms.strength(t, s, start)
    np.testing.assert_allclose(np.gradient(u, t)[1:-1], (2 * u * (s - u))[1:-1], atol=3e-3 * s**2)
    np.testing.assert_allclose(closed_forms.time_until(u[1:200], s, start), t[1:200], rtol=1e-6)
    np.testing.assert_allclose(closed_forms.strength_at_depth(t, s, start, 2), u, atol=1e-6 * s)


@pytest.mark.parametrize("matrices", [2, 5, 40])
def test_times_at_depth_are_those_of_the_courses(matrices):
    whole = closed_forms.time_at_depth(0.9, 1.0, 0.01, matrices) / matrices
    course = closed_forms.strength_at_depth(np.array([0.0, whole]), 1.0, 0.01, matrices)
    np.testing.assert_allclose(course, [0.01, 0.9], rtol=1e-5)


def test_deeper_networks_come_to_eq_17():
    infinite = closed_forms.time_at_infinite_depth(0.9, 1.0, 0.01)
    times = [closed_forms.time_at_depth(0.9, 1.0, 0.01, n) for n in (10, 100, 1000, 10**6)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(infinite, rel=1e-4)
    assert times[0] < 0.6 * infinite


# ---- networks


def task(width=5, outputs=3, seed=0):
    random = np.random.default_rng(seed)
    cross = jnp.asarray(random.standard_normal((outputs, width)), jnp.float32)
    return linear.Task(cross, jnp.asarray(random.uniform(0.5, 2, width), jnp.float32), 9.0)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_step_is_that_of_the_gradient(count):
    network, own = starts.drawn("lecun", 5, 3, count, seed=1), task()
    gradient = jax.grad(lambda network: linear.error(linear.composite(network), own))(network)
    stepped, before = linear.step(network, own, 0.1)
    expected = jax.tree.map(lambda value, slope: value - 0.1 * slope, network, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), stepped, expected)
    np.testing.assert_allclose(before, linear.composite(network), atol=1e-6)


def test_the_error_is_that_of_the_examples():
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (300, 28, 28), np.uint8), random.integers(0, 10, 300)
    own = mnist.correlations(images, labels, 784)
    x_NI, t_NC = images.reshape(300, -1) / 255, np.eye(10)[labels]
    axes_II = np.linalg.eigh(x_NI.T @ x_NI / 300)[1][:, ::-1]
    w_CI = random.standard_normal((10, 784)) / 28
    expected = np.mean(np.sum((t_NC - x_NI @ axes_II @ w_CI.T) ** 2, axis=1)) / 2
    # Axes of equal variance, all of them 0 here, may come in any order: the data have rank 300.
    rank = 300
    w_CI[:, rank:] = 0
    expected = np.mean(np.sum((t_NC - x_NI @ axes_II @ w_CI.T) ** 2, axis=1)) / 2
    signs = np.sign(np.sum(np.asarray(own.cross) * (t_NC.T @ x_NI @ axes_II), axis=0))
    assert float(linear.error(jnp.asarray(w_CI * signs, jnp.float32), own)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("count", [2, 4])
def test_modes_of_a_decoupled_start_stay_apart(count):
    u, s, vt = np.linalg.svd(np.asarray(task().cross), full_matrices=False)
    white = task()._replace(variance=jnp.ones(5))
    network = starts.decoupled(white, 0.01, count, seed=3)
    w_RCI = np.asarray(linear.course(network, white, 0.005, 40, 30))
    strengths = np.einsum("cm,rci,mi->rm", u, w_RCI, vt)
    np.testing.assert_allclose(strengths[0], 0.01, rtol=1e-3)
    np.testing.assert_allclose(np.einsum("rm,cm,mi->rci", strengths, u, vt), w_RCI, atol=1e-4)  # nothing else
    times = 0.005 * 40 * np.arange(30)
    for mode, strength in enumerate(s):
        closed = closed_forms.strength_at_depth(times, strength, 0.01, count)
        np.testing.assert_allclose(strengths[:, mode], closed, atol=0.05 * strength)


def test_a_pretrained_start_is_what_an_autoencoder_learns():
    """Gradient descent on x -> x from a decoupled start comes to M of the closed form."""
    variance = np.array([2.0, 1.0, 0.3])
    own = linear.Task(jnp.diag(jnp.asarray(variance, jnp.float32)), jnp.asarray(variance, jnp.float32))
    trained = linear.course(starts.decoupled(own, 0.01, 2, seed=0), own, 0.01, 300, 2)[1]
    np.testing.assert_allclose(trained, np.diag(closed_forms.autoencoder(variance, 3.0, 0.01)), atol=0.01)
    settings = {"steps": 300, "rate": 0.01, "strength": 0.01}
    first = np.asarray(starts.pretrained(own, settings, 2, seed=0).inner[0])
    np.testing.assert_allclose(first.T @ first, np.asarray(trained), atol=0.01)


def test_learning_times_end_where_they_should():
    own = linear.Task(jnp.eye(3), jnp.ones(3), 3.0)
    network = starts.decoupled(own, 0.01, 2, seed=0)
    steps, error = linear.learning_time(network, own, 0.1, 0.1, 500)
    assert error <= 0.1 < linear.error(linear.course(network, own, 0.1, 1, int(steps))[-1], own)
    assert int(linear.learning_time(network, own, 0.1, 0.1, 5)[0]) == 5  # given up
    assert int(linear.learning_time(network, own, 50.0, 0.1, 500)[0]) < 500  # diverged


def test_the_fastest_step_size_is_that_of_all():
    own = linear.Task(jnp.eye(3), jnp.ones(3), 3.0)
    settings = {"rates": {"largest": 1e-4, "smallest": 1e-6, "count": 12}, "most": 400}
    network = starts.decoupled(own, 0.01, 3, seed=0)
    threshold = mnist.THRESHOLD / mnist.IMAGES
    every = {float(r): linear.learning_time(network, own, float(r), threshold, 400) for r in mnist.rate_grid(settings)}
    learnt = {rate: int(steps) for rate, (steps, error) in every.items() if error <= threshold}
    steps, rate = mnist.fastest(network, own, settings)
    assert steps == min(learnt.values())
    assert learnt[pytest.approx(rate * mnist.IMAGES)] == steps if rate in learnt else True


def test_products_keep_to_the_law_and_orthogonal_ones_to_one():
    own = {"schemes": {"gaussian": "lecun", "orthogonal": "orthogonal"}, "width": 64, "counts": [1, 3], "seeds": 3}
    found = measuring.rounded(products.measure(own))
    metrics = figure6b.metrics({"products": found})
    assert metrics["figure6b.orthogonal.spread"].value == pytest.approx(1, abs=1e-4)
    assert 0.6 < metrics["figure6b.gaussian.largest"].value < 1.2
    assert np.mean(found["products"]["gaussian"]["3"]["mean_square"]) == pytest.approx(1, abs=0.3)


def test_features_diffuse_down_the_tree():
    """Correlation of two things is (1 - 2 flip)^(2 levels apart); modes of the tree come in groups of 1, 1, 2, 4 ..."""
    features_FT = hierarchy.diffused(3, 40_000, 0.1, seed=0)
    gram = features_FT.T @ features_FT / len(features_FT)
    apart = [1, 2, 4]  # the first thing that differs from thing 0 at the lowest level, the next, the highest
    np.testing.assert_allclose(gram[0, apart], 0.8 ** (2 * np.array([1, 2, 3])), atol=0.02)


# ---- the study


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tier=paper"], "Unknown tier 'paper'"),
        (["hierarchy.modes=[33]"], "hierarchy.modes asks for mode 33"),
        (["modes.layers=[2]"], "modes.layers has 2; a network must have at least 3 layers"),
        (["modes.fixed=width"], "modes.fixed is 'width'; it must be product or matrix."),
        (["products.schemes.gaussian=nix"], "Unknown scheme 'nix'"),
        (["products.width=20"], "products.width is 20; it must be at least four times"),
        (["jacobians.variance_layers=4"], "jacobians.variance_layers is 4"),
        (["tier=cpu", "starts.starts.gaussian=nix"], "Unknown scheme 'nix'"),
        (["tier=cpu", "figure=4"], "decoupled needs its data: data_dir=FOLDER"),
        (["tier=cpu", "data_dir=/nowhere/at/all", "figure=4"], "/nowhere/at/all"),
    ],
)
def test_a_mistake_ends_with_2_before_any_work(tmp_path, capsys, arguments, words):
    assert command.main([*arguments, f"out={tmp_path / 'out'}"]) == cli.BAD_INPUT
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.heavy
@pytest.mark.slow
def test_a_small_run_draws_every_figure_and_measures_nothing_twice(tmp_path, capsys):
    asked = [*SAXE.small["init"], f"out={tmp_path}"]
    assert command.main(asked) in (cli.DONE, cli.FAILED)
    assert {file.stem for file in tmp_path.glob("*.png")} == set(SAXE.parts_of(tiers.load("saxe2013", "init")))
    capsys.readouterr()
    command.main(asked)
    assert capsys.readouterr().out.count("measured before") == 4


# ---- counterexamples that exchange starts


def of_starts():
    """The claims about learning times: (stage, claim)."""
    parts = {part: SAXE.module(part).STAGES[0] for part in SAXE.parts}
    stages = {part: stage for part, stage in parts.items() if SAXE.stages[stage] == "mnist"}
    return [(part, stage, claim) for part, stage in stages.items() for claim in SAXE.claims_of(part)]


COUNTEREXAMPLES = [claim.id for *_, claim in of_starts()]


@pytest.mark.parametrize(("part", "stage", "claim"), of_starts(), ids=COUNTEREXAMPLES)
def test_a_claim_about_learning_times_fails_where_starts_are_exchanged(part, stage, claim):
    """The kept results of one start under the name of another, as the counterexample asks."""
    _, found = publishing.read(SAXE, SAXE.results)
    every = {own["kind"]: own for name in ("decoupled", "starts") for own in found[name]["starts"].values()}
    kinds = tiers.load("saxe2013", "cpu", claim.counterexample)[stage]["starts"]
    exchanged = found[stage] | {"starts": {label: every[kind] for label, kind in kinds.items()}}
    states = [
        claims.check([claim], publishing.measured(SAXE, [part], {stage: results}, {}), "cpu")[0].state
        for results in (found[stage], exchanged)
    ]
    assert states[0] in (PASS, FAIL)  # which one is what the page says
    assert states[1] == FAIL


@pytest.mark.parametrize("kind", ["lsuv", "nix"])
def test_a_start_that_cannot_be_drawn_is_refused(kind):
    with pytest.raises(InputError):
        starts.check(kind)
