"""What xinit.probe dares to say: of nothing that it did not see, and a remedy only where pasting it helps."""

import itertools
import math
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import xinit
from tests.tracing.models import (
    CLASSES,
    LinenAround,
    LinenHandwritten,
    LinenMLP,
    LinenRecurrent,
    LinenScanned,
    LinenStackOfOwn,
    NnxLowRank,
    NnxMLP,
    variables_of,
)
from xinit.tracing import remedies, rules, rules_depth
from xinit.tracing.parameters import Parameter

pytestmark = pytest.mark.usefixtures("compile_quickly")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 12)).astype(np.float32)
STEPS = RNG.normal(size=(6, 4, 12)).astype(np.float32)
ALL_CLEAR = "nothing at initialisation explains a failure to train"


def scaled(variables, module, by):
    change = lambda name, leaf: jax.tree.map(lambda w: by * w, leaf) if name == module else leaf
    return {"params": {name: change(name, leaf) for name, leaf in variables["params"].items()}}


def mlp_variables(depth, width, variance):
    rng, widths = np.random.default_rng(0), [12, *[width] * depth, CLASSES]
    draw = lambda i, o: (math.sqrt(variance(i, o)) * rng.normal(size=(i, o))).astype(np.float32)
    layers = [{"kernel": draw(i, o), "bias": np.zeros(o, np.float32)} for i, o in itertools.pairwise(widths)]
    return {"params": {f"Dense_{l}": layer for l, layer in enumerate(layers)}}


def saturated(model):
    """Variables of a recurrent model, every gate of whose cell is saturated."""
    return scaled(variables_of(model, STEPS), "cell", 100)


def two_layers(params, x):
    return jax.nn.relu(x @ params["w1"]) @ params["w2"]


FUNCTION = {"w1": RNG.normal(size=(12, 16)) / 3, "w2": RNG.normal(size=(16, CLASSES)) / 4}
OPTIMIZED, PLAIN = LinenRecurrent(), LinenRecurrent(linen.LSTMCell)
# A network, the level it deserves, what its report must name, and whether it may be told that all is well.
VERDICTS = {
    "saturated lstm": (OPTIMIZED, STEPS, {"variables": saturated(OPTIMIZED)}, "WARN", ["flat parts"], False),
    "its gates are layers": (PLAIN, STEPS, {"variables": saturated(PLAIN)}, "WARN", ["flat parts"], False),
    "stacked by a scan": (LinenScanned(width=12), X, {}, "OK", ["blocks/Dense_0[2]"], True),
    "a scan of one's own": (LinenStackOfOwn(), X, {}, "OK", ["w[2]"], True),
    "two matrices in a module": (LinenHandwritten(), X, {}, "WARN", ["saturated, in the flat parts of tanh"], False),
    "a matrix around layers": (LinenAround(), X, {}, "OK", ["own "], True),
    "low rank": (NnxLowRank(nnx.Rngs(0)), X, {}, "OK", ["lora_b", "past_zeros=True looks past it"], False),
    "layers that are chosen": (
        LinenMLP(), X, {"layers": "Dense_0"}, "WARN",
        ["1 layer is seen", "Dense_*/kernel (3)", "it is in no layer that was chosen"], False,
    ),
    "all layers": (LinenMLP(), X, {"variables": mlp_variables(3, 16, lambda i, o: 2 / i)}, "OK", ["Dense_3"], True),
    "too few layers": (
        two_layers, X, {"variables": FUNCTION}, "OK", ["2 layers are seen one behind the other, so that nothing"], False
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VERDICTS)
def test_no_verdict_speaks_of_what_was_not_seen(name):
    model, x, kwargs, level, named, all_clear = VERDICTS[name]
    report = xinit.probe(model, x, **kwargs)
    assert report.verdict.startswith(level)
    assert (ALL_CLEAR in str(report)) is all_clear
    for words in named:
        assert words in str(report)


def test_the_base_kernels_of_low_rank_layers_are_seen():
    report = xinit.probe(NnxLowRank(nnx.Rngs(0)), X)
    assert {"first/kernel", "second/base_module/kernel"} <= {row.path for row in report.kernels}
    assert report.unseen == {}


FALSE_ALARMS = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "false_alarms.py"))
CASES, levels = FALSE_ALARMS["CASES"], FALSE_ALARMS["levels"]
QUICK = ("6 relu layers, LeCun", "4 relu layers, U[-1/sqrt n, 1/sqrt n]", "actor-critic (PPO's kind), LeCun",
         "LSTM classifier", "20 relu layers, N(0, 1/n)", "5 sigmoid layers, U[-1/sqrt n, 1/sqrt n]",
         "all weights equal", "biases of -9")  # fmt: skip


def check_alarms(name):
    """No draw of a network that trains may fail, and each of one that does not must."""
    failed = levels(CASES[name])["FAIL"]
    assert failed == (0 if CASES[name].trains else 5)


@pytest.mark.parametrize("name", QUICK)
def test_what_trains_does_not_fail_and_what_does_not_train_does(name):
    check_alarms(name)


