"""The trainer against an independent one, and what must not change a result: cuts, probes, chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xinit import cli
from xinit.build import build
from xinit.config import parse
from xinit.loop import make_program, make_segment, make_train
from xinit.probes import no_edges

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
SMALL = {"data": "synthetic", "width": 16, "depth": 3, "steps": 120, "probe": "economy", "scheme": "xavier",
         "data.valid": 1000, "data.test": 1000}  # fmt: skip


def built(**settings):
    return build(parse(cli.compose("train", cli.overrides_from(SMALL | settings))))


def trained(run, stops):
    segment, start = jax.jit(make_segment(run.problem)), jax.jit(make_program(run.problem).start)
    state, before = start(run.params, run.hyper), 0
    for stop in stops:
        state, before = segment(state, run.data_key, run.hyper, run.data, np.int32(before), np.int32(stop)), stop
    return state


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("data", ["synthetic", "shapeset"])
def test_cut_anywhere_the_result_is_bitwise_the_same(data):
    run = built(data=data)
    whole = trained(run, [120])
    assert (np.asarray(whole.params["layers"][0]["kernel"]) != np.asarray(run.params["layers"][0]["kernel"])).all()
    for stops in ([1, 49, 50, 51, 100, 120], [119, 120], [3, 50, 50, 119, 120]):
        assert_same(whole, trained(run, stops))


def test_observing_does_not_change_training():
    parameters = []
    for probe in ("off", "economy", "full"):
        run = built(probe=probe)
        edges = no_edges(3)
        state, readings = make_train(run.problem)(run.params, run.data_key, run.hyper, run.data, edges)
        parameters.append(state.params)
        assert len(readings["train_loss"]) == len(run.problem.points)
    assert_same(parameters[0], parameters[1])
    assert_same(parameters[0], parameters[2])


def test_a_segment_with_other_numbers_compiles_nothing():
    run = built()
    segment = jax.jit(make_segment(run.problem))
    state = jax.jit(make_program(run.problem).start)(run.params, run.hyper)
    for seed, rate, start, stop in ((0, 0.1, 0, 10), (1, 0.01, 10, 57), (2, 0.3, 57, 120)):
        hyper = run.hyper | {"learning_rate": jnp.float32(rate)}
        segment(state, jax.random.key(seed), hyper, run.data, np.int32(start), np.int32(stop))
    assert segment._cache_size() == 1


def test_batches_of_a_stored_set_go_through_every_example_once_an_epoch(tfds_dir):
    run = built(data="mnist", **{"data.dir": str(tfds_dir), "data.train": 1000})
    draw = jax.jit(run.problem.dataset.draw)
    epochs = [np.asarray(draw(run.data_key, epoch, run.data)).ravel() for epoch in (0, 1)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(1000))
    assert (epochs[0] != epochs[1]).any()


OPTIMIZERS = {
    "sgd": (lambda: optax.sgd(0.1), {"optimizer.learning_rate": 0.1}),
    "momentum": (lambda: optax.sgd(0.05, momentum=0.8), {"optimizer.learning_rate": 0.05, "optimizer.momentum": 0.8}),
    "adam": (lambda: optax.adam(0.01), {"optimizer.learning_rate": 0.01}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_traced_optimizers_are_optaxs(name):
    make, numbers = OPTIMIZERS[name]
    run = built(optimizer=name, **numbers)
    dataset, apply, tx, params = run.problem.dataset, run.problem.apply, make(), run.params
    opt_state = tx.init(params)
    chunk = dataset.draw(run.data_key, 0, run.data)

    def loss(params, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(apply(params, x)[0], y).mean()

    for i in range(20):
        grads = jax.grad(loss)(params, *dataset.batch(chunk, i, run.data))
        updates, opt_state = tx.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
    ours = trained(run, [20]).params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), ours, params)


def test_layers_have_their_own_learning_rate_factor():
    run = built()
    factors = jnp.array([1.0, 0.0, 0.5, 1.0])
    before, after = run.params["layers"], {}
    for scale in (jnp.ones(4), factors):
        after[float(scale.sum())] = trained(run._replace(hyper=run.hyper | {"lr_scale": scale}), [1]).params["layers"]
    for l in range(4):
        full = after[4.0][l]["kernel"] - before[l]["kernel"]
        scaled = after[2.5][l]["kernel"] - before[l]["kernel"]
        np.testing.assert_allclose(scaled, factors[l] * full, rtol=1e-3, atol=1e-7)


def test_update_ratio_is_that_of_the_last_step():
    run = built()
    _, readings = make_train(run.problem)(run.params, run.data_key, run.hyper, run.data, no_edges(3))
    assert np.isnan(readings["update_ratio"][0]).all()
    point = run.problem.points[5]
    before, after = (trained(run, [stop]).params["layers"] for stop in (point - 1, point))
    for l in range(4):
        old, new = np.asarray(before[l]["kernel"]), np.asarray(after[l]["kernel"])
        ratio = np.linalg.norm(new - old) / np.linalg.norm(old)
        assert float(readings["update_ratio"][5, l]) == pytest.approx(ratio, rel=1e-3)


def test_divergence_is_dated_to_the_step():
    """The first step whose loss is not finite, wherever the run is cut; NaN weights give one at once."""
    run = built(activation="relu", scheme="he", **{"optimizer.learning_rate": 1e6})
    state = trained(run, [120])
    at = int(state.diverged_at)
    assert 1 < at <= 120
    assert int(trained(run, [at - 1]).diverged_at) == 0
    assert int(trained(run, [1, at, 120]).diverged_at) == at


def numpy_losses(layers, batches, learning_rate):
    """SGD on the mean cross-entropy of a tanh MLP in plain NumPy float64: one loss a step, before the update."""
    layers = [[np.asarray(part, np.float64) for part in layer] for layer in layers]
    for x, y in batches:
        hidden = [x]
        for kernel, bias in layers[:-1]:
            hidden.append(np.tanh(hidden[-1] @ kernel + bias))
        logits = hidden[-1] @ layers[-1][0] + layers[-1][1]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        yield -np.log(p[np.arange(len(y)), y]).mean()
        delta = p
        delta[np.arange(len(y)), y] -= 1
        delta /= len(y)
        for l in reversed(range(len(layers))):
            kernel, bias = layers[l]
            below = (delta @ kernel.T) * (1 - hidden[l] ** 2)
            layers[l] = [kernel - learning_rate * hidden[l].T @ delta, bias - learning_rate * delta.sum(axis=0)]
            delta = below


def test_an_independent_numpy_loop_gives_the_same_losses_on_mnist(tfds_dir):
    settings = {"data": "mnist", "data.dir": str(tfds_dir), "depth": 5, "width": 128, "steps": 200}
    run = built(**settings, **{"optimizer.learning_rate": 0.05, "data.valid": 10_000, "data.test": 10_000})
    dataset = run.problem.dataset
    chunk = dataset.draw(run.data_key, 0, run.data)
    batches = [tuple(np.asarray(part) for part in dataset.batch(chunk, i, run.data)) for i in range(200)]
    layers = [(layer["kernel"], layer["bias"]) for layer in run.params["layers"].values()]
    theirs = np.array(list(numpy_losses(layers, batches, 0.05)))

    segment, ours = jax.jit(make_segment(run.problem)), []
    state = make_program(run.problem).start(run.params, run.hyper)
    for step in range(200):
        state = state._replace(loss_sum=jnp.float32(0))
        state = segment(state, run.data_key, run.hyper, run.data, np.int32(step), np.int32(step + 1))
        ours.append(float(state.loss_sum))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert theirs[-20:].mean() < 0.8 * theirs[:20].mean()


GOLDEN = (2.1142223, 283.29497)  # loss, sum of the absolute parameters after the step


def test_the_golden_step():
    """One training step on fixed numbers. Update it only with a change that is meant to alter what a run computes
    (keys, batches, arithmetic): every stored run then differs from its re-run, so say so in the commit."""
    state = trained(built(), [1])
    total = sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(state.params))
    assert (float(state.loss_sum), total) == pytest.approx(GOLDEN, rel=1e-5)


def test_evaluate_sees_the_whole_sets_also_when_batches_do_not_divide_them():
    run = built(**{"data.valid": 1203, "data.test": 700})
    errors = jax.jit(make_program(run.problem).evaluate)(run.params, run.data)
    for name in ("valid", "test"):
        examples = run.data[name]
        logits, _ = run.problem.apply(run.params, examples.x)
        wrong = np.mean(np.argmax(np.asarray(logits), axis=1) != np.asarray(examples.y))
        assert float(errors[f"{name}_error"]) == pytest.approx(wrong, abs=1e-6)
