"""The elementwise function after each layer is found, named and looked at, whatever wrote the model."""

import equinox
import haiku
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from tests.tracing.structure.traces import W, X, functions_of, looked_at, normalised, of_linen
from xinit.networks import activations
from xinit.tracing.structure import scalar
from xinit.tracing.structure.program import run

IMAGES = jnp.linspace(-1, 1, 4 * 6 * 6 * 3, dtype=jnp.float32).reshape(4, 6, 6, 3)
NAMES = {
    "relu": "relu", "gelu": "gelu", "silu": "silu", "leaky_relu": "leaky relu", "softplus": "softplus", "elu": "elu",
    "selu": "selu", "celu": "elu", "relu6": "relu6", "hard_tanh": "hard tanh", "soft_sign": "softsign", "mish": "mish",
    "log_sigmoid": "log sigmoid", "hard_swish": "hard swish", "hard_sigmoid": "hard sigmoid", "sigmoid": "sigmoid",
    "squareplus": "squareplus", "tanh": "tanh", "softmax": None, "log_softmax": None, "standardize": None,
    "identity": None,
}  # fmt: skip


def names(function, params, x):
    return [f and f.name for f in functions_of(*looked_at(function, params, x))]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_the_functions_of_jax_are_named(name, dtype):
    function = getattr(jax.nn, name)
    assert names(lambda w, x: function(x.astype(dtype) @ w.astype(dtype)), W, X) == [NAMES[name]]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda u: jax.nn.gelu(u, approximate=False), "gelu"),
        (lambda u: jnp.maximum(u, 0) ** 2, "squared relu"),
        (lambda u: 1.7159 * jnp.tanh(2 / 3 * u), "lecun tanh"),
        (lambda u: 2 * jnp.tanh(3 * u), "tanh"),
        (lambda u: 2 * jax.nn.sigmoid(u) - 1, "sigmoid"),
        (lambda u: u * jax.nn.sigmoid(1.702 * u), "quick gelu"),
        (lambda u: jnp.tanh(jnp.sin(u)) + 1, "elementwise"),
        (lambda u: jnp.clip(u, -1e6, 1e6), None),
        (lambda u: u / jnp.sqrt(jnp.mean(u**2)), None),
        (lambda u: u / jnp.max(jnp.abs(u)), None),
        (lambda u: u - jax.nn.logsumexp(u, axis=-1, keepdims=True), None),
        (lambda u: jnp.where(u > 0, u, 0.5 * u), "leaky relu"),
        (lambda u: jnp.mean(jax.nn.relu(u), axis=0), "relu"),
        (lambda u: jnp.exp(u), "exp"),
        (lambda u: jnp.argmax(u, axis=-1), None),
        (lambda u: jnp.split(u, 3, axis=-1)[1][:, 0] * 2 + 1, None),
        (lambda u: jnp.tanh(jnp.concatenate([u.T, u.T])), "tanh"),
    ],
)
def test_a_function_is_told_from_what_is_linear_or_a_statistic(function, name):
    assert names(lambda w, x: function(x @ w), W, X) == [name]


def test_what_it_reads_and_gives_are_values_of_the_program():
    params = {"w": W * jnp.arange(9.0).reshape(3, 3), "b": jnp.ones(3)}
    program, found = looked_at(lambda p, x: 2 * jnp.tanh(X + (x @ p["w"] + p["b"][None])), params, X)
    (function,) = functions_of(program, found)
    _, values = run(program, [*jax.tree.leaves(params), X], {}, {function.reads, function.gives})
    u = X + X @ params["w"] + params["b"][None]
    np.testing.assert_allclose(values[function.reads], u, rtol=1e-6)
    np.testing.assert_allclose(values[function.gives], jnp.tanh(u), rtol=1e-6)
    np.testing.assert_allclose(function.slope(np.asarray(u)), 1 - np.tanh(u) ** 2, atol=2e-3)


