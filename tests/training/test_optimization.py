"""Optimizers against their equations in NumPy, the settings of all of them, any function of optax's or the user's."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xinit.core.errors import InputError
from xinit.runs import checkpoints
from xinit.runs.grouping import program_of
from xinit.settings.compose import compose, compose_many, overrides_from
from xinit.settings.parse import parse
from xinit.training import optimizers
from xinit.training.optimization import check_optimizer, numbers_of, optimizer_of

OURS = [name for name, _ in inspect.getmembers(optimizers, inspect.isfunction)]
KERNEL = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")  # the weights, and gradients of two steps
BIAS = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
PARAMS = {"layers": {0: {"kernel": jnp.asarray(KERNEL[0]), "bias": jnp.asarray(BIAS[0]), "slope": jnp.float32(2)}}}
GRADS = [
    {"layers": {0: {"kernel": jnp.asarray(k), "bias": jnp.asarray(b), "slope": jnp.float32(0.5)}}}
    for k, b in zip(KERNEL[1:], BIAS[1:], strict=True)
]
ABSTRACT = jax.eval_shape(lambda: {"layers": {0: {part: PARAMS["layers"][0][part] for part in ("kernel", "bias")}}})
NO_GRADS = jax.tree.map(jnp.zeros_like, PARAMS)


def configured(*overrides):
    return parse(compose("train", ["data=synthetic", *overrides]))


def checked(*overrides):
    """The config, its optimizer tried on the parameters of a network as before a run."""
    config = configured(*overrides)
    check_optimizer(config.optimizer, optimizer_of(config.optimizer), ABSTRACT)
    return config


def updates(config, grads=GRADS, params=PARAMS):
    """What an optimizer adds to the parameters at each step, its numbers traced."""

    def run(hyper, params):
        optimizer, made = optimizer_of(config.optimizer)(hyper), []
        state = optimizer.init(params)
        for grad in grads:
            update, state = optimizer.update(grad, state, params, value=jnp.float32(0), grad=grad, value_fn=None)
            params = optax.apply_updates(params, update)
            made.append(update["layers"][0])
        return made

    return jax.jit(run)(numbers_of(config), params)


def sgd(g, lr):
    return [-lr * g[0], -lr * g[1]]


def nesterov(g, lr, mu=0.9):
    return [-lr * (g[0] + mu * g[0]), -lr * (g[1] + mu * (mu * g[0] + g[1]))]


def momentum(g, lr, mu=0.9):
    return [-lr * g[0], -lr * (mu * g[0] + g[1])]


def adam(g, lr, b1=0.9, b2=0.999, eps=1e-8):
    m, v = (1 - b1) * g[0], (1 - b2) * g[0] ** 2
    first = -lr * m / (1 - b1) / (np.sqrt(v / (1 - b2)) + eps)
    m, v = b1 * m + (1 - b1) * g[1], b2 * v + (1 - b2) * g[1] ** 2
    return [first, -lr * m / (1 - b1**2) / (np.sqrt(v / (1 - b2**2)) + eps)]


def rmsprop(g, lr, decay=0.9, eps=1e-8):
    v = (1 - decay) * g[0] ** 2
    return [-lr * g[0] / np.sqrt(v + eps), -lr * g[1] / np.sqrt(decay * v + (1 - decay) * g[1] ** 2 + eps)]


def adagrad(g, lr):
    return [-lr * np.sign(g[0]), -lr * g[1] / np.sqrt(g[0] ** 2 + g[1] ** 2)]


def lion(g, lr, b1=0.9, b2=0.99):
    return [-lr * np.sign(g[0]), -lr * np.sign(b1 * (1 - b2) * g[0] + (1 - b1) * g[1])]


EQUATIONS = {f.__name__: f for f in (sgd, momentum, nesterov, adam, rmsprop, adagrad, lion)}


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("part", ["kernel", "bias"])
def test_updates_are_those_of_the_equations(name, part):
    config = configured(f"optimizer={name}", "optimizer.learning_rate=0.25")
    gradients = [np.asarray(grad["layers"][0][part], np.float64) for grad in GRADS]
    expected = EQUATIONS[name](gradients, 0.25)
    for made, wanted in zip(updates(config), expected, strict=True):
        np.testing.assert_allclose(made[part], wanted, rtol=1e-4, atol=1e-6)


def test_every_optimizer_of_ours_is_checked():
    assert set(OURS) == {*EQUATIONS, "adamw", "muon"}


def test_adamw_is_adam_with_a_decay_of_the_kernels():
    made, without = updates(configured("optimizer=adamw")), updates(configured("optimizer=adam"))
    np.testing.assert_allclose(made[0]["kernel"] - without[0]["kernel"], -3e-4 * 0.01 * KERNEL[0], atol=1e-10)
    for step in (0, 1):
        np.testing.assert_array_equal(made[step]["bias"], without[step]["bias"])
    assert configured("optimizer=adamw", "optimizer.weight_decay=null").optimizer.weight_decay is None


def test_muon_makes_kernels_orthogonal_of_the_size_asked_for_and_leaves_biases_to_adam():
    config = configured("optimizer=muon", "optimizer.learning_rate=0.01", "optimizer.rms=0.4")
    made = updates(config)[0]
    values = np.linalg.svd(np.asarray(made["kernel"]), compute_uv=False) / (0.01 * 0.4 * np.sqrt(6))
    assert (values > 0.6).all()  # five iterations of Newton and Schulz bring singular values near 1
    assert (values < 1.3).all()
    u, _, v = np.linalg.svd(KERNEL[1], full_matrices=False)
    assert np.vdot(-np.asarray(made["kernel"]), u @ v) / np.linalg.norm(made["kernel"]) / 2 > 0.95  # ||U V^T|| is 2
    nesterovs = 1 + 0.9 / 1.9  # over Adam's first update: b1 m / (1 - b1^2) + g, m = (1 - b1) g, instead of g
    np.testing.assert_allclose(made["bias"], nesterovs * adam([BIAS[1], BIAS[2]], 0.01)[0], rtol=1e-4)


# Functions of optax's that decay by an argument of theirs, and where the mask is handed over by another name.
DECAYING = [*OURS, "optax:adamw", "optax:lion", "optax:sgd", "optax:adan", "optax.contrib:muon", "optax:adafactor"]


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("name", DECAYING)
def test_one_decay_of_kernels_and_of_biases_only_where_asked(name, biases):
    """Without a gradient the decay is all there is. optax's muon decays nothing but matrices, whatever it is told."""
    settings = [f"optimizer={name}", "optimizer.learning_rate=0.5", "optimizer.weight_decay=0.2"]
    made = updates(configured(*settings, f"optimizer.decay_biases={str(biases).lower()}"), [NO_GRADS])[0]
    np.testing.assert_allclose(made["kernel"], -0.5 * 0.2 * KERNEL[0], rtol=1e-5)
    decayed = biases and name != "optax.contrib:muon"
    np.testing.assert_allclose(made["bias"], -0.5 * 0.2 * BIAS[0] * decayed, rtol=1e-5)
    assert made["slope"] == 0


