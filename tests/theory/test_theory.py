"""Theory against the published values, against independent integration, and against matrices that were drawn."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from xinit.core.errors import InputError
from xinit.initializers import Law
from xinit.networks import activations, elementwise
from xinit.networks.activations import Activation
from xinit.theory.mean_field import (
    c_map,
    c_star,
    chi_1,
    edge_at,
    edge_of_chaos,
    gains,
    longest_depth,
    phase,
    q_map,
    q_star,
    walk,
)
from xinit.theory.moments import RANGE, hermite_coefficients, kernels, mean_slope, moments
from xinit.theory.plane import settler
from xinit.theory.spectra import mean_singular_value

pytestmark = pytest.mark.usefixtures("compile_quickly")
# f and f' once more, in NumPy.
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772
INDEPENDENT = {
    "tanh": (np.tanh, lambda x: np.cosh(np.clip(x, -300, 300)) ** -2.0),
    "sigmoid": (special.expit, lambda x: special.expit(x) * special.expit(-x)),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), lambda x: 1.0 * (np.abs(x) < 1)),
    "lecun_tanh": (
        lambda x: 1.7159 * np.tanh(2 * x / 3),
        lambda x: 1.7159 * 2 / 3 * np.cosh(np.clip(2 * x / 3, -300, 300)) ** -2.0,
    ),
    "linear": (lambda x: x, lambda x: np.ones_like(x)),
    "relu": (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1.0, 0.01)),
    "selu": (
        lambda x: SCALE * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0))),
        lambda x: SCALE * np.where(x > 0, 1.0, ALPHA * np.exp(np.minimum(x, 0))),
    ),
    "hard_sigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda x: (np.abs(x) < 3) / 6),
    "hard_swish": (
        lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        lambda x: np.where(np.abs(x) < 3, x / 3 + 0.5, 1.0 * (x > 0)),
    ),
    "erf": (special.erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-np.minimum(x**2, 700))),
    "squared_relu": (lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0)),
    "prelu": (lambda x: np.where(x > 0, x, 0.25 * x), lambda x: np.where(x > 0, 1.0, 0.25)),
    "elu": (
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))),
    ),
    "celu": (
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))),
    ),
    "softplus": (lambda x: np.logaddexp(0, x), special.expit),
    "silu": (lambda x: x * special.expit(x), lambda x: special.expit(x) * (1 + x * special.expit(-x))),
    "mish": (
        lambda x: x * np.tanh(np.logaddexp(0, x)),
        lambda x: (
            np.tanh(np.logaddexp(0, x)) + x * special.expit(x) / np.cosh(np.logaddexp(0, np.minimum(x, 300))) ** 2
        ),
    ),
    "gelu_tanh": (
        lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        lambda x: (
            (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
            + x
            * (1 + 0.134145 * x**2)
            / (np.sqrt(2 * np.pi) * np.cosh(np.clip(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3), -300, 300)) ** 2)
        ),
    ),
    "gelu": (
        lambda x: x * special.ndtr(x),
        lambda x: special.ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi),
    ),
}
TURNS = (-1.2784645, -1.1924312, -0.7524614, -0.7517916)  # f' = 0 of silu, mish and both gelus
BREAKS = (
    -40.0,
    -4.0,
    -3.0,
    -1.5,
    *TURNS,
    -1.0,
    0.0,
    1.0,
    3.0,
    4.0,
    40.0,
)  # kinks, signs of f', and where transitions end
FUNCTIONS = {name: getattr(activations, name)() for name in INDEPENDENT}


def rounds_to(value, text):
    """Whether a value has the digits that were printed."""
    digits = len(text.lower().partition("e")[0].replace(".", "").lstrip("0"))
    return float(f"{value:.{digits}g}") == float(text)


# Published values: shared/PAPERS.md, section 4.

PUBLISHED_MOMENTS = {  # E f^2, E f'^2, 1/std f, 1/sqrt(E f^2) at q = 1
    "tanh": (".3943", ".4644", "1.5925", "1.5925"),
    "sigmoid": (".2934", ".0448", "4.801", "1.846"),
    "relu": (".5000", ".5000", "1.713", "1.4142"),
    "selu": ("1.000", "1.0716", "1.000", "1.000"),
    "lecun_tanh": (".7504", ".8040", "1.154", "1.154"),
}


@pytest.mark.parametrize("name", PUBLISHED_MOMENTS)
def test_the_published_moments_and_both_gains(name):
    m, both = moments(FUNCTIONS[name], 1.0), gains(FUNCTIONS[name])
    found = m.second, m.slope_second, both.normalising, both.second_moment
    for value, text in zip(found, PUBLISHED_MOMENTS[name], strict=True):
        assert rounds_to(value, text), (value, text)


@pytest.mark.parametrize(
    ("q", "weight_variance", "bias_variance"),
    [
        (0.05, "1.0936", "1.28e-4"),
        (0.1, "1.1776", "8.3e-4"),
        (0.3, "1.4580", ".0124"),
        (0.5, "1.6880", ".0380"),
        (1.0, "2.1533", ".1510"),
    ],
)
def test_the_published_edge_of_chaos_of_tanh(q, weight_variance, bias_variance):
    edge = edge_of_chaos(FUNCTIONS["tanh"], q)
    assert rounds_to(edge.weight_variance, weight_variance)
    assert rounds_to(edge.bias_variance, bias_variance)
    settled = phase(FUNCTIONS["tanh"], edge.weight_variance, edge.bias_variance)
    assert settled.q_star == pytest.approx(q, rel=1e-9)
    assert settled.name == "critical"


def test_tanh_on_the_edge_at_the_usual_bias_variance():
    edge = edge_at(FUNCTIONS["tanh"], 0.05)
    assert rounds_to(edge.weight_variance, "1.7610")
    assert edge == pytest.approx(edge_of_chaos(FUNCTIONS["tanh"], edge.q))


def test_relu_has_one_point_of_the_edge():
    for q in (1e-6, 0.05, 1.0, 1e6):
        assert edge_of_chaos(FUNCTIONS["relu"], q)[1:] == pytest.approx((2.0, 0.0), abs=1e-12)
    assert edge_at(FUNCTIONS["relu"], 0.05) is None
    there = phase(FUNCTIONS["relu"], 2.0)
    assert (there.q_star, there.c_star, there.name) == (1.0, 1.0, "critical")
    assert [there.xi_q, there.xi_c, there.xi_gradient] == [math.inf] * 3


def test_sigmoid_as_published():
    f = FUNCTIONS["sigmoid"]
    normalised, kept = (phase(f, gain**2) for gain in (gains(f).normalising, gains(f).second_moment))
    assert rounds_to(normalised.q_star, "8.9")
    assert rounds_to(normalised.chi_1, ".48")
    assert kept.q_star == pytest.approx(1.0, abs=1e-9)
    assert rounds_to(kept.chi_1, ".153")
    edge = edge_at(f, 0.0)  # published as near s_w = 10, q* = 44
    assert rounds_to(math.sqrt(edge.weight_variance), "10")
    assert rounds_to(edge.q, "45.6")
    assert edge_of_chaos(f, 44.0).bias_variance < 0  # so 44 itself needs biases that do not exist


def test_tanh_with_its_gain_is_chaotic_as_published():
    there = phase(FUNCTIONS["tanh"], gains(FUNCTIONS["tanh"]).second_moment ** 2)
    assert rounds_to(there.chi_1, "1.178")
    assert rounds_to(there.chi_1**50, "3.6e3")
    assert there.c_star == pytest.approx(0, abs=1e-6)


def test_critical_tanh_falls_as_one_over_two_l():
    """q' = q - 2 q^2 + ..., so 1/q grows by 2 a layer, whatever the asymptotic scale says."""
    f = FUNCTIONS["tanh"]
    walked = walk(f, 1.0, 0.0, 1.0, 600)
    assert np.diff(1 / walked.q)[-1] == pytest.approx(2, rel=0.01)
    assert walked.q[-1] * 2 * 600 == pytest.approx(1, rel=0.02)
    assert math.isinf(phase(f, 1.0).xi_c)
    assert longest_depth(walked, 5.0) == 1 + np.flatnonzero(walked.q >= 1 / 25)[-1]


