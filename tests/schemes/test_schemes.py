"""Schemes: what each draws, in numbers of its paper; their laws against independent statistics."""

import itertools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import yaml

from xinit import initializers, schemes
from xinit.core.errors import InputError
from xinit.initializers import Law
from xinit.networks import activations
from xinit.networks.mlp import plain
from xinit.networks.network import completed
from xinit.settings.config import SchemeConfig
from xinit.training.choices import scheme_of

pytestmark = pytest.mark.usefixtures("compile_quickly")
ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTHS = (784, 300, 300, 50, 1024, 10)
TRUNCATED_KURTOSIS = scipy.stats.truncnorm.stats(-2, 2, moments="k").item() + 3
DISTRIBUTIONS = {  # kurtosis decides the sampling error of a variance; bound is in standard deviations
    "uniform": (1.8, math.sqrt(3), scipy.stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)).cdf),
    "normal": (3.0, math.inf, scipy.stats.norm.cdf),
    "truncated_normal": (
        TRUNCATED_KURTOSIS,
        2 / initializers.TRUNCATED_STD,
        lambda x: scipy.stats.truncnorm.cdf(x * initializers.TRUNCATED_STD, -2, 2),
    ),
}
VARIANCES = {  # n_in, n_out -> Var W
    "standard": lambda i, o: 1 / (3 * i),
    "xavier": lambda i, o: 2 / (i + o),
    "fan_in": lambda i, o: 1 / i,
    "fan_out": lambda i, o: 1 / o,
    "he": lambda i, o: 2 / i,
    "lecun": lambda i, o: 1 / i,
    "selu": lambda i, o: 1 / i,
    "geometric": lambda i, o: 1 / math.sqrt(i * o),
    "mean_of_variances": lambda i, o: (1 / i + 1 / o) / 2,
}
NOT_PLAIN = {"depth_mup", "fixup", "own", "residual_scaled", "zero_init_branches"}  # see test_networks
NAMES = sorted({path.stem for path in (ROOT / "conf" / "scheme").glob("*.yaml")} - {"custom"} - NOT_PLAIN)
LAWS = [("standard", "uniform"), *[(name, d) for name in list(VARIANCES)[1:] for d in DISTRIBUTIONS]]
HYPER = {"gain": jnp.float32(1)}


def drawn(config: SchemeConfig, widths, seed=0, functions=None, gain=1.0):
    functions = functions or (activations.relu(),) * (len(widths) - 2)
    scheme = scheme_of(config)
    batch = jax.random.normal(jax.random.key(9), (10, widths[0])), jnp.zeros(10, int)
    network = plain(widths, functions)
    params, lr_scale = scheme(jax.random.key(seed), network, {"gain": jnp.float32(gain)}, batch)
    return params["layers"], lr_scale


def outputs_of(layers, activation, x):
    """Logits and Outputs of a network of the given layers."""
    widths = (x.shape[1], *(layer["bias"].size for layer in layers.values()))
    return plain(widths, (activation,) * (len(layers) - 1), "highest").apply({"layers": layers}, {}, x)[:2]


@pytest.mark.parametrize(("name", "distribution"), LAWS)
def test_law(name, distribution):
    """As the papers have it, at every layer of a network; initializers.test_verification draws from each scheme."""
    options = {} if name == "standard" else {"distribution": distribution}
    stated = schemes.law_of(scheme_of(SchemeConfig(name, options=options)), plain(WIDTHS, (activations.tanh(),) * 4))
    for law, (n_in, n_out) in zip(stated, itertools.pairwise(WIDTHS), strict=True):
        assert law.variance == pytest.approx(VARIANCES[name](n_in, n_out), rel=1e-12)
        assert law._replace(variance=0.0) == initializers.Law(0.0, distribution)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_distribution_has_unit_variance_and_the_stated_bound(distribution):
    """Against scipy's, which xinit.initializers does not use."""
    kurtosis, bound, cdf = DISTRIBUTIONS[distribution]
    ours = initializers.DISTRIBUTIONS[distribution]
    x = np.asarray(ours.draw(jax.random.key(0), (100, 1000), jnp.float32), np.float64).ravel()
    assert abs(x.mean()) < 5 / math.sqrt(x.size)
    assert abs(x.var() - 1) < 5 * math.sqrt((kurtosis - 1) / x.size)
    assert ours.bound == pytest.approx(bound)
    assert 0.999 * min(bound, 4) < np.abs(x).max() <= bound * (1 + 1e-6)
    assert scipy.stats.kstest(x[::5], cdf).pvalue > 1e-4
    np.testing.assert_allclose(ours.cdf(np.linspace(-4, 4, 99)), cdf(np.linspace(-4, 4, 99)), atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (initializers.xavier("uniform"), jax.nn.initializers.glorot_uniform()),
        (initializers.xavier("truncated_normal"), jax.nn.initializers.glorot_normal()),
        (initializers.he("in", 0.0, "truncated_normal"), jax.nn.initializers.he_normal()),
        (initializers.lecun("normal"), jax.nn.initializers.variance_scaling(1, "fan_in", "normal")),
    ],
)
def test_parity_with_jax(ours, theirs):
    shape, key = (96, 24), jax.random.key(3)
    np.testing.assert_allclose(ours(key, shape, jnp.float32), theirs(key, shape, jnp.float32), rtol=1e-5, atol=1e-7)


