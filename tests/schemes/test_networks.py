"""Schemes on every kind of network: which work where, what those for branches, depth and convolutions draw."""

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xinit import initializers, schemes
from xinit.core.errors import InputError
from xinit.initializers import Kernel, Law
from xinit.networks import activations
from xinit.networks.convnet import convnet
from xinit.networks.mlp import mlp
from xinit.networks.network import BRANCH_END, Frame, Site, Weight, completed
from xinit.networks.residual import residual
from xinit.settings.config import SchemeConfig
from xinit.training.choices import check_scheme, scheme_of

pytestmark = pytest.mark.usefixtures("compile_quickly")
ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = sorted({path.stem for path in (ROOT / "conf" / "scheme").glob("*.yaml")} - {"custom"})
BRANCHED = {"depth_mup", "fixup", "residual_scaled", "zero_init_branches"}
HYPER = {"gain": jnp.float32(1)}
KEY = jax.random.key(0)


def frame(inputs=(8,), widths=(8, 8, 8, 8), activation="relu", n_outputs=4, precision="highest"):
    return Frame(inputs, widths, (getattr(activations, activation)(),) * len(widths), n_outputs, precision)


IMAGES = frame((8, 8, 3), (4, 4, 8))
NETWORKS = {
    "mlp": lambda: mlp(frame()),
    "mlp norm=layer": lambda: mlp(frame(), norm="layer"),
    "residual weights=1": lambda: residual(frame(), weights=1),
    "residual weights=2": lambda: residual(frame()),
    "convnet": lambda: convnet(IMAGES),
    "convnet halve=[2]": lambda: convnet(IMAGES, halve=[2]),
    "convnet residual=true": lambda: convnet(IMAGES, residual=True),
    "convnet residual=true norm=batch halve=[2]": lambda: convnet(IMAGES, residual=True, norm="batch", halve=[2]),
    "residual norm=layer": lambda: residual(frame(), norm="layer"),
    "residual order=post norm=layer": lambda: residual(frame(), order="post", norm="layer"),
    "residual scale=learned": lambda: residual(frame(), scale="learned"),
    "residual fixup=true": lambda: residual(frame(), fixup=True),
}
NO_BRANCH, UNDONE = "needs residual branches, and network=.* has none; use", "a normalisation behind it undoes that"
# What is refused, in which words; whatever is not here works.
REFUSED = {
    **{("own", network): "keeps the weights that a module of yours draws, and network=" for network in NETWORKS},
    **{("looks_linear", network): "mirrors the layers of network=mlp without a norm" for network in [*NETWORKS][1:]},
    **{
        (name, network): NO_BRANCH
        for name in BRANCHED
        for network in ("mlp", "mlp norm=layer", "convnet", "convnet halve=[2]")
    },
    **{(name, "residual order=post norm=layer"): UNDONE for name in BRANCHED},
    ("fixup", "residual weights=1"): "no value for the m = 1 weight that a branch has here; use network.weights=2",
    ("fixup", "residual scale=learned"): "network.scale is 0 at the start too: no gradient would ever reach",
    ("zero_init_branches", "residual scale=learned"): "network.scale is 0 at the start too",
    ("depth_mup", "residual scale=learned"): "network.scale is learned; it must be 1 or 1/L, and network.fixup false",
    ("depth_mup", "residual fixup=true"): "network.scale is learned; it must be 1 or 1/L, and network.fixup false",
}


@functools.cache
def made(name):
    return NETWORKS[name]()


def shapes_of(network):
    """Of a batch, as a scheme is checked with."""
    return jax.eval_shape(lambda: batch_of(network))


def batch_of(network, examples=10):
    return jax.random.normal(jax.random.key(9), (examples, network.n_inputs)), jnp.zeros(examples, int)


def complete(network, drawn):
    """All parameters, and the state."""
    start, state = network.start(KEY)
    return completed(start, drawn), state


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", NAMES)
def test_every_scheme_works_on_every_network_or_says_why_not(name, network):
    scheme, of = scheme_of(SchemeConfig(name)), made(network)
    batch = shapes_of(of)
    attempts = (
        lambda: schemes.law_of(scheme, of),
        lambda: check_scheme(scheme, of, HYPER, batch, name),
    )
    for attempt in attempts:
        if words := REFUSED.get((name, network)):
            with pytest.raises(InputError, match=words):
                attempt()
        else:
            attempt()
    if (name, network) not in REFUSED and name != "lsuv":
        assert [law.variance >= 0 for law in schemes.law_of(scheme, of)] == [True] * len(of.weights)


