"""Every scheme keeps its law, wrong initialisers are caught and named, and the formulas of torch and Keras are ours."""

import functools
import itertools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers as jaxs

import xinit
from xinit import initializers, schemes
from xinit.core.errors import InputError
from xinit.initializers import Law
from xinit.initializers.verification import SHAPES, verify_initializer
from xinit.networks import activations
from xinit.networks.mlp import plain
from xinit.settings.config import SchemeConfig
from xinit.theory.mean_field import gains
from xinit.training.choices import scheme_of

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
ROOT = pathlib.Path(__file__).resolve().parents[2]
NOT_PLAIN = {"depth_mup", "fixup", "own", "residual_scaled", "zero_init_branches"}  # see schemes.test_networks
NAMES = sorted({path.stem for path in (ROOT / "conf" / "scheme").glob("*.yaml")} - {"custom", "lsuv"} - NOT_PLAIN)
WIDTHS = (96, 48, 48, 96, 48)  # narrowing, square, widening
NETWORK = plain(WIDTHS, (activations.relu(), activations.leaky_relu(0.2), activations.relu()))
SOME = ((96, 48), (48, 48), (48, 96))
FLOAT = (jnp.float32,)


@functools.cache
def network(name: str, data: tuple[int, ...]):
    """The kernels that a scheme draws with a key given by its data."""
    scheme = scheme_of(SchemeConfig(name))
    key = jax.random.wrap_key_data(jnp.array(data, jnp.uint32))
    params, _ = scheme(key, NETWORK, {"gain": 1.0}, None)
    return [layer["kernel"] for layer in params["layers"].values()]


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_of_every_scheme_keeps_its_law(name):
    laws = schemes.law_of(scheme_of(SchemeConfig(name)), NETWORK)
    for l, shape in enumerate(itertools.pairwise(WIDTHS)):
        draw = lambda key, shape, dtype, l=l: network(name, tuple(map(int, jax.random.key_data(key))))[l]
        found = verify_initializer(draw, laws[l], shapes=[shape], dtypes=FLOAT)
        assert found.ok, f"layer {l + 1}\n{found}"


def test_a_scheme_that_looks_at_data_states_no_law():
    assert schemes.law_of(schemes.lsuv(), NETWORK) is None


@functools.cache
def compiles(dtype):
    """Whether XLA compiles a type for this processor: under SSE alone it has no float16."""
    try:
        jax.jit(lambda x: x.astype(dtype))(np.ones(1, np.float32)).block_until_ready()
    except jax.errors.JaxRuntimeError:
        return False
    return True


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", ["xavier", "he", "orthogonal", "sparse"])
def test_ours_keep_their_law_in_half_precision(name, dtype):
    if not compiles(dtype):
        pytest.skip(f"needs a processor for which XLA compiles {dtype.__name__}")
    found = verify_initializer(getattr(initializers, name)(), shapes=SOME, dtypes=(dtype,))
    assert found.ok, str(found)


def bounded(bound):
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound(*shape), bound(*shape))


def normal(std):
    return lambda key, shape, dtype: jnp.asarray(std(*shape), dtype) * jax.random.normal(key, shape, dtype)


def cut_at_two_sigma(key, shape, dtype):
    return jnp.asarray(math.sqrt(2 / shape[0]), dtype) * jax.random.truncated_normal(key, -2, 2, shape, dtype)


def one_unit_for_all(key, shape, dtype):
    return jnp.broadcast_to(jax.random.normal(key, (shape[0], 1), dtype), shape) / math.sqrt(shape[0])


def split_badly(key, shape, dtype):  # half of the weights do not depend on the key
    mixed = jnp.stack([jax.random.normal(key, shape, dtype), jax.random.normal(jax.random.key(7), shape, dtype)])
    return mixed.sum(axis=0) / math.sqrt(2 * shape[0])


def unit(key, shape, dtype):
    return jax.random.normal(key, shape, dtype)


XAVIER, HE = initializers.xavier(), initializers.he()
HE_CUT = initializers.he(distribution="truncated_normal")


