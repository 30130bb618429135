"""What is measured along other paths than that of a plain MLP: convolutions, branches, normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit.core.readings import FLAT
from xinit.networks import activations
from xinit.networks.choices import network_of
from xinit.networks.network import Frame
from xinit.probes.edges import no_edges
from xinit.probes.jacobians import jacobians, n_jacobians
from xinit.probes.passes import backpropagate
from xinit.probes.probe import make_probe, slopes_at

N, CLASSES = 6, 3


def build(fn, options, *, inputs=(8,), widths=(5, 5, 5), activation=activations.tanh):
    """A network, parameters that are no special point, and a batch."""
    network = network_of(fn, options, Frame(inputs, widths, (activation(),) * len(widths), CLASSES))
    params, state = network.start(jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves) + 1)
    moved = [leaf + 0.5 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=False)]
    x = jax.random.normal(keys[-1], (N, network.n_inputs))
    return network, jax.tree.unflatten(tree, moved), state, (x, jnp.arange(N) % CLASSES)


def measure(tier, network, params, state, batch):
    readings = make_probe(network, tier)(params, state, batch, no_edges(len(network.layers), len(network.weights)))
    return {name: np.asarray(values) for name, values in readings.items()}


@pytest.mark.parametrize("options", [{}, {"residual": True, "scale": 0.5}, {"norm": "batch"}])
def test_readings_of_convolutions_count_every_position(options):
    network, *rest = build(
        "convnet", options | {"halve": [2]}, inputs=(7, 6, 2), widths=(4, 5), activation=activations.relu
    )
    readings, passed = measure("standard", network, *rest), backpropagate(network, *rest)
    for l, (z, h, into) in enumerate(zip(*passed.outputs, strict=True)):
        z, h, into, g = (np.asarray(a, float) for a in (z, h, into, passed.at_layers[l]))
        slope = into > 0
        rows = h.reshape(N, -1)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        expected = {
            "act_mean": h.mean(),
            "act_std": h.std(),
            "act_max": h.max(),
            "pre_mean": z.mean(),
            "pre_std": z.std(),
            "act_slope": slope.mean(),
            "act_inactive": 1 - slope.mean(),
            "act_dead": (~slope).reshape(-1, slope.shape[-1]).all(0).mean(),
            "act_cosine_mean": (unit @ unit.T)[np.triu_indices(N, 1)].mean(),
            "grad_pre_mean": g.mean(),
            "grad_pre_std": g.std(),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(readings[name][l], value, rtol=1e-4, atol=1e-6, err_msg=name)
    for w, gradient in enumerate(network.kernels(passed.params)):
        np.testing.assert_allclose(readings["grad_w_norm"][w], np.linalg.norm(gradient), rtol=1e-5)
        np.testing.assert_allclose(readings["grad_w_std"][w], np.std(gradient), rtol=1e-5)


def test_saturation_of_a_convolution_counts_every_position():
    network, *rest = build("convnet", {}, inputs=(5, 5, 1), widths=(4, 4))
    readings, outputs = measure("economy", network, *rest), backpropagate(network, *rest).outputs
    flat = [1 - np.tanh(np.asarray(z, float)) ** 2 < FLAT for z in outputs.into]
    assert any(layer.any() for layer in flat)
    np.testing.assert_allclose(readings["act_saturated"], [layer.mean() for layer in flat], atol=1e-6)


def of(network, params, state, batch):
    slopes, _ = slopes_at(network, params, backpropagate(network, params, state, batch).outputs.into)
    return jacobians(network, params, state, batch[0], slopes)


def test_jacobians_of_a_plain_network_agree_with_those_by_differentiation():
    made = build("mlp", {}, widths=(5, 7, 4, 6))
    network = made[0]
    plain = of(*made)
    passage, x = network.passage(*made[1:3]), made[3][0]
    assert len(plain) == 3
    for l, j in enumerate(plain):
        h = passage(0, 2 * l + 2, x)
        one = lambda h, l=l: passage(2 * l + 2, 2 * l + 4, h[None])[0]
        np.testing.assert_allclose(j, jax.vmap(jax.jacrev(one))(h), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("order", ["pre", "post"])
def test_jacobians_of_a_linear_residual_network_are_skip_and_branch(order):
    options = {"skip": 0.5, "scale": 0.3, "order": order}
    made = build("residual", options, activation=activations.linear)
    kernels = [np.asarray(kernel, float) for kernel in made[0].kernels(made[1])]
    found = of(*made)
    assert len(found) == 3
    for b, j in enumerate(found):
        first, second = kernels[2 * b + 1], kernels[2 * b + 2]
        expected = 0.5 * np.eye(5) + 0.3 * (first @ second).T
        np.testing.assert_allclose(j, np.broadcast_to(expected, j.shape), rtol=1e-4, atol=1e-6)


PATHS = [
    ("mlp", {"norm": "layer"}),
    ("mlp", {"norm": "rms"}),
    ("residual", {"weights": 1}),
    ("residual", {"norm": "rms", "norm_at": "sum"}),
    ("residual", {"order": "post", "norm": "layer"}),
    ("residual", {"fixup": True}),
]


@pytest.mark.parametrize(("fn", "options"), PATHS)
def test_jacobians_tell_what_a_small_change_of_a_layer_does(fn, options):
    made = build(fn, options, widths=(5, 4, 5))
    network, params, state, (x, _) = made
    main = [i for i, layer in enumerate(network.layers) if layer.branch is None]
    found = of(*made)
    assert len(found) == len(main) - 1

    def signals(move, at):
        """The layers of the main path, the one at a site moved."""
        tap = lambda site, z: z + move if site == network.layers[main[at]].site else z
        outputs = network.apply(params, state, x, tap)[1]
        before_f = fn == "residual" and options.get("order") != "post"
        return [np.asarray((outputs.pre if before_f else outputs.post)[i], float) for i in main]

    direction, size = np.asarray(jax.random.normal(jax.random.key(2), (N, 1))), 1e-2
    for l, j in enumerate(found):
        above, below = signals(size * direction, l), signals(-size * direction, l)
        change = np.einsum("noi,ni->no", j, above[l] - below[l])
        np.testing.assert_allclose(change, above[l + 1] - below[l + 1], rtol=0.02, atol=2e-4)


@pytest.mark.slow
def test_the_probe_gives_a_jacobian_for_each_step_along_the_main_path():
    full = measure("full", *build("residual", {"scale": 0.5}))
    assert full["jacobian_sv_mean"].shape == (3,)
    assert full["jacobian_total_sv_quantile"].shape == (9,)
    for fn, options, inputs in [("residual", {"norm": "batch"}, (8,)), ("convnet", {}, (4, 4, 1))]:
        without = measure("full", *build(fn, options, inputs=inputs))
        assert not [name for name in without if name.startswith("jacobian")]


def test_a_branch_of_weights_0_leaves_singular_values_at_skip():
    network, params, state, batch = build("residual", {"skip": 0.7})
    ends = [jnp.zeros_like(kernel) if w.role == "branch end" else kernel
            for w, kernel in zip(network.weights, network.kernels(params), strict=True)]  # fmt: skip
    readings = measure("full", network, network.with_weights(params, ends), state, batch)
    np.testing.assert_allclose(readings["jacobian_sv_mean"], 0.7, rtol=1e-5)
    np.testing.assert_allclose(readings["jacobian_total_sv_quantile"], 0.7**3, rtol=1e-5)


@pytest.mark.parametrize(
    ("fn", "options", "count"),
    [("mlp", {}, 2), ("residual", {}, 3), ("residual", {"norm": "batch"}, 0), ("residual", {"order": "post"}, 3)],
)
def test_the_number_of_jacobians_is_known_before(fn, options, count):
    made = build(fn, options)
    assert n_jacobians(made[0]) == len(of(*made)) == count