WIDE = {
    "residual": lambda: residual(frame((64,), (64, 64, 64), n_outputs=64)),
    "convnet": lambda: convnet(frame((4, 4, 8), (16, 32), n_outputs=32)),
    "convnet residual": lambda: convnet(frame((4, 4, 8), (32, 32), n_outputs=32), residual=True),
}


@pytest.mark.parametrize("network", WIDE)
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"lsuv", "own", "looks_linear"}))
def test_every_weight_has_the_mean_square_of_its_law(name, network):
    """By the true fans, a convolution's window included; 5.5 standard errors."""
    scheme, of = scheme_of(SchemeConfig(name)), WIDE[network]()
    if network == "convnet" and name in BRANCHED:
        pytest.skip("it has no branches")
    params, _ = scheme(KEY, of, HYPER, batch_of(of))
    for kernel, law in zip(of.kernels(params), schemes.law_of(scheme, of), strict=True):
        w = np.asarray(kernel, np.float64)
        error = math.sqrt(max(np.mean(w**4) - np.mean(w**2) ** 2, 0) / w.size)
        assert np.mean(w**2) == pytest.approx(law.variance, rel=1e-4, abs=5.5 * error)


@pytest.mark.parametrize("weights", [2, 3])
def test_fixup_has_the_factors_of_the_paper(weights):
    """L^(-1/(2m - 2)) times He's on a branch of m weights; m = 3 by hand, since no network of ours has it."""
    network, L, m = residual(frame((64,), (64,) * 5)), 5, 2
    if weights == 3:
        weight = network.weights[1]
        more = [weight._replace(place=10 + b, branch=b, path=("more", b)) for b in range(L)]
        network = network.__class__(**{**vars(network), "weights": (*network.weights, *more)})
        m = 3
    stds = [math.sqrt(64 * law.variance / 2) for law in schemes.fixup().law(network)]
    roles = [(weight.role, weight.branch) for weight in network.weights]
    for std, (role, branch) in zip(stds, roles, strict=True):
        on_branch = 0.0 if role == BRANCH_END else L ** (-1 / (2 * m - 2))
        assert std == pytest.approx(0.0 if role == "last" else 1.0 if branch is None else on_branch)


@pytest.mark.parametrize(("power", "scale"), [(0.5, "1/sqrt(L)"), (1.0, "1/L")])
@pytest.mark.parametrize("base", ["he", "critical", "lsuv"])
def test_residual_scaled_is_the_network_with_that_scale(base, power, scale):
    """Its base's weights and biases, in a network that scales the branches itself; lsuv divides before the scale."""
    of = frame(activation="tanh")
    network, scaling = residual(of), residual(of, scale=scale)
    batch = batch_of(network)
    drawn, _ = schemes.residual_scaled(base, power)(KEY, network, HYPER, batch)
    plain, _ = scheme_of(SchemeConfig(base))(KEY, network, HYPER, batch)
    logits, _, _ = network.apply(*complete(network, drawn), batch[0])
    np.testing.assert_allclose(logits, scaling.apply(*complete(scaling, plain), batch[0])[0], rtol=1e-4, atol=1e-5)


def test_branches_that_start_at_0_leave_the_main_path():
    network = residual(frame())
    batch = batch_of(network)
    for scheme in (schemes.zero_init_branches("xavier"), schemes.fixup()):
        params, state = complete(network, scheme(KEY, network, HYPER, batch)[0])
        _, outputs, _ = network.apply(params, state, batch[0])
        main = [z for z, layer in zip(outputs.pre, network.layers, strict=True) if layer.branch is None]
        for z in main[1:]:
            np.testing.assert_array_equal(z, main[0])


