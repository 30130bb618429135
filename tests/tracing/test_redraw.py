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
from tests.tracing.models import NnxMLP, NnxStack
from xinit import initializers
from xinit.core.errors import InputError
from xinit.tracing.patterns import matches
from xinit.tracing.structure.kernels import by_path

pytestmark = pytest.mark.usefixtures("compile_quickly")
KEY = jax.random.key(7)

# Parameters as linen's init returns them, by path.
SHAPES = {
    "embed/embedding": (50, 64),
    "block/norm/scale": (64,),
    "block/up/kernel": (64, 256),
    "block/up/bias": (256,),
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


class Images(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.DenseGeneral((3, 4, 8), name="heads")(linen.Conv(16, (3, 3), name="conv")(x))


def drawn_images(scheme):
    """Kernels whose shapes are not their fans."""
    variables = tree(
        {"conv/kernel": (3, 3, 8, 16), "conv/bias": (16,), "heads/kernel": (16, 3, 4, 8), "heads/bias": (3, 4, 8)}
    )
    model, x = Images(), np.zeros((2, 5, 5, 8), np.float32)
    return by_path(xinit.initialize({"params": variables}, scheme, KEY, model=model, batch=x)["params"])


@pytest.mark.parametrize("scheme", ["standard", "xavier", "he", "lecun", "fan_out"])
def test_the_variance_is_the_laws_at_the_true_fans(scheme):
    """Of a convolution and of attention's kernels, whose shapes are not their fans."""
    law = getattr(initializers, scheme)().law
    w, fans = drawn_images(scheme), {"conv/kernel": (72, 144), "heads/kernel": (16, 96)}
    for path, (n_in, n_out) in fans.items():
        kernel = np.asarray(w[path], np.float64)
        variance, error = law(n_in, n_out).variance, math.sqrt(2 / kernel.size)  # relative, of a normal's variance
        assert (kernel**2).mean() == pytest.approx(variance, rel=5 * error)
        assert abs(kernel.mean()) < 5 * math.sqrt(variance / kernel.size)


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
    other = by_path(xinit.initialize(tree({path: SHAPES[path]}), "he", jax.random.key(8)))
    assert not np.array_equal(other[path], alone[path])


def test_orthogonal_kernels_are_so_as_matrices():
    w = drawn_images("orthogonal")
    conv, heads = np.asarray(w["conv/kernel"]).reshape(72, 16), np.asarray(w["heads/kernel"]).reshape(16, 96)
    np.testing.assert_allclose(conv.T @ conv, np.eye(16), atol=1e-5)
    np.testing.assert_allclose(heads @ heads.T, np.eye(16), atol=1e-5)


def test_functions_of_others_see_the_window_but_no_heads():
    """As Flax does it: jax's initialisers find a window's places themselves, heads are flattened for them."""
    shapes = []

    def init(key, shape, dtype):
        shapes.append(tuple(shape))
        return jnp.zeros(shape, dtype)

    w = drawn_images(init)
    assert w["heads/kernel"].shape == (16, 3, 4, 8)
    assert sorted(shapes) == [(3, 3, 8, 16), (16, 96)]


def test_precision_is_kept():
    half = by_path(xinit.initialize(tree({"a/kernel": (64, 64)}, jnp.bfloat16), "orthogonal", KEY))
    assert half["a/kernel"].dtype == jnp.bfloat16


def test_the_first_pattern_that_fits_decides():
    zeros, ones = (jax.nn.initializers.constant(value) for value in (0.0, 2.0))
    scheme = {"*/norm/*": zeros, "head": ones, "**/kernel": "he", "embed/embedding": ones, "**/bias": zeros}
    new = by_path(xinit.initialize({"params": tree(), "batch_stats": {"kernel": 3.0}}, scheme, KEY))
    assert (new["params/block/norm/scale"] == 0).all()
    assert (new["params/head/kernel"] == 2).all()
    assert (new["params/embed/embedding"] == 2).all()
    assert (new["params/block/up/bias"] == 0).all()
    assert new["batch_stats/kernel"] == 3.0
    np.testing.assert_array_equal(new["params/block/up/kernel"], drawn("he")["block/up/kernel"])


def test_trees_keep_their_kind():
    frozen = xinit.initialize(freeze({"params": {"a": {"kernel": np.ones((4, 4))}}}), "he", KEY)
    assert type(frozen).__name__ == "FrozenDict"
    boxed = {"a": {"kernel": linen.Partitioned(jnp.ones((4, 4)), names=("in", "out"))}}
    new = xinit.initialize(boxed, "he", KEY)["a"]["kernel"]
    assert new.names == ("in", "out")
    np.testing.assert_array_equal(new.value, xinit.initialize(linen.unbox(boxed), "he", KEY)["a"]["kernel"])


def test_an_nnx_module_is_drawn_anew_and_the_old_one_stays():
    old = NnxStack()
    new = xinit.initialize(old, "xavier", KEY)
    assert type(new) is NnxStack
    assert new.layers is not old.layers
    assert (old.layers.kernel[...] == 0).all()
    layers = np.asarray(new.layers.kernel[...])
    bound = math.sqrt(6 / (16 + 8))
    assert 0.9 * bound < np.abs(layers).max() <= bound
    assert not np.allclose(layers[0], layers[1])


def test_a_state_of_nnx_is_a_tree_of_its_arrays():
    model = NnxMLP(nnx.Rngs(0))
    state = xinit.initialize(nnx.state(model, nnx.Param), "he", KEY)
    of_model = nnx.state(xinit.initialize(model, "he", KEY), nnx.Param)
    assert type(state) is type(of_model)
    jax.tree.map(np.testing.assert_array_equal, state, of_model)


RAW = jax.random.PRNGKey(7)


def test_one_key_of_any_kind_will_do():
    """A raw key draws what the typed one does, an nnx.Rngs its next params key; another generator draws others."""
    of = lambda key: np.asarray(xinit.initialize({"kernel": np.ones((4, 4))}, "he", key)["kernel"])
    np.testing.assert_array_equal(of(RAW), of(KEY))
    rngs, same = nnx.Rngs(params=7), nnx.Rngs(7)
    first = of(rngs)
    np.testing.assert_array_equal(first, of(nnx.Rngs(params=7).params()))
    np.testing.assert_array_equal(first, of(same))
    weights = [of(KEY), first, of(rngs), of(jax.random.key(7, impl="rbg"))]
    assert len({float(w.sum()) for w in weights}) == 4


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (0, "rng is 0"),
        (None, "rng is None"),
        (jax.random.split(KEY, 3), r"rng is an array key<fry>\[3\]"),
        (jax.random.split(RAW, 3), r"rng is an array uint32\[3, 2\]"),
        (jnp.zeros(3, jnp.uint32), r"rng is an array uint32\[3\]"),
        (jnp.zeros(2), r"rng is an array float32\[2\]"),
    ],
)
def test_what_is_no_key_or_several_is_refused(key, words):
    with pytest.raises(InputError, match=words + "; it must be one key"):
        xinit.initialize(tree(), "he", key)


