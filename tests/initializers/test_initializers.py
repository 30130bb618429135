"""Every initialiser in every layer of Flax: what it draws beside the formula of its paper, and beside jax's own."""

import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from flax import linen, nnx
from jax.nn import initializers as jaxs
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from xinit import initializers
from xinit.core.errors import InputError
from xinit.initializers import Kernel

pytestmark = pytest.mark.usefixtures("compile_quickly")
KEY = jax.random.key(3)
ZEROS = jaxs.zeros  # of the recurrent kernels of cells, which flax would draw as orthogonal matrices


def power_of_2(n):
    return 2 ** math.ceil(math.log2(n))


# E W^2 at fan-in i and fan-out o, with u units: the window of a convolution has o / u places.
SECOND_MOMENTS = {
    "standard": lambda i, o, u: 1 / (3 * i),
    "xavier": lambda i, o, u: 2 / (i + o),
    "fan_in": lambda i, o, u: 1 / i,
    "fan_out": lambda i, o, u: 1 / o,
    "he": lambda i, o, u: 2 / i,
    "lecun": lambda i, o, u: 1 / i,
    "selu": lambda i, o, u: 1 / i,
    "geometric": lambda i, o, u: 1 / math.sqrt(i * o),
    "mean_of_variances": lambda i, o, u: (1 / i + 1 / o) / 2,
    "variance_scaling": lambda i, o, u: 1 / i,
    "sparse": lambda i, o, u: 15 / i,
    "orthogonal": lambda i, o, u: 1 / max(i, u),
    "identity": lambda i, o, u: 1 / max(i, o),
    "zero_hadamard": lambda i, o, u: 1 / i if i >= o else u / o / power_of_2(u),
    "constant": lambda i, o, u: 0.25,
}
RANDOM = [name for name in SECOND_MOMENTS if name not in ("orthogonal", "identity", "zero_hadamard", "constant")]


def make(name, **axes):
    return initializers.constant(0.5) if name == "constant" else getattr(initializers, name)(**axes)


def of_linen(layer, *shape, at="kernel", dtype=jnp.float32):
    """A parameter of a linen layer."""
    x = [jnp.zeros(shape, dtype)]
    if isinstance(layer, linen.RNNCellBase):
        x = [layer.initialize_carry(KEY, shape), *x]
    leaves = jax.tree_util.tree_leaves_with_path(layer.init(KEY, *x)["params"])
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    return next(leaf for path, leaf in leaves if name(path).endswith(at))


def of_nnx(layer, *arguments, at="kernel", init="kernel_init", **options):
    """A parameter of an nnx layer, as a function of its initialiser."""
    return lambda drawn: operator.attrgetter(at)(layer(*arguments, **{init: drawn}, **options, rngs=nnx.Rngs(0)))[...]


