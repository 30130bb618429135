"""A table of a model's parameters: their fans, their sizes, their gradients."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xinit.analysis.probe_report import Parameter
from xinit.probes.statistics import SAME
from xinit.tracing.structure.kernels import Axes, fans
from xinit.tracing.structure.layers import Layer, Structure

Statistics = Mapping[str, Any]  # of one parameter, as `measure` gives them


def parameter_table(
    structure: Structure, arrays: Mapping[str, np.ndarray], statistics: Mapping[str, Statistics]
) -> tuple[Parameter, ...]:
    """A row for each parameter, by slash path."""
    return tuple(
        _row(path, array, structure.axes[path], structure.roles[path], statistics[path])
        for path, array in arrays.items()
    )


def kernel_rows(
    layers: Sequence[Layer], rows: Sequence[Parameter], statistics: Mapping[str, Statistics]
) -> list[Parameter]:
    """The row of each layer's kernel: of a stacked one that of the layer's own part, under its path."""
    by_path = {row.path: row for row in rows}
    result = []
    for layer in layers:
        row, use = by_path[layer.kernel], layer.product.uses[0]
        second = part_of(statistics[row.path]["second"], use.axes, use.taken)
        gradient = part_of(statistics[row.path]["grad_norm"], use.axes, use.taken)
        n_in, n_out = (layer.product.fan_in, layer.product.fan_out) if isinstance(use.axes, Axes) else (None, None)
        result.append(
            row._replace(
                path=layer.paths[0],
                fan_in=n_in,
                fan_out=n_out,
                in_variance=n_in and n_in * float(second.mean()),
                out_variance=n_out and n_out * float(second.mean()),
                grad_norm=float(np.sqrt(np.sum(gradient.astype(np.float64) ** 2))),
            )
        )
    return result


def part_of(values: np.ndarray, axes: object, index: Sequence[tuple[int, int]]) -> np.ndarray:
    """The values of one layer among those of a stack of kernels."""
    if not isinstance(axes, Axes):
        return np.asarray(values)
    taken = dict(index)
    return np.asarray(values)[tuple(taken.get(axis, slice(None)) for axis in axes.stacked)]


def _row(path: str, array: np.ndarray, axes: object, roles: frozenset[str], about: Statistics) -> Parameter:
    n_in, n_out = fans(array.shape, axes) if isinstance(axes, Axes) else (None, None)
    second = float(np.mean(about["second"], dtype=np.float64))
    return Parameter(
        path=path,
        shape=tuple(array.shape),
        dtype=str(array.dtype),
        roles=tuple(sorted(roles)),
        mean=float(about["mean"]),
        std=float(about["std"]),
        fan_in=n_in,
        fan_out=n_out,
        in_variance=n_in and n_in * second,
        out_variance=n_out and n_out * second,
        grad_norm=math.sqrt(float(np.sum(np.asarray(about["grad_norm"], np.float64) ** 2))),
        copies=_are_copies(about),
    )


def _are_copies(about: Statistics) -> bool:
    if "w_apart" not in about or not about["g_max"] > 0:
        return False
    return all(bool(about[f"{name}_apart"] <= SAME * about[f"{name}_max"]) for name in ("w", "g"))
