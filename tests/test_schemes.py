"""The law of every scheme: mean, variance, support, distribution, independence, at many shapes."""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from xinit import activations, initializers, schemes
from xinit.build import build_scheme
from xinit.config import SchemeConfig
from xinit.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHAPES = [(300, 300), (1024, 100), (100, 1024), (50, 784)]
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
}
LAWS = [("standard", "uniform"), *[(name, d) for name in list(VARIANCES)[1:] for d in DISTRIBUTIONS]]
HYPER = {"gain": jnp.float32(1)}


def drawn(config: SchemeConfig, widths, seed=0, functions=None, gain=1.0):
    functions = functions or (activations.tanh(),) * (len(widths) - 2)
    scheme = build_scheme(config)
    params, lr_scale = scheme(jax.random.key(seed), widths, functions, {"gain": jnp.float32(gain)}, None)
    return params["layers"], lr_scale


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "distribution"), LAWS)
def test_law(name, distribution, shape):
    options = {} if name == "standard" else {"distribution": distribution}
    layers, lr_scale = drawn(SchemeConfig(name, options=options), shape)
    kernel = np.asarray(layers[0]["kernel"], np.float64).ravel()
    variance = VARIANCES[name](*shape)
    kurtosis, bound, cdf = DISTRIBUTIONS[distribution]
    n, z = kernel.size, kernel / math.sqrt(variance)
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt((kurtosis - 1) / n)
    assert np.abs(z).max() <= bound * (1 + 1e-6)
    assert scipy.stats.kstest(z[:: max(1, n // 20_000)], cdf).pvalue > 1e-4
    np.testing.assert_array_equal(layers[0]["bias"], np.zeros(shape[1]))
    np.testing.assert_array_equal(lr_scale, [1.0])


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
    shape, key = (64, 48), jax.random.key(3)
    np.testing.assert_allclose(ours(key, shape, jnp.float32), theirs(key, shape, jnp.float32), rtol=1e-5, atol=1e-7)


def test_he_takes_slope_and_fan():
    widths = (200, 400, 10)
    layers, _ = drawn(SchemeConfig("he", options={"fan": "out", "negative_slope": 0.5}), widths)
    assert float(jnp.var(layers[0]["kernel"])) == pytest.approx(2 / 1.25 / 400, rel=0.03)
    from_activation, _ = drawn(
        SchemeConfig("he", options={"fan": "out", "negative_slope": "activation"}), widths,
        functions=(activations.leaky_relu(0.5),),
    )  # fmt: skip
    np.testing.assert_array_equal(from_activation[0]["kernel"], layers[0]["kernel"])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_orthogonal(shape):
    layers, _ = drawn(SchemeConfig("orthogonal"), shape)
    kernel = np.asarray(layers[0]["kernel"], np.float64)
    gram = kernel.T @ kernel if shape[0] >= shape[1] else kernel @ kernel.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-5)


def test_constant():
    layers, _ = drawn(SchemeConfig("constant", options={"value": 0.3}), (4, 3, 2))
    np.testing.assert_allclose(layers[1]["kernel"], np.full((3, 2), 0.3))


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "scheme").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_names_its_scheme_and_its_gain_scales_the_kernels(path):
    import yaml

    if path.stem == "custom":
        return
    options = yaml.safe_load(path.read_text())
    fn, gain = options.pop("fn"), options.pop("gain")
    assert (fn, gain) == (path.stem, 1.0)
    config = SchemeConfig(fn, options=options)
    one, _ = drawn(config, (5, 4, 3))
    three, _ = drawn(config, (5, 4, 3), gain=3.0)
    np.testing.assert_allclose(three[1]["kernel"], 3 * one[1]["kernel"], rtol=1e-6)


@pytest.mark.parametrize("name", [*VARIANCES, "orthogonal"])
def test_layers_and_seeds_are_independent(name):
    layers, _ = drawn(SchemeConfig(name), (200,) * 4)
    others, _ = drawn(SchemeConfig(name), (200,) * 4, seed=1)
    kernels = [np.asarray(layer["kernel"]).ravel() for layer in (*layers.values(), *others.values())]
    correlations = np.corrcoef(kernels)[np.triu_indices(6, k=1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(kernels[0].size)


def test_a_layer_is_the_same_at_every_depth():
    shallow, _ = drawn(SchemeConfig("xavier"), (8, 6, 6, 2))
    deep, _ = drawn(SchemeConfig("xavier"), (8, 6, 6, 6, 6, 2))
    for l in range(2):
        np.testing.assert_array_equal(shallow[l]["kernel"], deep[l]["kernel"])


def test_users_functions():
    def initialiser(key, shape, dtype=jnp.float32):
        return jnp.full(shape, 2.0, dtype)

    def shape_only(key, shape):
        return jnp.full(shape, 2.0)

    def scheme(key, widths, activations, hyper, batch):
        return "params", "lr_scale"

    for function in (initialiser, shape_only):
        params, _ = schemes.from_function(function)(jax.random.key(0), (3, 2), (), HYPER, None)
        np.testing.assert_array_equal(params["layers"][0]["kernel"], np.full((3, 2), 2.0))
    assert schemes.from_function(scheme) is scheme
    assert schemes.from_function(jax.nn.initializers.he_normal()) is not None
    with pytest.raises(InputError, match=r"takes \(scale, column_axis, dtype\); an initialiser takes \(key, shape"):
        schemes.from_function(jax.nn.initializers.orthogonal)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: initializers.variance_scaling(1, "sideways"), "fan is 'sideways'; it must be one of in, out, avg"),
        (lambda: initializers.xavier("cauchy"), "distribution is 'cauchy'; it must be one of uniform, normal"),
        (lambda: initializers.variance_scaling(-1), "scale is -1; it must be a finite number above 0"),
        (lambda: initializers.constant(math.nan), "value is nan"),
    ],
)
def test_a_factory_refuses_what_makes_no_sense(make, words):
    with pytest.raises(InputError, match=words):
        make()
