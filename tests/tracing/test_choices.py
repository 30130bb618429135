"""Which parameters a scheme means: kernels by their role in the model, others by name, zeros on purpose not."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import xinit
from tests.tracing.models import LinenEnsemble, LinenScanned, LinenTransformer, NnxLowRank, NnxTransformer, variables_of
from xinit import initializers
from xinit.core.errors import InputError
from xinit.tracing.choices import chosen, needs_fans
from xinit.tracing.layout import NEITHER, Stored
from xinit.tracing.structure.kernels import Unclear, by_path, dense, lookup

pytestmark = pytest.mark.usefixtures("compile_quickly")
KEY = jax.random.key(9)
ZEROS, ONES = jax.nn.initializers.zeros, jax.nn.initializers.ones
KERNEL, MATRIX, TABLE = Stored(dense(), True), Stored(dense(), False), Stored(lookup(), False)
# A transformer's parameters, of which the last kernel of its branch, and its head, are zero on purpose.
MODEL = {
    "embed/embedding": TABLE,
    "pos": NEITHER,
    "block/attention/query/kernel": KERNEL,
    "block/attention/query/bias": NEITHER,
    "block/attention/out/kernel": KERNEL,
    "block/norm/scale": NEITHER,
    "block/w1": KERNEL,
    "head/kernel": KERNEL,
    "head/bias": NEITHER,
}
ZERO = {"block/attention/out/kernel", "head/kernel"}
QUERY = "block/attention/query/kernel"


@pytest.mark.parametrize("choice", ["he", initializers.he(), jax.nn.initializers.he_normal(), ONES])
@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (None, {QUERY, "block/w1"}),
        (["**"], {QUERY, "block/w1"}),
        (["**/kernel"], {QUERY}),
        (["**/attention/**", "**"], {QUERY, "block/w1"}),
        (["**/attention/**"], {QUERY}),
        (["block/*"], {"block/w1"}),
        (["block"], {"block/w1"}),
        (["head"], {"head/kernel"}),
        (["**", "**/head"], {QUERY, "block/w1", "head/kernel"}),
        (["head/*"], {"head/kernel"}),
        (["head/**"], {"head/kernel"}),
        (["**/head/kernel"], {"head/kernel"}),
        (["head/kernel"], {"head/kernel"}),
        (["**/out"], {"block/attention/out/kernel"}),
        (["**/ou?"], set()),
        (["**/w1"], {"block/w1"}),
        (["embed"], {"embed/embedding"}),
        (["embed/*"], {"embed/embedding"}),
        (["**/embedding", "**"], {"embed/embedding", QUERY, "block/w1"}),
    ],
)
def test_what_patterns_mean(patterns, expected, choice):
    scheme = choice if patterns is None else dict.fromkeys(patterns, choice)
    assert set(chosen(scheme, MODEL, ZERO.__contains__)) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/bias", {"block/attention/query/bias", "head/bias"}),
        ("**/norm/*", {"block/norm/scale"}),
        ("pos", {"pos"}),
    ],
)
def test_what_is_no_kernel_is_named(pattern, expected):
    """Or is all that a pattern fits. A scheme by name finds it there, and says that it has no fans."""
    assert set(chosen({pattern: ONES}, MODEL, ZERO.__contains__)) == expected
    assert set(chosen({pattern: "he"}, MODEL, ZERO.__contains__)) == expected


def test_a_scheme_that_needs_fans_takes_those_that_have_them():
    both = {"a/w1": MATRIX, "a/w1_bias": NEITHER}
    assert set(chosen({"**/w1*": "he"}, both, lambda path: False)) == {"a/w1"}
    assert set(chosen({"**/w1*": ONES}, both, lambda path: False)) == set(both)
    assert set(chosen({"**": "he"}, both, lambda path: False)) == {"a/w1"}


def test_where_all_kernels_are_zero_they_are_blank():
    every = {path for path, stored in MODEL.items() if stored.is_kernel}
    assert set(chosen("he", MODEL, lambda path: True)) == every
    assert set(chosen({"**/attention/**": "he"}, MODEL, lambda path: True)) == {path for path in every if "att" in path}


def test_laws_that_need_no_fans():
    numbered = lambda key, shape, dtype: jnp.zeros(shape, dtype)
    numbered.law = 0.5
    assert all(map(needs_fans, (initializers.he(), initializers.orthogonal(), initializers.identity())))
    assert not any(map(needs_fans, (ONES, numbered, initializers.constant(0.5))))
    new = xinit.initialize({"a": {"bias": np.ones(3)}}, {"**/bias": initializers.constant(0.5)}, KEY)
    assert new["a"]["bias"].tolist() == [0.5, 0.5, 0.5]


def test_kernels_that_are_not_clear_are_refused_unless_patterns_leave_them_out():
    x, low = np.ones((2, 16), np.float32), lambda p, x: x @ (p["w"] + p["lora_a"] @ p["lora_b"])
    params = {"w": np.ones((16, 8)), "lora_a": np.ones((16, 2)), "lora_b": np.zeros((2, 8))}
    with pytest.raises(InputError, match=r"lora_a has shape \(16, 2\), and it is combined .*: give patterns"):
        xinit.initialize(params, "he", KEY, model=low, batch=x)
    new = xinit.initialize(params, {"w": "he"}, KEY, model=low, batch=x)
    assert (new["lora_a"] == 1).all()
    assert isinstance(Unclear("").reason, str)


TOKENS = np.zeros((2, 4), int)


@functools.cache
def transformer():
    model = LinenTransformer()
    return model, variables_of(model, TOKENS)


def test_the_readme_line_on_attention_with_biases_of_two_axes():
    """xavier of attention's kernels, at 16 inputs and 16 outputs; he of all other kernels; the rest stays."""
    model, variables = transformer()
    new = xinit.initialize(variables, {"**/attention/**": "xavier", "**": "he"}, KEY, model=model, batch=TOKENS)
    before, after = by_path(variables["params"]), by_path(new["params"])
    fan_in = {"up": 16, "down": 32, "head": 16}
    for path, w in after.items():
        w, module = np.asarray(w, np.float64), path.split("/")[-2]
        if not path.endswith("kernel"):
            np.testing.assert_array_equal(w, before[path], err_msg=path)
        elif "attention" in path:
            assert 0.9 * math.sqrt(6 / 32) < np.abs(w).max() <= math.sqrt(6 / 32), path
        else:
            assert fan_in[module] * np.mean(w**2) == pytest.approx(2, rel=5 * math.sqrt(2 / w.size)), path
    assert after["block_0/attention/query/bias"].shape == (2, 8)