ACTIVATIONS = [
    "tanh", "sigmoid", "softsign", "hard_tanh", "hard_sigmoid", "erf", "lecun_tanh", "sin", "relu", "squared_relu",
    "leaky_relu", "selu", "elu", "celu", "softplus", "silu", "hard_swish", "mish", "gelu_tanh", "gelu",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_shape_agrees_with_what_is_known_of_the_activation(name):
    activation = getattr(activations, name)()
    (function,) = functions_of(*looked_at(lambda w, x: activation.function(x @ w), W, X))
    assert function.name != scalar.UNKNOWN
    assert function.saturates == activation.saturates
    assert function.bounded == (activation.slope_max < activations.INF)
    assert function.is_rectifier == (name in ("relu", "squared_relu"))
    assert function.crossing == (name in ("sin", "silu", "hard_swish", "mish", "gelu", "gelu_tanh"))
    if function.bounded:
        assert function.shape.slope_max == pytest.approx(activation.slope_max, rel=1e-2)
    u = np.linspace(-7.03, 7.01, 50)
    np.testing.assert_allclose(function.slope(u), np.abs(activation.slope(jnp.asarray(u))), atol=1e-2)


def test_relu_has_no_slope_at_and_below_zero():
    (function,) = functions_of(*looked_at(lambda w, x: jax.nn.relu(x @ w), W, X))
    assert function.slope(np.array([-30, -1e-9, 0, 1e-9, 30])).tolist() == [0, 0, 0, 1, 1]
    assert np.isnan(function.slope(np.array([np.nan])))


class Block(nn.Module):
    """A residual block with normalisation first."""

    @nn.compact
    def __call__(self, x, _=None):
        y = nn.Dense(3)(nn.silu(nn.LayerNorm()(x)))
        return x + nn.Dense(3)(nn.relu(nn.Dense(5)(y))), None


class Stack(nn.Module):
    """Such blocks in a loop, or one after another."""

    loop: bool

    @nn.compact
    def __call__(self, x):
        if self.loop:
            block = nn.scan(nn.remat(Block), variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
            x = block()(x)[0]
        else:
            x = Block()(Block()(x)[0])[0]
        return nn.softmax(nn.Dense(2)(nn.tanh(x)))


def test_blocks_in_a_loop_and_one_after_another():
    assert names(*of_linen(Stack(loop=True), X)) == [None, "relu", None] * 3 + [None]
    assert names(*of_linen(Stack(loop=False), X)) == [None, "relu", "silu", None, "relu", "tanh", None]


def test_in_a_loop_its_values_have_an_axis_for_the_iterations():
    weights = jnp.arange(27.0).reshape(3, 3, 3) / 27
    deep = lambda p, x: jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p)[0]
    program, found = looked_at(deep, weights, X)
    functions = functions_of(program, found)
    assert [function.name for function in functions] == ["tanh"] * 3
    _, values = run(program, [weights, X], {}, {functions[0].reads})
    h, expected = X, []
    for w in weights:
        expected.append(h @ w)
        h = jnp.tanh(h @ w)
    np.testing.assert_allclose(values[functions[0].reads], np.stack(expected), rtol=1e-5)


class PostActivation(nn.Module):
    """A residual block of convolutions as in ResNet, then the mean over positions."""

    @nn.compact
    def __call__(self, x):
        norm = lambda: nn.BatchNorm(use_running_average=False)
        x = nn.max_pool(nn.relu(norm()(nn.Conv(4, (3, 3))(x))), (2, 2), (2, 2))
        y = norm()(nn.Conv(4, (3, 3))(nn.relu(norm()(nn.Conv(4, (3, 3))(x)))))
        x = nn.relu(norm()(nn.Conv(4, (1, 1))(x)) + y)
        return nn.Dense(2)(x.mean((1, 2)))


def test_a_residual_block_of_convolutions():
    program, found = looked_at(*of_linen(PostActivation(), IMAGES, mutable=["batch_stats"]))
    assert [f and f.name for f in functions_of(program, found)] == ["relu"] * 4 + [None]
    assert normalised(program, found) == ("batch",) * 4 + (None,)


class Gated(nn.Module):
    """A gated linear unit, as in llama."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.silu(nn.Dense(6)(x)) * nn.Dense(6)(x))


class Attends(nn.Module):
    """Attention, then a learned slope."""

    @nn.compact
    def __call__(self, x):
        return nn.PReLU()(nn.Dense(3)(nn.MultiHeadDotProductAttention(1)(x[None], x[None])))


class Recurrent(nn.Module):
    """A cell over positions."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.RNN(nn.SimpleCell(3))(x[None]))


def test_gates_attention_and_learned_slopes():
    assert names(*of_linen(Gated(), X)) == ["silu", None, None]
    assert names(*of_linen(Attends(), X)) == [None] * 4 + ["elementwise"]
    assert all(name == "tanh" for name in names(*of_linen(Recurrent(), X))[:-1])


def test_a_long_short_term_memory():
    call, variables, x = of_linen(nn.RNN(nn.LSTMCell(3)), X[None])
    found = names(call, variables, x)
    assert None not in found
    assert sorted(set(found)) == ["sigmoid", "tanh"]


def test_a_learned_slope_has_no_table():
    function = functions_of(*looked_at(*of_linen(nn.Sequential([nn.Dense(3), nn.PReLU()]), X)))[0]
    assert np.isnan(function.slope(np.ones(2))).all()
    assert not any((function.saturates, function.bounded, function.is_rectifier, function.crossing))


def test_a_learned_rate_of_swish():
    params = {"rate": jnp.ones(()), "w": W}
    swish = lambda p, x: (x @ p["w"]) * jax.nn.sigmoid(p["rate"] * (x @ p["w"]))
    once = lambda p, x: (lambda u: u * jax.nn.sigmoid(p["rate"] * u))(x @ p["w"])
    assert names(once, params, X) == ["elementwise"]
    assert names(swish, params, X) == [None, "sigmoid"]


def test_a_learned_slope_as_a_sum_of_two_rectifiers():
    params = {"slope": jnp.ones(()), "w": W}
    prelu = lambda p, x: (lambda u: jnp.maximum(u, 0) + p["slope"] * jnp.minimum(u, 0))(x @ p["w"])
    assert names(prelu, params, X) == ["elementwise"]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda u: jnp.fft.ifft(jnp.fft.fft(u) * 2j).real, None),
        (lambda u: jnp.log(-(u**2)), None),
        (lambda u: jnp.log(u), "elementwise"),
        (lambda u: jnp.maximum(u, jnp.flip(u)), None),
        (lambda u: u + jax.lax.stop_gradient(jnp.round(u) - u), None),
        (lambda u: jax.random.bernoulli(jax.random.key(0), 0.5, u.shape) * jax.nn.relu(u), "relu"),
        (lambda u: jnp.where(X > 0, u, -1e9), None),
        (lambda u: jax.nn.relu(jnp.where(X > 0, u, 0)), "relu"),
        (lambda u: jax.checkpoint(jax.jit(jax.nn.gelu))(u), "gelu"),
        (lambda u: jax.lax.cond(u[0, 0] > 0, jnp.tanh, jnp.sin, u), None),
    ],
)
def test_what_is_odd_is_no_error(function, name):
    assert names(lambda w, x: function(x @ w), W, X) == [name]


