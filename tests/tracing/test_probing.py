"""xinit.probe on other people's models, in linen, nnx, Equinox, Haiku and plain functions."""

import contextlib
import functools
import io
import itertools
import math

import equinox as eqx
import haiku as hk
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from rich.console import Console

import xinit
from tests.tracing.models import (
    CLASSES,
    TOKENS,
    LinenBlock,
    LinenConv,
    LinenMLP,
    LinenNoisy,
    LinenScanned,
    LinenTransformer,
    NnxConv,
    NnxMLP,
    NnxNoisy,
    NnxTransformer,
    variables_of,
)
from xinit.core.errors import InputError
from xinit.core.readings import SHARED, TRACED
from xinit.initializers import Law
from xinit.tracing import rules
from xinit.tracing.measure import default_loss
from xinit.tracing.models import model_of
from xinit.tracing.structure.kernels import Axes, by_path
from xinit.tracing.structure.layers import structure_of
from xinit.tracing.structure.program import run

pytestmark = pytest.mark.usefixtures("compile_quickly")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 12)).astype(np.float32)
Y = RNG.integers(0, CLASSES, 24)
IMAGES = RNG.normal(size=(12, 8, 8, 3)).astype(np.float32)
SENTENCES = RNG.integers(0, TOKENS, (12, 6))

MODELS = {
    "linen mlp": (LinenMLP, X, {}),
    "linen conv": (LinenConv, IMAGES, {"train": True}),
    "linen transformer": (LinenTransformer, SENTENCES, {}),
    "nnx mlp": (NnxMLP, X, {}),
    "nnx conv": (NnxConv, IMAGES, {}),
    "nnx transformer": (NnxTransformer, SENTENCES, {}),
}
every_model = pytest.mark.parametrize("name", MODELS)


@functools.cache
def made(name):
    """A model, what it is called with, and its variables if it is of linen."""
    make, x, kwargs = MODELS[name]
    if name.startswith("nnx"):
        return make(nnx.Rngs(0)), x, kwargs
    return make(), x, kwargs | {"variables": variables_of(make(), x, **kwargs)}


@functools.cache
def probed(name):
    model, x, kwargs = made(name)
    return xinit.probe(model, x, **kwargs)


def mlp_variables(depth=3, width=16, variance=lambda i, o: 2 / (i + o)):
    """Normal kernels and zero biases of a LinenMLP, drawn without jax, which would have to compile it."""
    rng, widths = np.random.default_rng(0), [12, *[width] * depth, CLASSES]
    draw = lambda i, o: (math.sqrt(variance(i, o)) * rng.normal(size=(i, o))).astype(np.float32)
    layers = [{"kernel": draw(i, o), "bias": np.zeros(o, np.float32)} for i, o in itertools.pairwise(widths)]
    return {"params": {f"Dense_{l}": layer for l, layer in enumerate(layers)}}


def back_propagated(model, x, variables=None, **kwargs):
    """The structure; of each layer h and dL/dz of the linear functional; the gradients of the parameters."""
    x = jnp.asarray(x)
    of = model_of(model, x, variables, None, kwargs, None)
    structure = structure_of(of.call, of.params, of.others, of.inputs)
    loss, _ = default_loss(structure.output, None)
    products = [layer.product for layer in structure.layers]
    taps = {p.gives: jnp.zeros(structure.program.types[p.gives].shape) for p in products}
    kept = {p.reads for p in products if p.reads is not None}

    def total(params, taps):
        (output,), records = run(structure.program, jax.tree.leaves((params, of.others, of.inputs)), taps, kept)
        return loss(output, x), records

    (gradients, taps), records = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(of.params, taps)
    seen = [(records.get(product.reads), taps[product.gives]) for product in products]
    return structure, jax.tree.map(np.asarray, seen), by_path(gradients)