def test_he_takes_slope_and_fan():
    network = plain((200, 400, 10), (activations.leaky_relu(0.5),))
    for slope in (0.5, "activation"):
        scheme = scheme_of(SchemeConfig("he", options={"fan": "out", "negative_slope": slope}))
        assert [law.variance for law in scheme.law(network)] == pytest.approx([2 / 1.25 / 400, 2 / 1.25 / 10])


@pytest.mark.parametrize("shape", [(48, 48), (96, 24), (24, 96)], ids=str)
def test_orthogonal(shape):
    layers, _ = drawn(SchemeConfig("orthogonal"), shape)
    kernel = np.asarray(layers[0]["kernel"], np.float64)
    gram = kernel.T @ kernel if shape[0] >= shape[1] else kernel @ kernel.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-5)


@pytest.mark.parametrize("activation", [activations.relu(), activations.leaky_relu(0.3)], ids=lambda f: f.name)
def test_looks_linear_is_a_linear_isometry_at_any_depth(activation):
    """From 20 inputs through 30 hidden layers of 48 units, which are 24 pairs, to 24 outputs."""
    layers, _ = drawn(SchemeConfig("looks_linear"), (20, *(48,) * 30, 24), functions=(activation,) * 30)
    matrix, _ = outputs_of(layers, activation, jnp.eye(20))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(20), atol=1e-4)
    x = jax.random.normal(jax.random.key(5), (20, 20))
    np.testing.assert_allclose(outputs_of(layers, activation, x)[0], x @ matrix, atol=1e-4)


def test_orthogonal_is_an_isometry_of_linear_networks_and_a_normal_scheme_is_not():
    linear, widths = activations.linear(), (48,) * 32
    matrices = {}
    for name in ("orthogonal", "lecun"):
        layers, _ = drawn(SchemeConfig(name), widths, functions=(linear,) * 30)
        matrices[name], _ = outputs_of(layers, linear, jnp.eye(48))
    np.testing.assert_allclose(matrices["orthogonal"] @ matrices["orthogonal"].T, np.eye(48), atol=1e-4)
    spectrum = np.linalg.svd(matrices["lecun"], compute_uv=False)
    assert spectrum.max() > 100 * np.median(spectrum)


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid", "gelu"])
def test_lsuv_gives_every_layer_unit_variance_on_its_batch(name):
    activation = getattr(activations, name)()
    layers, _ = drawn(SchemeConfig("lsuv"), (24, 48, 48, 48), functions=(activation,) * 2)
    logits, outputs = outputs_of(layers, activation, jax.random.normal(jax.random.key(9), (10, 24)))
    for z in (*outputs.pre, logits):
        assert float(jnp.var(z)) == pytest.approx(1, abs=1e-4)
    first = np.asarray(layers[0]["kernel"])
    np.testing.assert_allclose(first @ first.T / (first @ first.T)[0, 0], np.eye(24), atol=1e-5)


def test_lsuv_keeps_a_layer_that_is_silent_on_the_batch():
    batch = jnp.zeros((5, 48)), jnp.zeros(5, int)
    params, _ = schemes.lsuv()(jax.random.key(0), plain((48, 48, 48), (activations.relu(),)), HYPER, batch)
    assert all(bool(jnp.all(jnp.isfinite(layer["kernel"]))) for layer in params["layers"].values())


