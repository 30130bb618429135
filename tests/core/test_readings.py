"""A reading's name means one quantity, whether training measures it or `xinit.probe`."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

import xinit
from xinit.core.readings import EDGES, PREDICTED, READINGS, SHARED, TRACED
from xinit.networks import activations
from xinit.networks.mlp import make_params, plain
from xinit.probes.edges import no_edges
from xinit.probes.probe import make_probe

pytestmark = pytest.mark.usefixtures("compile_quickly")
WIDTHS = (12, 10, 16, 7, 5)
DEPTH = len(WIDTHS) - 2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 12)).astype(np.float32)
Y = RNG.integers(0, 5, 24)


class MLP(linen.Module):
    """A plain stack of layers as a Flax user writes it."""

    @linen.compact
    def __call__(self, x):
        for width in WIDTHS[1:-1]:
            x = jnp.tanh(linen.Dense(width)(x))
        return linen.Dense(WIDTHS[-1])(x)


@functools.cache
def both():
    """The readings of one network on one batch as `xinit.probe` measures them, and as training does."""
    layers = [
        {"kernel": RNG.normal(size=(i, o)).astype(np.float32), "bias": RNG.normal(size=o).astype(np.float32)}
        for i, o in itertools.pairwise(WIDTHS)
    ]
    variables = {"params": {f"Dense_{l}": layer for l, layer in enumerate(layers)}}
    traced = xinit.probe(MLP(), (X, Y), variables=variables).readings
    functions = (activations.tanh(),) * DEPTH
    params = make_params(*([jnp.asarray(layer[part]) for layer in layers] for part in ("kernel", "bias")))
    probe = jax.jit(make_probe(plain(WIDTHS, functions), "economy"))
    trained = probe(params, {}, (jnp.asarray(X), jnp.asarray(Y)), no_edges(DEPTH, DEPTH + 1))
    return traced, {name: np.asarray(values) for name, values in trained.items()}


def test_what_both_measure_under_one_name_is_equal():
    traced, trained = both()
    assert set(traced) & set(trained) == set(SHARED)
    for name in SHARED:
        n = len(trained[name])  # the readings of training with the axis layer leave out the logits
        assert n == DEPTH + (READINGS[name][0] == ("weight",))
        from_a_table = name.startswith("act_")  # of the function's slopes
        rough = {"atol": 2e-3} if from_a_table else {"rtol": 1e-4, "atol": 1e-6}
        np.testing.assert_allclose(traced[name][:n], trained[name], **rough, err_msg=name)


@pytest.mark.parametrize("name", ["mean", "std", "cosine_mean"])
def test_a_layer_reads_the_activations_of_the_layer_before(name):
    traced, trained = both()
    np.testing.assert_allclose(traced[f"input_{name}"][1:], trained[f"act_{name}"], rtol=1e-4, atol=1e-6)


def test_no_name_has_two_definitions():
    assert not set(TRACED) & set(READINGS | EDGES | PREDICTED)
    assert set(SHARED) <= set(READINGS)
