"""Modules of the user's as networks: their weights, both tap identities, keys and statistics, and what is refused."""

import functools
import math
import pathlib
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from xinit.core.errors import InputError
from xinit.networks import activations
from xinit.networks.network import Frame, Site, at, completed, put
from xinit.probes.passes import backpropagate
from xinit.schemes import critical, lsuv
from xinit.tracing.as_network import as_network

FRAME = Frame((8, 8, 1), (8, 8), (activations.relu(),) * 2, 3)
X, Y = jax.random.normal(jax.random.key(1), (20, 64)), jnp.arange(20) % 3
MODULES = ("transformer", "resnet", "dropped")


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    """A folder outside the project with the module in it, from which it is imported."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(pathlib.Path(__file__).with_name("own_networks.py"), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop("own_networks", None)


@functools.cache
def network(name, **options):
    return as_network(f"own_networks:{name}", options, FRAME)


@functools.cache
def drawn(name):
    """Parameters and state, drawn by NumPy: on a CPU jax takes long to compile the draw of each shape."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        name = path[-1].key
        std = 1 / math.sqrt(math.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.1
        return jnp.asarray((name in ("scale", "var")) + std * rng.normal(size=leaf.shape), leaf.dtype)

    params, state = network(name).like
    return jax.tree_util.tree_map_with_path(fill, params), jax.tree.map(lambda leaf: jnp.ones(leaf.shape), state)


def test_weights_are_the_kernels_of_the_layers_in_the_order_of_their_calls():
    rows = [(w.path[-2], w.shape, w.fan_in, w.fan_out, w.role) for w in network("transformer").weights]
    assert rows[:7] == [
        ("patches", (4, 4, 1, 8), 16, 128, "first"),
        ("query", (8, 2, 4), 8, 8, "hidden"),
        ("key", (8, 2, 4), 8, 8, "hidden"),
        ("value", (8, 2, 4), 8, 8, "hidden"),
        ("out", (2, 4, 8), 8, 8, "hidden"),
        ("up", (8, 16), 8, 16, "hidden"),
        ("down", (16, 8), 16, 8, "hidden"),
    ]
    assert len(rows) == 14
    assert rows[-1] == ("head", (8, 3), 8, 3, "last")
    rows = [(w.path[-2], w.fan_in, w.fan_out, w.role) for w in network("resnet").weights]
    assert rows[:3] == [("Conv_0", 9, 72, "first"), ("Conv_1", 72, 72, "hidden"), ("Conv_2", 36, 36, "hidden")]
    rows = [(w.path, w.role) for w in network("dropped").weights]
    dense = [(("Dense_1", "kernel"), "first"), (("Dense_0", "kernel"), "hidden")]  # named as made, sorted as called
    assert rows == [*dense, (("Mine_0", "w"), "last")]


def test_what_weights_read_is_the_activation_that_the_function_asked_for():
    for name, reads in (("transformer", "relu"), ("resnet", "linear")):
        first, *others = (w.reads for w in network(name).weights)
        assert first is None
        assert {f.name for f in others} == {reads}
        assert network(name).path is None


@pytest.mark.parametrize(("name", "scale"), [("transformer", 2), ("resnet", 1)])
def test_what_schemes_draw_does_not_depend_on_the_functions_that_are_recognised(name, scale):
    net = network(name)
    assert net.layers[0].activation.name in ("not seen", "relu")
    laws = critical().law(net)  # 2 / n_in for relu, 1 / n_in for a linear function, for the first weight too
    assert [w.fan_in * law.variance for w, law in zip(net.weights, laws, strict=True)] == pytest.approx(
        [scale] * len(laws)
    )


def test_functions_behind_layers_are_recognised():
    for name, f in (("transformer", "relu"), ("scanned", "tanh")):
        net, (params, state) = network(name), drawn(name)
        behind = {layer.name.partition("[")[0].rpartition("/")[2]: layer.activation.name for layer in net.layers}
        assert behind["up"] == f
        assert set(behind.values()) == {f, "not seen"}
        outputs = jax.jit(lambda params, net=net, state=state: net.apply(params, state, X)[1])(params)
        for layer, into, post in zip(net.layers, outputs.into, outputs.post, strict=True):
            np.testing.assert_allclose(post, layer.activation.function(into), rtol=1e-5, atol=1e-6)


def test_settings_reach_the_function():
    patches = as_network("own_networks:transformer", {"patch": 2, "kwargs": {"heads": 4}}, FRAME)
    assert [w.shape for w in patches.weights[:2]] == [(2, 2, 1, 8), (8, 4, 2)]


@pytest.mark.parametrize("name", MODULES[:2])
def test_both_identities_hold_at_every_layer(name):
    net = network(name)
    passed = jax.jit(lambda params, state: backpropagate(net, params, state, (X, Y)))(*drawn(name))
    assert [z.shape[-1] for z in passed.outputs.pre] == [layer.width for layer in net.layers]
    for weight in net.weights:
        g_z = passed.sites[Site("weight", weight.place)]
        g_b = at(passed.params, (*weight.path[:-1], "bias"))
        np.testing.assert_allclose(g_z.reshape(-1, weight.units).sum(0), g_b.ravel(), atol=1e-6)
    last = net.weights[-1]
    into = head_input(name, *drawn(name))
    g_w = at(passed.params, last.path)
    np.testing.assert_allclose(into.T @ passed.sites[Site("weight", last.place)], g_w, rtol=1e-4, atol=1e-6)


def head_input(name, params, state):
    """What the head reads: its z with a kernel of 1s at a unit each, and no bias."""
    net, key = network(name), jax.random.key(0) if network(name).draws else None
    head, kernel = net.weights[-1].path[:-1], net.kernels(params)[-1]

    def read(unit):
        only = {"kernel": jnp.zeros_like(kernel).at[unit, 0].set(1), "bias": jnp.zeros(kernel.shape[1])}
        return net.apply(put(params, head, only), state, X, None, key, True)[0][:, 0]

    return jax.jit(jax.vmap(read, out_axes=1))(jnp.arange(len(kernel)))


@pytest.mark.parametrize("name", MODULES)
def test_logits_are_those_of_the_module(name):
    net, (params, state) = network(name), drawn(name)
    own = sys.modules["own_networks"]
    if name == "transformer":
        model = own.transformer(FRAME.inputs, 3, 8, 2, jax.nn.relu, nnx.Rngs(0))
        nnx.update(model, params)
        model.eval()
        expected = model(X.reshape(-1, 8, 8, 1))
    else:
        model, named = (own.resnet(3, 8, 2), {"train": False})
        if name == "dropped":
            model, named = own.dropped(3), {"deterministic": True}
        expected = model.apply({"params": params, **state}, X.reshape(-1, 8, 8, 1), **named)
    np.testing.assert_allclose(net.apply(params, state, X)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODULES)
def test_keys_are_used_while_it_trains_and_only_then(name):
    net, (params, state) = network(name), drawn(name)
    assert net.draws == (name != "resnet")
    run = jax.jit(lambda key, train: net.apply(params, state, X, None, key, train)[0], static_argnums=1)
    one, same, other = (run(jax.random.key(seed), True) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one == other).all() == (not net.draws)
    assert (run(jax.random.key(0), False) == run(jax.random.key(1), False)).all()


def test_statistics_are_the_state_and_change_while_it_trains():
    net, (params, state) = network("resnet"), drawn("resnet")
    assert jax.tree.all(jax.tree.map(jnp.array_equal, net.apply(params, state, X)[2], state))
    trained = net.apply(params, state, X, train=True)[2]
    assert jax.tree.structure(trained) == jax.tree.structure(state)
    assert not any(jnp.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (trained, state)), strict=True))
    assert network("transformer").like[1] == network("dropped").like[1] == {}


