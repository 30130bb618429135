"""What the axes of a parameter are, in every kind of layer and stack: the fans of one layer, or a refusal, no guess."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import xinit
from tests.tracing.models import (
    LinenAttention,
    LinenEnsemble,
    LinenOwn,
    LinenRecurrent,
    LinenScanned,
    NnxLowRank,
    NnxRecurrent,
    NnxStack,
)
from xinit.core.errors import InputError
from xinit.tracing import layout
from xinit.tracing.models import model_of
from xinit.tracing.structure import kernels
from xinit.tracing.structure.kernels import Axes, Unclear, by_path, fans

pytestmark = pytest.mark.usefixtures("compile_quickly")
KEY = jax.random.key(3)
GATES = ("ii", "if", "ig", "io", "hi", "hf", "hg", "ho")
ATTENTION = ("query", "key", "value", "out")

# A model of linen, the shape of what it reads, and the fans of its kernels by path.
LINEN = {
    "heads out": (linen.DenseGeneral((3, 4, 8)), (2, 16), {"kernel": (16, 96)}),
    "heads in": (linen.DenseGeneral(16, axis=(-2, -1)), (2, 4, 8), {"kernel": (32, 16)}),
    "a kernel for each example": (linen.DenseGeneral(8, batch_dims=(0,)), (3, 16), {"kernel": (16, 8)}),
    "einsum": (linen.Einsum((5, 16, 8), "bei,eio->beo"), (2, 5, 16), {"kernel": (16, 8)}),
    "convolution": (linen.Conv(16, (3, 3)), (2, 6, 6, 8), {"kernel": (72, 144)}),
    "grouped": (linen.Conv(16, (3, 3), feature_group_count=4), (2, 6, 6, 8), {"kernel": (18, 36)}),
    "transposed": (linen.ConvTranspose(8, (2, 2)), (2, 4, 4, 16), {"kernel": (64, 32)}),
    "stored transposed": (linen.ConvTranspose(8, (2, 2), transpose_kernel=True), (2, 4, 4, 16), {"kernel": (64, 32)}),
    "attention": (
        linen.MultiHeadDotProductAttention(2, qkv_features=8),
        (2, 3, 16),
        {f"{name}/kernel": (8, 16) if name == "out" else (16, 8) for name in ATTENTION},
    ),
    "scan on axis 0": (LinenScanned(0), (2, 16), {"blocks/Dense_0/kernel": (16, 16), "head/kernel": (16, 5)}),
    "scan on axis 1": (LinenScanned(1), (2, 16), {"blocks/Dense_0/kernel": (16, 16), "head/kernel": (16, 5)}),
    "scan on axis -1": (LinenScanned(-1), (2, 16), {"blocks/Dense_0/kernel": (16, 16), "head/kernel": (16, 5)}),
    "as deep as wide": (LinenScanned(0, 16), (2, 16), {"blocks/Dense_0/kernel": (16, 16), "head/kernel": (16, 5)}),
    "attention in a scan": (
        LinenScanned(1, 3, 16, LinenAttention),
        (2, 3, 16),
        {"blocks/qkv/kernel": (16, 48), "blocks/back/kernel": (16, 16), "head/kernel": (16, 5)},
    ),
    "vmap in a vmap": (LinenEnsemble(), (2, 16), {"members/kernel": (16, 8)}),
    "remat and scan": (linen.remat_scan(linen.Dense, (3, 2))(16), (2, 16), {"kernel": (16, 16)}),
    "lstm": (
        LinenRecurrent(linen.LSTMCell),
        (2, 3, 16),
        {f"cell/{gate}/kernel": (16 if gate[0] == "i" else 8, 8) for gate in GATES} | {"head/kernel": (8, 5)},
    ),
    "optimized lstm": (
        LinenRecurrent(),
        (2, 3, 16),
        {f"cell/{gate}/kernel": (16 if gate[0] == "i" else 8, 8) for gate in GATES} | {"head/kernel": (8, 5)},
    ),
}  # fmt: skip


def zeros(variables):
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), variables)


@functools.cache
def linen_model(name):
    """A model, zeros in place of its variables, zeros to call it with."""
    model, shape, _ = LINEN[name]
    x = np.zeros(shape, np.float32)
    return model, zeros(jax.eval_shape(model.init, jax.random.key(0), x)), x


def nnx_models():
    """An nnx module and the fans of its kernels by path."""
    rngs, zero = nnx.Rngs(0), {"kernel_init": nnx.initializers.zeros}
    heads = {f"attention/{name}/kernel": (12, 12) for name in ATTENTION}
    gates = {f"rnn/cell/{'if_' if gate == 'if' else gate}/kernel": (12 if gate[0] == "i" else 8, 8) for gate in GATES}
    return {
        "heads": (nnx.LinearGeneral((2, 8), (4, 4), axis=(-2, -1), rngs=rngs, **zero), {"kernel": (16, 16)}),
        "einsum": (nnx.Einsum("btd,dhk->bthk", (16, 4, 8), rngs=rngs, **zero), {"kernel": (16, 32)}),
        "depthwise": (nnx.Conv(16, 32, (3, 3), feature_group_count=16, rngs=rngs, **zero), {"kernel": (9, 18)}),
        "transposed": (nnx.ConvTranspose(16, 8, (3,), transpose_kernel=True, rngs=rngs, **zero), {"kernel": (48, 24)}),
        "vmap on axis 0": (NnxStack(0), {"layers/kernel": (16, 8)} | heads),
        "vmap on axis 1": (NnxStack(1), {"layers/kernel": (16, 8)} | heads),
        "as many as heads": (NnxStack(0, heads=3), {"layers/kernel": (16, 8)} | heads),
        "low rank": (NnxLowRank(nnx.Rngs(0)), {"first/kernel": (12, 16), "second/base_module/kernel": (16, 16)}),
        "lstm": (NnxRecurrent(nnx.Rngs(0)), gates | {"head/kernel": (8, 5)}),
    }


def check(params, meanings, expected):
    """The kernels have the fans that are expected, and n_in E W^2 = 2."""
    found = {path: meanings[path] for path in params if path.endswith("kernel")}
    assert {path: fans(params[path].shape, stored.axes) for path, stored in found.items()} == expected
    for path, (fan_in, _) in expected.items():
        w = np.asarray(params[path], np.float64)
        assert fan_in * np.mean(w**2) == pytest.approx(2, rel=5 * np.sqrt(2 / w.size)), path
        assert found[path].is_kernel


def of_linen(model, variables, x):
    return layout.of_model(model_of(model, x, variables, jax.random.key(0), {}, None))


@pytest.mark.parametrize("name", LINEN)
def test_he_keeps_its_promise_at_the_fans_of_one_layer_of_linen(name):
    model, variables, x = linen_model(name)
    drawn = xinit.initialize(variables, "he", KEY, model=model, batch=x)
    assert jax.tree.map(np.shape, drawn) == jax.tree.map(np.shape, variables)
    check(by_path(drawn["params"]), of_linen(model, variables, x), LINEN[name][2])


@pytest.mark.parametrize("name", nnx_models())
def test_he_keeps_its_promise_at_the_fans_of_one_layer_of_nnx(name):
    model, expected = nnx_models()[name]
    drawn = xinit.initialize(model, "he", KEY)
    check(by_path(nnx.state(drawn, nnx.Param)), layout.of_nnx(model), expected)


def of_layer(kernel, axis, i):
    return np.take(np.asarray(kernel), i, axis).reshape(16, 16)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_each_layer_of_a_stack_is_orthogonal_and_another(axis):
    model, variables, x = linen_model(f"scan on axis {axis}")
    drawn = xinit.initialize(variables, "orthogonal", KEY, model=model, batch=(x, 0))
    layers = [of_layer(drawn["params"]["blocks"]["Dense_0"]["kernel"], axis, i) for i in range(3)]
    for layer in layers:
        np.testing.assert_allclose(layer.T @ layer, np.eye(16), atol=1e-5)
    assert not np.allclose(layers[0], layers[1])


def test_each_group_of_a_convolution_is_orthogonal_and_another():
    model, variables, x = linen_model("grouped")
    kernel = np.asarray(xinit.initialize(variables, "orthogonal", KEY, model=model, batch=x)["params"]["kernel"])
    groups = np.moveaxis(kernel.reshape(18, 4, 4), 1, 0)
    for group in groups:
        np.testing.assert_allclose(group.T @ group, np.eye(4), atol=1e-5)
    assert not np.allclose(groups[0], groups[1])


def test_a_stack_as_deep_as_wide_is_told_apart_in_its_program():
    model, variables, x = linen_model("as deep as wide")
    drawn = xinit.initialize(variables, "orthogonal", KEY, model=model, batch=x)
    for layer in np.asarray(drawn["params"]["blocks"]["Dense_0"]["kernel"]):
        np.testing.assert_allclose(layer.T @ layer, np.eye(16), atol=1e-5)


def test_a_stack_of_nnx_as_deep_as_wide_takes_independent_weights_only_without_a_batch():
    stack = NnxStack(1, heads=3)
    for scheme in ("orthogonal", jax.nn.initializers.he_normal()):
        with pytest.raises(InputError, match="which of its axes of equal size stacks the layers is not certain"):
            xinit.initialize(stack, {"attention/out": scheme}, KEY)


def tree(path, *shape):
    return {"a": {path: np.zeros(shape, np.float32)}}


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (3, 16, 16), (16, 3, 16), (16, 2, 8), (3, 4, 8, 16)])
@pytest.mark.parametrize("scheme", ["he", jax.nn.initializers.he_normal()])
def test_a_tree_without_its_model_is_refused_where_it_could_be_several_things(shape, scheme):
    """A window and its layer, layers stacked on one axis or another, heads: the shape does not tell them apart."""
    with pytest.raises(InputError, match=r"a/kernel has shape .* give the model as well, model= and batch="):
        xinit.initialize(tree("kernel", *shape), scheme, KEY)


def test_attention_in_a_tree_is_refused_too():
    shapes = {name: {"kernel": np.zeros((4, 4, 4))} for name in ATTENTION}  # stacked matrices may have these names
    with pytest.raises(InputError, match="give the model as well"):
        xinit.initialize(shapes, "he", KEY)


def test_layers_that_do_not_say_what_their_axes_are_are_seen_in_their_program():
    """4 heads of 8 units each, of a user's own; of a layer that shares no weights each place has a kernel."""
    for model, shape, expected in ((LinenOwn(), (2, 16), (16, 32)), (linen.ConvLocal(4, (3,)), (2, 6, 8), (24, 4))):
        x = np.zeros(shape, np.float32)
        variables = zeros(jax.eval_shape(model.init, jax.random.key(0), x))
        drawn = xinit.initialize(variables, {"kernel": "he"}, KEY, model=model, batch=x)
        check({"kernel": drawn["params"]["kernel"]}, of_linen(model, variables, x), {"kernel": expected})