DENSE = {}, (48, 96, 96)  # few shapes serve all layers, since jax compiles the draws of each
TRANSPOSED = {"in_axis": -1, "out_axis": -2}, (432, 72, 8)
GROUPED = {"groups": 4}, (72, 108, 12)
EINSUM = {"in_axis": (0, 1), "out_axis": (2, 3)}, (48, 96, 96)
CONV_1, CONV_2, CONV_3 = ({}, (48, 192, 64)), ({}, (72, 432, 48)), ({}, (162, 648, 24))
# What draws the parameter of a layer with an initialiser; the axes it needs; fan-in, fan-out, and units of a group.
LAYERS = {
    "linen.Dense": (lambda init: of_linen(linen.Dense(96, kernel_init=init), 2, 48), *DENSE),
    "linen.DenseGeneral": (
        lambda init: of_linen(linen.DenseGeneral((4, 24), axis=(-2, -1), kernel_init=init), 2, 6, 8),
        *DENSE,
    ),
    "linen.Einsum": (
        lambda init: of_linen(linen.Einsum((6, 8, 4, 24), "bij,ijho->bho", kernel_init=init), 2, 6, 8),
        *EINSUM,
    ),
    "linen.Conv 1": (lambda init: of_linen(linen.Conv(64, (3,), kernel_init=init), 1, 9, 16), *CONV_1),
    "linen.Conv 2": (lambda init: of_linen(linen.Conv(48, (3, 3), kernel_init=init), 1, 9, 9, 8), *CONV_2),
    "linen.Conv 3": (lambda init: of_linen(linen.Conv(24, (3, 3, 3), kernel_init=init), 1, 9, 9, 9, 6), *CONV_3),
    "linen.Conv grouped": (
        lambda init: of_linen(linen.Conv(48, (3, 3), feature_group_count=4, kernel_init=init), 1, 9, 9, 32),
        *GROUPED,
    ),
    "linen.ConvTranspose": (
        lambda init: of_linen(linen.ConvTranspose(48, (3, 3), kernel_init=init), 1, 9, 9, 8),
        *CONV_2,
    ),
    "linen.ConvTranspose transposed": (
        lambda init: of_linen(linen.ConvTranspose(8, (3, 3), transpose_kernel=True, kernel_init=init), 1, 9, 9, 48),
        *TRANSPOSED,
    ),
    "linen.ConvLocal": (
        lambda init: of_linen(linen.ConvLocal(12, (3, 3), padding="VALID", kernel_init=init), 1, 5, 5, 4),
        {"batch_axis": (0, 1)},
        (36, 12, 12),
    ),
    "linen.Embed": (
        lambda init: of_linen(linen.Embed(48, 96, embedding_init=init), 2, at="embedding", dtype=jnp.int32),
        *DENSE,
    ),
    "linen.MultiHeadDotProductAttention": (
        lambda init: of_linen(
            linen.MultiHeadDotProductAttention(4, qkv_features=96, kernel_init=init), 2, 5, 48, at="query.kernel"
        ),
        *DENSE,
    ),
    **{
        f"linen.{cell.__name__}": (
            lambda init, cell=cell, at=at: of_linen(
                cell(96, kernel_init=init, recurrent_kernel_init=ZEROS), 2, 48, at=f"{at}.kernel"
            ),
            *DENSE,
        )
        for cell, at in [
            (linen.SimpleCell, "i"),
            (linen.LSTMCell, "ii"),
            (linen.OptimizedLSTMCell, "ii"),
            (linen.GRUCell, "in"),
            (linen.MGUCell, "in"),
        ]
    },
    "nnx.Linear": (of_nnx(nnx.Linear, 48, 96), *DENSE),
    "nnx.LinearGeneral": (of_nnx(nnx.LinearGeneral, (6, 8), (4, 24), axis=(-2, -1)), *DENSE),
    "nnx.Einsum": (of_nnx(nnx.Einsum, "bij,ijho->bho", (6, 8, 4, 24)), *EINSUM),
    "nnx.Conv 1": (of_nnx(nnx.Conv, 16, 64, 3), *CONV_1),
    "nnx.Conv 2": (of_nnx(nnx.Conv, 8, 48, (3, 3)), *CONV_2),
    "nnx.Conv 3": (of_nnx(nnx.Conv, 6, 24, (3, 3, 3)), *CONV_3),
    "nnx.Conv grouped": (of_nnx(nnx.Conv, 32, 48, (3, 3), feature_group_count=4), *GROUPED),
    "nnx.ConvTranspose": (of_nnx(nnx.ConvTranspose, 8, 48, (3, 3)), *CONV_2),
    "nnx.ConvTranspose transposed": (of_nnx(nnx.ConvTranspose, 48, 8, (3, 3), transpose_kernel=True), *TRANSPOSED),
    "nnx.Embed": (of_nnx(nnx.Embed, 48, 96, at="embedding", init="embedding_init"), *DENSE),
    "nnx.MultiHeadAttention": (of_nnx(nnx.MultiHeadAttention, 4, 48, 96, at="query.kernel"), *DENSE),
    "nnx.LoRA": (of_nnx(nnx.LoRA, 48, 96, 8, at="lora_a", init="a_initializer"), *DENSE),
    "nnx.SimpleCell": (of_nnx(nnx.SimpleCell, 48, 96, at="dense_i.kernel", recurrent_kernel_init=ZEROS), *DENSE),
    "nnx.LSTMCell": (of_nnx(nnx.LSTMCell, 48, 96, at="ii.kernel", recurrent_kernel_init=ZEROS), *DENSE),
    "nnx.OptimizedLSTMCell": (
        of_nnx(nnx.OptimizedLSTMCell, 48, 24, at="dense_i.kernel", recurrent_kernel_init=ZEROS),
        *DENSE,
    ),
    "nnx.GRUCell": (of_nnx(nnx.GRUCell, 48, 32, at="dense_i.kernel", recurrent_kernel_init=ZEROS), *DENSE),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_initialiser_keeps_its_law_in_every_layer(layer):
    draw, axes, (n_in, n_out, units) = LAYERS[layer]
    for name, second_moment in SECOND_MOMENTS.items():
        w = np.asarray(draw(make(name, **axes)), np.float64)
        measured, right = np.mean(w**2), second_moment(n_in, n_out, units)
        error = math.sqrt((np.mean(w**4) / measured**2 - 1) / w.size) if name in RANDOM else 1e-6
        assert abs(measured / right - 1) < 5 * error, f"{name}: n_in E W^2 is {n_in * measured}, not {n_in * right}"
        if name in RANDOM:
            assert abs(w.mean()) < 5 * math.sqrt(right / w.size), name


# Ours, and jax's under another name.
PAIRS = [
    (initializers.xavier, jaxs.glorot_uniform),
    (initializers.fan_out, lambda **axes: jaxs.variance_scaling(1.0, "fan_out", "uniform", **axes)),
    (lambda **axes: initializers.he("in", 0.0, "truncated_normal", **axes), jaxs.he_normal),
    (initializers.lecun, lambda **axes: jaxs.variance_scaling(1.0, "fan_in", "normal", **axes)),
    (initializers.geometric, lambda **axes: jaxs.variance_scaling(1.0, "fan_geo_avg", "uniform", **axes)),
]


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if "grouped" not in layer])
def test_weights_are_those_of_jax_where_the_formula_is_the_same(layer):
    draw, axes, _ = LAYERS[layer]
    for ours, theirs in PAIRS:
        np.testing.assert_allclose(draw(ours(**axes)), draw(theirs(**axes)), rtol=1e-5, atol=1e-7)