@every_model
def test_zero_taps_give_the_back_propagated_gradients(name):
    """Sum over examples and positions of dL/dz = dL/db, and h^T dL/dz = dL/dW, in every layer that has them."""
    model, x, kwargs = made(name)
    structure, seen, gradients = back_propagated(model, x, **kwargs)
    checked = set()
    for layer, (h, g) in zip(structure.layers, seen, strict=True):
        owner = layer.kernel.rpartition("/")[0]
        g_z = g.reshape(-1, layer.width)
        if f"{owner}/bias" in gradients:
            bias = gradients[f"{owner}/bias"].ravel()
            np.testing.assert_allclose(g_z.sum(axis=0), bias, rtol=1e-3, atol=1e-5 * np.abs(g_z).sum())
            checked.add(layer.name)
        axes, kernel = structure.axes[layer.kernel], gradients[layer.kernel]
        is_once = sum(other.kernel == layer.kernel for other in structure.layers) == 1
        if layer.product.kind == "dense" and isinstance(axes, Axes) and is_once:
            expected = (h.reshape(len(g_z), -1).T @ g_z).reshape(kernel.shape)
            np.testing.assert_allclose(expected, kernel, rtol=1e-3, atol=1e-5 * np.abs(kernel).max())
            checked.add(layer.name)
    assert len(checked) >= sum(layer.kernel.endswith("kernel") for layer in structure.layers)


def telling():
    """An initialiser whose every weight tells the fans (I, O) that it was drawn for: W^2 = I + O / 1024."""
    variance = lambda n_in, n_out: n_in + n_out / 1024
    init = lambda key, shape, dtype: np.full(shape, math.sqrt(variance(*shape)), dtype)
    init.law = lambda *fans: Law(variance(*fans))
    return init


@every_model
def test_the_fans_that_a_probe_shows_are_those_that_initialize_draws_with(name):
    model, x, kwargs = made(name)
    fans = {row.path: (row.fan_in, row.fan_out) for row in probed(name).parameters if row.fan_in}
    scheme = dict.fromkeys(fans, telling())
    if isinstance(model, nnx.Module):
        drawn = nnx.state(xinit.initialize(model, scheme, jax.random.key(0), batch=x), nnx.Param)
    else:
        others = {key: value for key, value in kwargs.items() if key != "variables"}
        drawn = xinit.initialize(kwargs["variables"], scheme, jax.random.key(0), model=model, batch=x, **others)
        drawn = drawn["params"]
    weights = by_path(drawn)
    for path, (n_in, n_out) in fans.items():
        np.testing.assert_allclose(np.asarray(weights[path]) ** 2, n_in + n_out / 1024, rtol=1e-5)


def test_the_gradient_of_an_embeddings_rows_is_that_of_its_output():
    model, x, kwargs = made("linen transformer")
    structure, seen, gradients = back_propagated(model, x, **kwargs)
    assert structure.layers[0].name == "Embed_0"
    rows = np.zeros((TOKENS, 16))
    np.add.at(rows, SENTENCES, seen[0][1])
    np.testing.assert_allclose(rows, gradients["Embed_0/embedding"], rtol=1e-4, atol=1e-7)


@every_model
def test_every_layer_is_seen_and_measured(name):
    report = probed(name)
    n_layers = {"mlp": 4, "conv": 4, "transformer": 14}[name.split()[1]]
    assert len(report.names) == n_layers
    assert report.unseen == {}
    assert {*SHARED, *TRACED} <= set(report.readings)
    for reading, values in report.readings.items():
        assert len(values) == n_layers, reading
    assert np.isfinite(report.readings["grad_pre_std"]).all()
    assert (report.readings["grad_pre_std"] > 0).all()
    tokens = report.kinds[0] == "lookup"
    assert np.isnan(report.readings["input_std"]).sum() == tokens  # only tokens have no size


def test_readings_are_what_their_words_say():
    """Against a forward and backward pass written out, of the mean cross-entropy."""
    model, variables = LinenMLP(depth=1), mlp_variables(1)
    report = xinit.probe(model, (X, Y), variables=variables)
    first, last = (variables["params"][name] for name in ("Dense_0", "Dense_1"))
    z = X @ first["kernel"]
    h = np.maximum(z, 0)
    logits = h @ last["kernel"]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    g_logits = p - np.eye(CLASSES)[Y]  # per example
    g_z = g_logits @ last["kernel"].T * (z > 0)
    unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-30)
    expected = {
        "input_mean": (X.mean(), h.mean()), "input_std": (X.std(), h.std()), "pre_mean": (z.mean(), logits.mean()),
        "pre_std": (z.std(), logits.std()), "grad_pre_mean": (g_z.mean(), g_logits.mean()),
        "grad_pre_std": (g_z.std(), g_logits.std()), "grad_pre_zero_units": ((g_z == 0).all(axis=0).mean(), 0),
        "grad_pre_zero": ((g_z == 0).mean(), 0), "grad_w_norm": (None, np.linalg.norm(h.T @ g_logits) / 24),
        "input_cosine_mean": (None, (unit @ unit.T)[np.triu_indices(24, k=1)].mean()),
    }  # fmt: skip
    for reading, (at_first, at_last) in expected.items():
        if at_first is not None:
            assert report.readings[reading][0] == pytest.approx(at_first, rel=1e-4, abs=1e-6), reading
        assert report.readings[reading][1] == pytest.approx(at_last, rel=1e-4, abs=1e-6), reading
    assert report.loss == pytest.approx(-np.log(p[np.arange(24), Y]).mean(), rel=1e-5)
    assert report.chance_loss == pytest.approx(math.log(CLASSES))


