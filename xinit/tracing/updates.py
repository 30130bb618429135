"""How far a step moves the kernel of each layer."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xinit.tracing.parameters import part_of
from xinit.tracing.structure.kernels import Axes, by_path
from xinit.tracing.structure.layers import Structure

Kernels = Mapping[str, Array]  # by the paths of the stored arrays


def kernels_of(structure: Structure, params: Any) -> dict[str, Array]:
    """The stored arrays that the layers' kernels are in."""
    named = by_path(params)
    return {path: named[path] for path in dict.fromkeys(layer.kernel for layer in structure.layers)}


def copied(kernels: Kernels) -> dict[str, Array]:
    """Copies, which stay when a training step reuses the memory of what it was given."""
    return {path: jnp.copy(kernel) for path, kernel in kernels.items()}


def update_ratios(structure: Structure, before: Kernels, after: Kernels) -> np.ndarray:
    """(layer,) norm of the change of each layer's kernel over its norm before; nan where that was 0.

    A layer that is one of a stack has a ratio of its own.
    """
    own_axes = {path: _unstacked(structure.axes[path], kernel.ndim) for path, kernel in before.items()}
    squares = jax.device_get({path: _squares(before[path], after[path], own_axes[path]) for path in before})
    ratios = np.full(len(structure.layers), np.nan)
    for l, layer in enumerate(structure.layers):
        use = layer.product.uses[0]
        change, size = (np.sum(part_of(one, use.axes, use.taken), dtype=np.float64) for one in squares[layer.kernel])
        if size > 0:
            ratios[l] = np.sqrt(change / size)
    return ratios


def _unstacked(axes: object, n: int) -> tuple[int, ...]:
    stacked = axes.stacked if isinstance(axes, Axes) else ()
    return tuple(axis for axis in range(n) if axis not in stacked)


@functools.partial(jax.jit, static_argnums=2)
def _squares(before: Array, after: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Sums of squares of the change and of what was there before."""
    before, after = before.astype(jnp.float32), after.astype(jnp.float32)
    return jnp.sum((after - before) ** 2, axes), jnp.sum(before**2, axes)
