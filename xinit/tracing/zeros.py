"""Zeros on purpose: a model is measured as if its zero heads, scales and last layers had already moved."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xinit.analysis.probe_report import Report
from xinit.analysis.verdict import Finding
from xinit.tracing import redraw
from xinit.tracing.layout import of_structure
from xinit.tracing.parameters import Parameter
from xinit.tracing.rules import collapsed, unreached_layers
from xinit.tracing.structure.kernels import Axes, by_path
from xinit.tracing.structure.layers import Structure

SCHEME = "lecun"  # which keeps the signal that comes in whatever function stands before


class Moved(NamedTuple):
    """Parameters in which kernels and scales of zeros were replaced, and the paths of these kernels and scales."""

    params: Any
    kernels: tuple[str, ...]
    scales: tuple[str, ...]


def moved(report: Report, params: Any, structure: Structure) -> Moved | None:
    """The parameters with kernels drawn by lecun and scales of 1 in place of zeros.

    None where a gradient reaches every layer, and where there are no such zeros.
    """
    if not unreached_layers(report).any():
        return None
    layout = of_structure(structure)
    zero = [row for row in report.parameters if row.zero]
    kernels = tuple(row.path for row in zero if layout[row.path].is_kernel and isinstance(layout[row.path].axes, Axes))
    scales = tuple(row.path for row in zero if _is_scale(row) and row.path not in kernels)
    if not kernels and not scales:
        return None
    arrays = by_path(params)
    ones = {path: jnp.ones_like(arrays[path]) for path in scales}
    leaves, tree = jax.tree.flatten(params)
    params = jax.tree.unflatten(tree, [ones.get(path, leaf) for path, leaf in zip(arrays, leaves, strict=True)])
    if kernels:
        params = redraw.redrawn(params, dict.fromkeys(kernels, SCHEME), jax.random.key(0), layout)
    return Moved(params, kernels, scales)


def _is_scale(row: Parameter) -> bool:
    return "scaled" in row.roles and "product" not in row.roles


def with_finding(report: Report, moved: Moved) -> Report:
    """The report with a finding that says which parameters were replaced, and how."""
    parts = [_part(moved.kernels, "drawn by lecun"), _part(moved.scales, "taken as 1")]
    words = f"measured past what is zero at first: {' and '.join(filter(None, parts))}"
    return dataclasses.replace(report, findings=(*report.findings, Finding("OK", "zeros", words)))


def _part(paths: Sequence[str], how: str) -> str:
    return f"{', '.join(collapsed(paths))} {how}" if paths else ""