@pytest.mark.heavy
@pytest.mark.parametrize("name", sorted(set(CASES) - set(QUICK)))
def test_every_row_of_the_table_of_false_alarms(name):
    check_alarms(name)


def test_a_gate_is_beside_the_main_path():
    """Its gradient is far less than that of what it weighs; the layers before both are on the way to the output."""

    def gated(params, x):
        h = jnp.tanh(x @ params["stem"])
        return ((h @ params["value"]) * jax.nn.sigmoid(0.01 * (h @ params["gate"]))) @ params["head"]

    params = {name: RNG.normal(size=(12, 12)) / 4 for name in ("stem", "value", "gate", "head")}
    report = xinit.probe(gated, X, variables=params)
    aside = rules_depth._aside(report, rules_depth.gradient_size(report))
    assert [name for name, beside in zip(report.names, aside, strict=True) if beside] == ["gate"]


def test_a_kernel_learns_by_any_of_its_calls():
    """The loss ignores the second call, so that no gradient comes to it; the kernel has one all the same."""

    def twice(params, x):
        h = jnp.tanh(x @ params["w"])
        return h @ params["head"], jnp.tanh(h @ params["w"])

    params = {"w": RNG.normal(size=(12, 12)) / 4, "head": RNG.normal(size=(12, CLASSES)) / 4}
    report = xinit.probe(twice, X, variables=params, loss=lambda output, batch: jnp.mean(output[0] ** 2))
    assert (report.readings["grad_pre_std"] == 0).sum() == 1
    assert not [finding for finding in report.findings if finding.rule == "reach"]


def test_what_the_loss_ignores_is_a_warning():
    params = {
        "w": RNG.normal(size=(12, 12)) / 4,
        "head": RNG.normal(size=(12, 5)) / 4,
        "other": RNG.normal(size=(12, 5)),
    }
    outputs = lambda params, x: [jnp.tanh(x @ params["w"]) @ params[name] for name in ("head", "other")]
    report = xinit.probe(outputs, X, variables=params, loss=lambda output, batch: jnp.mean(output[0] ** 2))
    (found,) = [finding for finding in report.findings if finding.rule == "reach"]
    assert found[:2] == ("WARN", "reach")
    assert found.sentence == "no gradient reaches other: nothing that the loss depends on reads what it gives"


def rezero(params, x):
    """Three branches scaled by a number that is 0 at first, and a head of zeros."""
    x = x @ params["stem"]
    for branch in params["branches"]:
        x = x + branch["scale"] * (jax.nn.relu(x @ branch["up"]) @ branch["down"])
    return x @ params["head"]


def test_past_zeros_measures_what_zeros_hide():
    draw = lambda i, o: (RNG.normal(size=(i, o)) / math.sqrt(i)).astype(np.float32)
    branches = [{"scale": np.zeros((), np.float32), "up": draw(16, 16), "down": draw(16, 16)} for _ in range(3)]
    params = {"stem": draw(12, 16), "branches": branches, "head": np.zeros((16, CLASSES), np.float32)}
    batch = X, np.arange(len(X)) % CLASSES
    report = xinit.probe(rezero, batch, variables=params)
    assert report.verdict.startswith("WARN: no gradient reaches stem and 6 more of 8 layers: head is zero")
    past = xinit.probe(rezero, batch, variables=params, past_zeros=True)
    assert past.verdict.startswith("OK")
    assert "head drawn by lecun and branches/*/scale (3) taken as 1" in past.verdict
    assert (past.readings["grad_pre_std"] > 0).all()
    assert not params["head"].any()
    assert "measured past" not in xinit.probe(LinenMLP(), X, past_zeros=True).verdict


def test_a_branch_that_adds_next_to_nothing_is_named():
    draw = lambda i, o: (RNG.normal(size=(i, o)) / math.sqrt(i)).astype(np.float32)
    branches = [{"scale": np.ones((), np.float32), "up": draw(16, 16), "down": draw(16, 16)} for _ in range(3)]
    params = {"stem": draw(12, 16), "branches": branches, "head": draw(16, CLASSES)}
    rules_of = lambda: {finding.rule for finding in xinit.probe(rezero, X, variables=params).findings}
    assert "branches" not in rules_of()
    branches[1]["down"] = branches[1]["down"] / 1000
    assert "branches" in rules_of()


def test_a_gradient_that_dips_in_the_middle_is_named():
    """A skip from the first layer to the last leads past layers that hardly let anything through."""
    draw = lambda i, o: (RNG.normal(size=(i, o)) / math.sqrt(i)).astype(np.float32)
    params = {f"w{i}": draw(12, 12) for i in range(6)}

    def around(params, x):
        h = skip = jnp.tanh(x @ params["w0"])
        for i in range(1, 5):
            h = jnp.tanh(h @ params[f"w{i}"])
        return (skip + h) @ params["w5"]

    assert "dip" not in {finding.rule for finding in xinit.probe(around, X, variables=params).findings}
    params["w4"] = params["w4"] / 1e4
    (found,) = [finding for finding in xinit.probe(around, X, variables=params).findings if finding.rule == "dip"]
    assert found.level == "WARN"
    assert "behind w" in found.sentence