@pytest.mark.parametrize("q", [0.1, 1.0])
@pytest.mark.parametrize(
    "name",
    ["tanh", "relu", "leaky_relu", "softsign", "gelu", "selu", "hard_tanh", "linear", "silu", "mish", "gelu_tanh",
     "elu", "celu", "erf", "sin", "hard_swish", "squared_relu", "prelu"],
)  # fmt: skip
def test_critical_is_on_the_edge_of_chaos(name, q):
    """s_w^2 E f'^2 = 1 and s_w^2 E f^2 + s_b^2 = q, the integrals as plain sums."""
    f, width = getattr(activations, name)(), 30
    law = schemes.law_of(schemes.critical(q), plain((width,) * 4, (f,) * 2))[1]
    z = np.linspace(-9, 9, 6001)
    density = scipy.stats.norm.pdf(z) * (z[1] - z[0])
    mean = lambda g: float(np.sum(density * np.asarray(g(jnp.float32(math.sqrt(q) * z)), float) ** 2))
    assert width * law.variance * mean(f.slope) == pytest.approx(1, rel=3e-3)
    assert width * law.variance * mean(f.function) + law.bias_variance == pytest.approx(q, rel=3e-3)


def test_critical_draws_biases_of_its_law():
    layers, _ = drawn(SchemeConfig("critical"), (3, 20_000, 2), functions=(activations.tanh(),))
    bias = np.asarray(layers[0]["bias"], np.float64)
    assert bias.var() == pytest.approx(0.150965, rel=5 * math.sqrt(2 / 20_000))
    assert abs(np.corrcoef(bias, np.asarray(layers[0]["kernel"])[0])[0, 1]) < 5 / math.sqrt(20_000)
    assert scipy.stats.kstest(bias / math.sqrt(0.150965), "norm").pvalue > 1e-4


@pytest.mark.parametrize(
    ("activation", "correction", "gain"),  # of the table of Gaussian moments at q = 1
    [("tanh", "second_moment", 1.5925), ("tanh", "normalising", 1.5925), ("sigmoid", "second_moment", 1.846),
     ("sigmoid", "normalising", 4.801), ("relu", "second_moment", 1.4142), ("relu", "normalising", 1.713),
     ("selu", "second_moment", 1.0), ("lecun_tanh", "normalising", 1.154),
     # by E erf^2 = 2/pi arcsin 2/3, E sin^2 = (1 - e^-2) / 2, E max(0, x)^4 = 3/2, its mean 1/2, and (1 + a^2) / 2
     ("erf", "second_moment", 1.46716), ("sin", "normalising", 1.52087), ("squared_relu", "second_moment", 0.81650),
     ("squared_relu", "normalising", 0.89443), ("prelu", "second_moment", 1.37199)],
)  # fmt: skip
def test_xavier_gain(activation, correction, gain):
    f, widths = getattr(activations, activation)(), (30, 20, 40, 6)
    laws = schemes.law_of(schemes.xavier_gain(correction), plain(widths, (f, f)))
    xavier = [2 / (i + o) for i, o in itertools.pairwise(widths)]
    assert laws[0].variance == xavier[0]  # it sees inputs, not activations
    for law, without in zip(laws[1:], xavier[1:], strict=True):
        assert math.sqrt(law.variance / without) == pytest.approx(gain, rel=4e-4)


def test_sparse_gives_each_unit_its_number_of_inputs_anywhere():
    layers, _ = drawn(SchemeConfig("sparse"), (400, 300))
    kernel = np.asarray(layers[0]["kernel"])
    assert set(np.count_nonzero(kernel, axis=0)) == {15}
    fed = np.count_nonzero(kernel, axis=1)  # binomial: 300 units choose each input with probability 15/400
    assert abs(fed.var() / (300 * 15 / 400 * (1 - 15 / 400)) - 1) < 5 * math.sqrt(2 / 400)
    assert scipy.stats.kstest(kernel[kernel != 0], "norm").pvalue > 1e-4


