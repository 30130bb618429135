"""Networks of ours: what they compute, what their taps tell, and what they refuse."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xinit.core.errors import InputError
from xinit.networks import activations
from xinit.networks.choices import network_of
from xinit.networks.network import BRANCH_END, Frame, Join, Site
from xinit.networks.stack import fitted
from xinit.probes.passes import backpropagate

N, CLASSES = 7, 3
ROW, IMAGE = (12,), (6, 5, 2)
NETWORKS = {
    "mlp": (ROW, "mlp", {}),
    "mlp layer": (ROW, "mlp", {"norm": "layer"}),
    "mlp rms": (ROW, "mlp", {"norm": "rms"}),
    "mlp batch": (ROW, "mlp", {"norm": "batch"}),
    "residual": (ROW, "residual", {}),
    "residual of one weight": (ROW, "residual", {"weights": 1, "scale": "1/L", "skip": 0.5}),
    "residual post": (ROW, "residual", {"order": "post", "scale": "1/sqrt(L)"}),
    "residual learned": (ROW, "residual", {"scale": "learned"}),
    "residual fixup": (ROW, "residual", {"fixup": True, "scale": 0.7}),
    "residual fixup post": (ROW, "residual", {"fixup": True, "order": "post"}),
    "residual layer": (ROW, "residual", {"norm": "layer", "scale": 2}),
    "residual rms at sums": (ROW, "residual", {"norm": "rms", "norm_at": "sum"}),
    "residual batch post": (ROW, "residual", {"norm": "batch", "order": "post"}),
    "convnet": (IMAGE, "convnet", {"halve": [2]}),
    "convnet layer": (IMAGE, "convnet", {"norm": "layer"}),
    "convnet batch": (IMAGE, "convnet", {"norm": "batch"}),
    "convnet residual": (IMAGE, "convnet", {"residual": True, "halve": [2], "weights": 1, "scale": 0.3}),
    "convnet residual batch": (IMAGE, "convnet", {"residual": True, "norm": "batch", "order": "post"}),
    "convnet residual fixup": (IMAGE, "convnet", {"residual": True, "fixup": True}),
}
WIDTHS = (4, 6, 5)


def build(name, activation=activations.tanh, widths=WIDTHS):
    inputs, fn, options = NETWORKS[name]
    return network_of(fn, options, Frame(inputs, widths, (activation(),) * len(widths), CLASSES))


def drawn(network, seed=0):
    """Parameters, scales, biases and norms included, that are no special point; and a batch."""
    params, state = network.start(jax.random.key(seed))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves) + 1)
    noise = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=False)]
    x = jax.random.normal(keys[-1], (N, network.n_inputs))
    return jax.tree.unflatten(tree, noise), state, (x, jnp.arange(N) % CLASSES)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_at_a_weight_is_that_of_its_bias_and_of_its_kernel(name):
    network = build(name)
    params, state, batch = drawn(network)
    passed = backpropagate(network, params, state, batch)
    h = inputs_of_weights(network, params, state, batch[0])
    kernels, biases = network.kernels(passed.params), network.biases(passed.params)
    sites = {site.number: gradient for site, gradient in passed.sites.items() if site.kind == "weight"}
    assert sorted(sites) == list(range(len(network.weights)))
    for weight, kernel, bias in zip(network.weights, kernels, biases, strict=True):
        g = np.asarray(sites[weight.place], float)
        np.testing.assert_allclose(bias, g.reshape(-1, weight.units).sum(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(kernel, correlated(h[weight.place], g, weight.shape), rtol=1e-4, atol=1e-6)


def inputs_of_weights(network, params, state, x):
    """What each weight reads, written down step by step in NumPy from what passes the sites."""
    _, outputs, _ = network.apply(params, state, x, train=True)
    number, h, found = 0, np.asarray(x, float), {}
    shifts = params.get("shifts", {})
    main = np.empty(0)
    signals = {}
    network.apply(params, state, x, lambda site, z: signals.setdefault(site, np.asarray(z, float)) + 0, None, True)
    for step in network.path:
        match type(step).__name__:
            case "Image":
                h = h.reshape(N, *step.shape)
            case "Multiply":
                found[step.weight] = h
                h = signals[Site("weight", step.weight)]
            case "Activate":
                h, number = np.asarray(outputs.post[number], float), number + 1
            case "Branch":
                main = h
            case "Shift":
                h = h + float(shifts[step.number])
            case "Join":
                factor = float(params["scales"][step.number]) if step.learned else step.scale
                kept = np.asarray(fitted(jnp.asarray(main), h.shape))
                np.testing.assert_allclose(signals[Site("sum", step.number)], step.skip * kept + factor * h, atol=1e-5)
                h = signals[Site("sum", step.number)]
            case "Normalise":
                h = normalised(h, step.kind, params["norms"][step.number])
            case "Pool":
                h = h.mean((1, 2))
    return found


def normalised(h, kind, params):
    """A normalisation in NumPy."""
    axes = tuple(range(h.ndim - 1)) if kind == "batch" else -1
    centred = h if kind == "rms" else h - h.mean(axes, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + (1e-5 if kind == "batch" else 1e-6))
    return scaled * np.asarray(params["scale"]) + np.asarray(params.get("bias", 0.0))


def correlated(h, g, shape):
    """h^T dL/dz; of a convolution for each place of its window, zeros around the image."""
    if len(shape) == 2:
        return h.T @ g
    grad, (height, width) = np.zeros(shape), h.shape[1:3]
    out_height, out_width = g.shape[1:3]
    stride = 2 if out_height < height else 1
    pads = [max((n_out - 1) * stride + 3 - n, 0) for n, n_out in ((height, out_height), (width, out_width))]
    padded = np.pad(h, [(0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)])
    for i in range(3):
        for j in range(3):
            rows = slice(i, i + stride * (out_height - 1) + 1, stride)
            seen = padded[:, rows, slice(j, j + stride * (out_width - 1) + 1, stride)]
            grad[i, j] = np.einsum("nhwi,nhwo->io", seen, g)
    return grad


@pytest.mark.parametrize("name", [name for name in NETWORKS if "residual" in name])
def test_the_gradient_at_the_end_of_a_branch_is_that_at_the_sum_times_the_scale(name):
    network = build(name)
    params, state, batch = drawn(network)
    sites = backpropagate(network, params, state, batch).sites
    joins = [step for step in network.path if isinstance(step, Join)]
    ends = [weight.place for weight in network.weights if weight.role == BRANCH_END]
    assert len(joins) == len(ends) == network.n_branches == len(WIDTHS)
    for join, end in zip(joins, ends, strict=True):
        factor = params["scales"][join.number] if join.learned else join.scale
        if NETWORKS[name][2].get("norm") == "batch" and NETWORKS[name][2].get("order") == "post":
            continue  # the norm lies between the weight and the sum
        np.testing.assert_allclose(
            sites[Site("weight", end)], factor * sites[Site("sum", join.number)], rtol=1e-5, atol=1e-9
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_reports_what_its_nonlinearity_reads_and_gives(name):
    network = build(name)
    params, state, (x, _) = drawn(network)
    signals = {}
    logits, outputs, new = network.apply(params, state, x, lambda site, z: signals.setdefault(site, z), None, True)
    assert logits.shape == (N, CLASSES)
    for layer, z, h, into in zip(network.layers, *outputs, strict=True):
        np.testing.assert_array_equal(z, signals[layer.site])
        np.testing.assert_allclose(h, jnp.tanh(into), rtol=1e-6)
        assert h.shape[-1] == layer.width
        if "norm" not in NETWORKS[name][2] and not NETWORKS[name][2].get("fixup"):
            np.testing.assert_array_equal(z, into)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert bool(state) == ("batch" in name)
    main = [layer for layer in network.layers if layer.branch is None]
    assert len(main) == len(WIDTHS) + ("residual" in name)
    assert len(network.layers) == len(network.weights) - 1


@pytest.mark.parametrize("name", ["mlp batch", "residual batch post", "convnet batch"])
def test_batch_statistics_are_the_batches_while_it_trains_and_running_averages_after(name):
    network = build(name)
    params, state, (x, _) = drawn(network)
    trained, outputs, new = network.apply(params, state, x, train=True)
    z = outputs.pre[0]
    axes = tuple(range(z.ndim - 1))
    assert_close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert_close(new["norms"][0]["mean"], 0.1 * jnp.mean(z, axes))  # from 0 and 1 on
    assert_close(new["norms"][0]["var"], 0.9 + 0.1 * jnp.var(z, axes))
    for _ in range(200):  # of the same batch: the averages become its own
        state = network.apply(params, state, x, train=True)[2]
    evaluated, _, same = network.apply(params, state, x)
    assert_close(evaluated, trained)
    assert same is state
    one = network.apply(params, state, x[:1])[0]  # an example alone is judged as among others
    assert_close(one, evaluated[:1])
    assert not np.allclose(network.apply(params, state, x[:3], train=True)[0], trained[:3], atol=1e-3)


def test_a_learned_scale_starts_at_0_and_the_network_without_its_branches():
    network = build("residual learned", widths=(4, 4, 4))
    params, state = network.start(jax.random.key(0))
    assert [float(scale) for scale in params["scales"].values()] == [0, 0, 0]
    drawn_params = drawn(network)[0] | {"scales": params["scales"]}
    sums = network.apply(drawn_params, state, jnp.ones((N, 12)))[1].pre
    np.testing.assert_array_equal(sums[0], sums[-1])


def test_scales_are_what_their_names_say():
    starts = {scale: network_of("residual", {"scale": scale}, frame(4)).path for scale in (2, "1/sqrt(L)", "1/L")}
    scales = {key: {step.scale for step in path if isinstance(step, Join)} for key, path in starts.items()}
    assert scales == {2: {2.0}, "1/sqrt(L)": {0.5}, "1/L": {0.25}}


def frame(depth, inputs=ROW):
    return Frame(inputs, (4,) * depth, (activations.relu(),) * depth, CLASSES)


@pytest.mark.parametrize(
    ("shape", "target", "expected"),
    [
        ((1, 3), (1, 5), [[1, 2, 3, 0, 0]]),
        ((1, 3), (1, 2), [[1, 2]]),
        ((1, 3, 1, 1), (1, 2, 1, 1), [[[[1]], [[3]]]]),
    ],
)
def test_a_main_path_of_another_shape_is_cut_filled_up_and_thinned_out(shape, target, expected):
    h = jnp.arange(1.0, 4.0).reshape(shape)
    np.testing.assert_array_equal(fitted(h, target), expected)


@pytest.mark.parametrize("side", [4, 5])
def test_what_is_kept_of_a_main_path_lies_in_the_middle_of_the_windows_beside_it(side):
    h = jnp.arange(float(side**2)).reshape(1, side, side, 1)
    middle = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1)
    form = ("NHWC", "HWIO", "NHWC")
    beside = jax.lax.conv_general_dilated(h, middle, (2, 2), "SAME", dimension_numbers=form)
    np.testing.assert_array_equal(fitted(h, beside.shape), beside)


def test_a_thousand_branches_are_built_and_tell_their_weights():
    network = network_of("residual", {}, frame(1000))
    assert len(network.weights) == 2002
    assert network.n_branches == 1000
    params, _ = network.like
    assert params["layers"][2000]["kernel"].shape == (4, 4)


REFUSED = [
    ("residual", {"weights": 3}, ROW, "network.weights is 3; it must be 1 or 2, weight layers on a branch."),
    ("residual", {"order": "mid"}, ROW, "network.order is 'mid'; it must be one of pre, post."),
    ("residual", {"norm": "group"}, ROW, "network.norm is 'group'; it must be one of none, layer, rms, batch."),
    ("residual", {"norm_at": "end"}, ROW, "network.norm_at is 'end'; it must be one of branch, sum."),
    ("residual", {"skip": float("inf")}, ROW, "network.skip is inf; it must be a finite number."),
    ("residual", {"scale": "half"}, ROW, "network.scale is 'half'; it must be a finite number or one of 1/sqrt(L), "),
    ("residual", {"fixup": True, "weights": 1}, ROW, "network.fixup is true and network.weights is 1; "),
    ("residual", {"fixup": True, "norm": "rms"}, ROW, "network.fixup is true and network.norm is rms; "),
    ("residual", {"fixup": True, "scale": "learned"}, ROW, "network.fixup is true and network.scale is learned, "),
    ("residual", {"depth": 3}, ROW, "Unknown setting network.depth; "),
    ("mlp", {"norm": "Layer"}, ROW, "network.norm is 'Layer'; it must be one of none, layer, rms, batch."),
    ("convnet", {}, ROW, "network=convnet needs images; the data has 12 numbers an example."),
    (
        "convnet",
        {"halve": [4]},
        IMAGE,
        "network.halve is [4]; it must be a list of different whole numbers from 1 to 3",
    ),
    ("convnet", {"halve": [1, 1]}, IMAGE, "since there are 3 hidden layers."),
    ("convnet", {"halve": [1.5], "residual": True}, IMAGE, "since there are 3 branches."),
    ("convnet", {"halve": [1]}, (2, 2, 3), "Convolution 1 of network=convnet would read an image of 2 x 2; "),
    ("convnet", {"halve": [1, 2]}, (5, 8, 1), "Convolution 3 of network=convnet would read an image of 2 x 2; "),
    ("convnet", {"scale": 0.5}, IMAGE, "network.scale is 0.5 and network.residual is false; it is for residual=true."),
]


@pytest.mark.parametrize(("fn", "options", "inputs", "message"), REFUSED)
def test_settings_that_make_no_network_are_refused(fn, options, inputs, message):
    with pytest.raises(InputError, match=re.escape(message)):
        network_of(fn, options, frame(3, inputs))
