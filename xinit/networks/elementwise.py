"""Any elementwise function as an activation: checked, its slope by differentiation, its landmarks found numerically."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from xinit.core.custom import calling
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words, call_with_options
from xinit.networks.contract import INF, Activation
from xinit.networks.landmarks import NEAR, Landmarks, derivative, find_landmarks, in_double, near_zero

Elementwise = Callable[[Array], Array]

PATH = "activation.fn"
FACTS = "facts"  # the setting with what a person knows better than is found here
SAMPLE = np.concatenate([np.linspace(-2.9, 2.3, 19), [7.1, -5.3, 0.01]]).astype(np.float32)  # its mean is not 0
ROUNDING = 1e-5  # relative, in float32: sums may be taken in another order in another shape

_made: dict[tuple[int, str, str], tuple[Callable[..., Any], Activation]] = {}  # the function, so that its id stays its


def activation_from(fn: str, function: Callable[..., Any], options: Mapping[str, Any]) -> Activation:
    """The activation of a user's function f(x, **options), the same object whenever all are the same.

    What is found of it numerically gives way to `options["facts"]`, a mapping with names of `Landmarks`.

    Raises:
      InputError: the options are not the function's, or it is not elementwise, not differentiable, not finite.
    """
    key = (id(function), fn, repr(sorted(options.items())))
    if key not in _made:
        _made[key] = function, _activation(fn, function, dict(options))
    return _made[key][1]


def _activation(fn: str, function: Callable[..., Any], options: dict[str, Any]) -> Activation:
    given = options.pop(FACTS, {})
    _check_call(fn, function, options)
    f: Elementwise = functools.partial(function, **options) if options else function
    _check_elementwise(fn, f)
    slope = derivative(f)
    _check_finite(fn, f, slope)
    found = calling(PATH, fn, find_landmarks, f, slope)
    return Activation(fn, f, slope, *_with_facts(found, given, f, slope))


def _check_call(fn: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """InputError unless f(x, **options) takes its options and returns x's shape and type, in a program of jax's."""

    def call(x: Array) -> Any:
        bound = functools.partial(function, x)
        bound.__name__ = fn  # type: ignore[attr-defined]  # what messages call it
        checked = _has_signature(bound)
        return call_with_options(bound, options, "activation", also=(FACTS,)) if checked else bound(**options)

    x = jax.ShapeDtypeStruct(SAMPLE.shape, jnp.float32)
    came = calling(PATH, fn, jax.eval_shape, call, x)
    shape, dtype = getattr(came, "shape", None), getattr(came, "dtype", None)
    if (shape, dtype) != (x.shape, x.dtype):
        what = f"shape {shape} and type {dtype}" if dtype else f"a {type(came).__name__}"
        raise InputError(
            f"{PATH} {fn!r} makes {what} of x of shape {x.shape} and type float32; an activation is elementwise and "
            "returns x's shape and type."
        )


def _has_signature(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function)
    except (TypeError, ValueError):  # some that are written in C
        return False
    return True


def _check_elementwise(fn: str, f: Elementwise) -> None:
    """InputError where the value at a place depends on more than x there."""
    evaluate: Callable[[np.ndarray], np.ndarray] = lambda x: np.asarray(calling(PATH, fn, f, jnp.asarray(x)))
    whole, half = evaluate(SAMPLE), len(SAMPLE) // 2
    same = functools.partial(np.allclose, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)
    if not same(evaluate(SAMPLE), whole):
        raise InputError(f"{PATH} {fn!r} gives two different results for the same x; it must be a function of x alone.")
    others = evaluate(SAMPLE[:half]), evaluate(SAMPLE.reshape(2, half)).ravel()[:half], evaluate(SAMPLE[::-1])[::-1]
    if not all(same(other, whole[: len(other)]) for other in others):
        raise InputError(
            f"{PATH} {fn!r} is not elementwise: its value at one place depends on x at others; an activation takes "
            "each number by itself."
        )


def _check_finite(fn: str, f: Elementwise, slope: Elementwise) -> None:
    """InputError where f or f' is not finite near zero, in float32 as in float64, or f' is zero everywhere."""
    x = near_zero()
    for g, what in ((f, ""), (slope, "its slope ")):
        for values in (calling(PATH, fn, in_double(g), x), np.asarray(jax.jit(g)(jnp.asarray(x, jnp.float32)))):
            wrong = np.flatnonzero(~np.isfinite(values))
            if wrong.size:
                first = wrong[np.argmin(np.abs(x[wrong]))]
                raise InputError(
                    f"{PATH} {fn!r} is not finite: {what or 'it '}is {values[first]} at x = {x[first]:.4g}; an "
                    f"activation and its slope must be finite from {-NEAR:g} to {NEAR:g}."
                )
    if not np.any(in_double(slope)(x)):
        raise InputError(
            f"{PATH} {fn!r} is not differentiable: its slope is 0 everywhere, so no gradient passes; an activation "
            "needs a slope."
        )


def _with_facts(found: Landmarks, given: Any, f: Elementwise, slope: Elementwise) -> Landmarks:
    """What was found, with what the user knows better in its place.

    Raises:
      InputError: an unknown name, a wrong type, or a bound that the function does not keep to.
    """
    path = f"activation.{FACTS}"
    if not isinstance(given, Mapping):
        raise InputError(f"{path} is {given!r}; it must be a mapping, as in {path}={{low:-1,high:1}}.")
    for name, value in given.items():
        if name not in RULES:
            raise InputError(f"Unknown setting {path}.{name}; {allowed_words(str(name), RULES)}")
        holds, words = RULES[name]
        if not holds(value):
            raise InputError(f"{path}.{name} is {value!r}; it must be {words}.")
    numbers = {name: float(value) for name, value in given.items() if _is_number(value)}
    kinks = tuple(sorted(map(float, given.get("kinks", found.kinks))))
    facts = found._replace(**{**given, **numbers, "kinks": kinks})
    _check_bounds(facts, path, in_double(f)(near_zero()), np.abs(in_double(slope)(near_zero())))
    return facts


def _check_bounds(
    facts: Landmarks, path: str, values: Float[np.ndarray, " points"], slopes: Float[np.ndarray, " points"]
) -> None:
    """InputError where a bound does not hold at a point that was looked at."""
    rows = (
        ("low", facts.low, np.max(facts.low - values), "at most", np.min(values)),
        ("high", facts.high, np.max(values - facts.high), "at least", np.max(values)),
        ("slope_max", facts.slope_max, np.max(slopes - facts.slope_max), "at least", np.max(slopes)),
    )
    for name, bound, excess, words, reached in rows:
        if excess > 1e-6 * (1 + abs(reached)):
            raise InputError(
                f"{path}.{name} is {bound:g}; it must be {words} {reached:.6g}, which the function reaches between "
                f"{-NEAR:g} and {NEAR:g}."
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "slope_max": (lambda v: _is_number(v) and v > 0, "a number above 0, or inf"),
    "low": (lambda v: _is_number(v) and v < INF, "a number, or -inf"),
    "high": (lambda v: _is_number(v) and v > -INF, "a number, or inf"),
    "saturates": (_is_flag, "true or false"),
    "rectifies": (_is_flag, "true or false"),
    "negative_slope": (lambda v: v is None or (_is_number(v) and 0 <= v < 1), "at least 0 and below 1, or null"),
    "kinks": (
        lambda v: isinstance(v, list | tuple) and all(_is_number(k) and abs(k) < INF for k in v),
        "a list of finite numbers",
    ),
    "parity": (lambda v: v in ("odd", "even", None), "odd, even or null"),
    "wavelength": (lambda v: v is None or (_is_number(v) and 0 < v < INF), "a finite number above 0, or null"),
}
