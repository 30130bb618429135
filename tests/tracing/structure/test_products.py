"""The layers of a model: what they are, their fans against hand computation, their names and how they hang together."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx
from jax import lax

from xinit.tracing.structure.kernels import Unclear
from xinit.tracing.structure.layers import structure_of

D, N = 4, 5
X, IMAGES, TOKENS = jnp.ones((N, D)), jnp.ones((N, 8, 8, 4)), jnp.zeros((N, 6), int)
ONES = lambda *shape: jnp.ones(shape)
W = ONES(3, D, D)


def structure(function, params, x):
    return structure_of(lambda params, others, x: function(params, x), params, {}, x)


def convolved(strides=(1, 1), padding="SAME", **options):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lambda p, x: lax.conv_general_dilated(x, p["k"], strides, padding, dimension_numbers=numbers, **options)


# A function of params and x, its params, x, and of every layer (name, kind, fan-in, fan-out, shape of what it gives).
# ruff: noqa: E501
LAYERS = {
    "a matrix": (lambda p, x: x @ p["w"], {"w": ONES(D, 7)}, X, [("w", "dense", D, 7, (N, 7))]),
    "stored (out, in)": (lambda p, x: x @ p["w"].T, {"w": ONES(7, D)}, X, [("w", "dense", D, 7, (N, 7))]),
    "by example": (lambda p, x: jax.vmap(lambda x: p["w"] @ x)(x), {"w": ONES(7, D)}, X, [("w", "dense", D, 7, (7, N))]),
    "a vector": (lambda p, x: x @ p["w"], {"w": ONES(D)}, X, [("w", "dense", D, 1, (N,))]),
    "several outputs": (
        lambda p, x: jnp.einsum("bd,dhk->bhk", x, p["q"]), {"q": ONES(D, 2, 3)}, X, [("q", "dense", D, 6, (N, 2, 3))],
    ),
    "several inputs": (
        lambda p, x: jnp.einsum("bhk,hkd->bd", x, p["o"]), {"o": ONES(2, 3, D)}, ONES(N, 2, 3), [("o", "dense", 6, D, (N, D))],
    ),
    "experts": (
        lambda p, x: jnp.einsum("ebd,edf->ebf", x, p["e"]), {"e": ONES(3, D, 7)}, ONES(3, N, D), [("e", "dense", D, 7, (3, N, 7))],
    ),
    "experts by rows": (
        lambda p, x: lax.ragged_dot(x, p["e"], jnp.array([2, 2, 1])), {"e": ONES(3, D, 7)}, X, [("e", "dense", D, 7, (N, 7))],
    ),
    "convolution": (convolved(), {"k": ONES(3, 3, 4, 8)}, IMAGES, [("k", "convolution", 36, 72, (N, 8, 8, 8))]),
    "strided": (convolved((2, 2)), {"k": ONES(3, 3, 4, 8)}, IMAGES, [("k", "convolution", 36, 18, (N, 4, 4, 8))]),
    "dilated": (convolved(rhs_dilation=(2, 2)), {"k": ONES(3, 3, 4, 8)}, IMAGES, [("k", "convolution", 36, 72, (N, 8, 8, 8))]),
    "grouped": (
        convolved(feature_group_count=2), {"k": ONES(3, 3, 2, 8)}, IMAGES, [("k", "convolution", 18, 36, (N, 8, 8, 8))],
    ),
    "depthwise": (
        convolved(feature_group_count=4), {"k": ONES(3, 3, 1, 8)}, IMAGES, [("k", "convolution", 9, 18, (N, 8, 8, 8))],
    ),
    "transposed": (
        lambda p, x: lax.conv_transpose(x, p["k"], (2, 2), "SAME"), {"k": ONES(4, 4, 4, 8)}, IMAGES,
        [("k", "convolution", 16, 128, (N, 16, 16, 8))],
    ),
    "a table": (lambda p, x: p["t"][x], {"t": ONES(11, D)}, TOKENS, [("t", "lookup", 1, D, (N, 6, D))]),
    "taken from a table": (lambda p, x: jnp.take(p["t"], x, axis=0), {"t": ONES(11, D)}, TOKENS, [("t", "lookup", 1, D, (N, 6, D))]),
    "one-hot": (lambda p, x: jax.nn.one_hot(x, 11) @ p["t"], {"t": ONES(11, D)}, TOKENS, [("t", "dense", 11, D, (N, 6, D))]),
    "a tied table": (
        lambda p, x: p["t"][x] @ p["t"].T, {"t": ONES(11, D)}, TOKENS,
        [("t", "lookup", 1, D, (N, 6, D)), ("t (call 2)", "dense", D, 11, (N, 6, 11))],
    ),
    "scanned": (
        lambda p, x: lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p["w"])[0], {"w": W}, X,
        [(f"w[{i}]", "dense", D, D, (N, D)) for i in range(3)],
    ),
    "scanned on axis 1": (
        lambda p, x: lax.scan(lambda h, w: (h @ w, None), x, jnp.moveaxis(p["w"], 1, 0))[0], {"w": ONES(D, 3, D)}, X,
        [(f"w[{i}]", "dense", D, D, (N, D)) for i in range(3)],
    ),
    "indexed": (lambda p, x: x @ p["w"][0] @ p["w"][2], {"w": W}, X, [("w[0]", "dense", D, D, (N, D)), ("w[2]", "dense", D, D, (N, D))]),
    "in a mapped loop": (
        lambda p, x: lax.map(lambda row: row @ p["w"], x), {"w": ONES(D, 7)}, X, [("w", "dense", D, 7, (7,))],
    ),
    "part of a longer vector": (
        lambda p, x: x @ p["v"][: D * 7].reshape(D, 7), {"v": ONES(40)}, X, [("v", "dense", D, 7, (N, 7))],
    ),
    "in half precision": (
        lambda p, x: x.astype(jnp.bfloat16) @ p["w"].astype(jnp.bfloat16), {"w": ONES(D, 7)}, X, [("w", "dense", D, 7, (N, 7))],
    ),
    "masked": (lambda p, x: x @ jnp.where(jnp.eye(D) > 0, p["w"], 0), {"w": ONES(D, D)}, X, [("w", "dense", D, D, (N, D))]),
    "of unit columns": (
        lambda p, x: x @ (p["g"][None] * p["w"] / jnp.linalg.norm(p["w"], axis=0, keepdims=True)),
        {"g": ONES(7), "w": ONES(D, 7)}, X, [("w", "dense", D, 7, (N, 7))],
    ),
    "low rank beside it": (
        lambda p, x: x @ p["w"] + x @ p["a"] @ p["b"], {"a": ONES(D, 2), "b": ONES(2, 7), "w": ONES(D, 7)}, X,
        [("w", "dense", D, 7, (N, 7)), ("a", "dense", D, 2, (N, 2)), ("b", "dense", 2, 7, (N, 7))],
    ),
    "low rank in it": (
        lambda p, x: x @ (p["w"] + p["a"] @ p["b"]), {"a": ONES(D, 2), "b": ONES(2, 7), "w": ONES(D, 7)}, X,
        [("w", "dense", D, 7, (N, 7))],
    ),
    "gates side by side": (
        lambda p, x: x @ jnp.concatenate([p["lstm"]["hf"]["kernel"], p["lstm"]["hg"]["kernel"]], 1),
        {"lstm": {"hf": {"kernel": ONES(D, 7)}, "hg": {"kernel": ONES(D, 7)}}}, X, [("lstm/{hf,hg}", "dense", D, 14, (N, 14))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_fans_are_those_computed_by_hand(name):
    function, params, x, expected = LAYERS[name]
    found = structure(function, params, x)
    assert [
        (layer.name, layer.product.kind, layer.product.fan_in, layer.product.fan_out, layer.shape)
        for layer in found.layers
    ] == expected


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("stored (out, in)", {"w": ((1,), (0,), (), ())}),
        ("several outputs", {"q": ((0,), (1, 2), (), ())}),
        ("several inputs", {"o": ((0, 1), (2,), (), ())}),
        ("experts", {"e": ((1,), (2,), (), (0,))}),
        ("depthwise", {"k": ((2,), (3,), (0, 1), ())}),
        ("transposed", {"k": ((2,), (3,), (0, 1), ())}),
        ("scanned on axis 1", {"w": ((0,), (2,), (), (1,))}),
        ("a tied table", {"t": ((1,), (0,), (), ())}),
        ("low rank in it", {"w": ((0,), (1,), (), ()), "a": None, "b": None}),
        ("part of a longer vector", {"v": None}),
        ("of unit columns", {"g": ((), (0,), (), ()), "w": ((0,), (1,), (), ())}),
    ],
)
def test_the_axes_of_what_is_stored(name, axes):
    """(inputs, outputs, window, stacked); None where they have no certain meaning."""
    function, params, x, _ = LAYERS[name]
    for path, expected in axes.items():
        found = structure(function, params, x).axes[path]
        if expected is None:
            assert isinstance(found, Unclear)
        else:
            assert (found.inputs, found.outputs, found.window, found.stacked) == expected


def test_the_ways_in_which_parameters_meet_the_signal():
    """Biases of whatever rank are added, scales multiply, a class token is joined; what never meets it is named."""

    def function(p, x):
        h = jnp.einsum("bd,dhk->bhk", x, p["q"]) * p["scale"][None, None] + p["bias"][None]
        tokens = jnp.concatenate([jnp.broadcast_to(p["token"], (N, 1, 3)), h + p["position"]], 1)
        return tokens @ p["head"]

    params = {
        "q": ONES(D, 2, 3), "scale": ONES(3), "bias": ONES(2, 3), "position": ONES(1, 2, 3), "token": ONES(1, 1, 3),
        "head": ONES(3, 2), "unused": ONES(3, 3),
    }  # fmt: skip
    found = structure(function, params, X)
    expected = {
        "q": {"product"}, "scale": {"scaled"}, "bias": {"added"}, "position": {"added"}, "token": {"joined"},
        "head": {"product"}, "unused": set(),
    }  # fmt: skip
    assert found.roles == expected
    assert found.unseen == {"unused": "it never meets the signal"}
    assert [name for name, axes in found.axes.items() if axes is None] == [
        "bias",
        "position",
        "scale",
        "token",
        "unused",
    ]


def test_a_bias_belongs_to_what_a_layer_gives():
    for add in (lambda z, b: z + b[None], lambda z, b: z.astype(jnp.float32).reshape(N, D) + b[None]):
        found = structure(lambda p, x, add=add: jnp.tanh(add(x @ p["w"], p["b"])), {"w": ONES(D, D), "b": ONES(D)}, X)
        (layer,) = found.layers
        assert layer.product.gives != layer.product.site
    without = structure(lambda p, x: jnp.tanh(x @ p["w"] + x), {"w": ONES(D, D)}, X).layers[0]
    assert without.product.gives == without.product.site


def attention(p, x):
    q, k, v = (x @ p[name] for name in "qkv")
    return x + jax.nn.softmax(q @ k.mT) @ v @ p["o"]


@pytest.mark.parametrize(
    ("function", "params", "depths", "skips"),
    [
        (lambda p, x: x @ p["a"] @ p["b"], "ab", [1, 2], False),
        (lambda p, x: x @ p["a"] + x @ p["b"], "ab", [1, 1], False),
        (lambda p, x: (h := x @ p["a"]) + h @ p["b"], "ab", [1, 2], True),
        (lambda p, x: x + jnp.tanh(x @ p["a"]) @ p["b"], "ab", [1, 2], False),
        (attention, "qkvo", [1, 1, 1, 2], False),
        (lambda p, x: attention(p, x) @ p["h"], "qkvoh", [1, 1, 1, 2, 3], False),
    ],
)
def test_the_depth_of_layers_and_whether_any_is_skipped(function, params, depths, skips):
    found = structure(function, dict.fromkeys(params, ONES(D, D)), ONES(N, 3, D))
    assert [layer.depth for layer in found.layers] == depths
    assert found.skips is skips


def test_a_recurrent_layer_is_one_whose_iterations_are_positions():
    def function(p, x):
        step = lambda h, x: (jnp.tanh(x @ p["w"] + h @ p["u"]), None)
        return lax.scan(step, jnp.zeros((N, D)), x.swapaxes(0, 1))[0] @ p["v"]

    found = structure(function, {"u": ONES(D, D), "v": ONES(D, 2), "w": ONES(D, D)}, ONES(N, 6, D))
    assert [(layer.name, layer.depth, layer.product.recurrent) for layer in found.layers] == [
        ("w", 1, False), ("u", 1, True), ("v", 2, False),
    ]  # fmt: skip
    assert found.skips is False


def test_names_are_those_of_modules_where_they_say_which_kernel_is_meant():
    class Cell(linen.Module):
        @linen.compact
        def __call__(self, x):
            a, b = (self.param(name, lambda key: ONES(D, D)) for name in "ab")
            return linen.Dense(D)(jnp.tanh(x @ a) @ b)

    params = Cell().init(jax.random.key(0), X)["params"]
    found = structure(lambda p, x: Cell().apply({"params": p}, x), params, X)
    assert [layer.name for layer in found.layers] == ["a", "b", "Dense_0"]

    graph, state = nnx.split(nnx.Sequential(nnx.Linear(D, D, rngs=nnx.Rngs(0)), nnx.relu))
    found = structure(lambda p, x: nnx.merge(graph, p)(x), nnx.to_pure_dict(state), X)
    assert [layer.name for layer in found.layers] == ["layers/0"]
    assert found.layers[0].paths == ("layers/0/kernel",)


def test_the_examples_are_followed_through_reshapes():
    """Tokens flattened into rows and back, heads split off, a sum over positions."""

    def function(p, x):
        rows = x.reshape(-1, D) @ p["a"]
        heads = (rows.reshape(N, 6, 2, 2).transpose(0, 2, 1, 3).reshape(N, 2, 12) @ p["b"]).sum(1)
        return jnp.moveaxis(heads[:, None], 0, 1) @ p["c"]

    found = structure(function, {"a": ONES(D, D), "b": ONES(12, D), "c": ONES(D, 3)}, ONES(N, 6, D))
    assert [layer.product.gives_examples for layer in found.layers] == [0, 0, 1]
    assert [layer.product.unit_axes for layer in found.layers] == [(1,), (2,), (2,)]