def test_mean_singular_values_as_published():
    square = lambda share: mean_singular_value(FUNCTIONS["linear"], 1.0, Law(share / 500), 500, 500)
    assert square(1.0) == pytest.approx(8 / (3 * math.pi), rel=1e-6)
    assert rounds_to(square(1.0), ".849")
    assert rounds_to(square(1 / 3), ".490")


# What is not printed: independent integration.


def integrals(name, q):
    """E f, E f^2, E f^4, E |f'|, E f'^2, E f'^4, E sqrt(q) z f f' = q d/dq E f^2: adaptive, between breakpoints."""
    f, slope = INDEPENDENT[name]

    def integrand(z):
        x = math.sqrt(q) * z
        value, derivative = float(f(x)), float(slope(x))
        powers = value, value**2, value**4, abs(derivative), derivative**2, derivative**4, x * value * derivative
        return np.array(powers) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    inner = [b / math.sqrt(q) for b in BREAKS]
    points = [-11.0, *[p for p in (-3.0, *inner, 3.0) if abs(p) < 11], 11.0]
    return integrate.quad_vec(integrand, -11, 11, points=sorted(points)[1:-1], epsrel=1e-9, epsabs=1e-300)[0]


@pytest.mark.parametrize("name", INDEPENDENT)
def test_moments_are_the_integrals(name):
    q = np.array([1e-4, 0.3, 20.0, 1e4])
    expected = np.array([integrals(name, each) for each in q]).T
    found = moments(FUNCTIONS[name], q)
    for moment, value, truth in zip(found._fields, found, expected, strict=False):
        if moment in found._fields[:6]:
            np.testing.assert_allclose(value, truth, rtol=5e-6 if name == "erf" else 5e-7, atol=1e-12, err_msg=moment)
    np.testing.assert_allclose(found.second_growth, expected[6], rtol=5e-7 if name == "erf" else 1e-7, atol=1e-12)