def test_streams_without_params_are_refused():
    with pytest.raises(InputError, match=r"an nnx\.Rngs of dropout; it must have params or default"):
        xinit.initialize(tree(), "he", nnx.Rngs(dropout=0))


SPEC = jax.sharding.PartitionSpec(None, "model")


def sharded_models():
    """Makers of a kernel (8, 16) that is sharded in its second axis under a mesh, and how to reach it."""
    zeros = jax.nn.initializers.zeros
    boxed = lambda: {"a": {"kernel": linen.Partitioned(jax.device_put(np.ones((8, 16)), SPEC), names=tuple(SPEC))}}
    of_nnx = lambda: nnx.Linear(8, 16, kernel_init=nnx.with_partitioning(zeros, tuple(SPEC)), rngs=nnx.Rngs(0))
    return {
        "an array": (lambda: {"a": {"kernel": jax.device_put(np.ones((8, 16)), SPEC)}}, lambda t: t["a"]["kernel"]),
        "linen's box": (boxed, lambda t: t["a"]["kernel"].value),
        "nnx": (of_nnx, lambda m: m.kernel[...]),
    }


@pytest.mark.parametrize("name", sharded_models())
@pytest.mark.parametrize("kind", [jax.sharding.AxisType.Explicit, jax.sharding.AxisType.Auto])
def test_what_is_drawn_anew_keeps_its_sharding(name, kind):
    make, kernel = sharded_models()[name]
    with jax.set_mesh(jax.make_mesh((2,), ("model",), axis_types=(kind,))):
        before = make()
        after = xinit.initialize(before, "he", KEY)
    assert kernel(after).sharding == kernel(before).sharding
    assert kernel(after).sharding.spec == SPEC
    assert 1 < 8 * np.mean(np.asarray(kernel(after)) ** 2) < 3
    assert jax.tree.structure(before) == jax.tree.structure(after)  # boxes and metadata are the same


