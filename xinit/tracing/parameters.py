"""A table of a model's parameters: their fans, their sizes, their gradients."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from xinit.probes.statistics import SAME
from xinit.tracing.kernels import Axes, fans
from xinit.tracing.layout import KERNELS, Layout, Unclear


class Parameter(NamedTuple):
    """One parameter: fans and n Var W where it is a kernel, with Var W = E W^2, and the norm of dL/dW.

    `is_vector` of biases, scales and the like. What is neither a vector nor has fans may be a kernel, but its axes have
    no certain meaning. `copies` of a kernel all of whose units have equal weights and gradients, so that they stay so.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    mean: float
    std: float
    fan_in: int | None
    fan_out: int | None
    in_variance: float | None
    out_variance: float | None
    grad_norm: float
    is_vector: bool
    copies: bool


def parameter_table(
    params: Mapping[str, jax.Array], gradients: Mapping[str, jax.Array], layout: Layout
) -> tuple[Parameter, ...]:
    """A row for each parameter, all three arguments by slash path."""
    rows = []
    for path, value in params.items():
        axes = layout[path]
        n_in, n_out = fans(value.shape, axes) if isinstance(axes, Axes) else (None, None)
        w, g = np.asarray(value, np.float64), np.asarray(gradients[path], np.float64)
        second = float(np.mean(w**2))
        about = (path, value.shape, str(value.dtype), float(w.mean()), float(w.std()), n_in, n_out)
        scaled = (n_in and n_in * second, n_out and n_out * second, float(np.linalg.norm(g)))
        rows.append(Parameter(*about, *scaled, is_vector=axes is None, copies=_are_copies(w, g, axes)))
    return tuple(rows)


def _are_copies(w: np.ndarray, g: np.ndarray, axes: Axes | Unclear | None) -> bool:
    if not isinstance(axes, Axes) or axes.lookup or math.prod(w.shape[axis] for axis in axes.outputs) < 2:
        return False
    with np.errstate(invalid="ignore"):  # infinities are for other rules
        equal = [np.ptp(a, axis=axes.outputs).max() <= SAME * np.abs(a).max() for a in (w, g)]
    return bool(g.any() and all(equal))


def kernel_of_module(rows: Sequence[Parameter]) -> dict[str, Parameter]:
    """The largest kernel or table of each module that has one, by the module's path."""
    by_size = sorted((row for row in rows if row.fan_in), key=lambda row: math.prod(row.shape))
    return {row.path.rpartition("/")[0]: row for row in by_size}


def uncovered(rows: Sequence[Parameter], owners: Collection[str]) -> tuple[str, ...]:
    """The paths of parameters of which what these modules give says nothing, or not all.

    Where a module is no layer of Flax's own and has several kernels, or one that may be several layers', what comes
    between them is not seen.
    """
    owner = lambda row: row.path.rpartition("/")[0]
    kernels = Counter(owner(row) for row in rows if not row.is_vector)
    is_one = lambda row: row.fan_in and (row.path.rpartition("/")[2] in KERNELS or kernels[owner(row)] == 1)
    return tuple(row.path for row in rows if owner(row) not in owners or not (row.is_vector or is_one(row)))