@pytest.mark.parametrize(
    ("paths", "patterns"),
    [
        (["blocks/0/w", "blocks/1/w"], ["blocks/*/w (2)"]),
        (["block_0/Dense_1/kernel", "block_1/Dense_1/kernel", "head"], ["block_*/Dense_1/kernel (2)", "head"]),
        (["w1", "b"], ["w1", "b"]),
    ],
)
def test_paths_that_differ_in_numbers_alone_are_one_pattern(paths, patterns):
    assert rules.collapsed(paths) == patterns


class Heads(linen.Module):
    """A deep stack whose kernels have two axes of inputs and two of outputs."""

    depth: int = 8

    @linen.compact
    def __call__(self, x, scale=1.0):
        x = scale * linen.DenseGeneral((4, 16))(x)
        for _ in range(self.depth):
            x = linen.DenseGeneral((4, 16), axis=(-2, -1))(linen.relu(x))
        return x


class Halving(linen.Module):
    """A network drawn so that its signal vanishes, with an argument and a key of its own."""

    @linen.compact
    def __call__(self, x, train=False):
        for _ in range(8):
            x = linen.relu(linen.Dense(64, kernel_init=linen.initializers.normal(0.05))(x))
        return linen.Dropout(0.1, deterministic=not train)(linen.Dense(CLASSES)(x))


def halved(variables):
    """With kernels whose n_in Var W is a quarter of what it was."""
    return jax.tree.map(lambda w: w / 2, variables)


def nnx_state():
    """Parameters of an nnx network under which its signal vanishes."""
    return halved(nnx.state(deep_nnx(), nnx.Param))


def deep_nnx(depth=8):
    return NnxMLP(nnx.Rngs(0), widths=(12, *[64] * depth, CLASSES))


@pytest.mark.parametrize(
    ("model", "kwargs"),
    [
        (LinenMLP(8, 64), {"variables": mlp_variables(8, 64, lambda i, o: 1 / (4 * i))}),
        (Heads(), {"variables": halved(variables_of(Heads(), X))}),
        (Heads(), {"variables": halved(variables_of(Heads(), X)), "scale": 2}),
        (Halving(), {}),
        (Halving(), {"rngs": {"dropout": jax.random.key(5)}, "train": True}),
        (deep_nnx(), {"variables": nnx_state()}),
        (deep_nnx(20), {}),
    ],
)
def test_a_remedy_can_be_pasted_and_gives_what_was_measured(model, kwargs, monkeypatch):
    """The weights that it draws are those that were measured before it was named."""
    looked, draw = [], remedies.redraw.redrawn
    monkeypatch.setattr(remedies.redraw, "redrawn", lambda *args: looked.append(draw(*args)) or looked[-1])
    report = xinit.probe(model, X, **kwargs)
    assert report.verdict.startswith("FAIL")
    measured = looked[-1]
    names = {"xinit": xinit, "jax": jax, "nnx": nnx, "model": model, "x": X, **kwargs}
    exec(report.remedy, names)
    if isinstance(model, nnx.Module):
        new, after = nnx.to_pure_dict(nnx.state(names["model"], nnx.Param)), xinit.probe(names["model"], X)
    else:
        new, after = names["variables"]["params"], xinit.probe(model, X, **kwargs | {"variables": names["variables"]})
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), dict(new), dict(measured))
    assert not after.verdict.startswith("FAIL")


@pytest.mark.parametrize(("depth", "width", "n"), [(40, 8, 2), (20, 16, 1)])
def test_a_remedy_is_never_the_scheme_in_use(depth, width, n):
    """Narrow networks fail under He's scheme too, by chance of the draw; another draw of it is no remedy."""
    variables = mlp_variables(depth, width, lambda i, o: n / i)
    report = xinit.probe(LinenMLP(depth, width), X, variables=variables)
    in_use = {2: ("he",), 1: ("lecun", "xavier", "orthogonal")}[n]
    assert report.verdict.startswith("FAIL")
    assert not any(f'"{scheme}"' in (report.remedy or "") for scheme in in_use)


def rows(*sizes_and_products):
    """Rows of square kernels of these widths, with exactly these n_in E W^2."""
    kernel = Parameter("", (), "float32", ("product",), 0.0, 1.0, None, None, None, None, 1.0, False)
    fill = lambda n, v: kernel._replace(shape=(n, n), fan_in=n, fan_out=n, in_variance=v, out_variance=v)
    return [fill(n, v) for n, v in sizes_and_products]


@pytest.mark.parametrize(
    ("kernels", "scheme", "follows"),
    [
        ([(64, 2)] * 3, "he", True),
        ([(64, 2.1)] * 3, "he", True),
        ([(64, 2)] * 3, "xavier", False),
        ([(64, 2), (64, 1), (64, 2)], "he", False),
        ([(4, 2)], "lecun", True),  # 16 weights do not tell
        ([(4, 2)] * 40, "lecun", False),  # 640 do
    ],
)
def test_which_scheme_is_in_use_is_told_within_sampling_error(kernels, scheme, follows):
    assert remedies.follows(rows(*kernels), scheme) is follows
