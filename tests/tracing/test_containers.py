"""Only parameters are drawn anew, whatever holds them, and all else stays as it is."""

from typing import Any, NamedTuple

import equinox
import haiku
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from flax.training.train_state import TrainState

import xinit
from tests.tracing.models import LinenConv, LinenMLP, NnxConv, NnxMLP, variables_of
from xinit.core.errors import InputError
from xinit.tracing.containers import contents_of
from xinit.tracing.structure.kernels import by_path

pytestmark = pytest.mark.usefixtures("compile_quickly")
KEY = jax.random.key(5)
X = np.ones((2, 12), np.float32)
IMAGES = np.ones((2, 8, 8, 3), np.float32)
MODEL = LinenMLP(depth=1)
PARAMS = variables_of(MODEL, X)["params"]


class WithStatistics(TrainState):
    batch_stats: Any


def same(first, second):
    """That two trees are of the same kind and hold equal numbers."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_of_a_train_state_params_alone_are_drawn(whole, traced):
    """Adam's moments stay as they are, its step too; params may be all that init returns."""
    params = {"params": PARAMS} if whole else PARAMS
    state = TrainState.create(apply_fn=MODEL.apply, params=params, tx=optax.adam(1e-3))
    state = state.apply_gradients(grads=jax.tree.map(jnp.ones_like, params))
    new = xinit.initialize(state, "he", KEY, **({"model": MODEL, "batch": X} if traced else {}))
    same(new.opt_state, state.opt_state)
    assert type(new) is TrainState
    assert new.step == state.step
    assert new.tx is state.tx
    same(new.params, xinit.initialize(state.params, "he", KEY))
    after = new.apply_gradients(grads=jax.tree.map(jnp.ones_like, new.params))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(after.params))


def test_batch_statistics_beside_params_are_what_the_model_is_called_with_and_stay():
    model = LinenConv()
    variables = variables_of(model, IMAGES, train=True)
    state = WithStatistics.create(
        apply_fn=model.apply, params=variables["params"], tx=optax.sgd(0.1), batch_stats=variables["batch_stats"]
    )
    new = xinit.initialize(state, "he", KEY, model=model, batch=IMAGES, train=False)
    same(new.batch_stats, state.batch_stats)
    same(new.params, xinit.initialize(variables, "he", KEY, model=model, batch=IMAGES, train=False)["params"])
    kernel = np.asarray(new.params["Conv_1"]["kernel"])
    assert 9 * 8 * np.mean(kernel**2) == pytest.approx(2, rel=5 * np.sqrt(2 / kernel.size))


class Learner(NamedTuple):
    params: Any
    momentum: Any
    step: int


@pytest.mark.parametrize(
    "container",
    [
        Learner(PARAMS, jax.tree.map(jnp.zeros_like, PARAMS), 3),
        {"params": PARAMS, "opt_state": optax.adam(0.1).init(PARAMS), "ema": PARAMS},
    ],
)
def test_any_container_of_params(container):
    new = xinit.initialize(container, "he", KEY)
    get = lambda held, name: held[name] if isinstance(held, dict) else getattr(held, name)
    same(get(new, "params"), xinit.initialize(PARAMS, "he", KEY))
    for name in ("opt_state", "ema") if isinstance(container, dict) else ("momentum", "step"):
        same(get(new, name), get(container, name))


def test_train_states_in_a_dictionary():
    create = lambda: TrainState.create(apply_fn=MODEL.apply, params=PARAMS, tx=optax.adam(1e-3))
    states = {"actor": create(), "critic": create()}
    new = xinit.initialize(states, {"actor/Dense_*": "he"}, KEY)
    assert set(contents_of(states).places) == {f"{a}/{path}" for a in states for path in by_path(PARAMS)}
    assert not np.array_equal(new["actor"].params["Dense_0"]["kernel"], PARAMS["Dense_0"]["kernel"])
    same(new["critic"], states["critic"])
    same(new["actor"].opt_state, states["actor"].opt_state)


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ((PARAMS, optax.adam(1e-3).init(PARAMS)), "an optimizer's state, ScaleByAdamState at 1/0, and nothing that is"),
        (optax.adam(1e-3).init(PARAMS), "an optimizer's state, ScaleByAdamState at 0, and nothing"),
        (optax.adam(1e-3).init(PARAMS)[0], "ScaleByAdamState at its root, and nothing"),
        ({"step": jnp.zeros((), int)}, "dict holds no arrays of real numbers that are parameters"),
    ],
)
def test_an_optimizers_state_alone_is_refused(container, message):
    with pytest.raises(InputError, match=message):
        xinit.initialize(container, "he", KEY)


def test_what_is_no_parameter_of_a_state_of_nnx_stays():
    model = NnxConv(nnx.Rngs(0))
    state = nnx.state(model)  # with batch statistics
    new = xinit.initialize(state, {"**/kernel": jax.nn.initializers.ones}, KEY, model=model, batch=IMAGES)
    for path, value in by_path(new).items():
        if path.endswith("kernel"):
            assert (value == 1).all(), path
        else:
            np.testing.assert_array_equal(value, by_path(state)[path])
    assert not any(path.endswith("mean") for path in contents_of(state).places)


def test_a_state_of_nnx_with_its_module():
    model = NnxMLP(nnx.Rngs(0))
    new = xinit.initialize(nnx.state(model, nnx.Param), "he", KEY, model=model, batch=X)
    same(new, nnx.state(xinit.initialize(model, "he", KEY), nnx.Param))
    same(new, nnx.state(xinit.initialize(model, "he", KEY, batch=X), nnx.Param))