def test_a_kernel_that_the_batch_does_not_reach_is_refused():
    model, variables, x = linen_model("heads out")
    unused = {"params": variables["params"] | {"unused": {"kernel": np.zeros((3, 4, 8))}}}
    with pytest.raises(InputError, match=r"unused/kernel .* no product that the batch passes through has it"):
        xinit.initialize(unused, "he", KEY, model=model, batch=x)
    assert xinit.initialize(unused, {"kernel": "he"}, KEY, model=model, batch=x)["params"]["kernel"].any()


@pytest.mark.parametrize(
    ("equation", "shape", "expected"),
    [
        ("ab,bc->ac", (5, 7), (5, 7)),
        ("bthk, hkd -> btd", (2, 3, 5), (6, 5)),
        ("ebd,edf->ebf", (4, 5, 7), (5, 7)),  # a kernel for each e
        ("bd,edf->bf", (4, 5, 7), (20, 7)),  # e is summed too
    ],
)
def test_fans_of_an_equation(equation, shape, expected):
    layer = nnx.Einsum(equation, shape, rngs=nnx.Rngs(0))
    axes = layout.of_nnx(layer)["kernel"].axes
    assert fans(shape, axes) == expected


@pytest.mark.parametrize("equation", ["bd,dd->b", "b...d,...df->b...f"])
def test_equations_that_say_nothing_certain_of_the_kernel(equation):
    layer = nnx.Einsum(equation, (3, 3), rngs=nnx.Rngs(0))
    layer.kernel = nnx.Param(jnp.ones((2, 3, 3)))
    assert isinstance(layout.of_nnx(layer)["kernel"].axes, Unclear)


