"""Pre-training with denoising autoencoders: the paper's cost, what is learnt by it, and a run that begins from it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.glorot2010 import pretraining
from experiments.glorot2010.pretraining import Autoencoder, Source, Training, denoising_autoencoders
from xinit.commands.console import Reporter
from xinit.core.errors import InputError
from xinit.data.dataset import CHUNK_STEPS
from xinit.networks.activations import relu, sigmoid, softsign, tanh
from xinit.runs import runner
from xinit.schemes import layer_keys
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training.problem import load, plan

FN = "experiments.glorot2010.pretraining:denoising_autoencoders"
KEY = jax.random.key(3)
SETTINGS = {
    "activation": "sigmoid", "depth": 2, "width": 16, "steps": 30, "probe": "off",
    "data.size": 10, "data.valid": 1000, "data.test": 1000,
    "scheme": "custom", "scheme.fn": FN, "scheme.kwargs": {"steps": 60, "learning_rate": 0.03, "corruption": 0.17},
}  # fmt: skip


pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]


@pytest.fixture(scope="module")
def planned():
    return plan([parse(compose("train", overrides_from(SETTINGS)))])


@pytest.fixture(scope="module")
def pixels(planned):
    """1,000 images, (N, 100), from 0 to 1."""
    return np.asarray(load(planned)["test"].x, np.float32) / 255


def entropy_of(mean_I):
    """The cost of the best answer that does not look at its input, in nats."""
    return -np.sum(mean_I * np.log(mean_I) + (1 - mean_I) * np.log(1 - mean_I))


@pytest.mark.parametrize(("activation", "low"), [(sigmoid(), 0), (tanh(), -1)])
def test_every_layer_learns_to_restore_images_that_it_has_not_seen(activation, low, pixels):
    """Layers of 100 units on images of 100 pixels in the activation's range: one program for all."""

    @jax.jit
    def trained(layer, inputs):
        source = Source(lambda key, n: inputs[jax.random.randint(key, (n,), 0, len(inputs))], low, 1)
        return pretraining.pretrain(KEY, layer, activation, source, Training(1000, 0.03, 0.25, 10))

    @jax.jit
    def looked_at(layer, clean):
        noisy = pretraining.corrupt(KEY, clean, 0.25)
        loss = pretraining.reconstruction_loss(layer, activation, Source(None, low, 1), noisy, clean)
        return pretraining.encode(layer, activation, clean), loss

    seen, unseen = np.split(low + (1 - low) * pixels, 2)
    start = pretraining.begin(KEY, (100, 100))
    for l in range(3):
        layer = trained(start, seen)
        best_constant = entropy_of((np.mean(unseen, axis=0) - low) / (1 - low))
        (_, before), (above, after) = (looked_at(one, unseen) for one in (start, layer))
        assert after < 0.9 * min(before, best_constant), f"layer {l + 1}: {after} nats, untrained {before}"
        seen, unseen = looked_at(layer, seen)[0], above


def untied_cost(encoder, decoder, activation, low, noisy, clean):
    """The cost in the paper's symbols, for two kernels: sigmoid decoder on [0, 1], tanh decoder on [-1, 1]."""
    (weights, bias), (weights_back, bias_back) = encoder, decoder
    hidden = activation.function(noisy @ weights + bias[None, :])
    restored = (tanh() if low else sigmoid()).function(hidden @ weights_back + bias_back[None, :])
    target, p = (clean - low) / (1 - low), (restored - low) / (1 - low)
    return -jnp.mean(jnp.sum(target * jnp.log(p) + (1 - target) * jnp.log(1 - p), axis=1))


@pytest.mark.parametrize(("activation", "low"), [(sigmoid(), 0), (tanh(), -1), (softsign(), 0)])
def test_the_gradient_of_tied_weights_is_the_sum_of_both_sides(activation, low):
    random = np.random.default_rng(0)
    kernel, bias, back = (random.normal(size=shape) / 2 for shape in ((7, 4), 4, 7))
    clean = random.uniform(low, 1, size=(5, 7))
    noisy = np.where(random.uniform(size=clean.shape) < 0.25, 0, clean)
    with jax.enable_x64(True):
        value, tied = jax.value_and_grad(pretraining.reconstruction_loss)(
            Autoencoder(*map(jnp.asarray, (kernel, bias, back))), activation, Source(None, low, 1), noisy, clean
        )
        expected, (encoder, decoder) = jax.value_and_grad(untied_cost, argnums=(0, 1))(
            (kernel, bias), (kernel.T, back), activation, low, noisy, clean
        )
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(tied.kernel, encoder[0] + decoder[0].T, rtol=1e-9)
    np.testing.assert_allclose(tied.bias, encoder[1], rtol=1e-9)
    np.testing.assert_allclose(tied.decoder_bias, decoder[1], rtol=1e-9)


