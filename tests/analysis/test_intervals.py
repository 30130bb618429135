"""Intervals cover what they promise, and say nothing where nothing can be said."""

import math

import numpy as np
import pytest

from xinit.analysis.intervals import bootstrap_interval, mean_interval

BOTH = pytest.mark.parametrize("interval", [mean_interval, bootstrap_interval])


def coverage(interval, values, truth, **settings):
    """How often the interval over the leading axis holds the true mean."""
    found = interval(values, **settings)
    return np.mean((found.low <= truth) & (truth <= found.high))


@BOTH
@pytest.mark.parametrize("n", [5, 8, 10, 20])
def test_coverage_on_normal_data(interval, n):
    """The standard error of the measured coverage is 0.8 %; the bootstrap's true one is 91.5 % at n = 5."""
    values = np.random.default_rng(n).normal(3, 2, (n, 800))
    settings = {"resamples": 4000} if interval is bootstrap_interval else {}
    assert 0.90 <= coverage(interval, values, 3, **settings) <= 0.99


@pytest.mark.parametrize(("n", "least"), [(5, 0.84), (10, 0.87), (20, 0.89)])
def test_coverage_on_skewed_data_falls_short_by_a_known_amount(n, least):
    """Exponential: about 88, 91 and 93 % over 4,000 samples."""
    values = np.random.default_rng(n).exponential(size=(n, 800))
    assert least <= coverage(bootstrap_interval, values, 1, resamples=4000) <= 0.97


@pytest.mark.parametrize(("n", "covered"), [(2, 0.5), (3, 0.75), (4, 0.875)])
def test_of_too_few_values_the_bootstrap_covers_no_more_than_their_range(n, covered):
    """The reason why comparisons use Student's interval there, which does hold."""
    values = np.random.default_rng(n).standard_normal((n, 2000))
    assert coverage(bootstrap_interval, values, 0, resamples=2000) == pytest.approx(covered, abs=0.04)
    assert coverage(mean_interval, values, 0) == pytest.approx(0.95, abs=0.02)


def test_students_interval_by_hand():
    """t at 97.5 % and 2 degrees of freedom is 4.303."""
    mean, std, low, high, n = mean_interval([1.0, 2.0, 3.0])
    assert (mean, std, n) == (2.0, 1.0, 3)
    np.testing.assert_allclose([low, high], [2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)], rtol=1e-4)


def test_the_bootstrap_agrees_with_student_on_many_normal_values():
    values = np.random.default_rng(0).standard_normal(200)
    student, bootstrap = mean_interval(values), bootstrap_interval(values)
    np.testing.assert_allclose(bootstrap[:2], student[:2], rtol=1e-12)
    np.testing.assert_allclose(bootstrap[2:4], student[2:4], atol=0.01)


def test_the_bootstrap_leans_to_the_long_tail():
    mean, _, low, high, _ = bootstrap_interval(np.random.default_rng(0).exponential(size=20))
    assert high - mean > 1.1 * (mean - low)


@BOTH
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_a_higher_level_is_wider(interval, level):
    values = np.random.default_rng(0).standard_normal(10)
    inner, outer = interval(values, level), interval(values, (1 + level) / 2)
    assert outer.low < inner.low < inner.mean < inner.high < outer.high


@BOTH
def test_shift_and_scale_go_through(interval):
    values = np.random.default_rng(0).standard_normal(7)
    plain, moved = interval(values), interval(5 + 2 * values)
    np.testing.assert_allclose([moved.mean, moved.low, moved.high], [5 + 2 * x for x in (plain.mean, *plain[2:4])])


def test_the_bootstrap_is_deterministic_and_its_seed_matters():
    values = np.random.default_rng(0).standard_normal(9)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


@BOTH
def test_each_column_is_its_own_sample(interval):
    values = np.random.default_rng(0).standard_normal((6, 3))
    whole = interval(values)
    for column in range(3):
        np.testing.assert_allclose([part[column] for part in whole[:4]], interval(values[:, column])[:4])


@BOTH
@pytest.mark.parametrize("n", [2, 3, 10])
def test_constant_data_give_a_point(interval, n):
    assert interval([0.1] * n) == (0.1, 0.0, 0.1, 0.1, n)


@BOTH
def test_one_value_has_no_interval_and_none_has_no_mean(interval):
    mean, *rest, n = interval([0.3])
    assert (mean, n) == (0.3, 1)
    assert np.isnan(rest).all()
    assert interval([]).n == 0
    assert np.isnan(interval([])[:4]).all()