def test_no_activation_is_left_out():
    public = {name for name, f in vars(activations).items() if inspect.isfunction(f) and name[0] != "_"}
    assert public - {"ParamSpec"} == {*INDEPENDENT, "sin"}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_second_moments_at_usual_variances(name):
    found, q = moments(FUNCTIONS[name], np.array([0.5, 1.0, 2.0])), (0.5, 1.0, 2.0)
    density = lambda z: math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    for which, values in zip(INDEPENDENT[name], (found.second, found.slope_second), strict=True):
        for each, value in zip(q, values, strict=True):
            points = sorted(b / math.sqrt(each) for b in BREAKS if abs(b) < 9 * math.sqrt(each))
            square = lambda z, g=which, q=each: float(g(math.sqrt(q) * z)) ** 2 * density(z)
            assert value == pytest.approx(integrate.quad(square, -10, 10, points=points, limit=200)[0], rel=1e-6)


def test_closed_forms():
    q = np.array([0.5, 1.0, 2.0])
    erf, squared, prelu = (moments(getattr(activations, name)(), q) for name in ("erf", "squared_relu", "prelu"))
    np.testing.assert_allclose(erf.second, 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)), rtol=1e-9)  # Williams 1997
    np.testing.assert_allclose(erf.slope_second, 4 / np.pi / np.sqrt(1 + 4 * q), rtol=1e-9)
    np.testing.assert_allclose(squared.second, 1.5 * q**2, rtol=1e-9)
    np.testing.assert_allclose(squared.slope_second, 2 * q, rtol=1e-9)
    np.testing.assert_allclose(prelu.second, (1 + 0.25**2) / 2 * q, rtol=1e-9)