def test_in_a_program_of_jit_the_same_is_drawn():
    """With a model too, of whose batch only the shape matters, as of one that is nan or an argument of the program."""
    model, x = linen.Dense(8), np.full((2, 4), np.nan, np.float32)
    init = lambda key, x: model.init(key, jnp.ones((2, 4)))
    variables = init(KEY, x)
    expected = xinit.initialize(variables, "he", KEY, model=model, batch=x)
    new = jax.jit(lambda key, x: xinit.initialize(init(key, x), "he", KEY, model=model, batch=x))(KEY, x)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), new, expected)


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
        (tree(), {"**/Conv_*": "he"}, KEY, r"No parameter .* fits '\*\*/Conv_\*'; there are: .*head/kernel"),
        (tree(), {"**": jnp.zeros, "**/kernel": "he"}, KEY, r"No parameter that no earlier pattern has fits"),
        (tree(), {"block/up/bias": "he"}, KEY, r"block/up/bias has shape \(256,\) and is no kernel"),
        ({"position": np.ones((1, 5, 8))}, {"position": "he"}, KEY, "a tree does not say which of its axes"),
        ({"w": np.ones((3, 3))}, "he", KEY, "no parameter is known to be one: there are w; name those to draw"),
        ({"step": 3, "name": "he"}, "he", KEY, "dict holds no arrays of real numbers"),
        (Unbuilt(), "he", KEY, "holds no parameters; give what its init returns"),
    ],
)
def test_mistakes_are_one_sentence(model, scheme, key, message):
    with pytest.raises(InputError, match=message):
        xinit.initialize(model, scheme, key)


@pytest.mark.parametrize(
    ("variables", "kwargs", "message"),
    [
        (tree(), {"model": Images()}, "model came without batch=, what the model is called with"),
        (tree(), {"batch": np.ones(3)}, r"batch came without model=, the module or the function f\(params, x\)"),
        (tree(), {"train": True}, "train came without model="),
        (NnxMLP(nnx.Rngs(0)), {"model": Images(), "batch": np.ones(3)}, "an nnx module, which is a model itself"),
        (NnxMLP(nnx.Rngs(0)), {"train": True}, "train came without batch="),
        (tree(), {"model": np.ones, "batch": np.ones(3)}, "The model cannot be called"),
        (tree(), {"model": Images(), "batch": np.ones(3)}, r"The model cannot be called with x of \(3,\)"),
        (tree(), {"model": Images(), "batch": np.ones((2, 5, 5, 8)), "train": True}, "The model cannot be called"),
    ],
)
def test_a_model_goes_with_its_variables_and_batch(variables, kwargs, message):
    with pytest.raises(InputError, match=message):
        xinit.initialize(variables, "he", KEY, **kwargs)
