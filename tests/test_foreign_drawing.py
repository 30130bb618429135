"""xinit.initialize on other people's parameters: laws at the true fans, keys, patterns."""

import functools
import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from flax.core import freeze

import xinit
from xinit import initializers
from xinit.errors import InputError
from xinit.foreign import kernels
from xinit.foreign.kernels import by_path
from xinit.foreign.patterns import matches

KEY = jax.random.key(7)
HEADS = (4, 16)  # of attention: 4 heads of 16

# Parameters as linen's init returns them, by path.
SHAPES = {
    "embed/embedding": (50, 64),
    "conv/kernel": (3, 3, 16, 32),
    "conv/bias": (32,),
    "block/attention/query/kernel": (64, *HEADS),
    "block/attention/query/bias": HEADS,
    "block/attention/key/kernel": (64, *HEADS),
    "block/attention/value/kernel": (64, *HEADS),
    "block/attention/out/kernel": (*HEADS, 64),
    "block/norm/scale": (64,),
    "block/up/kernel": (64, 256),
    "head/kernel": (64, 10),
}
FANS = {
    "conv/kernel": (144, 288),
    "block/attention/query/kernel": (64, 64),
    "block/attention/out/kernel": (64, 64),
    "block/up/kernel": (64, 256),
    "head/kernel": (64, 10),
}


def tree(shapes=SHAPES, dtype=np.float32):
    made = {}
    for path, shape in shapes.items():
        *parents, name = path.split("/")
        functools.reduce(lambda node, parent: node.setdefault(parent, {}), parents, made)[name] = np.ones(shape, dtype)
    return made


@functools.cache
def drawn(scheme):
    return by_path(xinit.initialize(tree(), scheme, KEY))


@pytest.mark.parametrize("scheme", ["standard", "xavier", "he", "lecun", "fan_out"])
@pytest.mark.parametrize("path", FANS)
def test_the_variance_is_the_laws_at_the_true_fans(scheme, path):
    law = getattr(initializers, scheme)().law(*FANS[path])
    w = np.asarray(drawn(scheme)[path], np.float64)
    assert w.shape == SHAPES[path]
    error = math.sqrt(2 / w.size)  # relative, of a normal's variance; a uniform's is smaller
    assert (w**2).mean() == pytest.approx(law.variance, rel=5 * error)
    assert abs(w.mean()) < 5 * math.sqrt(law.variance / w.size)


def test_biases_scales_and_embeddings_stay():
    before, after = by_path(tree()), drawn("he")
    for path in SHAPES:
        assert np.array_equal(before[path], after[path]) is not path.endswith("kernel"), path


def test_a_kernel_is_a_function_of_the_key_and_its_own_path():
    """fold_in(key, crc32(path)): the same whatever else there is, another for each path and key."""
    path = "block/up/kernel"
    alone = by_path(xinit.initialize(tree({path: SHAPES[path]}), "he", KEY))
    np.testing.assert_array_equal(alone[path], drawn("he")[path])
    own = jax.random.fold_in(KEY, zlib.crc32(path.encode()))
    np.testing.assert_array_equal(alone[path], initializers.he()(own, SHAPES[path], jnp.float32))
    names = [f"block/attention/{name}/kernel" for name in ("query", "key", "value")]
    assert len({float(drawn("he")[name].sum()) for name in names}) == 3
    other = by_path(xinit.initialize(tree({path: SHAPES[path]}), "he", jax.random.key(8)))
    assert not np.array_equal(other[path], alone[path])


def test_orthogonal_kernels_are_so_as_matrices():
    conv = np.asarray(drawn("orthogonal")["conv/kernel"]).reshape(144, 32)
    np.testing.assert_allclose(conv.T @ conv, np.eye(32), atol=1e-5)
    query = np.asarray(drawn("orthogonal")["block/attention/query/kernel"]).reshape(64, 64)
    np.testing.assert_allclose(query.T @ query, np.eye(64), atol=1e-5)


def test_functions_of_others_see_the_window_but_no_heads():
    """As Flax does it: jax's initialisers find a window's places themselves, heads are flattened for them."""
    shapes = []

    def init(key, shape, dtype):
        shapes.append(tuple(shape))
        return jnp.zeros(shape, dtype)

    new = by_path(xinit.initialize(tree(), init, KEY))
    assert {path: value.shape for path, value in new.items()} == SHAPES
    assert sorted(shapes) == sorted([(3, 3, 16, 32), *[(64, 64)] * 4, (64, 256), (64, 10)])


def test_precision_is_kept():
    half = by_path(xinit.initialize(tree({"a/kernel": (64, 64)}, jnp.bfloat16), "orthogonal", KEY))
    assert half["a/kernel"].dtype == jnp.bfloat16


def test_the_first_pattern_that_fits_decides():
    zeros, ones = (jax.nn.initializers.constant(value) for value in (0.0, 2.0))
    scheme = {"**/attention/*": zeros, "head": ones, "**/kernel": "he", "embed/embedding": ones, "**/bias": zeros}
    new = by_path(xinit.initialize({"params": tree(), "batch_stats": {"kernel": 3.0}}, scheme, KEY))
    assert (new["params/block/attention/out/kernel"] == 0).all()
    assert (new["params/head/kernel"] == 2).all()
    assert (new["params/embed/embedding"] == 2).all()
    assert (new["params/conv/bias"] == 0).all()
    assert (new["params/block/norm/scale"] == 1).all()
    assert new["batch_stats/kernel"] == 3.0
    np.testing.assert_array_equal(new["params/block/up/kernel"], drawn("he")["block/up/kernel"])