def test_sin_at_every_variance():
    """E cos(k sqrt(q) z) = exp(-k^2 q / 2) gives all of its moments, however many waves lie under the density."""
    q = np.array([0.0, 1e-6, 0.5, 1.0, 2.0, 30.0, 300.0, 1e3, 1e5, 1e9])
    found, falls = moments(activations.sin(), q), lambda k: np.exp(-(k**2) * q / 2)
    np.testing.assert_allclose(found.second, (1 - falls(2)) / 2, atol=1e-9)
    np.testing.assert_allclose(found.slope_second, (1 + falls(2)) / 2, rtol=1e-9)
    np.testing.assert_allclose(found.fourth, 3 / 8 - falls(2) / 2 + falls(4) / 8, atol=1e-9)
    np.testing.assert_allclose(found.second_growth, q * falls(2), atol=1e-7)
    assert not found.mean.any()
    series = sum((-1) ** (k + 1) * falls(2 * k) / (4 * k**2 - 1) for k in range(1, 300))  # of |cos|, by Fourier
    np.testing.assert_allclose(found.slope_size, 2 / np.pi + 4 / np.pi * series, atol=6e-4)


def test_fast_waves_and_steep_slopes_of_a_users():
    fast = elementwise.activation_from("mine:fast", lambda x: jnp.sin(30 * x), {})
    steep = elementwise.activation_from("mine:steep", lambda x: jnp.tanh(30 * x), {})
    q = np.array([1e-3, 1.0, 100.0])
    np.testing.assert_allclose(moments(fast, q).second, (1 - np.exp(-2 * 900 * q)) / 2, rtol=1e-4)
    of_tanh = moments(FUNCTIONS["tanh"], 900 * q)
    np.testing.assert_allclose(moments(steep, q).second, of_tanh.second, rtol=1e-6)
    np.testing.assert_allclose(moments(steep, q).slope_second, 900 * of_tanh.slope_second, rtol=1e-6)


def test_a_slope_without_bound_has_no_share_of_it():
    f = FUNCTIONS["squared_relu"]
    assert math.isnan(mean_slope(f, 1.0))
    cube = elementwise.activation_from("mine:cube", lambda x: x**3, {})
    np.testing.assert_allclose(moments(cube, np.array([1.0, RANGE[1]])).second, 15 * np.array([1.0, RANGE[1] ** 3]))
    assert phase(cube, 1.0).q_star == math.inf  # which is to say that it is found at RANGE[1]


