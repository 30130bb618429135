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
from xinit.tracing import kernels, layout
from xinit.tracing.kernels import by_path, fans
from xinit.tracing.parameters import parameter_table

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


def check(params, axes, expected):
    """The kernels have the fans that are expected, in the table of a probe too, and n_in E W^2 = 2."""
    rows = {row.path: row for row in parameter_table(params, params, axes) if row.path.endswith("kernel")}
    assert {path: (row.fan_in, row.fan_out) for path, row in rows.items()} == expected
    for path, row in rows.items():
        assert fans(row.shape, axes[path]) == expected[path]
        error = np.sqrt(2 / np.prod(row.shape))  # relative, of a mean of squares of normal numbers
        assert row.in_variance == pytest.approx(2, rel=5 * error), path


@pytest.mark.parametrize("name", LINEN)
def test_he_keeps_its_promise_at_the_fans_of_one_layer_of_linen(name):
    model, variables, x = linen_model(name)
    drawn = xinit.initialize(variables, "he", KEY, model=model, batch=x)
    assert jax.tree.map(np.shape, drawn) == jax.tree.map(np.shape, variables)
    check(by_path(drawn["params"]), layout.of_linen(model, variables, x, {}), LINEN[name][2])


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


def test_a_stack_as_deep_as_wide_takes_independent_weights_only():
    model, variables, x = linen_model("as deep as wide")
    for scheme in ("orthogonal", jax.nn.initializers.he_normal()):
        with pytest.raises(InputError, match="which of its axes of equal size stacks the layers is not certain"):
            xinit.initialize(variables, {"blocks/*": scheme}, KEY, model=model, batch=x)


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


@pytest.mark.parametrize(("model", "shape"), [(LinenOwn(), (2, 16)), (linen.ConvLocal(4, (3,)), (2, 6, 8))])
@pytest.mark.parametrize("scheme", ["he", jax.nn.initializers.he_normal()])
def test_layers_that_do_not_say_what_their_axes_are_are_refused(model, shape, scheme):
    x = np.zeros(shape, np.float32)
    variables = zeros(jax.eval_shape(model.init, jax.random.key(0), x))
    with pytest.raises(InputError, match=f"its module, {type(model).__name__}, does not say what its axes are"):
        xinit.initialize(variables, scheme, KEY, model=model, batch=x)


def test_a_kernel_that_the_batch_does_not_reach_is_refused():
    model, variables, x = linen_model("heads out")
    unused = {"params": variables["params"] | {"unused": {"kernel": np.zeros((3, 4, 8))}}}
    with pytest.raises(InputError, match=r"unused/kernel .* no module that the batch passes through holds it"):
        xinit.initialize(unused, "he", KEY, model=model, batch=x)
    assert xinit.initialize(unused, {"kernel": "he"}, KEY, model=model, batch=x)["params"]["kernel"].any()


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        (kernels.dense(), (5, 7), (5, 7)),
        (kernels.dense(1, 2), (5, 2, 3), (5, 6)),
        (kernels.dense(2, 1), (2, 3, 5), (6, 5)),
        (kernels.convolution(2), (3, 3, 4, 8), (36, 72)),
        (kernels.convolution(1, groups=4), (5, 1, 4), (5, 5)),
        (kernels.convolution(2, transposed=True), (3, 3, 4, 8), (72, 36)),
        (kernels.lookup(), (50, 8), (1, 8)),
        (kernels.einsum("ab,bc->ac"), (5, 7), (5, 7)),
        (kernels.einsum("bthk, hkd -> btd"), (2, 3, 5), (6, 5)),
        (kernels.einsum("ebd,edf->ebf"), (4, 5, 7), (5, 7)),  # a kernel for each e
        (kernels.einsum("bd,edf->bf"), (4, 5, 7), (20, 7)),  # e is summed too
        (kernels.dense().placed((1, 2), 3), (9, 5, 7), (5, 7)),  # nine stacked kernels
        (kernels.dense(1, 1, 1).placed((0, 1, 3), 4), (9, 5, 2, 7), (5, 7)),
    ],
)
def test_fans(axes, shape, expected):
    assert fans(shape, axes) == expected
    assert axes.rank == len(shape)


@pytest.mark.parametrize("equation", ["bd,dd->b", "b...d,...df->b...f"])
def test_equations_that_say_nothing_certain_of_the_kernel(equation):
    assert kernels.einsum(equation) is None


@pytest.mark.parametrize(
    ("path", "shape", "expected"),
    [
        ("a/kernel", (5, 7), kernels.dense()),
        ("a/kernel", (3, 5, 7), layout.Unclear),
        ("a/embedding", (50, 8), kernels.lookup()),
        ("a/embedding", (3, 50, 8), layout.Unclear),
        ("query/bias", (2, 4), None),
        ("norm/scale", (8,), None),
        ("a/position", (1, 5, 8), layout.Unclear),
        ("w", (5, 7), kernels.dense()),
    ],
)
def test_what_a_parameter_of_a_tree_is(path, shape, expected):
    axes = layout.of_tree({path: jnp.zeros(shape)})[path]
    assert axes == expected or type(axes) is expected