def test_kernels_that_are_zero_on_purpose_stay_zero():
    model, variables = transformer()
    variables = jax.tree.map(np.array, variables)
    variables["params"]["head"]["kernel"][:] = 0
    draw = lambda scheme: xinit.initialize(variables, scheme, KEY, model=model, batch=TOKENS)["params"]["head"]
    for scheme in ("he", {"**": "he"}, {"**/kernel": "he"}, ONES):
        assert not draw(scheme)["kernel"].any()
    assert draw({"**": "he", "head": "xavier"})["kernel"].all()


def test_a_tied_table_stays_unless_it_is_named_and_is_drawn_once():
    """At the fans of the matrix that it is too: its 16 features in, 11 tokens out."""
    old = NnxTransformer(nnx.Rngs(0))
    new = xinit.initialize(old, "he", KEY, batch=TOKENS)
    np.testing.assert_array_equal(new.embed.embedding[...], old.embed.embedding[...])
    assert not np.array_equal(new.blocks[0].up.kernel[...], old.blocks[0].up.kernel[...])
    named = xinit.initialize(old, {"**/embedding": "xavier"}, KEY, batch=TOKENS)
    table = np.asarray(named.embed.embedding[...])
    assert 0.9 * math.sqrt(6 / 27) < np.abs(table).max() <= math.sqrt(6 / 27)
    np.testing.assert_array_equal(named.blocks[0].up.kernel[...], old.blocks[0].up.kernel[...])
    np.testing.assert_allclose(named(TOKENS)[0, 0].shape, (11,))


def test_a_table_that_is_looked_up_alone_has_fan_in_1():
    """An example reads one row, so that he's Var W is 2."""
    model, variables = transformer()
    new = xinit.initialize(variables, {"Embed_0": "he"}, KEY, model=model, batch=TOKENS)
    table = np.asarray(new["params"]["Embed_0"]["embedding"])
    assert np.mean(table**2) == pytest.approx(2, rel=5 * math.sqrt(2 / table.size))