@pytest.mark.parametrize("name", INDEPENDENT)
def test_growths_are_derivatives_over_log_q(name):
    f, q, h = FUNCTIONS[name], np.array([0.01, 1.0, 30.0]), 1e-4
    above, below, at = moments(f, q * (1 + h)), moments(f, q * (1 - h)), moments(f, q)
    for growth, moment in (("second_growth", "second"), ("slope_second_growth", "slope_second")):
        difference = (getattr(above, moment) - getattr(below, moment)) / (2 * h)
        np.testing.assert_allclose(getattr(at, growth), difference, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_hermite_coefficients_are_orthogonal_parts_of_the_moments(name):
    """Bessel: their squares add up to at most the moment; and E f h_(k+1) = sqrt(q / (k + 1)) E f' h_k."""
    f, q = FUNCTIONS[name], np.array([1e-4, 1.0, 9.0])
    (a, slopes), m = hermite_coefficients(f, q), moments(f, q)
    assert np.all(np.sum(a**2, axis=1) <= m.second * (1 + 1e-12))
    assert np.all(np.sum(slopes**2, axis=1) <= m.slope_second * (1 + 1e-12))
    orders, error = np.arange(1, a.shape[1]), 2e-7 * max(1, math.sqrt(m.second.max()))
    np.testing.assert_allclose(a[:, 1:], slopes[:, :-1] * np.sqrt(q[:, None] / orders[None, :]), rtol=0, atol=error)


# Between two inputs.

Q, COSINES = (0.3, 2.0), np.array([-0.7, 0.2, 0.9])


def gram_of(cosine, first=Q[0], second=Q[1]):
    between = cosine * math.sqrt(first * second)
    return np.array([[first, between], [between, second]])


GRID = np.linspace(-7, 7, 701)
DENSITY = np.exp(-(GRID**2) / 2) / np.sqrt(2 * np.pi) * (GRID[1] - GRID[0])


def brute_force(f, cosine):
    """E f(u) f(v) on a grid of two independent normal numbers."""
    u = math.sqrt(Q[0]) * GRID[:, None]
    v = math.sqrt(Q[1]) * (cosine * GRID[:, None] + math.sqrt(1 - cosine**2) * GRID[None, :])
    return DENSITY @ (f(u) * f(v)) @ DENSITY


@pytest.mark.parametrize("name", INDEPENDENT)
def test_kernels_are_the_double_integrals(name):
    for cosine in COSINES:
        value, slope = kernels(FUNCTIONS[name], gram_of(cosine))
        f, derivative = INDEPENDENT[name]
        jumps = name in ("hard_tanh", "relu", "leaky_relu", "prelu", "selu")  # which the grid resolves to its step
        assert value[0, 1] == pytest.approx(brute_force(f, cosine), abs=3e-4 if jumps else 1e-5)
        assert slope[0, 1] == pytest.approx(brute_force(derivative, cosine), abs=1e-2 if jumps else 1e-4)


CLOSED_FORMS = {  # E f(u) f(v) for covariances of u, v
    "linear": (FUNCTIONS["linear"], lambda qu, qv, k: k),
    "erf (Williams 1997)": (
        Activation("erf", jax.scipy.special.erf, lambda x: 2 / jnp.sqrt(jnp.pi) * jnp.exp(-(x**2)), 2, -1, 1),
        lambda qu, qv, k: 2 / np.pi * np.arcsin(2 * k / np.sqrt((1 + 2 * qu) * (1 + 2 * qv))),
    ),
    "relu (Cho & Saul 2009)": (
        FUNCTIONS["relu"],
        lambda qu, qv, k: (np.sqrt(qu * qv - k**2) + k * (np.pi - np.arccos(k / np.sqrt(qu * qv)))) / (2 * np.pi),
    ),
    "sine": (
        Activation("sine", jnp.sin, jnp.cos, 1, -1, 1),
        lambda qu, qv, k: np.exp(-(qu + qv) / 2) * np.sinh(k),
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_kernels_have_their_closed_forms(name):
    f, form = CLOSED_FORMS[name]
    for cosine in (*COSINES, 0.99):
        gram = gram_of(cosine)
        assert kernels(f, gram)[0][0, 1] == pytest.approx(form(*Q, gram[0, 1]), rel=1e-8)


def test_kernels_of_a_singular_gram():
    """Equal examples, one of opposite sign, and one that is zero."""
    x = np.array([[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0], [0.0, 0.0]])
    gram = x @ x.T / 2
    for name in ("tanh", "relu", "sigmoid"):
        value, _ = kernels(FUNCTIONS[name], gram)
        second = moments(FUNCTIONS[name], np.diag(gram)).second
        np.testing.assert_allclose(np.diag(value), second, rtol=1e-9)
        assert value[0, 1] == pytest.approx(value[0, 0])
        assert np.isfinite(value).all()
    assert kernels(FUNCTIONS["relu"], gram)[0][0, 2] == pytest.approx(0, abs=1e-12)


# Maps, fixed points and depth scales. Each point is (s_w^2, s_b^2): ordered, chaotic.

POINTS = {
    "tanh": [(1.2, 0.05), (3.0, 0.1)],
    "sigmoid": [(30.0, 0.1), (150.0, 0.4)],
    "softsign": [(2.0, 0.1), (6.0, 0.1)],
    "hard_tanh": [(1.0, 0.1), (2.0, 0.1)],
    "selu": [(0.7, 0.1), (1.3, 0.1)],
    "gelu": [(1.5, 0.1), (1.5, 0.3)],
    "relu": [(1.0, 0.1), (1.8, 0.3)],
}
CASES = [(name, *point) for name, points in POINTS.items() for point in points]


@pytest.mark.parametrize(("name", "w", "b"), CASES)
def test_the_fixed_points_are_fixed_and_the_scales_are_those_of_the_maps(name, w, b):
    f, there, h = FUNCTIONS[name], phase(FUNCTIONS[name], w, b), 1e-5
    q, c = there.q_star, there.c_star
    assert q_map(f, w, b, q) == pytest.approx(q, rel=1e-10)
    rate = (q_map(f, w, b, q * (1 + h)) - q_map(f, w, b, q * (1 - h))) / (2 * h * q)
    assert there.xi_q == pytest.approx(1 / abs(math.log(abs(rate))), rel=1e-5)
    assert there.chi_1 == pytest.approx(w * integrals(name, q)[4], rel=1e-8)
    assert there.xi_gradient == pytest.approx(1 / abs(math.log(there.chi_1)), rel=1e-9)
    step = c_map(f, w, b, q)
    assert step(c)[0] == pytest.approx(c, abs=1e-9)
    assert there.name == ("ordered" if there.chi_1 < 1 else "chaotic")
    assert (c == 1) == (there.chi_1 <= 1)
    back = (step(c)[0] - step(c - h)[0]) / h
    assert there.xi_c == pytest.approx(-1 / math.log(back), rel=2e-3)


@pytest.mark.parametrize(("name", "w", "b"), CASES)
def test_the_c_map_is_the_kernel_and_its_slope_the_derivative(name, w, b):
    f, q, h = FUNCTIONS[name], q_star(FUNCTIONS[name], w, b), 1e-6
    step, c = c_map(f, w, b, q), np.array([0.0, 0.4, 0.8])
    from_kernels = [(w * kernels(f, gram_of(each, q, q))[0][0, 1] + b) / q for each in c]
    np.testing.assert_allclose(step(c)[0], from_kernels, rtol=1e-6)
    np.testing.assert_allclose(step(c)[1], (step(c + h)[0] - step(c - h)[0]) / (2 * h), rtol=1e-6, atol=1e-9)
    assert step(1.0)[0] == pytest.approx(1, abs=1e-9)
    assert step(1.0)[1] == pytest.approx(chi_1(f, w, q), rel=1e-3)


@pytest.mark.parametrize("name", ["tanh", "softsign", "hard_tanh", "selu"])
@pytest.mark.parametrize("above", [1e-2, 1e-3])
def test_just_above_the_edge_inputs_no_longer_meet(name, above):
    """c* leaves 1 with chi_1, however the series of a function with kinks is cut."""
    edge = edge_of_chaos(FUNCTIONS[name], 1.0)
    w, b = edge.weight_variance * (1 + above), edge.bias_variance
    q = q_star(FUNCTIONS[name], w, b)
    c = c_star(FUNCTIONS[name], w, b, q)
    assert 0.9 < c < 1 - 1e-5
    assert c_map(FUNCTIONS[name], w, b, q)(c)[1] < 1


def test_odd_functions_without_biases_drive_chaotic_inputs_apart():
    for w in (1.3, 2.0, 2.6, 5.0):
        assert c_star(FUNCTIONS["tanh"], w, 0.0, q_star(FUNCTIONS["tanh"], w, 0.0)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "w", "b", "q"),
    [
        ("tanh", 0.5, 0.0, 0.0),
        ("tanh", 1.0, 0.0, 0.0),
        ("relu", 1.0, 0.0, 0.0),
        ("relu", 2.0, 0.0, 1.0),
        ("relu", 1.0, 0.3, 0.6),
        ("relu", 2.0, 0.1, math.inf),
        ("linear", 1.0, 0.0, 1.0),
        ("linear", 0.5, 0.1, 0.2),
        ("selu", 1.0, 0.0, 1.0),
        ("selu", 3.0, 0.0, math.inf),
        ("gelu", 2.0, 0.0, 0.0),
    ],
)
def test_where_signals_settle(name, w, b, q):
    assert q_star(FUNCTIONS[name], w, b) == pytest.approx(q)


def test_a_walk_is_the_map_again_and_again():
    f, w, b = FUNCTIONS["selu"], 1.2, 0.1
    walked = walk(f, w, b, 0.5, 6, backward_variance=0.8)
    q, gradient = 0.5, 1.0
    for l in range(6):
        assert (walked.q[l], walked.gradient[l]) == pytest.approx((q, gradient))
        gradient *= 0.8 * moments(f, q).slope_second
        q = q_map(f, w, b, q)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "hard_tanh", "selu", "gelu", "relu"])