def test_identity_and_zero_hadamard():
    identity, zero, key = initializers.identity(), initializers.zero_hadamard(), jax.random.key(0)
    np.testing.assert_array_equal(identity(key, (3, 5)), np.eye(3, 5))
    np.testing.assert_array_equal(zero(key, (5, 3)), np.eye(5, 3))
    np.testing.assert_allclose(zero(key, (12, 50)), scipy.linalg.hadamard(64)[:12, :50] / 8, rtol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "base", "factors"),
    [("sgd", 96, [1, 1, 1]), ("adam", 96, [1, 1, 1]), ("sgd", 24, [4, 1, 1 / 4]), ("adam", 24, [1, 1 / 4, 1 / 4])],
)
def test_mup_has_the_factors_of_table_3(optimizer, base, factors):
    config = SchemeConfig("mup", options={"base_width": base, "optimizer": optimizer})
    _, lr_scale = drawn(config, (96,) * 4)
    np.testing.assert_allclose(lr_scale, factors)
    laws = schemes.law_of(scheme_of(config), plain((96,) * 4, (activations.tanh(),) * 2))
    np.testing.assert_allclose([law.variance for law in laws], [1 / 96, 1 / 96, base / 96**2])


def test_mup_says_for_which_optimizers_its_learning_rates_are_made():
    assert schemes.optimizers_of(schemes.mup(optimizer="sgd")) == ("sgd", "momentum", "nesterov")
    assert schemes.optimizers_of(schemes.mup(optimizer="adam"))[:2] == ("adam", "adamw")
    assert schemes.optimizers_of(schemes.lsuv()) is schemes.optimizers_of(scheme_of(SchemeConfig("he"))) is None


def sizes_after_steps(width, variants, steps=3):
    """Mean absolute pre-activations and logits of a tanh network after steps of SGD at rate 0.5, for each scheme."""
    network = plain((16, width, width, 4), (activations.tanh(),) * 2)
    x, y = jax.random.normal(jax.random.key(1), (32, 16)), jnp.arange(32) % 4
    loss = lambda params: -jnp.mean(jax.nn.log_softmax(network.apply(params, {}, x)[0])[jnp.arange(32), y])

    @jax.jit
    def step(params, lr_scale):
        gradients = jax.grad(loss)(params)["layers"]
        descend = lambda layer, slope, factor: jax.tree.map(lambda w, g: w - 0.5 * factor * g, layer, slope)
        params = {"layers": {l: descend(params["layers"][l], gradients[l], lr_scale[l]) for l in range(3)}}
        logits, hidden, _ = network.apply(params, {}, x)
        return params, jnp.stack([jnp.mean(jnp.abs(part)) for part in (*hidden.pre, logits)])

    def train(scheme):
        params, lr_scale = scheme(jax.random.key(0), network, HYPER, (x, y))
        for _ in range(steps):
            params, sizes = step(params, lr_scale)
        return np.asarray(sizes)

    return np.array([train(scheme) for scheme in variants])


def test_mup_passes_the_coordinate_check_and_one_rate_for_all_layers_does_not():
    """The power of the width, 32 to 384, with which pre-activations and logits grow: 0 (Yang et al. 2022, D.1)."""
    variants = schemes.mup(base_width=32), scheme_of(SchemeConfig("lecun"))
    flat, steep = np.log(sizes_after_steps(384, variants) / sizes_after_steps(32, variants)) / math.log(384 / 32)
    assert np.abs(flat).max() < 0.15
    assert steep.max() > 0.3


def test_constant():
    layers, _ = drawn(SchemeConfig("constant", options={"value": 0.3}), (4, 3, 2))
    np.testing.assert_allclose(layers[1]["kernel"], np.full((3, 2), 0.3))


@pytest.mark.parametrize("name", NAMES)
def test_every_yaml_names_its_scheme_and_its_gain_scales_the_kernels(name):
    options = yaml.safe_load((ROOT / "conf" / "scheme" / f"{name}.yaml").read_text())
    fn, gain = options.pop("fn"), options.pop("gain")
    assert (fn, gain) == (name, 1.0)
    config = SchemeConfig(fn, options={key: value for key, value in options.items() if value is not None})
    one, _ = drawn(config, (5, 4, 3))
    three, _ = drawn(config, (5, 4, 3), gain=3.0)
    np.testing.assert_allclose(three[1]["kernel"], 3 * one[1]["kernel"], rtol=1e-6)