def test_boxes_and_their_names_stay():
    init = linen.with_partitioning(linen.initializers.lecun_normal(), ("in", "out"))
    model = linen.Dense(8, kernel_init=init)
    variables = model.init(KEY, X)
    new = xinit.initialize(variables, "he", KEY, model=model, batch=X)
    assert new["params"]["kernel"].names == ("in", "out")
    same(linen.unbox(new), xinit.initialize(linen.unbox(variables), "he", KEY))


def equinox_model():
    return equinox.nn.MLP(12, 5, 64, 1, key=jax.random.key(0))


def test_an_equinox_module_is_drawn_at_the_fans_of_its_layers():
    """Its weights are stored (outputs, inputs): n_in Var W = 2 of 12 inputs, and of 64."""
    model = equinox_model()
    new = xinit.initialize(model, "he", KEY, batch=X)
    assert type(new) is type(model)
    for layer, before, n_in in zip(new.layers, model.layers, (12, 64), strict=True):
        w = np.asarray(layer.weight)
        assert n_in * np.mean(w**2) == pytest.approx(2, rel=5 * np.sqrt(2 / w.size))
        np.testing.assert_array_equal(layer.bias, before.bias)
    orthogonal = np.asarray(xinit.initialize(model, "orthogonal", KEY, batch=(X, 0)).layers[0].weight)
    np.testing.assert_allclose(orthogonal.T @ orthogonal, np.eye(12), atol=1e-5)


def test_an_equinox_module_without_a_batch_is_refused():
    with pytest.raises(InputError, match="An Equinox module came without batch="):
        xinit.initialize(equinox_model(), "he", KEY)


def test_an_equinox_module_as_params_of_a_function():
    model = equinox_model()
    new = xinit.initialize(model, "he", KEY, model=lambda model, x: jax.vmap(model)(x), batch=X)
    arrays = lambda model: equinox.filter(model, equinox.is_array)
    same(arrays(new), arrays(xinit.initialize(model, "he", KEY, batch=X)))


def haiku_network(x):
    x = haiku.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)(haiku.Linear(64)(x), is_training=True)
    return haiku.Linear(5)(jax.nn.relu(x))


def test_a_haiku_pair():
    pair = haiku.transform_with_state(haiku_network)
    params, state = pair.init(jax.random.key(0), X)
    new, kept = xinit.initialize((params, state), "he", KEY, model=pair, batch=X)
    same(kept, state)
    for name, n_in in (("linear", 12), ("linear_1", 64)):
        w = np.asarray(new[name]["w"])
        assert n_in * np.mean(w**2) == pytest.approx(2, rel=5 * np.sqrt(2 / w.size))
        np.testing.assert_array_equal(new[name]["b"], params[name]["b"])
    same(new["batch_norm"], params["batch_norm"])


def test_haiku_params_of_a_model_without_state():
    pair = haiku.transform(lambda x: haiku.Linear(5)(jax.nn.relu(haiku.Linear(64)(x))))
    params = pair.init(jax.random.key(0), X)
    new = xinit.initialize(params, "orthogonal", KEY, model=pair, batch=X)
    w = np.asarray(new["linear"]["w"])  # which is made first
    np.testing.assert_allclose(w.T @ w, np.eye(5), atol=1e-5)


SHAPES = jax.eval_shape(MODEL.init, jax.random.key(0), X)
ZEROS = jax.nn.initializers.zeros


@pytest.mark.parametrize("traced", [False, True])
def test_shapes_are_drawn_where_the_scheme_names_all_of_them(traced):
    options = {"model": MODEL, "batch": X} if traced else {}
    new = xinit.initialize(SHAPES, {"**/bias": ZEROS, "**": "he"}, KEY, **options)
    kinds = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert kinds(new) == kinds(SHAPES)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(new))
    same(new["params"]["Dense_0"]["kernel"], xinit.initialize(PARAMS, "he", KEY)["Dense_0"]["kernel"])


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (SHAPES, "draws nothing for params/Dense_0/bias, params/Dense_1/bias, of which only the shape is given"),
        ({**SHAPES, "batch_stats": {f"norm_{i}": SHAPES["params"]["Dense_0"]["bias"] for i in range(7)}}, "and 4 more"),
    ],
)
def test_shapes_that_the_scheme_leaves_are_refused(variables, words):
    with pytest.raises(InputError, match=words):
        xinit.initialize(variables, "he", KEY)


def test_a_module_of_nnx_in_shapes():
    module = nnx.eval_shape(lambda: nnx.Linear(12, 8, use_bias=False, rngs=nnx.Rngs(0)))
    new = xinit.initialize(module, "he", KEY)
    assert new.kernel[...].shape == (12, 8)
    with pytest.raises(InputError, match="draws nothing for bias, of which only the shape is given"):
        xinit.initialize(nnx.eval_shape(lambda: nnx.Linear(12, 8, rngs=nnx.Rngs(0))), "he", KEY)


def test_shapes_keep_their_sharding():
    mesh = jax.make_mesh((2,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "model"))
    new = xinit.initialize({"kernel": jax.ShapeDtypeStruct((4, 8), jnp.float32, sharding=sharding)}, "he", KEY)
    assert new["kernel"].sharding == sharding