def test_a_layer_that_is_called_twice_has_its_site_at_the_first_call():
    net, (params, state) = network("dropped"), drawn("dropped")
    seen = []
    tap = lambda site, z: seen.append(site.number) or z
    net.apply(params, state, X, tap)
    assert seen == [0, 1, 2]


def test_lsuv_goes_through_a_module():
    net = network("resnet")
    params, lr_scale = jax.jit(lambda key: lsuv()(key, net, {"gain": 1.0}, (X, Y)))(jax.random.key(0))
    stds = []
    drawn_params, state = drawn("resnet")
    starts = {"bias": jnp.zeros_like, "scale": jnp.ones_like}  # of the module, with which LSUV went through it
    start = lambda path, a: starts.get(path[-1].key, lambda a: a)(a)
    whole = jax.tree_util.tree_map_with_path(start, completed(drawn_params, params))
    net.apply(whole, state, X, lambda site, z: stds.append(jnp.std(z)) or z, None, True)
    np.testing.assert_allclose(stds, 1, rtol=1e-4)
    assert len(stds) == len(net.weights) == len(lr_scale)


def unrolled(params):
    """The parameters of blocks in a loop as those of blocks one after the other."""
    blocks = [jax.tree.map(lambda a, t=t: a[t], params["blocks"]) for t in range(2)]
    others = {name: value for name, value in params.items() if name != "blocks"}
    return others | {f"block_{t}": block for t, block in enumerate(blocks)}