@pytest.mark.parametrize("name", [*VARIANCES, "orthogonal", "sparse", "critical", "xavier_gain", "mup"])
def test_layers_and_seeds_are_independent(name):
    layers, _ = drawn(SchemeConfig(name), (96,) * 4)
    others, _ = drawn(SchemeConfig(name), (96,) * 4, seed=1)
    kernels = [np.asarray(layer["kernel"]).ravel() for layer in (*layers.values(), *others.values())]
    correlations = np.corrcoef(kernels)[np.triu_indices(6, k=1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(kernels[0].size)


@pytest.mark.parametrize("name", NAMES)
def test_double_precision_elsewhere_changes_no_scheme(name):
    """Under jax_enable_x64 every array of a scheme is float32, with the numbers that it has otherwise."""
    network = plain((24, 32, 32, 8), (activations.relu(),) * 2)
    x = jax.random.normal(jax.random.key(9), (10, 24))
    of_it = jax.random.key(0), network, HYPER
    draw = lambda precision: scheme_of(SchemeConfig(name))(*of_it, (x.astype(precision), jnp.zeros(10, int)))
    single = draw(jnp.float32)
    with jax.enable_x64(True):
        wide = draw(jnp.float64)
    for one, other in zip(jax.tree.leaves(single), jax.tree.leaves(wide), strict=True):
        assert other.dtype == jnp.float32
        np.testing.assert_array_equal(one, other)


def test_a_layer_is_the_same_at_every_depth():
    shallow, _ = drawn(SchemeConfig("xavier"), (96,) * 4)
    deep, _ = drawn(SchemeConfig("xavier"), (96,) * 6)
    for l in range(3):
        np.testing.assert_array_equal(shallow[l]["kernel"], deep[l]["kernel"])


def test_users_functions():
    def initialiser(key, shape, dtype=jnp.float32):
        return jnp.full(shape, 2.0, dtype)

    def shape_only(key, shape):
        return np.full(shape, 2.0)  # in float64

    def scheme(key, network, hyper, batch):
        return "params", "lr_scale"

    def of_plain_networks(key, widths, activations, hyper, batch):
        return {"widths": jnp.array(widths)}, jnp.ones(len(activations) + 1)

    network = plain((3, 2), ())
    for function in (initialiser, shape_only):
        params, _ = schemes.from_function(function)(jax.random.key(0), network, HYPER, None)
        np.testing.assert_array_equal(params["layers"][0]["kernel"], np.full((3, 2), 2.0))
        assert params["layers"][0]["kernel"].dtype == jnp.float32
    assert schemes.from_function(scheme) is scheme
    batch = jnp.zeros((5, 3)), jnp.zeros(5, int)
    params, lr_scale = schemes.from_function(of_plain_networks)(jax.random.key(0), network, HYPER, batch)
    assert (params["widths"].tolist(), lr_scale.tolist()) == ([3, 2], [1])
    assert schemes.from_function(jax.nn.initializers.he_normal()) is not None
    with pytest.raises(InputError, match=r"takes \(scale, column_axis, dtype\); an initialiser takes \(key, shape"):
        schemes.from_function(jax.nn.initializers.orthogonal)


@pytest.mark.parametrize("law", [lambda fan_in, fan_out: 4.0, lambda fan_in, fan_out: Law(4.0, None), 4.0, Law(4.0)])
def test_a_users_initialiser_states_its_law_by_an_attribute(law):
    for function in (lambda key, shape, dtype: jnp.full(shape, 2.0, dtype), lambda key, shape: np.full(shape, 2.0)):
        network = plain((3, 2, 2), (activations.tanh(),))
        assert schemes.law_of(schemes.from_function(function), network) is None
        function.law = law
        assert initializers.law_of(function)(3, 2) == Law(4.0)
        stated = schemes.law_of(schemes.from_function(function), network)
        assert stated == (Law(4.0), Law(4.0))


def test_a_users_scheme_states_its_law_and_its_optimizers_by_attributes():
    network = plain((3, 2), ())
    of_any = lambda key, network, hyper, batch: ("params", "lr_scale")
    of_plain = lambda key, widths, activations, hyper, batch: ("params", "lr_scale")
    laws = {of_any: lambda network: (Law(1 / network.n_inputs),), of_plain: lambda widths, _: (Law(1 / widths[0]),)}
    for function, law in laws.items():
        scheme = schemes.from_function(function)
        assert schemes.law_of(scheme, network) is schemes.optimizers_of(scheme) is None
        function.law, function.optimizers = law, ("adam",)
        scheme = schemes.from_function(function)
        assert schemes.law_of(scheme, network) == (Law(1 / 3),)
        assert schemes.optimizers_of(scheme) == ("adam",)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: initializers.variance_scaling(1, "sideways"), "fan is 'sideways'; it must be one of in, out, avg"),
        (lambda: initializers.xavier("cauchy"), "distribution is 'cauchy'; it must be one of uniform, normal"),
        (lambda: initializers.variance_scaling(-1), "scale is -1; it must be a finite number above 0"),
        (lambda: initializers.constant(math.nan), "value is nan"),
        (lambda: initializers.sparse(0), "nonzero is 0 and std 1.0; the first must be at least 1"),
        (lambda: schemes.critical(q=0.0), "scheme.q is 0.0; it must be a finite number above 0"),
        (lambda: schemes.xavier_gain("both"), "scheme.correction is 'both'; it must be one of second_moment, norm"),
        (lambda: schemes.mup(optimizer="adagrad"), "base_width 256 and optimizer 'adagrad'; they must be at least 1"),
    ],
)
def test_a_factory_refuses_what_makes_no_sense(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    ("scheme", "activation", "widths", "words"),
    [
        (
            schemes.critical(),
            "sigmoid",
            (5, 4, 3),
            "sigmoid has no edge of chaos at q = 1, .*; it has one from q = 45.62",
        ),
        (
            schemes.critical(60.0),
            "sigmoid",
            (5, 4, 3),
            "the edge of chaos of sigmoid lies in saturation, 60% of the units",
        ),
        (
            schemes.looks_linear(),
            "tanh",
            (5, 4, 3),
            r"needs f\(z\) - f\(-z\) proportional to z, but the activation is tanh",
        ),
        (schemes.looks_linear(), "relu", (5, 7, 3), "pairs hidden units, but a layer has 7; give even widths"),
    ],
)
def test_a_scheme_refuses_a_network_it_is_not_made_for(scheme, activation, widths, words):
    network = plain(widths, (getattr(activations, activation)(),))
    draw = lambda scheme, network: jax.eval_shape(lambda key: scheme(key, network, HYPER, None), jax.random.key(0))
    for attempt in (schemes.law_of, draw):
        with pytest.raises(InputError, match=words):
            attempt(scheme, network)