def test_the_plane_is_made_of_phases(name):
    rng = np.random.default_rng(1)
    w, b = np.exp(rng.uniform(np.log(0.2), np.log(150 if name == "sigmoid" else 6), 12)), rng.uniform(0, 0.5, 12)
    b[:3] = 0
    found = settler(FUNCTIONS[name])(w, b)
    for i, there in enumerate(phase(FUNCTIONS[name], *point) for point in zip(w, b, strict=True)):
        assert found.q_star[i] == pytest.approx(there.q_star, rel=1e-4)
        assert found.chi_1[i] == pytest.approx(there.chi_1, rel=1e-4)
        for scale in ("xi_q", "xi_c"):
            assert getattr(found, scale)[i] == pytest.approx(getattr(there, scale), rel=0.02)


# Singular values of a layer's Jacobian.


def drawn_jacobian(name, q, law, fan_in, fan_out):
    rng = np.random.default_rng(fan_in)
    if law.structure == "orthogonal":
        w = np.linalg.qr(rng.normal(size=(fan_in, fan_out)))[0] * math.sqrt(fan_in * law.variance)
    else:
        w = rng.normal(size=(fan_in, fan_out)) * math.sqrt(law.variance)
    z = math.sqrt(q) * special.ndtri((np.arange(fan_out) + 0.5) / fan_out)  # as even a sample as there is
    return INDEPENDENT[name][1](z)[:, None] * w.T