# Fan-in and fan-out of shapes that no layer above has.
@pytest.mark.parametrize(
    ("shape", "axes", "fans"),
    [
        ((6, 8), {}, (6, 8)),
        ((3, 5, 6, 8), {}, (90, 120)),
        ((3, 5, 6, 8), {"batch_axis": 0}, (30, 40)),
        ((3, 5, 6, 8), {"batch_axis": (0, 1)}, (6, 8)),
        ((3, 5, 6, 8), {"in_axis": (0, 1), "out_axis": (2, 3)}, (15, 48)),
        ((3, 5, 6, 8), {"in_axis": (-4, 2), "out_axis": [3]}, (90, 40)),
        ((8, 5, 6), {"in_axis": 1, "out_axis": 0}, (30, 48)),  # as torch and Haiku's Conv1D have it: outputs first
        ((11, 7), {"out_axis": 0}, (7, 7)),  # the default of Flax's embeddings
        ((7,), {"in_axis": 0, "out_axis": ()}, (7, 1)),
        ((7,), {"in_axis": -1, "out_axis": -1}, (1, 1)),
    ],
    ids=str,
)
def test_fans_are_those_of_jax(shape, axes, fans):
    kernel = Kernel(shape, **axes)
    assert (kernel.fan_in, kernel.fan_out) == fans
    for ours, theirs in PAIRS[:2]:
        np.testing.assert_allclose(ours(**axes)(KEY, shape), theirs(**axes)(KEY, shape), rtol=1e-5, atol=1e-7)


# A shape, its axes, and how its matrices (fan-in, units) are read off it.
STACKS = [
    ((3, 3, 8, 48), {}, lambda w: w.reshape(1, 72, 48)),
    ((3, 3, 8, 48), TRANSPOSED[0], lambda w: np.moveaxis(w, 2, 3).reshape(1, 432, 8)),
    ((6, 8, 4, 24), EINSUM[0], lambda w: w.reshape(1, 48, 96)),
    ((3, 3, 8, 48), {"groups": 4}, lambda w: np.moveaxis(w.reshape(72, 4, 12), 1, 0)),
    ((3, 6, 96), {"groups": 4}, lambda w: np.moveaxis(w.reshape(18, 4, 24), 1, 0)),
    ((3, 3, 36, 12), {"batch_axis": (0, 1)}, lambda w: w.reshape(9, 36, 12)),
    ((36, 5, 12), {"batch_axis": 1, "in_axis": 0}, lambda w: np.moveaxis(w, 1, 0)),
    ((5, 3, 6, 24), {"batch_axis": 0, "groups": 2}, lambda w: np.moveaxis(w.reshape(5, 18, 2, 12), 2, 1)),
]