def test_the_decay_that_a_function_has_by_default_is_not_of_biases_either():
    made = updates(configured("optimizer=optax:lion", "optimizer.learning_rate=0.5"), [NO_GRADS])[0]
    np.testing.assert_allclose(made["kernel"], -0.5 * 1e-3 * KERNEL[0], rtol=1e-5)
    assert not np.asarray(made["bias"]).any()


@pytest.mark.parametrize("clip", [0.5, 1e6])
def test_clipping_is_by_the_norm_of_all_gradients_together(clip):
    norm = float(optax.tree.norm(GRADS[0]))
    made, without = updates(configured(f"optimizer.clip={clip}")), updates(configured())
    factor = min(1, clip / norm)
    assert (factor < 1) == (clip < 1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, factor * b, rtol=1e-5), made[0], without[0])


def test_nothing_is_added_where_nothing_is_set():
    plain, made = optax.sgd(0.03), optimizer_of(configured().optimizer)({"learning_rate": 0.03})
    assert jax.tree.structure(made.init(PARAMS)) == jax.tree.structure(plain.init(PARAMS))
    assert {*numbers_of(configured())} == {"gain", "learning_rate"}


@pytest.mark.parametrize("name", ["sgd", "adagrad", "muon", "optax:lbfgs"])
def test_a_checkpoint_brings_an_optimizers_state_back(name, tmp_path):
    config = configured(f"optimizer={name}", "optimizer.clip=1", "optimizer.weight_decay=0.1")
    optimizer = optimizer_of(config.optimizer)(numbers_of(config))
    state = jax.tree.map(lambda leaf: np.asarray(leaf)[None] + 3, {"params": PARAMS, "opt": optimizer.init(PARAMS)})
    checkpoints.save(tmp_path / "checkpoints", 7, ["run"], state, {})
    back = checkpoints.load(tmp_path / "checkpoints", ["run"], state)
    assert (back.step, back.complaints) == (7, [])
    assert jax.tree.structure(back.state) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, back.state, state)