@pytest.mark.parametrize(
    ("path", "shape", "expected", "is_kernel"),
    [
        ("a/kernel", (5, 7), kernels.dense(), True),
        ("a/kernel", (3, 5, 7), layout.A_TREE, True),
        ("a/embedding", (50, 8), kernels.lookup(), False),
        ("a/embedding", (3, 50, 8), layout.A_TREE, False),
        ("query/bias", (2, 4), None, False),
        ("norm/scale", (8,), None, False),
        ("a/position", (1, 5, 8), layout.A_TREE, False),
        ("w", (5, 7), kernels.dense(), False),
    ],
)
def test_what_a_parameter_of_a_tree_is(path, shape, expected, is_kernel):
    assert layout.of_tree({path: jnp.zeros(shape)})[path] == layout.Stored(expected, is_kernel)


# A function of params and x of shape (2, 16), the shapes of its params, and what they are: axes, and whether a kernel.
ROLES = {
    "a matrix stored (out, in), and its bias": (
        lambda p, x: x @ p["w"].T + p["b"][None],
        {"w": (8, 16), "b": (8,)},
        {"w": (Axes((), (1,), (0,)), True), "b": (None, False)},
    ),
    "a convolution with a stride": (
        lambda p, x: jax.lax.conv(x[:, None], p["w"], (2,), "SAME"),
        {"w": (8, 1, 3)},
        {"w": (Axes((2,), (1,), (0,), stride=2), True)},
    ),
    "layers by number": (
        lambda p, x: jnp.tanh(x @ p["w"][0]) @ p["w"][1],
        {"w": (2, 16, 16)},
        {"w": (Axes((), (1,), (2,), (0,)), True)},
    ),
    "layers in a scan, with biases": (
        lambda p, x: jax.lax.scan(lambda h, l: (h @ l["w"] + l["b"][None], None), x, p)[0],
        {"w": (3, 16, 16), "b": (3, 16)},
        {"w": (Axes((), (1,), (2,), (0,)), True), "b": (None, False)},
    ),
    "experts": (
        lambda p, x: jnp.einsum("ebi,eio->ebo", jnp.stack([x] * 3), p["w"]),
        {"w": (3, 16, 8)},
        {"w": (Axes((), (1,), (2,), (0,)), True)},
    ),
    "a table that is a matrix too, and positions": (
        lambda p, x: (p["t"][x[:, :4].astype(int)] + p["pos"]) @ p["t"].T,
        {"t": (11, 6), "pos": (1, 4, 6)},
        {"t": (Axes((), (1,), (0,)), False), "pos": (None, False)},
    ),
    "attention's biases of two axes": (
        lambda p, x: jnp.einsum("bi,ihd->bhd", x, p["w"]) + p["b"][None],
        {"w": (16, 2, 4), "b": (2, 4)},
        {"w": (Axes((), (0,), (1, 2)), True), "b": (None, False)},
    ),
    "weight normalisation": (
        lambda p, x: x @ (p["v"] / jnp.linalg.norm(p["v"], axis=0, keepdims=True) * p["g"][None]),
        {"v": (16, 8), "g": (8,)},
        {"v": (Axes((), (0,), (1,)), True), "g": (None, False)},
    ),
    "attention pooling with a learned query": (
        lambda p, x: jax.nn.softmax(jnp.einsum("bk,k->b", x @ p["w_k"], (p["probe"] @ p["wq"]["kernel"])[0])),
        {"w_k": (16, 8), "probe": (1, 4), "wq/kernel": (4, 8)},
        {
            "w_k": (Axes((), (0,), (1,)), True),
            "probe": (None, False),
            "wq/kernel": (Axes((), (0,), (1,)), True),
        },
    ),
    "a unit of a kernel of one axis": (
        lambda p, x: x @ p["w"],
        {"w": (16,)},
        {"w": (Axes((), (0,), ()), True)},
    ),
    "low rank added to a matrix": (
        lambda p, x: x @ (p["w"] + p["lora_a"] @ p["lora_b"]),
        {"w": (16, 8), "lora_a": (16, 2), "lora_b": (2, 8)},
        {"w": (Axes((), (0,), (1,)), True), "lora_a": (Unclear, True), "lora_b": (Unclear, True)},
    ),
    "never met": (
        lambda p, x: x @ p["w"],
        {"w": (16, 8), "rest/kernel": (8, 3), "rest/embedding": (8, 3), "rest/kernels": (2, 8, 3)},
        {
            "w": (Axes((), (0,), (1,)), True),
            "rest/kernel": (kernels.dense(), True),
            "rest/embedding": (kernels.lookup(), False),
            "rest/kernels": (Unclear, False),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROLES)
def test_what_a_parameter_of_a_traced_model_is(name):
    function, shapes, expected = ROLES[name]
    params = {}
    for path, shape in shapes.items():
        *parents, last = path.split("/")
        functools.reduce(lambda node, parent: node.setdefault(parent, {}), parents, params)[last] = jnp.ones(shape)
    x = jnp.ones((2, 16))
    found = layout.of_model(model_of(function, x, params, None, {}, None))
    assert set(found) == set(expected)
    for path, (axes, is_kernel) in expected.items():
        assert found[path].axes == axes or type(found[path].axes) is axes, path
        assert found[path].is_kernel is is_kernel, path