@pytest.mark.parametrize(
    ("wrong", "law", "failing", "words"),
    [
        # Another variance, with what it is.
        (normal(lambda i, o: math.sqrt(2 / o)), HE, {"variance"}, "Var W is 2/n_out, He's with fan-out."),
        (normal(lambda i, o: math.sqrt(2 / (i + o))), HE, {"variance"}, "Var W is 2/(n_in + n_out), Glorot's."),
        (bounded(lambda i, o: math.sqrt(2 / (i + o))), XAVIER, {"variance"}, "Var W is a third of 2/(n_in + n_out)"),
        (normal(lambda i, o: math.sqrt(6 / (i + o))), lambda i, o: 2 / (i + o), {"variance"}, "is three times 2/(n_in"),
        (normal(lambda i, o: 2 / i), HE, {"variance"}, "Var W is the square of 2/n_in, He's for rectifiers: the var"),
        (normal(lambda i, o: i**-0.75), HE, {"variance"}, "Var W follows no formula known here: n_in Var W is 0.04"),
        (cut_at_two_sigma, HE_CUT, {"variance"}, "Var W is .774 times 2/n_in, He's for rectifiers: a normal that is"),
        (jaxs.normal(0.02), HE, {"variance"}, "(std 0.02) whatever the fans."),
        # Another distribution or structure.
        (jaxs.he_normal(), HE, {"distribution"}, "from the normal's distribution function"),
        (jaxs.uniform(0.1), Law(0.01 / 3, "uniform"), {"mean"}, "none is negative, as from jax's uniform(s)"),
        (normal(lambda i, o: i**-0.5), initializers.orthogonal(), {"variance", "structure"}, "shorter side's vectors"),
        (one_unit_for_all, lambda i, o: 1 / i, {"structure"}, "squared cosines are 512.000 of independent vectors'"),
        (initializers.sparse(), lambda i, o: Law(15 / i, "normal"), {"distribution"}, "from the normal's"),
        (initializers.xavier(), initializers.sparse(), {"structure"}, "of 512 weights into a unit are not 0"),
        (initializers.xavier(), lambda i, o: Law(2 / (i + o), structure="mirrored"), {"structure"}, "neither inputs"),
        # Keys, precision, and what is no array of the asked shape.
        (lambda key, shape, dtype: jnp.ones(shape, dtype), 1.0, {"other keys", "mean"}, "do not depend on the key"),
        (split_badly, lambda i, o: 1 / i, {"other keys"}, "weights of different keys correlate by 0.5"),
        (unit, Law(1.0, "normal", "fixed"), {"other keys"}, "weights that are fixed are different at all keys"),
        (lambda key, shape, dtype: np.ones(shape), 1.0, {"shape and precision"}, "(512, 128) of float64 came"),
        (lambda key, shape, dtype: unit(key, shape[::-1], dtype), 1.0, {"shape and precision"}, "(128, 512) of floa"),
        (lambda key, shape, dtype: jnp.full(shape, jnp.nan, dtype), 1.0, {"finite"}, "weights are infinite or undef"),
        (lambda key, shape: jnp.ones(shape), 1.0, {"call"}, "it raised TypeError: "),
    ],
)  # fmt: skip
def test_a_wrong_initialiser_is_caught_and_named(wrong, law, failing, words):
    found = verify_initializer(wrong, law, shapes=SHAPES[1:], dtypes=FLOAT)
    failed = [check.name for check in found.checks if not check.passed]
    assert not found.ok
    assert failing <= set(failed), found
    assert words in str(found)
    assert str(found).startswith(f"FAIL: {', '.join(failed)}\n")


def test_orthogonal_weights_are_not_independent():
    found = verify_initializer(initializers.orthogonal(), lambda i, o: 1 / max(i, o), shapes=SOME, dtypes=FLOAT)
    assert [check.name for check in found.checks if not check.passed] == ["structure"]
    assert "squared cosines are 0.00" in str(found)


def test_a_precision_that_is_ignored_is_caught():
    found = verify_initializer(lambda key, shape, dtype: jax.random.normal(key, shape), 1.0, shapes=SOME[:1])
    assert [check.name for check in found.checks if not check.passed] == ["shape and precision"]
    assert "float32 came" in str(found)


def test_without_a_law_it_says_what_the_weights_are():
    found = verify_initializer(jaxs.variance_scaling(2.0, "fan_in", "normal"), shapes=SOME, dtypes=FLOAT)
    assert found.ok
    assert found.found == "Var W is 2/n_in, He's for rectifiers."
    assert "variance" not in {check.name for check in found.checks}
    square = verify_initializer(jaxs.glorot_uniform(), shapes=SOME[1:2], dtypes=FLOAT)
    assert "1/n_in, fan-in (LeCun); the same at these shapes: 1/n_out, fan-out; the same" in square.found