TOGETHER = [
    "optimizer.learning_rate=0.01",
    "optimizer.weight_decay=0.2",
    "optimizer.b1=0.5",
    "optimizer.clip=0.3",
    "schedule.warmup=0.3",
    "schedule.at=[0.1,0.2]",
]
APART = [
    "optimizer.weight_decay=null",
    "optimizer.decay_biases=true",
    "optimizer.clip=null",
    "optimizer=nesterov",
    "schedule=cosine",
    "schedule.at=[0.5]",
    "schedule.at=0.5",
]


@pytest.mark.parametrize("other", [*TOGETHER, *APART])
def test_numbers_share_a_program_and_what_changes_it_does_not(other):
    base = ["data=synthetic", "optimizer=adamw", "optimizer.clip=1", "schedule=steps"]
    one, two = (parse(raw) for raw in compose_many("train", [base, [*base, other]]))
    assert one.identity() != two.identity()
    assert (program_of(one) == program_of(two)) == (other in TOGETHER)


def test_a_users_lists_are_numbers_where_one_has_a_point():
    settings = {"fn": "own:f", "b": 0.5, "betas": [0.9, 1], "sizes": [1, 2], "n": 3, "nesterov": True, "kind": "a"}
    config = configured(*overrides_from({"optimizer": settings})).optimizer
    assert config.numbers == {"b": 0.5, "betas": (0.9, 1.0)}
    assert config.options == {"sizes": [1, 2], "n": 3, "nesterov": True, "kind": "a"}