def test_a_function_in_a_branch():
    call = lambda p, x: jax.lax.cond(p["on"] > 0, lambda x: jnp.tanh(x @ p["w"]), lambda x: x, x)
    assert names(call, {"on": jnp.ones(()), "w": W}, X) == ["tanh"]


def test_a_gated_recurrent_unit():
    found = names(*of_linen(nn.RNN(nn.GRUCell(3)), X[None]))
    assert sorted(map(str, found)) == ["None"] + ["sigmoid"] * 4 + ["tanh"]  # what r gates is another signal by then


def test_a_function_with_a_rule_of_its_own():
    @jax.custom_vjp
    def own(u):
        return jnp.tanh(u)

    own.defvjp(lambda u: (jnp.tanh(u), u), lambda u, g: (g * jnp.cos(u),))
    assert names(lambda w, x: own(x @ w), W, X) == ["tanh"]


def test_one_function_fifty_times_is_looked_at_once():
    def deep(w, x):
        for _ in range(50):
            x = jax.nn.gelu(x @ w)
        return x

    functions = functions_of(*looked_at(deep, W, X))
    assert len(functions) == 50
    assert all(function.shape is functions[0].shape for function in functions)


def of_nnx():
    model = nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.LayerNorm(4, rngs=nnx.Rngs(0)), nnx.gelu)
    graph, state = nnx.split(model)
    return lambda state, x: nnx.merge(graph, state)(x), state


def of_equinox():
    layers = [equinox.nn.Linear(3, 4, key=jax.random.key(0)), equinox.nn.LayerNorm(4), equinox.nn.Lambda(jax.nn.gelu)]
    arrays, rest = equinox.partition(equinox.nn.Sequential(layers), equinox.is_array)
    return lambda arrays, x: jax.vmap(equinox.combine(arrays, rest))(x), arrays


def of_haiku():
    model = lambda x: jax.nn.gelu(haiku.LayerNorm(-1, True, True)(haiku.Linear(4)(x)))
    transformed = haiku.without_apply_rng(haiku.transform(model))
    return transformed.apply, transformed.init(jax.random.key(0), X)


@pytest.mark.parametrize("library", [of_nnx, of_equinox, of_haiku])
def test_other_libraries(library):
    call, params = library()
    program, found = looked_at(call, params, X)
    assert [f.name for f in functions_of(program, found)] == ["gelu"]
    assert normalised(program, found) == ("layer",)