def test_the_kernel_of_a_convolution():
    found = verify_initializer(
        jaxs.glorot_uniform(), lambda i, o: Law(2 / (i + o), "uniform"), shapes=[(3, 3, 8, 20)], dtypes=FLOAT
    )
    assert found.ok, str(found)
    assert xinit.verify_initializer is verify_initializer


@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        (initializers.he(), (3, 3, 8, 20)),
        (initializers.sparse(), (3, 8, 60)),
        (initializers.orthogonal(), (3, 3, 8, 20)),
        (initializers.orthogonal(groups=2), (3, 3, 8, 20)),
        (initializers.xavier(in_axis=-1, out_axis=-2), (3, 8, 60)),
        (initializers.orthogonal(in_axis=-1, out_axis=-2), (3, 8, 60)),
        (initializers.xavier(in_axis=(0, 1), out_axis=2, batch_axis=3), (6, 4, 20, 5)),
        (initializers.orthogonal(batch_axis=0), (5, 24, 20)),
        (initializers.zero_hadamard(), (3, 8, 60)),
        (initializers.identity(), (3, 3, 8, 20)),
    ],
)
def test_kernels_of_any_rank_keep_the_law_of_their_own_axes(initializer, shape):
    found = verify_initializer(initializer, shapes=[shape], dtypes=FLOAT)
    assert found.ok, str(found)
    assert "variance" in {check.name for check in found.checks}


HEADS = {"in_axis": (0, 1), "out_axis": 2}


@pytest.mark.parametrize(
    ("fn", "law", "shape", "axes"),
    [
        (jaxs.he_normal(in_axis=(0, 1), out_axis=2), lambda i, o: 2 / i, (4, 16, 20), HEADS),
        (jaxs.glorot_uniform(in_axis=0, out_axis=(1, 2)), lambda i, o: Law(2 / (i + o), "uniform"), (40, 4, 16),
         {"in_axis": 0, "out_axis": (1, 2)}),
        (jaxs.lecun_uniform(in_axis=1, out_axis=0), lambda i, o: Law(1 / i, "uniform"), (60, 30),
         {"in_axis": 1, "out_axis": 0}),
        (jaxs.he_uniform(batch_axis=0), lambda i, o: Law(2 / i, "uniform"), (5, 16, 20), {"batch_axis": 0}),
        (jaxs.he_uniform(in_axis=1, out_axis=0), lambda i, o: 2 / i, (20, 8, 3, 3), {"in_axis": 1, "out_axis": 0}),
        (jaxs.orthogonal(column_axis=0), Law(1 / 120, structure="orthogonal"), (30, 3, 40),
         {"in_axis": (1, 2), "out_axis": 0}),
        (initializers.fan_out(groups=4), lambda i, o: Law(1 / o, "uniform"), (3, 3, 8, 20), {"groups": 4}),
        (initializers.orthogonal(groups=2), None, (3, 3, 8, 20), {"groups": 2}),
    ],
)  # fmt: skip
def test_the_axes_of_any_function_are_named(fn, law, shape, axes):
    found = verify_initializer(fn, law, shapes=[shape], dtypes=FLOAT, **axes)
    assert found.ok, str(found)
    assert "variance" in {check.name for check in found.checks}