def equinox_mlp(kernels):
    """The same network, whose module takes one example."""
    model = eqx.nn.MLP(12, CLASSES, 16, 1, key=jax.random.key(0))
    at = lambda mlp: [mlp.layers[0].weight, mlp.layers[1].weight]
    model = eqx.tree_at(at, model, [jnp.asarray(w.T) for w in kernels])
    zero = lambda mlp: [layer.bias for layer in mlp.layers]
    return eqx.tree_at(zero, model, [jnp.zeros(16), jnp.zeros(CLASSES)])


def haiku_mlp(kernels):
    pair = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([16, CLASSES])(x)))
    names = ("mlp/~/linear_0", "mlp/~/linear_1")
    return pair, {name: {"w": w, "b": np.zeros(w.shape[1], np.float32)} for name, w in zip(names, kernels, strict=True)}


def a_function(params, x):
    return jax.nn.relu(x @ params["w1"]) @ params["w2"]


def test_all_libraries_agree_on_the_same_weights():
    variables = mlp_variables(1)
    w = [layer["kernel"] for layer in variables["params"].values()]
    module = NnxMLP(nnx.Rngs(0), widths=(12, 16, 5))
    for layer, kernel in zip(module.layers, w, strict=True):
        layer.kernel[...] = kernel
    pair, haiku_params = haiku_mlp(w)
    of_linen = xinit.probe(LinenMLP(depth=1), (X, Y), variables=variables)
    others = {
        "nnx": xinit.probe(module, (X, Y)),
        "its state": xinit.probe(NnxMLP(nnx.Rngs(1), (12, 16, 5)), (X, Y), variables=nnx.state(module)),
        "a function": xinit.probe(a_function, (X, Y), variables={"w1": w[0], "w2": w[1]}),
        "equinox": xinit.probe(equinox_mlp(w), (X, Y)),
        "haiku": xinit.probe(pair, (X, Y), variables=haiku_params),
    }
    for library, report in others.items():
        assert report.loss == pytest.approx(of_linen.loss, rel=1e-5), library
        assert report.functions == of_linen.functions == ("relu", None), library
        for reading, values in of_linen.readings.items():
            own = report.readings[reading]
            np.testing.assert_allclose(own, values, rtol=1e-3, atol=1e-6, err_msg=f"{library} {reading}")
    assert others["a function"].names == ("w1", "w2")
    assert others["equinox"].names == others["nnx"].names == ("layers/0", "layers/1")
    assert others["haiku"].names == ("mlp/~/linear_0", "mlp/~/linear_1")


def test_the_model_stays_as_it_is():
    """Batch statistics, counts of keys and parameters of an nnx module; what a linen module is given."""
    module = NnxNoisy(nnx.Rngs(0))
    before = nnx.to_pure_dict(nnx.state(module))
    xinit.probe(module, X)
    after = nnx.to_pure_dict(nnx.state(module))
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(_data, before), jax.tree.map(_data, after))
    assert type(module.first) is nnx.Linear
    variables = variables_of(LinenConv(), IMAGES, train=True)
    kept = jax.tree.map(np.array, variables)
    xinit.probe(LinenConv(), IMAGES, variables=variables, train=True)
    jax.tree.map(np.testing.assert_array_equal, kept, variables)