def one_step(network, drawn, lr_scale, batch, optimizer):
    """The logits after a step with one factor of the learning rate for each weight."""
    params, state = complete(network, drawn)
    loss = lambda params: jnp.mean((network.apply(params, state, batch[0])[0] - batch[1]) ** 2)
    updates, _ = optimizer.update(jax.grad(loss)(params), optimizer.init(params), params)
    params = optax.apply_updates(params, network.scaled(updates, lr_scale))
    return network.apply(params, state, batch[0])[0]


OPTIMIZERS = {"sgd": optax.sgd(0.1), "adam": optax.adam(0.01, eps=1e-30)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("weights", [1, 2])
def test_depth_mup_moves_as_a_network_that_scales_its_branches_by_hand(optimizer, weights):
    """L = 8 branches, learning rate chosen at 2: s = 1/4 in the weights, or in the network and 1/s in SGD's rates."""
    of, s = frame((16,), (16,) * 8, "tanh"), 2 / 8
    folded, by_hand = residual(of, weights=weights), residual(of, weights=weights, scale=s)
    x, _ = batch_of(folded)
    batch = x, jax.random.normal(jax.random.key(4), (10, 4))
    drawn, lr_scale = schemes.depth_mup(8, 2, optimizer)(KEY, folded, HYPER, batch)
    plain, rates = schemes.mup(8, optimizer)(KEY, by_hand, HYPER, batch)
    on_branch = np.array([weight.branch is not None for weight in by_hand.weights])
    rates = rates * np.where(on_branch, 1 / s if optimizer == "sgd" else 1.0, 1.0)
    ours = one_step(folded, drawn, lr_scale, batch, OPTIMIZERS[optimizer])
    np.testing.assert_allclose(
        ours, one_step(by_hand, plain, rates, batch, OPTIMIZERS[optimizer]), rtol=1e-4, atol=1e-5
    )
    before = folded.apply(*complete(folded, drawn), x)[0]
    assert float(jnp.abs(ours - before).max()) > 1e-3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_depth_mup_lets_a_network_with_its_own_scale_do_the_scaling(optimizer):
    """The same network, chosen at one branch, whoever scales; its laws are those of muP."""
    of = frame((16,), (16,) * 8, "tanh")
    network, scaling = residual(of), residual(of, scale="1/L")
    x, _ = batch_of(network)
    batch = x, jax.random.normal(jax.random.key(4), (10, 4))
    scheme = schemes.depth_mup(16, 1, optimizer)
    after = [one_step(one, *scheme(KEY, one, HYPER, batch), batch, OPTIMIZERS[optimizer]) for one in (network, scaling)]
    np.testing.assert_allclose(*after, rtol=1e-4, atol=1e-5)
    assert scheme.law(scaling) == schemes.mup(16, optimizer).law(scaling) != scheme.law(network)
    assert schemes.optimizers_of(scheme) == schemes.optimizers_of(schemes.mup(16, optimizer))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_with_depth_mup_moves_the_logits_by_the_same_at_every_depth(optimizer):
    """From 4 to 32 branches within a factor of 2; with muP alone a step grows with the depth."""
    moves = {}
    for name in ("depth_mup", "mup"):
        for depth in (4, 32):
            network = residual(frame((32,), (32,) * depth, "tanh"))
            x, _ = batch_of(network)
            batch = x, jax.random.normal(jax.random.key(4), (10, 4))
            options = (32, 4, optimizer) if name == "depth_mup" else (32, optimizer)
            drawn, lr_scale = getattr(schemes, name)(*options)(KEY, network, HYPER, batch)
            before = network.apply(*complete(network, drawn), x)[0]
            after = one_step(network, drawn, lr_scale, batch, OPTIMIZERS[optimizer])
            moves[name, depth] = float(jnp.sqrt(jnp.mean((after - before) ** 2)))
    assert 0.5 < moves["depth_mup", 32] / moves["depth_mup", 4] < 2
    assert moves["mup", 32] / moves["mup", 4] > 1.3 * moves["depth_mup", 32] / moves["depth_mup", 4]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: schemes.residual_scaled(power=2.0), "scheme.power is 2.0; it must be one of 0.5, 1.0"),
        (lambda: schemes.residual_scaled("hee"), "Unknown scheme.base 'hee'; did you mean he"),
        (lambda: schemes.zero_init_branches("mup"), "scheme.base is 'mup', which has learning rates of its own"),
        (lambda: schemes.fixup("cauchy"), "distribution is 'cauchy'; it must be one of uniform, normal"),
        (lambda: schemes.depth_mup(base_depth=0), "base_width 256, base_depth 0 and optimizer 'sgd'; the first two"),
        (lambda: schemes.depth_mup().law(residual(frame(), scale=0.1)), "network.scale is 0.1; it must be 1 or 1/L."),
        (
            lambda: schemes.law_of(scheme_of(SchemeConfig("delta_orthogonal")), convnet(frame((8, 8, 3), (8, 4)))),
            r"shape \(3, 3, 8, 4\) has 8 inputs and 4 outputs; use widths that do not fall",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_delta_orthogonal_keeps_the_length_of_every_position():
    """Of a linear network with equal channels; of every second position where it halves the image.

    Flax lays the window of an even image's first place over the places 0 to 2, so that its middle is the second one.
    """
    for halve, places in (([], slice(None)), ([2], slice(1, None, 2))):
        network = convnet(frame((8, 8, 4), (4, 4, 4), "linear"), halve=halve)
        params, state = complete(network, scheme_of(SchemeConfig("delta_orthogonal"))(KEY, network, HYPER, None)[0])
        x, _ = batch_of(network)
        _, outputs, _ = network.apply(params, state, x)
        lengths = np.linalg.norm(x.reshape(-1, 8, 8, 4)[:, places, places], axis=-1)
        np.testing.assert_allclose(np.linalg.norm(outputs.post[-1], axis=-1), lengths, rtol=1e-4)


def test_delta_orthogonal_keeps_its_law_with_windows_groups_and_stacks():
    of = initializers.delta_orthogonal
    for init, shape in ((of(), (3, 3, 16, 32)), (of(groups=2), (3, 8, 32)), (of(batch_axis=0), (4, 3, 16, 16))):
        kernel = Kernel(shape, **init.law.axes)
        w = np.asarray(init(KEY, shape))
        assert np.mean(w**2) == pytest.approx(init.law.at(kernel).variance, rel=1e-4)
        for matrix in kernel.matrices(w):
            rows = matrix[np.any(matrix, axis=1)]
            np.testing.assert_allclose(rows @ rows.T, np.eye(kernel.size(kernel.inputs)), atol=1e-5)


HEADS = Kernel((32, 4, 16), in_axis=(0,), out_axis=(1, 2))
BACK = Kernel((4, 16, 32), in_axis=(0, 1), out_axis=(2,))
STACKED = Kernel((3, 32, 16), batch_axis=(0,))
GROUPED = Kernel((3, 8, 32), groups=4)
TABLE = Kernel((16, 64), in_axis=(1,), out_axis=(0,))


@pytest.mark.parametrize("kernel", [HEADS, BACK, STACKED, GROUPED, TABLE], ids=str)
@pytest.mark.parametrize("name", ["he", "xavier", "orthogonal", "sparse", "jax he", "jax orthogonal", "own law"])
def test_an_initialiser_is_put_on_other_axes(name, kernel):
    """Var W by the true fans; orthogonal weights have a matrix a group, those of jax's are one matrix."""
    theirs = lambda key, shape, dtype=None: math.sqrt(2 / shape[-1]) * jax.random.normal(key, shape, dtype)
    theirs.law = lambda fan_in, fan_out: 2 / fan_out
    functions = {
        "jax he": jax.nn.initializers.he_normal(),
        "jax orthogonal": jax.nn.initializers.orthogonal(),
        "own law": theirs,
    }
    initializer = functions.get(name) or getattr(initializers, name)()
    on = initializers.on(initializer, kernel)
    w = np.asarray(on(KEY, kernel.shape, jnp.float32), np.float64)
    assert w.shape == kernel.shape
    if "orthogonal" in name:
        matrices = (kernel._replace(groups=1) if "jax" in name else kernel).matrices(w)
        for matrix in matrices:
            few = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
            np.testing.assert_allclose(few @ few.T, np.eye(len(few)), atol=1e-5)
    else:
        law = initializers.law_of(on)
        variance = law.at(kernel).variance if law else 2 / kernel.fan_in
        assert np.mean(w**2) == pytest.approx(variance, rel=5.5 * math.sqrt(5 / w.size))


def test_on_the_usual_axes_an_initialiser_is_itself():
    for initializer in (initializers.he(), jax.nn.initializers.he_normal()):
        for shape in ((4, 3), (3, 3, 4, 8)):
            assert initializers.on(initializer, Kernel(shape)) is initializer


def test_a_scheme_draws_heads_with_their_own_axes():
    """As a Flax model has them: the last layer of a network whose outputs are 4 heads of 16."""
    network = mlp(frame((32,), (32,), n_outputs=64))
    last = network.weights[-1]._replace(kernel=HEADS)
    network = network.__class__(**{**vars(network), "weights": (network.weights[0], last)})
    scheme = schemes.layerwise(initializers.orthogonal())
    params, _ = scheme(KEY, network, HYPER, None)
    w = params["layers"][1]["kernel"].reshape(32, 64)
    np.testing.assert_allclose(w @ w.T, np.eye(32), atol=1e-5)
    assert params["layers"][1]["bias"].shape == (4, 16)
    assert schemes.law_of(scheme, network)[1].variance == 1 / 64


@pytest.mark.parametrize(
    "make",
    [
        lambda: residual(frame((16,), (16,) * 50, "tanh"), weights=1),
        lambda: residual(frame((16,), (16,) * 4), scale="learned"),
        lambda: residual(frame((16,), (16,) * 4), norm="batch"),
        lambda: mlp(frame((16,), (16,) * 4), norm="layer"),
        lambda: mlp(frame((16,), (16,) * 50, "tanh")),
        lambda: convnet(frame((8, 8, 3), (16, 16, 16)), halve=[2], norm="batch"),
        lambda: convnet(frame((8, 8, 3), (16, 16)), residual=True),
    ],
    ids=[
        "residual 50",
        "residual learned",
        "residual batch",
        "mlp layer",
        "mlp 50",
        "convnet batch",
        "convnet residual",
    ],
)
def test_lsuv_gives_what_every_weight_makes_unit_variance(make):
    """The outputs of weights, over examples, units and positions, whatever lies behind them."""
    network = make()
    batch = batch_of(network, 64)
    params, state = complete(network, schemes.lsuv()(KEY, network, HYPER, batch)[0])
    stds = {}

    def seen(site: Site, z):
        if site.kind == "weight":
            stds[site.number] = float(jnp.std(z))
        return z

    network.apply(params, state, batch[0], seen, None, True)
    assert list(stds) == list(range(len(network.weights)))
    np.testing.assert_allclose(list(stds.values()), 1, rtol=2e-3)


def test_lsuv_has_the_numbers_of_the_algorithm_written_out():
    """Bit for bit, on a plain network: z, its std, and on through the nonlinearity."""
    network = mlp(frame((24,), (48, 32, 48), "tanh", precision="float32"))
    x, y = batch_of(network)
    params, _ = schemes.lsuv()(KEY, network, HYPER, (x, y))
    h = x
    for weight, key in zip(network.weights, schemes.layer_keys(KEY, 4), strict=True):
        kernel = initializers.orthogonal()(key, weight.shape, jnp.float32)
        z = jnp.matmul(h, kernel, precision="highest")
        np.testing.assert_array_equal(network.kernels(params)[weight.place], kernel / jnp.std(z))
        h = jnp.tanh(z / jnp.std(z))


def test_mup_counts_channels_and_no_windows():
    network = convnet(frame((8, 8, 3), (64, 128, 128), n_outputs=10))
    _, sgd = schemes.mup(64, "sgd")(KEY, network, HYPER, None)
    _, adam = schemes.mup(64, "adam")(KEY, network, HYPER, None)
    np.testing.assert_allclose(sgd, [1, 1, 1, 1 / 2])
    np.testing.assert_allclose(adam, [1, 1, 1 / 2, 1 / 2])
    variances = [law.variance for law in schemes.mup(64).law(network)]
    np.testing.assert_allclose(variances, [1 / 27, 1 / (9 * 64), 1 / (9 * 128), 64 / 128**2])


def test_own_keeps_what_a_module_draws():
    """Of a network that nobody knows the path of, as a module of the user's."""
    network = residual(frame(), fixup=True)
    start = lambda key: (jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), network.start(key)[0]), {})
    module = network.__class__(**{**vars(network), "start": start, "path": None})
    drawn, lr_scale = schemes.own()(KEY, module, HYPER, None)
    kept, own = completed(start(KEY)[0], drawn), start(KEY)[0]
    jax.tree.map(np.testing.assert_array_equal, kept, own)
    assert lr_scale.tolist() == [1.0] * len(network.weights)
    assert schemes.law_of(schemes.own(), module) is None
    check_scheme(schemes.own(), module, HYPER, shapes_of(module), "own")