@pytest.mark.parametrize("share", [0, 1])
def test_training_is_plain_sgd_from_corrupted_to_clean_inputs(share, pixels):
    """Where nothing is left to chance: always the same examples, all or nothing of them wiped out."""
    clean, source = pixels[:3], Source(lambda key, n: jnp.tile(pixels[:3], (n // 3, 1)), 0, 1)
    start, steps = pretraining.begin(KEY, (100, 16)), CHUNK_STEPS + 1
    cost = lambda layer: pretraining.reconstruction_loss(layer, sigmoid(), source, (1 - share) * clean, clean)
    step = lambda _, layer: jax.tree.map(lambda value, slope: value - 0.01 * slope, layer, jax.grad(cost)(layer))
    layer = jax.jit(lambda start: pretraining.pretrain(KEY, start, sigmoid(), source, Training(steps, 0.01, share, 3)))
    expected = jax.jit(lambda start: jax.lax.fori_loop(0, steps, step, start))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-5), layer(start), expected(start))


@pytest.mark.parametrize("share", [0.0, 0.17, 0.25])
def test_corruption_wipes_out_the_stated_share_and_leaves_the_rest(share):
    x = 1 + jnp.arange(50_000.0).reshape(500, 100)
    noisy = pretraining.corrupt(KEY, x, share)
    wiped = np.asarray(noisy == 0)
    np.testing.assert_array_equal(noisy[~wiped], x[~wiped])
    error = math.sqrt(share * (1 - share))
    assert abs(wiped.mean() - share) <= 4 * error / math.sqrt(x.size)
    for axis in (0, 1):  # no example and no pixel is spared
        assert np.abs(wiped.mean(axis) - share).max() <= 5 * error / math.sqrt(x.shape[axis])


def test_the_scheme_is_a_function_of_its_key_and_trains_the_hidden_layers_alone(planned):
    batch = jnp.zeros((10, 100)), jnp.zeros(10, jnp.int32)
    hyper = lambda gain: planned.hypers[0] | {"gain": jnp.float32(gain)}
    draw = lambda seed, gain: planned.draws[0](jax.random.key(seed), hyper(gain), batch)
    (params, _, lr_scale), *others = (draw(*one) for one in ((0, 1), (0, 1), (1, 1), (0, 2)))
    again, other, doubled = (drawn for drawn, *_ in others)
    jax.tree.map(np.testing.assert_array_equal, params, again)
    for l, layer in params["layers"].items():
        kernel, its_double, another = (np.asarray(p["layers"][l]["kernel"]) for p in (params, doubled, other))
        np.testing.assert_array_equal(2 * kernel, its_double)
        assert (kernel != another).all()
        np.testing.assert_array_equal(layer["bias"], doubled["layers"][l]["bias"])
        assert np.asarray(layer["bias"] != 0).all() == (l < 2)  # all begin at 0
    plain = pretraining.begin(layer_keys(jax.random.key(0), 3)[2], (16, 9))
    np.testing.assert_allclose(params["layers"][2]["kernel"], plain.kernel, rtol=1e-5)
    np.testing.assert_array_equal(lr_scale, np.ones(3))


def test_a_run_that_begins_pretrained(planned, tmp_path):
    """The whole way, from the configuration to the run directory; the scheme is the one that was compiled before."""
    settings = overrides_from(SETTINGS | {"out": str(tmp_path)})
    outcome = runner.execute(parse(compose("train", settings)), Reporter(quiet=True))
    assert outcome.state == "done"
    assert math.isfinite(outcome.summary["test_loss"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "0 steps of 10 images; both must be at least 1"),
        ({"batch_size": 0}, "10 steps of 0 images"),
        ({"learning_rate": -0.1}, "learning rate of pre-training is -0.1; it must be above 0"),
        ({"corruption": 1.0}, "corruption is 1.0; it must be a share, at least 0 and below 1"),
        ({"corruption": -0.1}, "corruption is -0.1"),
        ({"pixel_range": [1, 0]}, r"pixel_range is \[1, 0\]; it must be two numbers, the lower one first"),
        ({"pixel_range": [0]}, r"pixel_range is \[0\]"),
    ],
)
def test_a_wrong_option_is_one_sentence(options, words):
    with pytest.raises(InputError, match=words):
        denoising_autoencoders(**{"steps": 10, "learning_rate": 0.1} | options)


@pytest.mark.parametrize(
    ("widths", "activation", "words"),
    [
        ((99, 16, 9), tanh(), "The network has 99 inputs; pre-training needs a square image's"),
        ((100, 16, 9), relu(), "those of relu lie between 0.0 and inf; use a bounded activation"),
    ],
)
def test_a_network_that_cannot_be_pretrained_is_refused_before_any_work(widths, activation, words):
    scheme = denoising_autoencoders(steps=10, learning_rate=0.1)
    with pytest.raises(InputError, match=words):
        jax.eval_shape(lambda key: scheme(key, widths, (activation,), {"gain": 1.0}, None), KEY)