def test_low_rank_kernels_are_drawn_but_those_of_zeros():
    model = NnxLowRank(nnx.Rngs(0))
    for options in ({}, {"batch": np.ones((2, 12), np.float32)}):
        new = xinit.initialize(model, "he", KEY, **options)
        assert not new.first.lora.lora_b[...].any()
        w = np.asarray(new.first.lora.lora_a[...])
        assert not np.array_equal(w, model.first.lora.lora_a[...])
        assert 12 * np.mean(w**2) == pytest.approx(2, rel=5 * math.sqrt(2 / w.size))


def test_convolutions_with_a_stride_have_other_fans():
    """With stride 2 an input feeds a quarter of the units, in a transposed one a quarter of the inputs feeds a unit."""

    class Strided(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.ConvTranspose(16, (4, 4), (2, 2), name="up")(linen.Conv(32, (3, 3), (2, 2), name="down")(x))

    model, x = Strided(), np.ones((1, 8, 8, 16), np.float32)
    variables = variables_of(model, x)
    for scheme, expected in (
        ("he", {"down": 2 / 144, "up": 2 / 128}),
        ("xavier", {"down": 2 / (144 + 72), "up": 2 / (128 + 256)}),
        ("fan_out", {"down": 1 / 72, "up": 1 / 256}),
    ):
        new = xinit.initialize(variables, scheme, KEY, model=model, batch=x)["params"]
        for name, variance in expected.items():
            w = np.asarray(new[name]["kernel"], np.float64)
            assert np.mean(w**2) == pytest.approx(variance, rel=5 * math.sqrt(2 / w.size)), (scheme, name)


def test_fans_may_be_fractions():
    """A window of 3 x 3 with stride 2 and 5 outputs: an input feeds 9 x 5 / 4 units."""
    call = lambda p, x: jax.lax.conv(x, p["w"], (2, 2), "SAME")
    params, x = {"w": np.ones((5, 64, 3, 3), np.float32)}, np.ones((1, 64, 8, 8), np.float32)
    w = np.asarray(xinit.initialize(params, "fan_out", KEY, model=call, batch=x)["w"])
    assert np.mean(w**2) * 45 / 4 == pytest.approx(1, rel=5 * math.sqrt(2 / w.size))


def test_experts_and_layers_by_number_have_keys_of_their_own():
    """And are orthogonal each for itself."""

    def call(p, x):
        parts = jax.nn.softmax(x @ p["gate"]).T[..., None] * x[None]
        given = jnp.einsum("ebi,eio->ebo", parts, p["experts"]).sum(axis=0)
        return jnp.tanh(given @ p["layers"][0]) @ p["layers"][1]

    params = {"gate": np.ones((16, 3)), "experts": np.ones((3, 16, 16)), "layers": np.ones((2, 16, 16))}
    params = jax.tree.map(np.float32, params)
    new = xinit.initialize(params, "orthogonal", KEY, model=call, batch=np.ones((2, 16), np.float32))
    for name in ("experts", "layers"):
        first, second, *_ = layers = np.asarray(new[name])
        for layer in layers:
            np.testing.assert_allclose(layer.T @ layer, np.eye(16), atol=1e-5, err_msg=name)
        assert not np.allclose(first, second)


def test_the_first_layers_of_a_stack_do_not_depend_on_its_depth():
    """As keys are split, layer by layer, whatever draws them."""
    x = np.ones((2, 16), np.float32)

    def kernel(depth, scheme):
        model = LinenScanned(0, depth)
        new = xinit.initialize(variables_of(model, x), scheme, KEY, model=model, batch=x)
        return np.asarray(new["params"]["blocks"]["Dense_0"]["kernel"])

    for scheme in ("he", jax.nn.initializers.he_normal()):
        np.testing.assert_array_equal(kernel(2, scheme), kernel(4, scheme)[:2])


def test_members_that_read_the_same_are_orthogonal_each():
    model, x = LinenEnsemble(), np.ones((2, 16), np.float32)
    variables = variables_of(model, x)
    new = xinit.initialize(variables, "orthogonal", KEY, model=model, batch=x)
    kernel = np.asarray(new["params"]["members"]["kernel"])
    assert sorted(kernel.shape) == [4, 5, 8, 16]
    members = np.moveaxis(kernel, [kernel.shape.index(16), kernel.shape.index(8)], [-2, -1]).reshape(20, 16, 8)
    for member in members:
        np.testing.assert_allclose(member.T @ member, np.eye(8), atol=1e-5)