@pytest.mark.parametrize(("shape", "axes", "matrices"), STACKS, ids=lambda part: None if callable(part) else str(part))
def test_each_layer_and_each_group_has_its_own_orthogonal_matrix_and_sparse_units(shape, axes, matrices):
    drawn = matrices(np.asarray(initializers.orthogonal(**axes)(KEY, shape)))
    drawn = drawn.reshape(-1, *drawn.shape[-2:])
    gram = drawn.mT @ drawn if drawn.shape[1] >= drawn.shape[2] else drawn @ drawn.mT
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(gram.shape[1]), gram.shape), atol=1e-5)
    assert len(np.unique(drawn.round(5), axis=0)) == len(drawn)
    drawn = matrices(np.asarray(initializers.sparse(**axes)(KEY, shape)))
    assert set(np.count_nonzero(drawn, axis=-2).ravel()) == {15}
    assert drawn[drawn != 0].var() == pytest.approx(1, rel=5 * math.sqrt(2 / np.count_nonzero(drawn)))


def test_orthogonal_takes_no_more_than_the_programs_of_several_layers():
    """A batched QR would deadlock here: two of them in one program, of matrices that LAPACK splits over threads."""
    draw = jax.jit(lambda key: [initializers.orthogonal(batch_axis=0)(key, (2, 256, 256)) for _ in range(2)])
    first, second = draw(KEY)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("window", [(3,), (4,), (3, 3), (2, 5), (3, 3, 3)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_that_starts_as_the_identity_passes_on_what_it_gets(window, groups):
    x = jax.random.normal(KEY, (1, *(6,) * len(window), 8))
    layer = nnx.Conv(8, 8, window, feature_group_count=groups, rngs=nnx.Rngs(0),
                     kernel_init=initializers.identity(groups=groups))  # fmt: skip
    np.testing.assert_allclose(layer(x), x, atol=1e-6)


def test_zero_hadamard_of_a_convolution_stands_in_the_middle_of_its_window():
    w = np.asarray(initializers.zero_hadamard()(KEY, (3, 5, 12, 50)))
    np.testing.assert_allclose(w[1, 2], scipy.linalg.hadamard(64)[:12, :50] / 8, rtol=1e-6)
    assert np.count_nonzero(w) == 12 * 50
    heads = initializers.zero_hadamard(in_axis=0, out_axis=(1, 2))(KEY, (12, 5, 10))
    np.testing.assert_allclose(np.reshape(heads, (12, 50)), w[1, 2], rtol=1e-6)


# Modulus of complex numbers at most, in units of sqrt(E |w|^2): a disc; no limit; cut at 2.
MODULI = {"uniform": math.sqrt(2), "normal": math.inf, "truncated_normal": 2 / math.sqrt(1 - 4 / (math.e**4 - 1))}


@pytest.mark.parametrize("distribution", MODULI)
def test_real_and_imaginary_part_share_the_variance(distribution):
    w = np.asarray(initializers.he(distribution=distribution)(KEY, (3, 3, 40, 60), jnp.complex64)).astype(complex)
    size, half = w.size, 1 / 360  # 2 / fan-in is both halves
    assert size == 21600
    for part in (w.real, w.imag):
        assert abs(part.mean()) < 5 * math.sqrt(half / size)
        assert part.var() == pytest.approx(half, rel=5 * math.sqrt(2 / size))
    assert abs(np.mean(w.real * w.imag)) < 5 * half / math.sqrt(size)
    assert 0.99 * min(MODULI[distribution], 2.5) < np.abs(w).max() / math.sqrt(2 * half) <= MODULI[distribution] + 1e-5


@pytest.mark.parametrize("name", SECOND_MOMENTS)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_double_precision(name, dtype):
    draw, shape = make(name), (3, 16, 64)
    with jax.enable_x64(True):
        w = np.asarray(draw(KEY, shape, dtype))
    assert w.dtype == dtype
    right = SECOND_MOMENTS[name](48, 192, 64)
    assert np.mean(np.abs(w.astype(complex)) ** 2) == pytest.approx(right, rel=0.15 if name in RANDOM else 1e-12)
    if name in RANDOM:
        assert np.any(w != w.astype(np.complex64 if dtype == "complex128" else np.float32))


def test_a_precision_that_is_not_asked_for_is_jaxs_own():
    assert initializers.he()(KEY, (3, 4)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert initializers.he()(KEY, (3, 4)).dtype == jnp.float64


@pytest.mark.parametrize("name", ["xavier", "he", "sparse", "orthogonal", "identity", "zero_hadamard", "constant"])
def test_out_sharding_lays_the_same_weights_over_devices(name):
    draw, shape, spec = make(name), (3, 16, 32), P(None, None, "model")
    alone = draw(KEY, shape)
    mesh = jax.make_mesh((2,), ("model",), (AxisType.Explicit,), devices=jax.devices()[:2])
    with jax.set_mesh(mesh):
        explicit = draw(KEY, shape, jnp.float32, spec)
        assert explicit.sharding.spec == spec
        assert draw(KEY, shape).shape == shape
    automatic = jax.make_mesh((2,), ("model",), (AxisType.Auto,), devices=jax.devices()[:2])
    named = draw(KEY, shape, out_sharding=NamedSharding(automatic, spec))
    assert named.sharding.spec == spec
    for drawn in (explicit, named):
        np.testing.assert_allclose(drawn, alone, rtol=1e-5, atol=1e-6)


def test_what_has_no_fans_starts_constant():
    ones = initializers.constant(1.0)
    layer = nnx.BatchNorm(5, scale_init=ones, bias_init=initializers.constant(), rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(layer.scale[...], np.ones(5))
    np.testing.assert_array_equal(layer.bias[...], np.zeros(5))
    assert ones(KEY, ()) == 1


@pytest.mark.parametrize("name", SECOND_MOMENTS)
def test_a_shape_without_weights_is_empty(name):
    assert make(name)(KEY, (0, 5), jnp.bfloat16).shape == (0, 5)
    assert make(name)(KEY, (3, 3, 0, 8)).dtype == jnp.float32


@pytest.mark.parametrize("name", [name for name in SECOND_MOMENTS if name != "constant"])
@pytest.mark.parametrize(
    ("axes", "shape", "words"),
    [
        ({}, (), r"_axis is -[12] and the shape is \(\); it must name axes that the shape has, each once"),
        ({}, (5,), r"in_axis is -2 and the shape is \(5,\); .* \(a bias has no inputs: start it with .* constant\)"),
        ({"out_axis": 3}, (4, 5), r"out_axis is 3 and the shape is \(4, 5\); it must name axes"),
        ({"in_axis": (0, -3)}, (2, 4, 5), r"in_axis is \(0, -3\) and the shape is \(2, 4, 5\); it must name axes"),
        ({"batch_axis": (0, 1)}, (2, 4, 5), r"batch_axis is \(0, 1\), of which a part is in in_axis -2 or out_axis -1"),
        ({"groups": 3}, (2, 4, 5), r"groups is 3; it must divide the 5 outputs of the shape \(2, 4, 5\)"),
    ],
)  # fmt: skip
def test_a_shape_that_makes_no_sense_is_refused(name, axes, shape, words):
    with pytest.raises(InputError, match=words):
        make(name, **axes)(KEY, shape)


@pytest.mark.parametrize("name", [name for name in SECOND_MOMENTS if name != "constant"])
@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"in_axis": 1.0}, "in_axis is 1.0; it must be a whole number or several"),
        ({"out_axis": "last"}, "out_axis is 'last'; it must be a whole number or several"),
        ({"batch_axis": None}, "batch_axis is None; it must be a whole number or several"),
        ({"groups": 0}, "groups is 0; it must be a whole number above 0"),
    ],
)
def test_axes_that_are_none_are_refused_by_the_factory(name, axes, words):
    with pytest.raises(InputError, match=words):
        make(name, **axes)


@pytest.mark.parametrize("name", SECOND_MOMENTS)
def test_whole_numbers_are_no_weights(name):
    with pytest.raises(InputError, match="dtype is int32; weights are real or complex numbers"):
        make(name)(KEY, (4, 5), jnp.int32)


@pytest.mark.parametrize("name", ["orthogonal", "sparse", "identity", "zero_hadamard"])
def test_a_matrix_needs_inputs_and_outputs_apart(name):
    with pytest.raises(InputError, match=r"in_axis -2 and out_axis 0 share an axis of the shape \(4, 5\)"):
        make(name, out_axis=0)(KEY, (4, 5))