@pytest.mark.parametrize("name", ["linear", "relu", "tanh"])
@pytest.mark.parametrize("shape", [(300, 300), (500, 126), (126, 500)])
def test_mean_singular_values_are_those_of_drawn_matrices(name, shape):
    q, law = 1.5, Law(1.7 / shape[0])
    singular = np.linalg.svd(drawn_jacobian(name, q, law, *shape), compute_uv=False)
    assert mean_singular_value(FUNCTIONS[name], q, law, *shape) == pytest.approx(singular.mean(), rel=0.01)


@pytest.mark.parametrize("name", ["linear", "relu", "tanh"])
def test_mean_singular_values_of_orthonormal_columns(name):
    law = Law(1.3 / 600, structure="orthogonal")
    singular = np.linalg.svd(drawn_jacobian(name, 1.5, law, 600, 300), compute_uv=False)
    assert mean_singular_value(FUNCTIONS[name], 1.5, law, 600, 300) == pytest.approx(singular.mean(), rel=0.01)
    assert math.isnan(mean_singular_value(FUNCTIONS[name], 1.5, law, 300, 600))


# What is refused.

ENDLESS = {
    "inverse": (lambda x: 1 / x, lambda x: -1 / x**2),
    "exp_square": (lambda x: jnp.exp(x**2), lambda x: 2 * x * jnp.exp(x**2)),
    "nothing": (lambda x: x * jnp.nan, lambda x: x * jnp.nan),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_activation_without_finite_moments_is_refused(name):
    endless = Activation(name, *ENDLESS[name], 1.0, -math.inf, math.inf)
    for call in (moments, gains, edge_of_chaos):
        with pytest.raises(InputError, match=rf"The activation {name} has no finite Gaussian moments"):
            call(endless, 1.0)


@pytest.mark.parametrize("q", [-1.0, math.nan, math.inf])
def test_a_variance_that_is_none_is_refused(q):
    with pytest.raises(InputError, match="it must be finite and at least 0"):
        moments(FUNCTIONS["tanh"], q)


@pytest.mark.parametrize("point", [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, -0.1), (1.0, math.inf)])
def test_a_point_off_the_plane_is_refused(point):
    with pytest.raises(InputError, match="they must be finite, the first above 0, the second at least 0"):
        phase(FUNCTIONS["tanh"], *point)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_signals_at_the_ends_of_the_range_have_moments_too(name):
    m = moments(FUNCTIONS[name], np.array(RANGE))
    assert all(np.isfinite(values).all() for values in m)
