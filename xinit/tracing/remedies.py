"""The remedy for a network that fails: a scheme under which it does not, as the call that draws these weights."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from xinit.analysis.probe_report import Parameter, Report
from xinit.core.errors import InputError
from xinit.initializers import LawOf, law_of
from xinit.tracing import layout, redraw
from xinit.tracing.choices import initializer_of
from xinit.tracing.kinds import is_equinox
from xinit.tracing.structure.layers import Structure

SCHEMES = ("he", "xavier", "lecun", "orthogonal")  # in the order in which they are tried
SIGMAS = 4.0  # of sampling error, within which a kernel's n Var W is that of a scheme


def remedy(
    report: Report, params: Any, structure: Structure, measured: Callable[[Any], Report], call: Callable[[str], str]
) -> str | None:
    """The line of code that draws the weights of a scheme under which no rule fails; None where there is none.

    Schemes are tried for networks without skips, normalisation and tables in which the signal or the gradient fails, or
    all units of a layer are copies. A scheme that the weights follow already is not tried. `measured` is the report of
    other parameters, and `call` the line of code for a scheme.
    """
    failed = {finding.rule for finding in report.findings if finding.level == "FAIL"}
    kernels = [row for row in report.parameters if row.fan_in and not row.zero and "product" in row.roles]
    plain = not report.skips and not any(report.normalised) and "lookup" not in report.kinds and bool(kernels)
    if not plain or not failed & {"signal", "gradient", "copies"}:
        return None
    for scheme in SCHEMES:
        if follows(kernels, scheme):
            continue
        with contextlib.suppress(InputError):  # a scheme that these kernels cannot have, as orthogonal in some stacks
            after = measured(redraw.redrawn(params, scheme, jax.random.key(0), layout.of_structure(structure)))
            if not any(finding.level == "FAIL" for finding in after.findings):
                return call(scheme)
    return None


def follows(kernels: Sequence[Parameter], scheme: str) -> bool:
    """Whether E W^2 of each random kernel, and of all together, is the scheme's within sampling error.

    Of N normal weights it has a relative error of sqrt(2 / N); together they tell schemes apart where one cannot.
    """
    if any(row.copies for row in kernels):
        return False
    law = law_of(initializer_of(scheme))
    if law is None:
        return False
    ratios = np.array([_in_units_of(law, row) for row in kernels])
    sizes = np.array([math.prod(row.shape) for row in kernels])
    apart = np.append(ratios, np.average(ratios, weights=sizes)) - 1
    return bool(np.all(np.abs(apart) < SIGMAS * np.sqrt(2 / np.append(sizes, sizes.sum()))))


def _in_units_of(law: LawOf, row: Parameter) -> float:
    """E W^2 of a kernel, whose fans are known, over the variance that a law gives it."""
    assert row.fan_in is not None
    assert row.fan_out is not None
    assert row.in_variance is not None
    return row.in_variance / (row.fan_in * law(row.fan_in, row.fan_out).variance)


def make_call(model: Any, variables: Any, rngs: Any, call_kwargs: Mapping[str, Any]) -> Callable[[str], str]:
    """The line of code that draws the weights of a scheme, in terms of `model`, `x` and the arguments of the call."""
    arguments = lambda scheme: f'"{scheme}", jax.random.key(0)'
    if isinstance(model, nnx.Module):
        first = "" if variables is None else "nnx.update(model, variables); "
        return lambda scheme: f"{first}model = xinit.initialize(model, {arguments(scheme)})"
    named = "".join(f", {name}={_literal(name, value)}" for name, value in call_kwargs.items())
    if is_equinox(model) and variables is None:
        return lambda scheme: f"model = xinit.initialize(model, {arguments(scheme)}, batch=x{named})"
    keys = '{"params": jax.random.key(0), **rngs}' if isinstance(rngs, Mapping) else "rngs"
    drawn = f"model.init({'jax.random.key(0)' if rngs is None else keys}, x{named})"
    source = drawn if variables is None else "variables"
    return lambda scheme: f"variables = xinit.initialize({source}, {arguments(scheme)}, model=model, batch=x{named})"


def _literal(name: str, value: Any) -> str:
    """The value as Python writes it where that can be pasted, else the name that it probably has."""
    return repr(value) if isinstance(value, bool | int | float | str | None) else name