def _data(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def test_batch_statistics_of_training_and_of_evaluation_are_told_apart():
    variables = variables_of(LinenConv(), IMAGES, train=True)
    train, evaluation = (xinit.probe(LinenConv(), 3 * IMAGES, variables=variables, train=on) for on in (True, False))
    second = train.names.index("Conv_1")  # reads the rectified, normalised output of the first
    assert evaluation.readings["input_std"][second] > 1.5 * train.readings["input_std"][second]


def test_dropout_has_the_keys_it_is_given():
    keys = [{"dropout": jax.random.key(i)} for i in (1, 1, 2)]
    losses = [xinit.probe(LinenNoisy(), X, rngs=key, train=True).loss for key in keys]
    assert losses[0] == losses[1] != losses[2]
    module = NnxNoisy(nnx.Rngs(params=0, dropout=1))
    losses = [xinit.probe(module, X, rngs=key).loss for key in keys]
    assert losses[0] == losses[1] != losses[2]
    assert xinit.probe(module, X, rngs=jax.random.key(3)).loss not in losses
    with pytest.raises(InputError, match="rngs has droput; the model has streams of: dropout"):
        xinit.probe(module, X, rngs={"droput": jax.random.key(0)})


def test_half_precision_is_measured_in_single():
    half, single = LinenMLP(dtype=jnp.bfloat16), LinenMLP()
    report, whole = (xinit.probe(model, (X, Y), variables=mlp_variables()) for model in (half, single))
    for reading in ("pre_std", "input_std", "grad_pre_std"):
        np.testing.assert_allclose(report.readings[reading], whole.readings[reading], rtol=0.05)


def test_deep_xavier_with_relu_fails_and_he_repairs_it():
    """He et al. 2015: under Xavier the signal is x 2^(-1/2) a layer, so is the gradient."""
    model, variables = LinenMLP(depth=50, width=128), mlp_variables(50, 128, lambda i, o: 2 / (i + o))
    report = xinit.probe(model, (X, Y), variables=variables)
    assert report.verdict.startswith("FAIL: the signal vanishes over depth")
    assert "the gradient vanishes over depth" in report.verdict
    assert report.remedy == 'variables = xinit.initialize(variables, "he", jax.random.key(0), model=model, batch=x)'
    assert rules.trend(np.arange(50), report.readings["pre_std"][:50]).rate == pytest.approx(2**-0.5, abs=0.03)
    repaired = xinit.probe(model, (X, Y), variables=xinit.initialize(variables, "he", jax.random.key(0)))
    assert not repaired.verdict.startswith("FAIL")
    assert repaired.remedy is None
    assert rules.trend(np.arange(50), repaired.readings["pre_std"][:50]).rate == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("name", ["linen conv", "nnx conv", "linen transformer", "nnx transformer"])
def test_of_a_sound_model_it_says_that_initialisation_is_not_the_cause(name):
    report = probed(name)
    assert report.verdict.startswith("OK")
    assert "nothing at initialisation explains a failure to train" in report.verdict
    norm = "batch normalisation" if "conv" in name else "skips, layer normalisation"
    assert f"the theory of plain networks does not hold here ({norm})" in report.verdict
    assert report.skips is ("transformer" in name)


def zero_head(variables):
    return {"params": variables["params"] | {"Dense_3": jax.tree.map(jnp.zeros_like, variables["params"]["Dense_3"])}}


def shifted(by):
    return lambda variables: {
        "params": {name: layer | {"bias": layer["bias"] + by} for name, layer in variables["params"].items()}
    }


def constant(value):
    return lambda variables: jax.tree.map(lambda w: np.full_like(w, value), variables)


def scaled(by):
    return lambda variables: jax.tree.map(lambda w: by * w, variables)


@pytest.mark.parametrize(
    ("change", "batch", "level", "rule", "words"),
    [
        (scaled(1.5), (X, Y), "OK", "elsewhere", "nothing at initialisation explains a failure to train"),
        (scaled(6), (X, Y), "WARN", "confident", "the logits are too large"),
        (scaled(np.nan), (X, Y), "FAIL", "finite", "the output of Dense_0 and 3 more of 4 layers is infinite or not a"),
        (scaled(1e15), (X, Y), "FAIL", "finite", "the output of Dense_2 and 1 more of 4 layers is infinite or not a"),
        (shifted(-9), (X, Y), "FAIL", "reach", "no gradient reaches Dense_0 and 2 more of 4 layers: it cannot learn"),
        (scaled(0), (X, Y), "FAIL", "reach", "no gradient reaches Dense_0 and 2 more of 4 layers: it cannot learn"),
        (constant(0.1), (X, Y), "FAIL", "copies", "copies of each other and stay so: Dense_*/kernel (3)"),
        (zero_head, (X, Y), "WARN", "reach", "Dense_3/kernel is zero, and lets none through before it has moved"),
        (scaled(1.5), (100 * X, Y), "WARN", "inputs", "the inputs have mean"),
        (scaled(1.5), (X / 50 + 1, Y), "WARN", "inputs", "almost parallel"),
        (scaled(1.5), (X, 0 * Y), "WARN", "labels", "all labels of the batch are the same class"),
    ],
)
def test_what_is_wrong_is_named(change, batch, level, rule, words):
    variables = change(mlp_variables())
    findings = xinit.probe(LinenMLP(), batch, variables=variables).findings
    assert any(f.level == level and f.rule == rule and words in f.sentence for f in findings), findings


def test_units_that_copy_each_other_at_first_are_told_apart_by_what_reads_them():
    """Under random weights behind them equal units get different gradients: they part at the first step."""
    variables, random = constant(0.1)(mlp_variables()), mlp_variables()["params"]
    for l in (1, 2, 3):
        variables["params"][f"Dense_{l}"] = random[f"Dense_{l}"]
    rules_found = {finding.rule for finding in xinit.probe(LinenMLP(), (X, Y), variables=variables).findings}
    assert "copies" not in rules_found


def test_dead_units_are_more_than_symmetric_weights_can_give():
    variables = mlp_variables(2, 64, lambda i, o: 2 / i)
    variables["params"]["Dense_1"]["bias"][:60] = -9
    report = xinit.probe(LinenMLP(depth=2, width=64), (X, Y), variables=variables)
    found = next(finding for finding in report.findings if finding.rule == "dead")
    assert found.level == "FAIL"
    assert found.sentence.endswith("of units are dead, passing no gradient, in Dense_1")


def test_gradients_that_explode_behind_a_bounded_signal_fail():
    model, variables = LinenMLP(depth=8, width=64, function=jnp.tanh), mlp_variables(8, 64, lambda i, o: 1 / 4)
    findings = xinit.probe(model, (X, Y), variables=variables).findings
    assert findings[0][:2] == ("FAIL", "gradient")
    assert "explodes over depth" in findings[0].sentence


class Wired(linen.Module):
    """A layer before, two branches, and a layer that reads both; with `skip`, one branch is none."""

    skip: bool

    @linen.compact
    def __call__(self, x):
        x = linen.Dense(6, name="stem")(x)
        left = linen.Dense(6, name="left")(x)
        left = linen.Dense(6, name="lefter")(left)
        right = x if self.skip else linen.Dense(6, name="right")(x)
        return linen.Dense(2, name="top")(jnp.concatenate([left, right], axis=-1))


@pytest.mark.parametrize("skip", [True, False])
def test_depths_follow_the_longest_way_and_branches_are_no_skips(skip):
    report = xinit.probe(Wired(skip), X)
    depths = dict(zip(report.names, report.depths, strict=True))
    expected = {"stem": 1, "left": 2, "lefter": 3, "right": 2, "top": 4}
    assert depths == {name: depth for name, depth in expected.items() if name in depths}
    assert report.skips is skip
    assert xinit.probe(Wired(skip), X, layers="*t*").skips is skip


def test_query_key_and_value_have_one_depth():
    report = probed("linen transformer")
    depths = dict(zip(report.names, report.depths, strict=True))
    assert len({depths[f"block_0/attention/{name}"] for name in ("query", "key", "value")}) == 1


def test_layers_are_chosen_by_patterns():
    model = LinenTransformer(width=8, blocks=1)
    variables = variables_of(model, SENTENCES)
    report = xinit.probe(model, SENTENCES, variables=variables, layers=["**/query", "head", "block_?/down"])
    assert report.names == ("block_0/attention/query", "block_0/down", "head")
    assert report.fed_by == ((), (0,), (0, 1))
    of_block = xinit.probe(model, SENTENCES, variables=variables, layers="block_*")
    assert len(of_block.names) == 6
    with pytest.raises(InputError, match=r"No layer fits '\*\*/Conv_\*'; there are: Embed_0, .*block_0/attention/key"):
        xinit.probe(model, SENTENCES, variables=variables, layers="**/Conv_*")


def test_a_kernel_that_is_used_again_is_another_layer_and_one_parameter():
    report = probed("nnx transformer")
    assert (report.names[0], report.names[-1]) == ("embed", "embed (call 2)")
    assert report.kinds[0], report.kinds[-1] == ("lookup", "dense")
    assert report.fans[0], report.fans[-1] == ((1, 16), (16, TOKENS))
    assert [row.path for row in report.parameters].count("embed/embedding") == 1

    class Twice(nnx.Module):
        def __init__(self):
            self.again = self.layer = nnx.Linear(12, 12, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.again(nnx.relu(self.layer(x)))

    report = xinit.probe(Twice(), X)
    assert len(report.names) == 2
    assert report.names[1] == f"{report.names[0]} (call 2)"
    assert len(report.parameters) == 2


@pytest.mark.parametrize("wrap", [linen.remat, linen.jit])
def test_layers_inside_another_transform_are_seen_as_outside_it(wrap):
    plain = LinenTransformer(width=8, blocks=1)
    variables = variables_of(plain, SENTENCES)
    report, inside = (
        xinit.probe(LinenTransformer(width=8, blocks=1, block=block), SENTENCES, variables=variables)
        for block in (LinenBlock, wrap(LinenBlock))
    )
    assert inside.names == report.names
    for reading, values in report.readings.items():
        np.testing.assert_allclose(inside.readings[reading], values, rtol=1e-4, atol=1e-6, err_msg=reading)


def test_layers_stacked_by_a_scan_are_those_of_the_unrolled_network():
    """Of a linen scan on any axis: names, readings, fans and the gradients of each layer's own part."""
    for axis in (0, 1):
        model = LinenScanned(axis=axis, width=12)
        variables = variables_of(model, X)
        stacked = variables["params"]["blocks"]["Dense_0"]
        bias_axis = min(axis, 1)
        layers = [
            {"kernel": np.take(stacked["kernel"], i, axis), "bias": np.take(stacked["bias"], i, bias_axis)}
            for i in range(3)
        ]
        params = {f"Dense_{i}": layer for i, layer in enumerate([*layers, variables["params"]["head"]])}
        report = xinit.probe(model, (X, Y), variables=variables)
        unrolled = xinit.probe(LinenMLP(width=12), (X, Y), variables={"params": params})
        assert report.names == ("blocks/Dense_0[0]", "blocks/Dense_0[1]", "blocks/Dense_0[2]", "head")
        assert [row.path for row in report.kernels[:2]] == ["blocks/Dense_0/kernel[0]", "blocks/Dense_0/kernel[1]"]
        assert report.fans == unrolled.fans
        assert report.depths == unrolled.depths
        assert report.functions == unrolled.functions
        for reading, values in unrolled.readings.items():
            np.testing.assert_allclose(report.readings[reading], values, rtol=1e-4, atol=1e-6, err_msg=reading)
        for row, other in zip(report.kernels, unrolled.kernels, strict=True):
            assert row.in_variance == pytest.approx(other.in_variance, rel=1e-5)


def test_another_call_on_other_values_compiles_nothing():
    model, first, second = LinenMLP(), mlp_variables(), scaled(2)(mlp_variables())
    xinit.probe(model, (X, Y), variables=first)
    module = NnxMLP(nnx.Rngs(0))
    xinit.probe(module, (X, Y))
    with jax.log_compiles(False), count_compilations() as compiled:
        report = xinit.probe(LinenMLP(), (2 * X, Y), variables=second)
        other = xinit.probe(NnxMLP(nnx.Rngs(1)), (X, Y))
    assert compiled == []
    assert report.loss != other.loss


def test_under_another_setting_of_jax_a_model_is_another_program():
    """The precision of products is part of the program that is traced."""
    probe = functools.partial(xinit.probe, LinenMLP(depth=1), (X, Y), variables=mlp_variables(1))
    probe()
    for compiles in (True, False):
        with jax.default_matmul_precision("highest"), count_compilations() as compiled:
            probe()
        assert bool(compiled) is compiles


def test_a_probe_is_compiled_once_and_called_at_many_steps():
    model = LinenMLP()
    probe = xinit.Probe(model, (X, Y), variables=mlp_variables())
    first = probe()
    with count_compilations() as compiled:
        reports = [probe(scaled(scale)(mlp_variables())) for scale in (1, 2)]
        other_batch = probe(mlp_variables(), (2 * X, Y))
    assert compiled == []
    assert reports[0].loss == first.loss != reports[1].loss
    assert other_batch.readings["input_std"][0] == pytest.approx(2 * first.readings["input_std"][0], rel=1e-5)
    with pytest.raises(InputError, match="The batch has other shapes than the probe was made with"):
        probe(mlp_variables(), (X[:5], Y[:5]))
    with pytest.raises(InputError, match="The model has other shapes"):
        probe(mlp_variables(width=8))


@contextlib.contextmanager
def count_compilations():
    """The events of compilations meanwhile."""
    events = []

    def heard(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)


def test_a_branch_that_is_not_taken_has_no_readings_and_no_verdict():
    function = lambda params, x: jax.lax.cond(x[0, 0] > 9, lambda h: h @ params["a"], lambda h: h @ params["b"], x)
    params = {name: np.eye(12, dtype=np.float32) for name in "ab"}
    report = xinit.probe(function, X, variables=params)
    assert report.names == ("b",)
    assert report.unseen == {"a": "it lies in a branch that this batch does not take"}
    assert not report.verdict.startswith("FAIL")


def test_losses_of_ones_own_and_by_default():
    values = RNG.normal(size=(24, CLASSES)).astype(np.float32)
    of_mlp = functools.partial(xinit.probe, LinenMLP(), variables=mlp_variables())
    own = of_mlp((X, values), loss=lambda output, batch: jnp.mean((output - batch[1]) ** 2))
    assert of_mlp((X, values)).loss == pytest.approx(own.loss)
    doubled = xinit.probe(LinenMLP(), X, variables=scaled(2)(mlp_variables()))
    top = [report.readings["grad_pre_std"][-1] for report in (of_mlp(X), doubled)]
    assert top[0] == top[1] == pytest.approx(1 / math.sqrt(CLASSES), rel=0.2)  # of a linear functional


def test_a_report_prints_plainly_and_richly():
    report = probed("linen conv")
    lines = str(report).splitlines()
    assert lines[0].split()[:4] == ["layer", "kind", "output", "f"]
    assert lines[1].split()[:4] == ["Conv_0", "convolution", "12x8x8x8", "relu"]
    assert any(line == report.verdict for line in lines)
    assert repr(report) == str(report)
    for width in (80, 140):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(report)
        assert "Conv_0" in console.export_text()


NOT_FINITE = np.where(np.arange(12) == 3, np.nan, X)


@pytest.mark.parametrize(
    ("model", "batch", "kwargs", "message"),
    [
        (LinenMLP(), NOT_FINITE, {}, "24 values that are infinite or not numbers"),
        (LinenMLP(), (X, Y.astype(float) * np.nan), {}, "24 values that are infinite or not numbers at y"),
        (LinenMLP(), (X, Y + 1), {}, "y runs from 1 to 5; the output allows 0 to 4"),
        (LinenMLP(), (X, Y[:3]), {}, r"y has shape \(3,\)"),
        (LinenMLP(), (X, Y, Y), {}, "batch is a tuple of 3"),
        (LinenMLP(), X[:0], {}, "no examples"),
        (LinenMLP(), X, {"train": True}, "cannot be called with x of .24, 12. float32: TypeError"),
        (LinenMLP(), X, {"variables": {"Dense_0": {}}}, "it must have params"),
        (LinenMLP(), X, {"rngs": 3}, "rngs is 3; it must be a key"),
        (LinenMLP(), X, {"loss": lambda output, batch: output}, r"loss returns an array of shape \(24, 5\)"),
        (LinenMLP(), X, {"loss": lambda output, batch: (output.sum(), {})}, "loss returns tuple; it must return one"),
        (LinenMLP(), X, {"loss": lambda output, batch: output.size}, "loss returns int; it must return one number"),
        (LinenMLP(), X, {"loss": lambda output, batch: output.argmax()}, r"of shape \(\) and type int32; it must"),
        (LinenMLP(), X, {"loss": lambda output, batch: output["a"]}, "loss cannot be called .* TypeError"),
        (NnxMLP(nnx.Rngs(0)), X[:, :5], {}, "cannot be called with x of .24, 5. float32"),
        (NnxMLP, X, {}, "made and not its class"),
        (LinenNoisy(), X, {"train": True}, "Dropout_0 needs PRNG .* rngs={'dropout'"),
        (linen.Dropout(0.5, deterministic=True), X, {}, "model is a Dropout and has no parameters"),
    ],
)
def test_mistakes_are_one_sentence(model, batch, kwargs, message):
    with pytest.raises(InputError, match=message):
        xinit.probe(model, batch, **kwargs)
