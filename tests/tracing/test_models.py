"""Models of every library as one pure function: its output, its parameters' names, its identity."""

import types
from typing import Any, NamedTuple

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from xinit.tracing.models import model_of
from xinit.tracing.structure.kernels import by_path

pytestmark = pytest.mark.usefixtures("compile_quickly")

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)


class Linen(linen.Module):
    width: int = 5

    @linen.compact
    def __call__(self, x):
        x = linen.BatchNorm(use_running_average=False)(linen.Dense(self.width)(x))
        return linen.Dense(2)(linen.tanh(x))


class LinenAxis(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.BatchNorm(use_running_average=False, axis_name="devices")(linen.Dense(5)(x))


class Partitioned(linen.Module):
    @linen.compact
    def __call__(self, x):
        init = linen.with_partitioning(linen.initializers.ones, (None, "model"))
        return linen.Dense(2, kernel_init=init)(x)


class TwoInputs(linen.Module):
    @linen.compact
    def __call__(self, a, *, b, train=False):
        return linen.Dense(2)(a) + linen.Dense(2)(b)


class Positional(linen.Module):
    @linen.compact
    def __call__(self, a, b):
        return linen.Dense(2)(a) - linen.Dense(2)(b)


class Pair(linen.Module):
    @linen.compact
    def __call__(self, pair):
        return linen.Dense(2)(pair[0]) - linen.Dense(2)(pair[1])


class Dropping(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dropout(0.5, deterministic=False)(linen.Dense(6)(x))


class Nnx(nnx.Module):
    def __init__(self, rngs, width=5):
        self.layers = nnx.List([nnx.Linear(3, width, rngs=rngs), nnx.Linear(width, 2, rngs=rngs)])
        self.norm = nnx.BatchNorm(width, rngs=rngs)

    def __call__(self, x):
        return self.layers[1](jnp.tanh(self.norm(self.layers[0](x))))


class EqxKeyed(eqx.Module):
    linear: eqx.nn.Linear
    steps: jax.Array
    name: str = "keyed"

    def __call__(self, x, key):
        return self.linear(x) + jax.random.normal(key, (2,)) * self.steps


def eqx_mlp(seed=0, width=5):
    return eqx.nn.MLP(3, 2, width, 1, key=jax.random.key(seed))


def haiku_net(x):
    return hk.Linear(2)(jnp.tanh(hk.Linear(5)(x)))


def haiku_with_state(x):
    return hk.Linear(2)(hk.BatchNorm(True, True, 0.9)(hk.Linear(5)(x), is_training=True))


def function(params, x):
    return jnp.tanh(x @ params["w1"]) @ params["w2"]


PARAMS = {"w1": jnp.full((3, 5), 0.1), "w2": jnp.full((5, 2), 0.2)}


def run(model, params=None):
    return model.call(model.params if params is None else params, model.others, model.inputs)


def linen_case():
    variables = Linen().init(jax.random.key(1), X)
    expected = Linen().apply(variables, X, mutable=["batch_stats"])[0]
    return (Linen(), variables), expected, {"Dense_0/kernel", "Dense_1/bias", "BatchNorm_0/scale"}


def linen_drawn_case():
    variables = Linen().init(jax.random.key(0), X)
    return (Linen(), None), Linen().apply(variables, X, mutable=["batch_stats"])[0], {"Dense_0/kernel"}


def bound_case():
    variables = linen.Dense(2).init(jax.random.key(1), X)
    bound = linen.Dense(2).bind(variables)
    return (bound, None), bound(X), {"kernel", "bias"}


def partitioned_case():
    variables = Partitioned().init(jax.random.key(1), X)
    return (Partitioned(), variables), Partitioned().apply(variables, X), {"Dense_0/kernel", "Dense_0/bias"}


def nnx_case():
    model = Nnx(nnx.Rngs(0))
    return (model, None), nnx.clone(model)(X), {"layers/0/kernel", "layers/1/bias", "norm/scale"}


def nnx_state_case():
    other = Nnx(nnx.Rngs(7))
    return (Nnx(nnx.Rngs(0)), nnx.state(other)), nnx.clone(other)(X), {"layers/0/kernel"}


def nnx_dict_case():
    other = Nnx(nnx.Rngs(7))
    state = nnx.to_pure_dict(nnx.state(other, nnx.Param))
    return (Nnx(nnx.Rngs(0)), state), nnx.clone(other)(X), {"layers/0/kernel"}


def lora_case():
    model = nnx.LoRA(3, 2, 2, base_module=nnx.Linear(3, 2, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    return (model, None), model(X), {"lora_a", "lora_b", "base_module/kernel"}


def bridge_case():
    model = nnx.bridge.ToNNX(Linen(), rngs=nnx.Rngs(0)).lazy_init(X)
    return (model, None), nnx.clone(model)(X, mutable=["batch_stats"]), {"Dense_0/kernel"}


def equinox_case():
    model = eqx_mlp()
    return (model, None), jax.vmap(model)(X), {"layers/0/weight", "layers/1/bias"}


def equinox_keyed_case():
    model = EqxKeyed(eqx.nn.Linear(3, 2, key=KEY), jnp.array(3))
    return (model, None), jax.vmap(model)(X, jax.random.split(KEY, 4)), {"linear/weight", "linear/bias"}


def haiku_case():
    pair = hk.transform(haiku_net)
    params = pair.init(jax.random.key(1), X)
    return (pair, params), pair.apply(params, None, X), {"linear/w", "linear_1/b"}


def haiku_drawn_case():
    pair = hk.without_apply_rng(hk.transform(haiku_net))
    return (pair, None), pair.apply(pair.init(KEY, X), X), {"linear/w", "linear_1/b"}


def haiku_state_case():
    pair = hk.transform_with_state(haiku_with_state)
    both = pair.init(jax.random.key(1), X)
    return (pair, both), pair.apply(*both, None, X)[0], {"linear/w", "batch_norm/scale"}


def haiku_state_drawn_case():
    pair = hk.without_apply_rng(hk.transform_with_state(haiku_with_state))
    return (pair, None), pair.apply(*pair.init(KEY, X), X)[0], {"linear/w", "batch_norm/scale"}


def function_case():
    return (function, PARAMS), function(PARAMS, X), {"w1", "w2"}


def function_of_equinox_case():
    model = eqx_mlp()
    return (lambda model, x: jax.vmap(model)(x), model), jax.vmap(model)(X), {"layers/0/weight"}


def function_of_nnx_state_case():
    graph, state = nnx.split(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    call = lambda state, x: nnx.merge(graph, state)(x) * jnp.mean(state["kernel"][...])
    return (call, state), call(state, X), {"kernel", "bias"}


def function_of_collections_case():
    variables = Linen().init(KEY, X)
    call = lambda variables, x: Linen().apply(variables, x, mutable=["batch_stats"])[0]
    return (call, variables), call(variables, X), {"params/Dense_0/kernel", "batch_stats/BatchNorm_0/mean"}


def partial_case():
    partial = jax.tree_util.Partial(function, PARAMS)
    return (partial, None), partial(X), {"0/0/w1", "0/0/w2"}


CASES = [value for name, value in list(globals().items()) if name.endswith("_case")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removesuffix("_case"))
def test_the_call_gives_what_the_librarys_own_call_gives(case):
    (model, variables), expected, paths = case()
    made = model_of(model, X, variables)
    np.testing.assert_allclose(run(made), expected, rtol=1e-5, atol=1e-6)
    found = by_path(made.params)
    assert paths <= set(found)
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in found.values())
    np.testing.assert_allclose(
        jax.jit(made.call)(made.params, made.others, made.inputs), expected, rtol=1e-4, atol=1e-5
    )


class Graph(NamedTuple):
    nodes: Any
    weights: Any


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (TwoInputs(), {"a": X, "b": 2 * X}),
        (Positional(), (X, 2 * X)),
        (Positional(), {"a": X, "b": 2 * X}),
        (Pair(), (X, 2 * X)),
        (lambda params, a, b: a @ params["w1"] - b @ params["w1"], (X, 2 * X)),
        (lambda params, *, image: image @ params["w1"], {"image": X}),
        (lambda params, *, image: image @ params["w1"], X),
        (lambda params, batch: batch["image"] @ params["w1"], {"image": X}),
        (lambda params, graph: graph.nodes @ params["w1"] * graph.weights, Graph(X, jnp.ones((4, 1)))),
        (lambda params, image: (image / 255) @ params["w1"], jnp.ones((4, 3), jnp.uint8)),
        (lambda params, tokens: params["w1"][tokens], jnp.ones((4,), jnp.int32)),
        (hk.transform(lambda a, b: hk.Linear(2)(a) + hk.Linear(2)(b)), (X, 2 * X)),
        (hk.transform(lambda a, b: hk.Linear(2)(a) + hk.Linear(2)(b)), {"b": X, "a": 2 * X}),
    ],
)
def test_inputs_come_as_the_call_takes_them(model, x):
    is_function = isinstance(model, types.FunctionType)
    made = model_of(model, x, PARAMS if is_function else None)
    assert len(run(made)) == 4
    assert jax.tree.structure(made.inputs[0]) == jax.tree.structure(x)


def test_keys_are_taken_as_the_user_gives_them_and_stay_as_they_are():
    variables = Dropping().init({"params": KEY, "dropout": KEY}, X)
    rngs = nnx.Rngs(dropout=3)
    for given in (jax.random.key(3), jax.random.PRNGKey(3), {"dropout": jax.random.PRNGKey(3)}, rngs):
        output = run(model_of(Dropping(), X, variables, given))
        assert 0 < jnp.count_nonzero(output) < output.size
    assert rngs.dropout.count[...] == 0
    module = nnx.Sequential(nnx.Linear(3, 6, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(1)))
    outputs = [run(model_of(module, X, rngs=jax.random.key(seed))) for seed in (2, 2, 3)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert (outputs[0] != outputs[2]).any()
    assert module.layers[1].rngs.count[...] == 0


def test_options_and_arrays_by_name_reach_the_model():
    call = lambda params, x, mask, scale, train: x @ params["w1"] * mask * scale * (2 if train else 1)
    named = {"mask": jnp.ones((4, 1)), "scale": jnp.array(3.0), "train": True}
    made = model_of(call, X, PARAMS, call_kwargs=named)
    np.testing.assert_allclose(run(made), 6 * X @ PARAMS["w1"], rtol=1e-5)
    assert "mask" in made.inputs[1]
    assert "scale" in made.others["arrays"]


@pytest.mark.parametrize("model", [LinenAxis(), lambda params, x: jax.lax.psum(x @ params["w1"], "devices")])
def test_a_model_that_sums_over_a_named_axis_is_called_on_it(model):
    made = model_of(model, X, None if isinstance(model, linen.Module) else PARAMS, axis_name="devices")
    assert run(made).shape == (4, 5)


def test_batch_normalisation_of_equinox_sums_over_the_examples():
    model, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, axis_name="batch", mode="batch")
    made = model_of(model, X, call_kwargs={"state": state}, axis_name="batch")
    np.testing.assert_allclose(run(made)[0].mean(axis=0), np.zeros(3), atol=1e-5)


def test_whole_numbers_among_parameters_are_not_differentiated():
    class Quantised(linen.Module):
        @linen.compact
        def __call__(self, x):
            table = self.param("table", lambda key: jnp.arange(6, dtype=jnp.int8).reshape(3, 2))
            return linen.Dense(2)(x) + x @ table.astype(x.dtype)

    made = model_of(Quantised(), X)
    assert set(by_path(made.params)) == {"Dense_0/kernel", "Dense_0/bias"}
    grads = jax.grad(lambda params: run(made, params).sum())(made.params)
    assert set(by_path(grads)) == set(by_path(made.params))


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ((Linen(), None), (Linen(), None), (Linen(6), None)),
        ((Nnx(nnx.Rngs(0)), None), (Nnx(nnx.Rngs(1)), None), (Nnx(nnx.Rngs(0), 6), None)),
        ((eqx_mlp(0), None), (eqx_mlp(1), None), (eqx_mlp(0, 6), None)),
        ((function, PARAMS), (function, jax.tree.map(lambda w: 2 * w, PARAMS)), (lambda p, x: x @ p["w1"], PARAMS)),
    ],
    ids=["linen", "nnx", "equinox", "function"],
)
def test_the_identity_is_that_of_the_architecture(one, same, other):
    identities = [model_of(model, X, variables).identity for model, variables in (one, same, other)]
    assert identities[0] is not None
    assert identities[0] == identities[1] != identities[2]


def test_options_are_part_of_the_identity_and_what_cannot_be_hashed_leaves_none():
    identity = lambda **named: model_of(lambda_of_options, X, PARAMS, call_kwargs=named).identity
    assert identity(option=True) == identity(option=True) != identity(option=1)
    assert identity(option=[1, {"a": 2}]) == identity(option=[1, {"a": 2}]) != identity(option=[1, {"a": 3}])
    assert identity(option={1, 2}) is None


def lambda_of_options(params, x, option):
    return x @ params["w1"]


def test_the_users_module_stays_as_it_is():
    model = Nnx(nnx.Rngs(0))
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    run(model_of(model, X))
    jax.tree.map(np.testing.assert_array_equal, before, nnx.to_pure_dict(nnx.state(model)))