def he_all(key, network, hyper, batch):
    keys = jax.random.split(key, len(network.weights))
    kernels = [
        jnp.sqrt(2 / w.fan_in) * jax.random.normal(k, w.shape) for k, w in zip(keys, network.weights, strict=True)
    ]
    return network.with_weights({}, kernels), jnp.ones(len(network.weights))


def of_widths(key, widths, activations, hyper, batch):
    raise AssertionError("it is told of no network that is not plain")


def edited(change):
    def scheme(key, network, hyper, batch):
        params, lr_scale = he_all(key, network, hyper, batch)
        return change(params), lr_scale

    return scheme


def without(params):
    layers = {l: layer for l, layer in params["layers"].items() if l != 2}
    return {"layers": layers}


def widened(params):
    layers = params["layers"]
    return {"layers": {**layers, 2: {"kernel": jnp.zeros((8, 9))}}}


def test_a_scheme_of_the_users_may_leave_out_what_is_no_kernel():
    for settings, left_out in (({"norm": "layer"}, "norms"), ({"fixup": True}, "scales")):
        network = residual(frame(), **settings)
        check_scheme(schemes.from_function(he_all), network, HYPER, shapes_of(network), "he_all")
        params, _ = complete(network, he_all(KEY, network, HYPER, None)[0])
        jax.tree.map(np.testing.assert_array_equal, params[left_out], network.start(KEY)[0][left_out])