USERS = '''
import jax, jax.numpy as jnp, optax

def scaled(learning_rate, betas=(1.0, 1.0), clip=None, decay_biases=None):
    """Its own clip is a factor: who has an argument of that name is given the number."""
    return optax.scale(-learning_rate * betas[0] * betas[1] * (1 if clip is None else clip))

def asks(learning_rate, nu=0.5): return optax.sgd(learning_rate) if nu > 0.1 else optax.adam(learning_rate)

def rounds(learning_rate, n=1): return optax.sgd(learning_rate * float(n))

def number(learning_rate): return 3

def breaks(learning_rate): raise RuntimeError("broken")

def without(rate): return optax.sgd(rate)

def needing(learning_rate, key): return optax.sgd(learning_rate)

def half(learning_rate): return optax.GradientTransformation(
    lambda params: (), lambda grads, state, params=None: (jax.tree.map(lambda g: g[:1], grads), state))

def growing(learning_rate): return optax.GradientTransformation(
    lambda params: jnp.zeros(1), lambda grads, state, params=None: (grads, jnp.concatenate([state, state])))

def curved(learning_rate): return optax.GradientTransformationExtraArgs(
    lambda params: (), lambda grads, state, params=None, *, hessian, **others: (grads, state))
'''
BAD = {  # overrides -> words of the message
    "users:asks optimizer.nu=0.3": "optimizer 'users:asks' needs the value of optimizer.nu when it is compiled,",
    "users:rounds optimizer.n=2.0": "needs the value of optimizer.n when it is compiled, where it has none: jnp.where",
    "users:number": "optimizer.fn is 'users:number', which returns int; an optimizer is a function of learning_rate,",
    "users:breaks": "optimizer 'users:breaks' failed with RuntimeError: broken",
    "users:without": "optimizer.fn is 'users:without', which has no argument learning_rate; an optimizer is a function",
    "users:needing": "optimizer needing needs optimizer.key.",
    "users:half": "returns an update whose part ['layers'][0]['bias'] is float32[1]; it must be float32[4], as that",
    "users:growing": "returns a state whose single part is float32[2]; it must be float32[1], as it was",
    "users:curved": "failed with TypeError: ",
    "users:scaled optimizer.bets=0.5": "Unknown setting optimizer.bets; did you mean betas? Allowed: betas, clip,",
    "optax:softmax_cross_entropy": "'optax:softmax_cross_entropy', which has no argument learning_rate;",
    "optax:polyak_sgd": "'optax:polyak_sgd', which has no argument learning_rate;",
    "optax:lions": "optimizer.fn is 'optax:lions'; the module optax has no function 'lions'.",
    "optax.contrib:dpsgd": "optimizer dpsgd needs optimizer.l2_norm_clip, optimizer.noise_multiplier, optimizer.seed.",
    "optax:adam optimizer.b1=1.5": "optimizer.b1 is 1.5; it must be at least 0 and below 1.",
}


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("users_module")
def test_a_users_optimizer_is_given_the_settings_that_it_takes():
    config = checked("optimizer=users:scaled", "optimizer.betas=[0.5,0.25]", "optimizer.clip=2")
    np.testing.assert_allclose(updates(config)[0]["kernel"], -0.001 * 0.5 * 0.25 * 2 * KERNEL[1], rtol=1e-6)
    plain = checked("optimizer=users:rounds", "optimizer.n=2")  # a whole number is handed over as it is
    np.testing.assert_allclose(updates(plain)[0]["kernel"], -0.002 * KERNEL[1], rtol=1e-6)


@pytest.mark.usefixtures("users_module")
@pytest.mark.parametrize("given", BAD)
def test_what_is_no_optimizer_is_one_sentence(given):
    with pytest.raises(InputError) as raised:
        checked(*f"optimizer={given}".split())
    assert BAD[given] in str(raised.value)
    assert "\n" not in str(raised.value)


def own_optimizers(module):
    functions = {name: f for name, f in vars(module).items() if inspect.isfunction(f) and name[0] != "_"}
    return [name for name, f in functions.items() if "learning_rate" in inspect.signature(f).parameters]


NOT_ALONE = {"schedule_free", "dpsgd", "sophia"}  # they need another optimizer, gradients of examples, a Hessian


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:Specifying a key:UserWarning", "ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", [f"optax:{n}" for n in own_optimizers(optax)])
def test_optimizers_of_optax_update_a_network(name):
    checked(f"optimizer={name}", "optimizer.clip=1", "optimizer.weight_decay=0.1")


@pytest.mark.heavy
@pytest.mark.parametrize("name", [n for n in own_optimizers(optax.contrib) if n not in NOT_ALONE])
def test_optimizers_that_were_contributed_to_optax_update_a_network(name):
    checked(f"optimizer=optax.contrib:{name}")


KINDS = {"sgd": "sgd", "momentum": "sgd", "nesterov": "sgd", "adam": "adam", "adamw": "adam", "rmsprop": "adam",
         "adagrad": "adam", "lion": "adam", "muon": None, "optax:lamb": None}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_mup_knows_what_an_optimizer_is_like_or_asks(name):
    chosen = ["scheme=mup", f"optimizer={name}"]
    if KINDS[name] is None:
        with pytest.raises(InputError, match=f"not known which of them {name} is like; say so by scheme.optimizer=sgd"):
            configured(*chosen)
        chosen.append("scheme.optimizer=adam")
    assert configured(*chosen).scheme.options["optimizer"] == (KINDS[name] or "adam")
