"""Reductions against NumPy."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from xinit.core.readings import QUANTILES
from xinit.probes import statistics

pytestmark = pytest.mark.usefixtures("compile_quickly")
SAMPLES = {
    "normal": lambda key: jax.random.normal(key, (300, 50)),
    "tiny": lambda key: 1e-12 * jax.random.normal(key, (300, 50)),
    "rectified": lambda key: jax.nn.relu(jax.random.normal(key, (300, 50))),
    "spikes": lambda key: jnp.tanh(20 * jax.random.normal(key, (300, 50))),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_histogram_is_numpys(name):
    x = SAMPLES[name](jax.random.key(0))
    low, high = float(jnp.quantile(x, 0.01)) - 1e-13, float(jnp.quantile(x, 0.99)) + 1e-13
    shares = statistics.histogram(x, jnp.float32(low), jnp.float32(high), 32)
    counts, _ = np.histogram(np.asarray(x), bins=32, range=(np.float32(low), np.float32(high)))
    assert np.abs(np.asarray(shares) * x.size - counts).max() <= 3  # values that rounding puts on the other side
    assert float(shares.sum()) == pytest.approx(counts.sum() / x.size, abs=1e-3)


def test_histogram_says_what_lies_outside():
    x = jnp.array([-2.0, -1.0, 0.0, 0.5, 1.0, 1.5, jnp.nan, jnp.inf])
    np.testing.assert_allclose(statistics.histogram(x, -1.0, 1.0, 4), [1 / 8, 0, 1 / 8, 2 / 8])


@pytest.mark.parametrize("name", SAMPLES)
def test_fine_quantiles_are_within_a_fine_bin_of_the_exact_ones(name):
    x = SAMPLES[name](jax.random.key(1))
    bin_width = float(jnp.ptp(x)) / statistics.FINE_BINS
    exact = np.quantile(np.asarray(x), QUANTILES)
    spacing = np.diff(np.sort(np.asarray(x).ravel())).max()  # between two samples any value is a quantile
    np.testing.assert_allclose(statistics.fine_quantiles(x), exact, atol=bin_width + spacing * 0.5)
    np.testing.assert_allclose(statistics.exact_quantiles(x), exact, rtol=1e-5, atol=1e-18)


def test_fine_quantiles_of_a_constant():
    np.testing.assert_allclose(statistics.fine_quantiles(jnp.full((10, 3), 0.7)), np.full(9, 0.7), rtol=1e-6)


def test_cosines_of_pairs():
    h = jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    np.testing.assert_allclose(statistics.cosines(h), [0, np.sqrt(0.5), np.sqrt(0.5)], atol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e25])
def test_cosines_do_not_depend_on_size(size):
    h = jax.random.normal(jax.random.key(0), (6, 40))
    np.testing.assert_allclose(statistics.cosines(size * h), statistics.cosines(h), atol=1e-6)


def random_units(n, seed=0):
    return np.random.default_rng(seed).normal(size=(2, 40, n)).astype(np.float32)


def copies(h, g):
    return statistics.copies(jnp.asarray(h), jnp.asarray(g))


def repeated(times):
    """Each unit as often as `times` says: its activations and its gradients."""
    return [np.repeat(part, times, axis=1) for part in random_units(len(times))]


@pytest.mark.parametrize(
    ("times", "share"), [([1] * 20, 0), ([20], 1), ([2] * 10, 10 / 19), ([1] * 18 + [2], 1 / 19), ([1], 0)]
)
@pytest.mark.parametrize("scale", [1, 1e-20, 1e15])
def test_copies_are_units_with_the_same_activation_and_gradient(times, share, scale):
    order = np.random.default_rng(1).permutation(sum(times))
    h, g = (scale * part[:, order] for part in repeated(times))
    assert float(copies(h, g)) == pytest.approx(share, abs=1e-6)


def test_copies_that_sums_in_another_order_tell_apart_are_copies():
    (h, g), noise = repeated([20]), 1 + 3e-7 * random_units(20, seed=2)
    assert float(copies(h * noise[0], g * noise[1])) == 1


def test_units_that_share_only_one_of_activation_and_gradient_are_no_copies():
    (h, g), (same_h, same_g) = repeated([1] * 20), repeated([20])
    assert float(copies(same_h, g)) == float(copies(h, same_g)) == 0


def test_units_without_a_gradient_are_left_out():
    h, g = repeated([1] * 10 + [10])
    assert float(copies(h, g)) == pytest.approx(9 / 19)
    g[:, 10:] = 0
    assert float(copies(h, g)) == 0
    assert float(copies(h, 0 * g)) == 0


def test_shapes_in_signatures_are_checked():
    """By the hook in conftest.py, without which they would be words."""
    with pytest.raises(jaxtyping.TypeCheckError, match="examples width"):
        statistics.cosines(jnp.ones(3))