def test_an_initialiser_of_the_users_draws_every_weight_of_any_network():
    for network in (residual(frame()), convnet(IMAGES)):
        scheme = schemes.from_function(lambda key, shape, dtype: jnp.full(shape, 0.5, dtype))
        check_scheme(scheme, network, HYPER, shapes_of(network), "half")
        params, _ = scheme(KEY, network, HYPER, None)
        assert [kernel.shape for kernel in network.kernels(params)] == [weight.shape for weight in network.weights]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (of_widths, r"'of_widths' takes \(key, widths, .*; for network=residual it must take \(key, network"),
        (edited(without), r"the kernel of branch 1, weight 2 \(layers/2/kernel\) is missing"),
        (edited(widened), r"a kernel of branch 1, weight 2 \(layers/2/kernel\) of shape \(8, 9\) .* shape \(8, 8\)"),
        (edited(lambda params: {**params, "gains": jnp.ones(3)}), "network=residual has no gains"),
        (edited(lambda params: {**params, "layers": jnp.ones(3)}), "network=residual has no layers"),
        (edited(lambda params: jnp.ones(3)), "network=residual has no single array"),
        (lambda key, network, hyper, batch: (he_all(key, network, hyper, batch)[0], jnp.ones(2)), "each of the 10"),
        (lambda key, network, hyper, batch: 3, r"must return \(Params, lr_scale\), Params nested dicts as"),
    ],
    ids=["widths", "missing", "widened", "more", "array for dict", "array", "rates", "number"],
)
def test_a_scheme_of_the_users_that_does_not_fit_is_told_where(function, words):
    network = residual(frame())
    with pytest.raises(InputError, match=words):
        check_scheme(schemes.from_function(function), network, HYPER, shapes_of(network), "mine")


def test_laws_of_branch_ends_that_are_0_state_nothing_else():
    network = residual(frame())
    ends = [weight.role == BRANCH_END for weight in network.weights]
    for scheme in (schemes.fixup(), schemes.zero_init_branches("critical")):
        laws = schemes.law_of(scheme, network)
        assert {law for law, is_end in zip(laws, ends, strict=True) if is_end} == {Law(0.0)}
    assert isinstance(network.weights[0], Weight)
