"""The study of Pennington et al. 2017: its spectra against closed forms, its weights, its claims about training."""

import json
import pathlib

import numpy as np
import pytest

from experiments import runs, study, tiers
from experiments.pennington2017 import isometry, learning, spectra, spectrum
from experiments.study import Place
from xinit.core.errors import InputError

STUDY = study.load("pennington2017")


@pytest.mark.parametrize(
    ("row", "added"),
    [
        (("relu", "gaussian", 1.0), 2.0),
        (("relu", "orthogonal", 0.1), 1.0),  # at any q
        (("linear", "gaussian", 1.0), 1.0),
        (("linear", "orthogonal", 1.0), 0.0),
        (("tanh", "orthogonal", 1e-4), 8e-8),  # 8 q^2
        (("tanh", "orthogonal", 0.1), 0.040),
        (("tanh", "orthogonal", 0.5), 0.30),
    ],
)
def test_what_a_layer_adds_is_that_of_the_closed_forms(row, added):
    assert spectra.variance_a_layer(spectra.row_of(*row)) == pytest.approx(added, rel=0.02, abs=1e-9)


def test_the_jacobian_is_that_of_the_network():
    """Against automatic differentiation of the same layers, and orthogonal linear layers have singular values 1."""
    import jax
    import jax.numpy as jnp

    from experiments.schoenholz2017.schemes import KERNELS

    row = spectra.row_of("tanh", "gaussian", 0.3)
    (j,) = spectra._jacobians(row, 8, [3])(jax.random.key(0))
    of_input, of_weights = jax.random.split(jax.random.key(0))
    x = jax.random.normal(of_input, (8,))
    x *= jnp.sqrt(8 * (row.edge.q - row.edge.bias_variance) / row.edge.weight_variance) / jnp.linalg.norm(x)

    def network(h):
        for key in jax.random.split(of_weights, 3):
            w = np.sqrt(row.edge.weight_variance) * KERNELS["gaussian"]()(key, (8, 8))
            b = np.sqrt(row.edge.bias_variance) * jax.random.normal(jax.random.fold_in(key, 0), (8,))
            h = jnp.tanh(h @ w + b)
        return h

    np.testing.assert_allclose(j, jax.jacobian(network)(x), rtol=1e-4, atol=1e-6)
    (linear,) = spectra._jacobians(spectra.row_of("linear", "orthogonal", 1.0), 8, [5])(jax.random.key(1))
    np.testing.assert_allclose(np.linalg.svd(linear, compute_uv=False), 1, rtol=1e-5)


def test_gaussian_linear_networks_have_the_variance_of_their_depth():
    """E tr (J J^T)^2 / N - 1 is L for wide networks; at finite width off by about L / N."""
    settings = {"spectra": {"width": 64, "depths": [1, 4], "seeds": 24, "rows": {
        "tanh_gaussian": {"activation": "linear", "weights": "gaussian", "q": 1.0}}}}  # fmt: skip
    found = {"spectra": spectra.prepare("spectra", settings, Place(pathlib.Path("nowhere")))()}
    measured = spectrum.metrics(found)["spectrum.tanh_gaussian"]
    assert measured.low < 1.05
    assert measured.high > 0.95
    assert isometry.metrics(found)["isometry.tanh_gaussian.variance"].value == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["spectra.rows.tanh_gaussian.weights=sparse"], "Unknown weights 'sparse'"),
        (["spectra.rows.tanh_gaussian.activation=tahn"], "tahn"),
        (["spectra.rows.tanh_gaussian.activation=sigmoid"], "no edge of chaos"),
        (["spectra.depths=[4,2]"], "must be numbers that ascend"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_work(changes, words):
    settings = tiers.load("pennington2017", "init", changes)
    with pytest.raises(InputError, match=words):
        spectra.prepare("spectra", settings, Place(pathlib.Path("nowhere")))


@pytest.mark.heavy
@pytest.mark.slow
def test_training_gives_an_error_for_every_model_and_seed(tmp_path):
    changes = ["trained.data=synthetic", "trained.width=8", "trained.depth=3", "trained.steps=4", "trained.seeds=2"]
    settings = tiers.load("pennington2017", "cpu", changes)
    trained = STUDY.module("trained").prepare("trained", settings, Place(tmp_path))()
    assert runs.unfinished(trained) is None
    assert all(len(model["test"]) == 2 for model in trained["models"].values())
    metrics = learning.metrics({"trained": json.loads(json.dumps(trained))})
    assert metrics["learning.tanh_gaussian-tanh_orthogonal"].n == 2
    assert learning.draw({"trained": trained}).axes