def test_named_axes_tell_which_fans_are_meant():
    """16 x 4 inputs and 20 outputs, where the last two axes alone would be 16 inputs and 20 outputs of a window."""
    fn = jaxs.variance_scaling(1.0, "fan_in", "normal", in_axis=(0, 1), out_axis=2)
    options = {"shapes": [(4, 16, 20), (2, 30, 40)], "dtypes": FLOAT}
    assert verify_initializer(fn, **options, **HEADS).found.startswith("Var W is 1/n_in")
    for law in (lambda i, o: 1 / i, initializers.lecun("normal", in_axis=-1, out_axis=(0, 1))):
        assert verify_initializer(fn, law, **options, **HEADS).ok  # whatever the law was made with
    others = verify_initializer(fn, lambda i, o: 1 / i, **options, in_axis=2, out_axis=(0, 1))
    assert [check.name for check in others.checks if not check.passed] == ["variance"]


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((64, 64), {"in_axis": (0, 1), "out_axis": 2}, r"out_axis is 2 and the shape is \(64, 64\); it must name axes"),
        ((4, 16, 20), {"in_axis": (0, 3)}, r"in_axis is \(0, 3\) and the shape is \(4, 16, 20\)"),
        ((4, 16, 20), {"in_axis": (0, 2)}, "share an axis of the shape"),
        ((4, 16, 20), {"in_axis": (1, -2)}, "in_axis is .* each once"),
        ((4, 16, 20), {"batch_axis": -1}, "of which a part is in in_axis"),
        ((4, 16, 20), {"groups": 3}, "it must divide the 20 outputs"),
        ((4, 16, 20), {"groups": 0}, "groups is 0; it must be a whole number above 0"),
        ((4, 16, 20), {"in_axis": "inputs"}, "in_axis is 'inputs'; it must be a whole number or several"),
    ],
)
def test_axes_that_a_shape_lacks_are_refused_before_anything_is_drawn(shape, axes, words):
    never = lambda key, shape, dtype: pytest.fail("it was called")
    with pytest.raises(InputError, match=words):
        verify_initializer(never, lambda i, o: 1 / i, shapes=[shape], **axes)