def test_layers_in_a_loop_are_those_of_the_unrolled_module():
    loop, flat = network("scanned"), network("scanned", loop=False)
    params, state = drawn("scanned")
    assert [(w.path[-2], w.kernel.batch, w.stack, w.fan_in, w.fan_out) for w in loop.weights] == [
        ("first", (), (), 8, 8),
        ("up", (0,), (0,), 8, 16),
        ("down", (0,), (0,), 16, 8),
        ("experts", (0,), (0,), 8, 16),
        ("head", (), (), 8, 3),
    ]
    parts = ("up", "down", "experts")
    assert [layer.name for layer in loop.layers] == [
        "first",
        *(f"blocks/{part}[{t}]" for t in (0, 1) for part in parts),
    ]
    assert loop.widths == flat.widths
    passes = jax.jit(lambda net, params: backpropagate(net, params, state, (X, Y)), static_argnums=0)
    in_loop, in_order = passes(loop, params), passes(flat, unrolled(params))
    assert len(in_loop.sites) == len(in_order.sites) == len(loop.layers) + 1
    for name in ("logits", "outputs", "at_layers"):
        pairs = zip(*(jax.tree.leaves(getattr(passed, name)) for passed in (in_loop, in_order)), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    for t in range(2):
        g_z = in_loop.sites[Site("weight", 1, t)]
        np.testing.assert_allclose(g_z.sum((0, 1)), in_loop.params["blocks"]["up"]["bias"][t], atol=1e-6)


def test_a_call_without_taps_is_the_program_of_the_module():
    net, (params, state) = network("scanned"), drawn("scanned")
    run = lambda params: net.apply(params, state, X)
    text = str(jax.make_jaxpr(lambda params: run(params)[0])(params))
    assert "scan[" in text
    assert "remat" in text
    logits, outputs, _ = jax.jit(run)(params)
    tapped = jax.jit(lambda params: net.apply(params, state, X, lambda site, z: z))(params)  # iteration by iteration
    for one, other in zip(jax.tree.leaves((logits, outputs)), jax.tree.leaves(tapped[:2]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_iterations_that_share_a_kernel_are_positions():
    net, (params, state) = network("recurrent"), drawn("recurrent")
    assert [(w.path[-2], w.stack) for w in net.weights] == [("i", ()), ("h", ()), ("Dense_0", ())]
    passed = jax.jit(lambda params: backpropagate(net, params, state, (X, Y)))(params)
    assert [z.shape for z in passed.outputs.pre] == [(20, 8, 8)] * 2
    g_z = passed.sites[Site("weight", 0)]
    np.testing.assert_allclose(g_z.sum((0, 1)), passed.params["SimpleCell_0"]["i"]["bias"], atol=1e-6)
    x_BTI = X.reshape(-1, 8, 8)
    expected = jnp.einsum("bti,bto->io", x_BTI, g_z)
    np.testing.assert_allclose(expected, passed.params["SimpleCell_0"]["i"]["kernel"], rtol=1e-4, atol=1e-6)


def test_lsuv_divides_each_kernel_of_a_stack():
    net, (_, state) = network("scanned"), drawn("scanned")
    params, _ = jax.jit(lambda key: lsuv()(key, net, {"gain": 1.0}, (X, Y)))(jax.random.key(0))
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), net.like[0])  # biases are 0
    outputs = jax.jit(lambda params: net.apply(params, state, X)[1])(completed(start, params))
    np.testing.assert_allclose([jnp.std(z) for z in outputs.pre], 1, rtol=1e-4)


REFUSED = {  # function -> words of the sentence
    "none": "network.fn is 'own_networks:none'; the module own_networks has no function 'none'.",
    "fails": "network.fn 'own_networks:fails' failed with RuntimeError: on purpose",
    "no_module": "network.fn 'own_networks:no_module' returns a int; it must return a flax.nnx or flax.linen module.",
    "a_class": "returns the class Flat; it must return a flax.nnx or flax.linen module.",
    "no_rngs": "does not take rngs, so that every seed would start from the same parameters; it must take rngs",
    "no_call": "The model cannot be called with x of (2, 8, 8, 1) float32: TypeError: ",
    "wrong_size": "gives shape (2, 4) and type float32 for x of shape (2, 8, 8, 1); it must give logits of ",
    "wrong_type": "gives shape (2, 3) and type bfloat16 for x of shape (2, 8, 8, 1); it must give logits of ",
    "wrong_parameters": "makes the parameter Dense_0/bias of type bfloat16; parameters must be float32",
    "no_layer": "a module without a layer that can be seen: no matrix among its parameters is multiplied with a signal",
    "hidden": "so that no scheme could draw inner/kernel: a signal is multiplied with such a kernel nowhere, or",
}


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_what_is_refused(name, words):
    with pytest.raises(InputError) as caught:
        as_network(f"own_networks:{name}", {"n": 3} if name == "no_layer" else {}, FRAME)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


OPTIONS = {
    "an unknown one": ({"pach": 2}, "Unknown setting network.pach; did you mean patch? Allowed: "),
    "kwargs of another kind": ({"kwargs": 3}, "network.kwargs is 3; it must be a mapping, such as network.kwargs={"),
    "one that does not fit": ({"patch": 3, "heads": 3}, "network.fn 'own_networks:transformer' failed with ValueError"),
}


@pytest.mark.parametrize(("options", "words"), OPTIONS.values(), ids=OPTIONS)
def test_settings_that_are_refused(options, words):
    with pytest.raises(InputError) as caught:
        as_network("own_networks:transformer", options, FRAME)
    assert words in str(caught.value)


def test_several_activations_are_refused_where_one_is_asked_for():
    two = FRAME._replace(activations=(activations.relu(), activations.tanh()))
    with pytest.raises(InputError, match="asks for one activation, but the run names relu, tanh"):
        as_network("own_networks:transformer", {}, two)
    assert as_network("own_networks:resnet", {}, two).weights