@pytest.mark.parametrize("name", NAMES)
def test_every_scheme_traces_with_gain_and_batch_abstract(name):
    """As training draws it: the network static."""
    scheme, widths = scheme_of(SchemeConfig(name)), (5, 4, 6, 3)
    network = plain(widths, (activations.relu(),) * 2)
    batch = jax.ShapeDtypeStruct((10, 5), jnp.float32), jax.ShapeDtypeStruct((10,), jnp.int32)
    draw = lambda key, hyper, batch: scheme(key, network, hyper, batch)
    params, lr_scale = jax.eval_shape(draw, jax.random.key(0), HYPER, batch)
    for l, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        layer = params["layers"][l]
        assert (layer["kernel"].shape, layer["bias"].shape) == ((n_in, n_out), (n_out,))
        assert layer["kernel"].dtype == layer["bias"].dtype == jnp.float32
    assert lr_scale.shape == (3,)


@pytest.mark.parametrize("name", ["silu", "softplus", "hard_sigmoid", "squared_relu", "sin", "prelu"])
def test_lsuv_works_with_any_activation(name):
    f, batch = getattr(activations, name)(), (jax.random.normal(jax.random.key(1), (200, 24)), jnp.zeros(200, int))
    network = plain((24, 24, 24, 4), (f, f))
    params, _ = schemes.lsuv()(jax.random.key(0), network, HYPER, batch)
    _, outputs, _ = network.apply(completed(network.start(jax.random.key(0))[0], params), {}, batch[0])
    np.testing.assert_allclose([float(jnp.std(z)) for z in outputs.pre], 1, atol=0.02)


def test_he_and_looks_linear_take_the_slope_that_prelu_starts_from():
    of = lambda activation: plain((8, 16, 16, 4), (activation,) * 2)
    prelu, leaky = of(activations.prelu()), of(activations.leaky_relu(0.25))
    for scheme in (schemes.he(negative_slope="activation"), schemes.looks_linear()):
        assert schemes.law_of(scheme, prelu) == schemes.law_of(scheme, leaky)