def test_a_sound_initialiser_raises_no_alarm_and_errors_have_their_stated_size():
    """Over 60 seeds, the variance is off by 1 standard error in the root mean square, as its error bar says."""
    off = []
    for seed in range(60):
        found = verify_initializer(XAVIER, shapes=SOME[1:2], dtypes=FLOAT, seed=seed)
        assert found.ok, str(found)
        sentence = next(check.sentence for check in found.checks if check.name == "variance")
        off.append(float(sentence.split(": ")[1].split()[0]))
    assert 0.75 < np.sqrt(np.mean(np.square(off))) < 1.3


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((3,), {}, "fn is 3; it must be a function"),
        ((XAVIER, "he"), {}, "law is 'he'; it must be a number, a Law, or a function"),
        ((XAVIER, -1.0), {}, "The law's variance is -1.0; it must be finite and at least 0"),
        ((XAVIER, Law(1.0, "cauchy")), {}, "The law's distribution is 'cauchy'; it must be None or one of unif"),
        ((XAVIER, Law(1.0, structure="loose")), {}, "The law's structure is 'loose'; it must be one of independent"),
        ((XAVIER,), {"shapes": [(3, 5)]}, "it must have inputs, outputs and at least 1,000 weights"),
        ((XAVIER,), {"shapes": [(5000,)]}, "it must have inputs, outputs"),
        ((XAVIER,), {"shapes": []}, "each must have at least one entry"),
        ((XAVIER,), {"dtypes": [jnp.complex64]}, "A precision is complex64; the tests are of real numbers"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(arguments, options, words):
    with pytest.raises(InputError, match=words):
        verify_initializer(*arguments, **options)


def gain(nonlinearity, a=0.0):
    """torch.nn.init.calculate_gain."""
    return {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "selu": 3 / 4, "leaky_relu": math.sqrt(2 / (1 + a * a))}[
        nonlinearity
    ]


# Name there, what it is there as Law at (fan_in, fan_out), and ours.
TORCH = {
    "xavier_uniform_": (lambda i, o: Law(math.sqrt(6 / (i + o)) ** 2 / 3, "uniform"), initializers.xavier()),
    "xavier_normal_": (lambda i, o: Law(math.sqrt(2 / (i + o)) ** 2, "normal"), initializers.xavier("normal")),
    "kaiming_uniform_(mode=fan_in, nonlinearity=relu)": (
        lambda i, o: Law((math.sqrt(3) * gain("leaky_relu") / math.sqrt(i)) ** 2 / 3, "uniform"),
        initializers.he(distribution="uniform"),
    ),
    "kaiming_normal_(a=0.2, mode=fan_out, nonlinearity=leaky_relu)": (
        lambda i, o: Law(gain("leaky_relu", 0.2) ** 2 / o, "normal"),
        initializers.he("out", 0.2),
    ),
    "kaiming_normal_(nonlinearity=linear)": (lambda i, o: Law(gain("linear") ** 2 / i, "normal"), initializers.lecun()),
    "kaiming_uniform_(a=sqrt(5)), the default of Linear": (
        lambda i, o: Law((math.sqrt(3) * gain("leaky_relu", math.sqrt(5)) / math.sqrt(i)) ** 2 / 3, "uniform"),
        initializers.standard(),
    ),
    "orthogonal_": (lambda i, o: Law(1 / max(i, o), structure="orthogonal"), initializers.orthogonal()),
}


def keras(scale, mode, distribution):
    """keras.initializers.VarianceScaling: a truncated normal has std / .87962566103423978 before it is cut."""
    n = {"fan_in": lambda i, o: i, "fan_out": lambda i, o: o, "fan_avg": lambda i, o: (i + o) / 2}[mode]
    variance = {
        "uniform": lambda v: math.sqrt(3 * v) ** 2 / 3,
        "normal": lambda v: v,
        "truncated_normal": lambda v: (math.sqrt(v) / 0.87962566103423978) ** 2 * 0.7737413035,  # of a unit normal, cut
    }[distribution]
    return lambda i, o: Law(variance(scale / max(1.0, n(i, o))), distribution)


KERAS = {
    "GlorotUniform": (keras(1, "fan_avg", "uniform"), initializers.xavier()),
    "GlorotNormal": (keras(1, "fan_avg", "truncated_normal"), initializers.xavier("truncated_normal")),
    "HeNormal": (keras(2, "fan_in", "truncated_normal"), initializers.he(distribution="truncated_normal")),
    "HeUniform": (keras(2, "fan_in", "uniform"), initializers.he(distribution="uniform")),
    "LecunNormal": (keras(1, "fan_in", "truncated_normal"), initializers.lecun("truncated_normal")),
    "LecunUniform": (keras(1, "fan_in", "uniform"), initializers.lecun("uniform")),
    "VarianceScaling(1, fan_out, untruncated_normal)": (keras(1, "fan_out", "normal"), initializers.fan_out("normal")),
}


@pytest.mark.parametrize(("theirs", "ours"), [*TORCH.values(), *KERAS.values()], ids=[*TORCH, *KERAS])
def test_parity_with_the_formulas_of_torch_and_keras(theirs, ours):
    for fans in ((300, 300), (784, 100), (9, 1024)):
        asked, law = theirs(*fans), ours.law(*fans)
        assert law.variance == pytest.approx(asked.variance, rel=1e-9)
        assert (law.distribution, law.structure) == (asked.distribution, asked.structure)


def test_gains_beside_those_of_torch():
    """They agree for rectifiers; torch's for tanh is 4.7 % above, and for selu and sigmoid another thing."""
    ours = lambda f: gains(f).second_moment
    assert ours(activations.relu()) == pytest.approx(gain("leaky_relu"), rel=1e-9)
    assert ours(activations.leaky_relu(0.2)) == pytest.approx(gain("leaky_relu", 0.2), rel=1e-9)
    assert ours(activations.linear()) == pytest.approx(gain("linear"), rel=1e-9)
    assert gain("tanh") / ours(activations.tanh()) == pytest.approx(1.0466, abs=1e-4)
    assert gain("selu") / ours(activations.selu()) == pytest.approx(0.75, abs=1e-4)
    assert gain("sigmoid") / ours(activations.sigmoid()) == pytest.approx(0.5416, abs=1e-4)


def test_torch_itself():
    torch = pytest.importorskip("torch", reason="the formulas above are tested; torch itself is not installed")
    init = torch.nn.init

    def drawn(fill):
        def initializer(key, shape, dtype):
            torch.manual_seed(int(jax.random.bits(key)))
            kernel = torch.empty(shape[::-1])  # torch keeps (fan_out, fan_in)
            fill(kernel)
            return jnp.asarray(kernel.numpy().T, dtype)

        return initializer

    for fill, law in (
        (init.xavier_uniform_, initializers.xavier()),
        (init.xavier_normal_, initializers.xavier("normal")),
        (functools.partial(init.kaiming_normal_, mode="fan_out", nonlinearity="relu"), initializers.he("out")),
        (functools.partial(init.kaiming_uniform_, a=math.sqrt(5)), initializers.standard()),
        (init.orthogonal_, initializers.orthogonal()),
        (functools.partial(init.trunc_normal_, std=0.02), Law(0.02**2, "normal")),  # cut at +-2, not at two sigma
        (init.trunc_normal_, Law(0.7737413, "truncated_normal")),  # and nothing is put back
    ):
        found = verify_initializer(drawn(fill), law, shapes=SOME, dtypes=FLOAT)
        assert found.ok, str(found)
    assert init.calculate_gain("tanh") == gain("tanh")