def test_trees_keep_their_kind():
    frozen = xinit.initialize(freeze({"params": {"a": {"kernel": np.ones((4, 4))}}}), "he", KEY)
    assert type(frozen).__name__ == "FrozenDict"
    boxed = {"a": {"kernel": linen.Partitioned(jnp.ones((4, 4)), names=("in", "out"))}}
    new = xinit.initialize(boxed, "he", KEY)["a"]["kernel"]
    assert new.names == ("in", "out")
    np.testing.assert_array_equal(new.value, xinit.initialize(linen.unbox(boxed), "he", KEY)["a"]["kernel"])


class Stack(nnx.Module):
    """Modules of which the shape of a kernel alone does not say what it is."""

    def __init__(self):
        rngs, kernel = nnx.Rngs(0), {"kernel_init": nnx.initializers.zeros}
        self.heads = nnx.LinearGeneral((2, 8), (4, 4), axis=(-2, -1), rngs=rngs, **kernel)
        self.mix = nnx.Einsum("btd,dhk->bthk", (16, 4, 8), rngs=rngs, **kernel)
        self.depthwise = nnx.Conv(16, 32, (3, 3), feature_group_count=16, rngs=rngs, **kernel)
        self.layers = nnx.vmap(lambda rngs: nnx.Linear(16, 8, rngs=rngs, **kernel))(nnx.Rngs(0).split(3))
        self.norm = nnx.BatchNorm(8, rngs=rngs)


def test_an_nnx_module_is_drawn_anew_and_the_old_one_stays():
    old = Stack()
    new = xinit.initialize(old, "xavier", KEY)
    assert type(new) is Stack
    assert new.norm is not old.norm
    fans = {"heads": (16, 16), "mix": (16, 32), "depthwise": (9, 18), "layers": (16, 8)}
    for name, (n_in, n_out) in fans.items():
        kernel, before = np.asarray(getattr(new, name).kernel[...]), np.asarray(getattr(old, name).kernel[...])
        assert (before == 0).all()
        assert kernel.shape == before.shape
        bound = math.sqrt(6 / (n_in + n_out))
        assert 0.9 * bound < np.abs(kernel).max() <= bound, name
    layers = np.asarray(new.layers.kernel[...])
    assert not np.allclose(layers[0], layers[1])


@pytest.mark.parametrize(
    ("axes", "shape", "fans"),
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
        (kernels.dense(), (9, 5, 7), (5, 7)),  # nine stacked kernels
    ],
)
def test_fans(axes, shape, fans):
    assert kernels.fans(shape, axes) == fans


@pytest.mark.parametrize(
    ("path", "shape", "expected"),
    [
        ("a/kernel", (5, 7), kernels.dense()),
        ("a/kernel", (3, 5, 7), kernels.convolution(1)),
        ("attention/query/kernel", (8, 2, 4), kernels.dense(1, 2)),
        ("attention/out/kernel", (2, 4, 8), kernels.dense(2, 1)),
        ("query/kernel", (8, 2, 4), kernels.convolution(1)),  # no attention around it
        ("a/embedding", (50, 8), kernels.lookup()),
        ("attention/query/bias", (2, 4), None),
        ("a/pos_embedding", (1, 5, 8), None),
        ("w", (5, 7), kernels.dense()),
    ],
)
def test_what_a_parameter_is_by_its_place(path, shape, expected):
    paths = [f"attention/{name}/kernel" for name in ("query", "key", "value", "out")] + ["a/kernel", "query/kernel"]
    assert kernels.axes_of_parameter(path, shape, paths) == expected


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("**/Dense_*", ["Dense_0", "a/Dense_1", "a/b/Dense_2"], ["Dense_0/kernel", "a/Conv_0", "MyDense_0"]),
        ("blocks/*", ["blocks/0"], ["blocks/0/up", "blocks"]),
        ("blocks/**", ["blocks/0", "blocks/0/up"], ["block/0"]),
        ("block_?", ["block_0"], ["block_10"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_patterns(pattern, fitting, others):
    assert all(matches(pattern, path) for path in fitting)
    assert not any(matches(pattern, path) for path in others)


class Unbuilt(linen.Module):
    pass


@pytest.mark.parametrize(
    ("model", "scheme", "key", "message"),
    [
        (tree(), "xaver", KEY, "Unknown scheme 'xaver'; did you mean xavier"),
        (tree(), 3, KEY, r"scheme is 3; it must be a name, a function \(key, shape, dtype\)"),
        (tree(), {"**/Conv_*": "he"}, KEY, r"No parameter .* fits '\*\*/Conv_\*'; there are: .*conv/kernel"),
        (tree(), {"**": jnp.zeros, "**/kernel": "he"}, KEY, r"No parameter that no earlier pattern has fits"),
        (tree(), {"conv/bias": "he"}, KEY, r"conv/bias has shape \(32,\)"),
        ({"w": np.ones((3, 3))}, "he", KEY, r"No parameter .* fits '\*\*/kernel'; there are: w"),
        (tree(), "he", 0, "rng is 0; it must be a key"),
        (Unbuilt(), "he", KEY, "holds no parameters; give what its init returns"),
    ],
)
def test_mistakes_are_one_sentence(model, scheme, key, message):
    with pytest.raises(InputError, match=message):
        xinit.initialize(model, scheme, key)
