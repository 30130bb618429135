"""`xinit.coordinate_check`: a user's own model under the maximal update parametrisation, and with planted mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import xinit
from xinit.core.errors import InputError

WIDTHS, BASE = (32, 64, 128), 32
X = jax.random.normal(jax.random.key(9), (16, 8))
Y = np.arange(16) % 4


def mlp(readout_power=1.0):
    """Three layers under muP, whose readout is multiplied by width^-readout_power."""

    def make(width, seed):
        keys = jax.random.split(jax.random.key(seed), 3)
        shapes = {"first": (8, width), "hidden": (width, width), "last": (width, 4)}
        params = {name: jax.random.normal(key, s) for key, (name, s) in zip(keys, shapes.items(), strict=True)}
        params["first"] /= 8**0.5
        params["hidden"] /= width**0.5
        factor = BASE**0.5 * (width / BASE) ** -readout_power / BASE

        def apply(params, x):
            h = jnp.tanh(x @ params["first"])
            return factor * jnp.tanh(h @ params["hidden"]) @ params["last"]

        return apply, params

    return make


def adam(hidden_power=1.0):
    """Adam with the learning rate of hidden kernels times (BASE / width)^hidden_power."""

    def make(width):
        rates = {"first": 0.01, "hidden": 0.01 * (BASE / width) ** hidden_power, "last": 0.01}
        labels = lambda params: {name: "hidden" if params[name].shape[-1] == params[name].shape[0] else name
                                 for name in params}  # fmt: skip
        return optax.multi_transform({name: optax.adam(rate) for name, rate in rates.items()}, labels)

    return make


def failing(check):
    return {(fit.layer, fit.quantity) for fit in check.fits if fit.level == "FAIL"}


def test_a_correct_parametrisation_is_fine():
    check = xinit.coordinate_check(mlp(), widths=WIDTHS, batch=(X, Y), optimizer=adam())
    assert check.level == "OK", str(check)
    assert check.sizes.layers == ("first", "hidden", "output")
    assert check.fit("output", "z at step 0").exponent == pytest.approx(-0.5, abs=0.15)
    assert "which is expected" in check.fit("output", "z at step 0").sentence


def test_a_readout_without_its_factor_is_found():
    check = xinit.coordinate_check(mlp(0.0), widths=WIDTHS, batch=(X, Y), optimizer=adam())
    assert check.level == "FAIL"
    assert ("output", "change of z") in failing(check)
    assert check.fit("output", "z at step 0").exponent == pytest.approx(0.5, abs=0.15)


def test_a_wrong_factor_of_adam_is_found():
    check = xinit.coordinate_check(mlp(), widths=WIDTHS, batch=(X, Y), optimizer=adam(0.0))
    assert ("hidden", "change of z") in failing(check), str(check)
    assert ("first", "change of z") not in failing(check)


def transformer(width, seed):
    """One block of attention and of a feed-forward net under muP, as a function and its params."""
    names = ("embed", "query", "keys", "values", "project", "up", "down")
    keys = dict(zip((*names, "readout"), jax.random.split(jax.random.key(seed), 8), strict=True))
    params = {name: jax.random.normal(keys[name], (width, width)) / width**0.5 for name in names[1:]}
    params["embed"] = jax.random.normal(keys["embed"], (8, width)) / 8**0.5
    params["readout"] = jax.random.normal(keys["readout"], (width, 4))

    def norm(h):
        return h / jnp.sqrt(jnp.mean(h**2, -1, keepdims=True) + 1e-6)

    def apply(params, x):
        h = x @ params["embed"]
        q, k, v = (norm(h) @ params[name] for name in ("query", "keys", "values"))
        attention = jax.nn.softmax(jnp.einsum("btd,bsd->bts", q, k) / width)
        h = h + (attention @ v) @ params["project"]
        h = h + jax.nn.relu(norm(h) @ params["up"]) @ params["down"]
        return norm(h[:, -1]) @ params["readout"] / width

    return apply, params


def adam_of_transformer(width):
    rates = {"hidden": optax.adam(0.01 * BASE / width), "other": optax.adam(0.01)}
    of = lambda w: "hidden" if w.shape[0] == w.shape[1] else "other"
    return optax.multi_transform(rates, lambda params: jax.tree.map(of, params))


def test_a_transformer_is_checked():
    x = jax.random.normal(jax.random.key(1), (8, 5, 8))
    y = np.arange(8) % 4
    check = xinit.coordinate_check(transformer, widths=(32, 128), batch=(x, y), optimizer=adam_of_transformer)
    assert check.level == "OK", str(check)
    wrong = xinit.coordinate_check(transformer, widths=(32, 128), batch=(x, y), optimizer=optax.adam(0.01))
    assert wrong.level == "FAIL"
    assert ("up", "change of z") in failing(wrong)


def of_nnx(width, seed):
    rngs = nnx.Rngs(seed)
    return nnx.Sequential(nnx.Linear(8, width, rngs=rngs), nnx.tanh, nnx.Linear(width, 4, rngs=rngs))


def of_linen(width, seed):
    return linen.Sequential([linen.Dense(width), linen.tanh, linen.Dense(4)])


def of_equinox(width, seed):
    equinox = pytest.importorskip("equinox")
    mlp = equinox.nn.MLP(8, 4, width, 1, key=jax.random.key(seed))
    return (lambda model, x: jax.vmap(model)(x)), mlp


@pytest.mark.parametrize("make", [of_nnx, of_linen, of_equinox])
def test_modules_are_taken(make):
    check = xinit.coordinate_check(make, widths=(16, 256), batch=(X, Y), optimizer=optax.adam(1e-3))
    assert check.fit("output", "change of z").level == "FAIL"  # standard parametrisation with one rate of Adam
    assert np.ptp(check.sizes.rms[0, :, 0, 0]) > 0  # the seeds are different networks


def of_depth(scale):
    """A residual net of linear branches, each read by the next layers with its sum behind a product with I."""

    def make(depth, seed):
        names = [f"w{number:02}" for number in range(depth)]
        keys = jax.random.split(jax.random.key(seed), depth)
        params = {name: jax.random.normal(key, (8, 8)) / 8**0.5 for name, key in zip(names, keys, strict=True)}
        params["zlast"] = jnp.eye(8)

        def apply(params, x):
            h = x
            for name in names:
                h = h + scale(depth) * (h / jnp.linalg.norm(h, axis=-1, keepdims=True) * 8**0.5) @ params[name]
            return h @ params["zlast"]

        return apply, params

    return make


@pytest.mark.parametrize(("scale", "grows"), [(lambda depth: 1.0, True), (lambda depth: depth**-0.5, False)])
def test_over_depths_an_unscaled_residual_net_grows(scale, grows):
    loss = lambda output, batch: jnp.mean(output**2)
    check = xinit.coordinate_check(
        of_depth(scale), depths=(4, 16), batch=X, optimizer=optax.sgd(1e-4), loss=loss, seeds=range(4)
    )
    start = check.fit("output", "z at step 0")
    assert (start.level == "FAIL") == grows
    assert start.exponent == pytest.approx(0.45 if grows else 0.0, abs=0.12)


def test_the_result_is_saved(tmp_path):
    check = xinit.coordinate_check(mlp(), widths=(16, 32), batch=(X, Y), optimizer=optax.sgd(0.1), seeds=(0, 1))
    check.save(tmp_path / "check")
    assert sorted(path.name for path in (tmp_path / "check").iterdir()) == [
        "coordinates.csv", "coordinates.json", "coordinates.png",
    ]  # fmt: skip
    assert len(check.figure().axes) == 2
    assert check.verdict in str(check)


def ignores_the_width(width, seed):
    return mlp()(16, seed)


GOOD = {"make_model": mlp(), "widths": (16, 32), "batch": (X, Y), "optimizer": optax.sgd(0.1), "seeds": (0, 1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (16,)}, "at least two different"),
        ({"widths": (16, 16)}, "at least two different"),
        ({"widths": None}, "over widths or over depths"),
        ({"seeds": (0,)}, "at least 2 seeds"),
        ({"steps": 0}, "a change 1 step"),
        ({"make_model": ignores_the_width}, "same shapes at width 16 and 32"),
        ({"loss": lambda output, batch: jnp.nan * jnp.sum(output)}, "finite losses"),
        ({"depths": (4, 8), "widths": None}, "at depth 4; 3 or more"),
    ],
)
def test_bad_input_is_one_sentence(change, message):
    given = {**GOOD, **change}
    with pytest.raises(InputError, match=message):
        xinit.coordinate_check(given.pop("make_model"), **given)
