"""What networks learn, on real data."""

import jax
import numpy as np
import pytest

import xinit
from tests.conftest import shared
from xinit.data.dataset import Examples
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training.loop import make_program
from xinit.training.problem import build
from xinit.training.trainer import train

pytestmark = pytest.mark.heavy


@pytest.mark.slow
def test_a_network_trained_on_our_shapes_errs_on_the_authors_as_on_ours():
    """Within three standard errors of the difference between two sets of 10,000, after 6,000 steps."""
    reference = np.load(shared("shapeset_reference.npz"))
    settings = {"scheme": "xavier", "probe": "off", "steps": 6000, "optimizer": "momentum"}
    run = build(parse(compose("train", overrides_from(settings))))
    state, _ = train(run)
    theirs = Examples(
        jax.numpy.asarray(reference["images"].reshape(-1, 1024)), jax.numpy.asarray(reference["labels"], "int32")
    )
    errors = jax.jit(make_program(run.problem).evaluate)(state.params, run.data | {"valid": theirs})
    ours, authors = float(errors["test_error"]), float(errors["valid_error"])
    assert ours < 0.75
    assert abs(ours - authors) < 3 * np.sqrt(2 * ours * (1 - ours) / 10_000)


@pytest.mark.slow
def test_mnist_is_learnt_and_cifar10_runs(tfds_dir, tmp_path):
    settings = {"scheme": "xavier", "width": 300, "data.dir": tfds_dir, "out": tmp_path, "progress": False,
                "figure": False}  # fmt: skip
    mnist = xinit.run(data="mnist", steps=3000, **settings)
    assert mnist.attrs["test_error"] < 0.1
    assert mnist.attrs["chance_error"] == pytest.approx(0.8865)
    cifar10 = xinit.run(data="cifar10", steps=50, **settings)
    assert cifar10.attrs["chance_error"] == pytest.approx(0.9)
    assert np.isfinite(cifar10.valid_loss).all()


@pytest.mark.slow
def test_the_contrast_that_the_project_starts_from(tmp_path):
    """20,000 updates: Xavier far below chance, standard still there, and the verdicts say why."""
    xavier, standard = (xinit.run(scheme=scheme, out=tmp_path, progress=False) for scheme in ("xavier", "standard"))
    assert 0.63 < xavier.attrs["test_error"] < 0.70
    assert standard.attrs["test_error"] > 0.80
    assert xavier.attrs["verdict"].startswith("OK: it learns")
    assert "the gradient vanishes over depth" in standard.attrs["verdict"]


@pytest.mark.slow
def test_a_deep_sigmoid_net_is_absorbed_and_a_he_relu_net_is_not_saturated(tmp_path):
    sigmoid = xinit.run(activation="sigmoid", out=tmp_path, progress=False)
    assert "layer 5 is absorbed into a flat tail at the end" in sigmoid.attrs["verdict"]
    assert float(sigmoid.act_saturated.sel(layer=5)[-1]) < 0.05
    relu = xinit.run(activation="relu", scheme="he", out=tmp_path, progress=False)
    assert relu.attrs["verdict"].startswith("OK: ")
