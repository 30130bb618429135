"""What is measured, against plain NumPy and against the identities of back-propagation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit.core.readings import EDGES, PLACES, PREDICTED, READINGS
from xinit.initializers import he, variance_scaling, xavier
from xinit.networks import activations
from xinit.networks.mlp import make_params, plain
from xinit.networks.network import Site, completed
from xinit.probes.edges import BINS, edges_at_start, no_edges
from xinit.probes.passes import backpropagate
from xinit.probes.probe import make_probe
from xinit.schemes import layerwise

pytestmark = pytest.mark.usefixtures("compile_quickly")
WIDTHS = (20, 16, 12, 24, 5)
FUNCTIONS = (activations.tanh(), activations.relu(), activations.softsign())
RNG = np.random.default_rng(0)
BATCH = (jnp.asarray(RNG.normal(size=(30, 20)), jnp.float32), jnp.asarray(RNG.integers(0, 5, 30), jnp.int32))


def network(functions=FUNCTIONS, widths=WIDTHS, initializer=None, gain=1.0):
    scheme = layerwise(initializer or xavier())
    described = plain(widths, functions)
    params, _ = scheme(jax.random.key(1), described, {"gain": jnp.float32(gain)}, None)
    biases = [jax.random.normal(jax.random.key(l), (o,)) * 0.1 for l, o in enumerate(widths[1:])]
    params = make_params([layer["kernel"] for layer in params["layers"].values()], biases)
    return described, params


def measured(tier="standard", functions=FUNCTIONS, params=None, batch=BATCH, **how):
    described, drawn = network(functions, **how)
    probe = jax.jit(make_probe(described, tier))
    first = probe(params or drawn, {}, batch, no_edges(len(functions), len(functions) + 1))
    edges = edges_at_start(functions, {k: np.asarray(v) for k, v in first.items()})
    return {name: np.asarray(value) for name, value in probe(params or drawn, {}, batch, edges).items()} | edges


def test_zero_taps_give_the_back_propagated_gradients():
    """Sum over the batch of dL/dz = dL/db, and h_prev^T dL/dz = dL/dW, at every layer."""
    described, params = network()
    passed = backpropagate(described, params, {}, BATCH)
    below = (BATCH[0], *passed.outputs.post)
    for (l, layer), h in zip(passed.params["layers"].items(), below, strict=True):
        g_z = passed.sites[Site("weight", l)]
        np.testing.assert_allclose(g_z.sum(axis=0), layer["bias"], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(h.T @ g_z, layer["kernel"], rtol=1e-4, atol=1e-7)


def test_taps_are_added_to_the_pre_activations():
    described, params = network()
    raised = make_params(
        [layer["kernel"] for layer in params["layers"].values()],
        [layer["bias"] + 0.5 for layer in params["layers"].values()],
    )
    tapped, *_ = described.apply(params, {}, BATCH[0], lambda site, z: z + 0.5)
    np.testing.assert_allclose(tapped, described.apply(raised, {}, BATCH[0])[0], rtol=1e-5)


@pytest.mark.parametrize("tier", ["economy", "standard", "full"])
def test_every_reading_has_its_place_in_the_table(tier):
    sizes = {"layer": 3, "weight": 4, "jacobian": 2, "quantile": 9, "bin": BINS, "edge": BINS + 1}
    readings = measured(tier)
    for name, value in readings.items():
        axes, _ = (READINGS | EDGES)[name]
        assert value.shape == tuple(sizes[axis] for axis in axes), name
    if tier == "full":
        elsewhere = {"train_loss", "train_error", "valid_loss", "valid_error", "update_ratio", "act_dead_expected"}
        assert set(readings) == set(READINGS | EDGES) - set(PREDICTED) - set(PLACES) - elsewhere - {"act_learned"}


def test_readings_are_what_their_words_say():
    described, params = network()
    _, outputs, _ = described.apply(params, {}, BATCH[0])
    readings = measured("full")
    for l, (f, z, h) in enumerate(zip(FUNCTIONS, outputs.pre, outputs.post, strict=True)):
        z, h, slope = np.asarray(z), np.asarray(h), np.abs(np.asarray(f.slope(z)))
        flat = slope < 0.05 * f.slope_max
        expected = {
            "act_mean": h.mean(), "act_std": h.std(), "pre_mean": z.mean(), "pre_std": z.std(),
            "act_slope": slope.mean() / f.slope_max, "act_dead": flat.all(axis=0).mean(),
            "act_saturated": flat.mean() if f.saturates else np.nan,
            "act_inactive": (slope == 0).mean() if f.rectifies else np.nan,
        }  # fmt: skip
        for name, value in expected.items():
            assert readings[name][l] == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True), name
        unit = h / np.linalg.norm(h, axis=1, keepdims=True)
        cosine = (unit @ unit.T)[np.triu_indices(len(h), k=1)].mean()
        assert readings["act_cosine_mean"][l] == pytest.approx(cosine, rel=1e-4)
    both = readings["act_saturated_low"] + readings["act_saturated_high"]
    np.testing.assert_allclose(both, readings["act_saturated"], rtol=1e-6)


def test_pre_activation_gradients_are_per_example():
    """The same batch twice over changes the mean-loss gradient of an example, but not its dL/dz here."""
    twice = tuple(jnp.concatenate([part, part]) for part in BATCH)
    once, double = measured(), measured(batch=twice)
    np.testing.assert_allclose(once["grad_pre_std"], double["grad_pre_std"], rtol=1e-4)
    np.testing.assert_allclose(once["grad_w_std"], double["grad_w_std"], rtol=1e-4)


def test_histograms_cover_what_there_is():
    readings = measured()
    np.testing.assert_allclose(readings["act_hist"].sum(axis=1), 1, atol=1e-5)
    for name in ("grad_pre_hist", "grad_w_hist"):
        assert (readings[name].sum(axis=1) > 0.97).all()
    np.testing.assert_array_equal(readings["act_edges"][[0, 2]][:, [0, -1]], [[-1, 1], [-1, 1]])
    assert readings["act_edges"][1, 0] == 0


def test_jacobians_against_autodiff():
    described, params = network()
    example = BATCH[0][:1]
    readings = measured("full", batch=(jnp.repeat(example, 3, axis=0), BATCH[1][:3]))
    layers = params["layers"]
    h = described.apply(params, {}, example)[1].post
    for l in range(2):
        f = lambda a, l=l: FUNCTIONS[l + 1].function(a @ layers[l + 1]["kernel"] + layers[l + 1]["bias"])
        values = np.linalg.svd(np.asarray(jax.jacobian(f)(h[l][0])), compute_uv=False)
        assert readings["jacobian_sv_mean"][l] == pytest.approx(values.mean(), rel=1e-3)
    through = lambda a: FUNCTIONS[2].function(
        FUNCTIONS[1].function(a @ layers[1]["kernel"] + layers[1]["bias"]) @ layers[2]["kernel"] + layers[2]["bias"]
    )
    values = np.linalg.svd(np.asarray(jax.jacobian(through)(h[0][0])), compute_uv=False)
    assert readings["jacobian_total_sv_mean"] == pytest.approx(values.mean(), rel=1e-3, abs=1e-6)


def test_the_papers_jacobian_values():
    """About .8 under eq. 16 and .5 under eq. 1 (Glorot & Bengio 2010, section 4.2.2)."""
    widths, functions = (256,) * 6 + (9,), (activations.tanh(),) * 5
    x = jnp.asarray(RNG.normal(size=(10, 256)) * 0.3, jnp.float32)
    batch = (x, jnp.zeros(10, jnp.int32))
    for scale, published in ((1.0, 0.8), (1 / 3, 0.5)):
        how = {"widths": widths, "initializer": variance_scaling(scale, "avg", "uniform")}
        mean = measured("full", functions, batch=batch, **how)["jacobian_sv_mean"]
        np.testing.assert_allclose(mean, published, atol=0.06)


def test_a_he_relu_net_is_not_saturated_and_a_hot_tanh_net_is():
    relu = measured(functions=(activations.relu(),) * 3, initializer=he())
    assert np.isnan(relu["act_saturated"]).all()
    assert (relu["act_inactive"] > 0.2).all()
    hot = measured(functions=(activations.tanh(),) * 3, gain=20.0)
    assert (hot["act_saturated"] > 0.5).all()


def test_an_absorbed_sigmoid_layer_has_low_slope_though_little_is_beyond_the_cut():
    functions = (activations.sigmoid(),) * 3
    _, params = network(functions)
    kernels = [layer["kernel"] for layer in params["layers"].values()]
    biases = [layer["bias"] for layer in params["layers"].values()]
    params = make_params(kernels, [*biases[:2], biases[2] - 3.2, biases[3]])
    readings = measured(functions=functions, params=params)
    assert readings["act_mean"][2] == pytest.approx(0.05, abs=0.03)
    assert readings["act_saturated"][2] < 0.1
    assert readings["act_slope"][2] < 0.3


def test_gelu_reports_no_saturation_and_depth_one_no_jacobian():
    readings = measured(functions=(activations.gelu(),), tier="full", widths=(20, 16, 5))
    assert np.isnan(readings["act_saturated"]).all()
    assert np.isnan(readings["act_inactive"]).all()
    assert "jacobian_sv_mean" not in readings


def test_a_slope_without_bound_has_no_share_and_dead_is_what_is_exactly_flat():
    functions = (activations.squared_relu(), activations.tanh())
    _, params = network(functions, (20, 16, 12, 5))
    layers = params["layers"]
    layers[0]["bias"] = layers[0]["bias"].at[:4].add(-100)
    readings = measured("economy", functions, params, widths=(20, 16, 12, 5))
    assert np.isnan(readings["act_slope"]).tolist() == [True, False]
    assert np.isnan(readings["act_saturated"]).tolist() == [True, False]
    assert readings["act_dead"][0] == pytest.approx(4 / 16)


def test_prelu_is_measured_with_what_it_has_learned():
    functions = (activations.prelu(), activations.tanh(), activations.prelu())
    described, params = network(functions)
    params = completed(described.start(jax.random.key(0))[0], params)
    params["layers"][2]["slope"] = jnp.float32(-2.0)
    outputs, readings = described.apply(params, {}, BATCH[0])[1], measured("full", functions, params)
    np.testing.assert_array_equal(readings["act_learned"], np.float32([0.25, np.nan, -2.0]))
    z = np.asarray(outputs.pre[2])
    np.testing.assert_allclose(outputs.post[2], np.where(z > 0, z, -2 * z), rtol=1e-6)
    assert readings["act_slope"][2] == pytest.approx(np.where(z > 0, 0.5, 1.0).mean(), rel=1e-5)
    layer = params["layers"][2]
    step = lambda h: functions[2].learned.function(h @ layer["kernel"] + layer["bias"], jnp.float32(-2.0))
    values = [jnp.linalg.svd(jax.jacobian(step)(h), compute_uv=False) for h in outputs.post[1][:3]]
    assert readings["jacobian_sv_mean"][1] == pytest.approx(np.mean(values), rel=1e-3)


def test_edges_of_a_layer_without_signal_are_still_edges():
    nothing = {name: np.zeros(1) for name in ("act_min", "act_max", "grad_pre_std")} | {"grad_w_std": np.zeros(2)}
    edges = edges_at_start((activations.linear(),), nothing)
    assert all((np.diff(edge, axis=1) > 0).all() for name, edge in edges.items() if "edges" in name)
