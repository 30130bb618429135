"""What xinit.probe dares to say: of nothing that it did not see, and a remedy only where pasting it helps."""

import itertools
import math

import jax
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
    NnxRecurrent,
    plain_function,
    variables_of,
)
from xinit.tracing import layout, remedies
from xinit.tracing.parameters import parameter_table

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
    return scaled(variables_of(model, STEPS), "cell", 1000)


FUNCTION = {"w1": RNG.normal(size=(12, 16)) / 3, "w2": RNG.normal(size=(16, CLASSES)) / 4}
OPTIMIZED, PLAIN = LinenRecurrent(), LinenRecurrent(linen.LSTMCell)
# A network, the level it deserves, what its report must name, and whether it may be told that all is well.
VERDICTS = {
    "saturated lstm": (OPTIMIZED, STEPS, {"variables": saturated(OPTIMIZED)}, "WARN", ["cell/hf/kernel"], False),
    "its gates are layers": (PLAIN, STEPS, {"variables": saturated(PLAIN)}, "WARN", ["cell/hf, ", "cell/io"], False),
    "lstm of nnx": (NnxRecurrent(nnx.Rngs(0)), STEPS, {}, "WARN", ["rnn/cell/hf, "], False),
    "stacked by a scan": (LinenScanned(width=12), X, {}, "WARN", ["blocks/Dense_0"], False),
    "a scan of one's own": (LinenStackOfOwn(), X, {}, "WARN", ["what they do: w"], False),
    "two matrices in a module": (LinenHandwritten(), X, {}, "WARN", ["first, second"], False),
    "a matrix around layers": (LinenAround(), X, {}, "WARN", ["what they do: own", "measured: shift"], False),
    "a shift around layers": (LinenAround(shift_only=True), X, {}, "OK", ["measured: shift"], True),
    "low rank": (NnxLowRank(nnx.Rngs(0)), X, {}, "OK", ["first ", "second/base_module"], True),
    "layers that are chosen": (
        LinenMLP(), X, {"layers": "Dense_0"}, "WARN", ["Dense_1/kernel, Dense_2/kernel"], False
    ),
    "all layers": (LinenMLP(), X, {"variables": mlp_variables(3, 16, lambda i, o: 2 / i)}, "OK", ["Dense_3"], True),
    "a function": (plain_function, X, {"variables": FUNCTION}, "OK", ["intermediates that the function names"], False),
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
    seen = {row.path for row in report.kernels if row is not None}
    assert {"first/kernel", "second/base_module/kernel"} <= seen
    assert report.unseen == ()


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


def deep_nnx():
    return NnxMLP(nnx.Rngs(0), widths=(12, *[64] * 8, CLASSES))


@pytest.mark.parametrize(
    ("model", "kwargs"),
    [
        (LinenMLP(8, 64), {"variables": mlp_variables(8, 64, lambda i, o: 1 / (4 * i))}),
        (Heads(), {"variables": halved(variables_of(Heads(), X))}),
        (Heads(), {"variables": halved(variables_of(Heads(), X)), "scale": 2}),
        (Halving(), {}),
        (Halving(), {"rngs": {"dropout": jax.random.key(5)}, "train": True}),
        (deep_nnx(), {"variables": nnx_state()}),
        (deep_nnx(), {}),
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
    signs = lambda n: RNG.choice([-1, 1], (n, n))
    kernels = {f"{l}/kernel": signs(n) * math.sqrt(v / n) for l, (n, v) in enumerate(sizes_and_products)}
    return parameter_table(kernels, kernels, layout.of_tree(kernels))


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
