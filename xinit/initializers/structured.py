"""Weights that hang together, or where nothing is random: what is no variance alone."""

import math
from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Inexact

from xinit.core.errors import InputError
from xinit.initializers.kernel import Kernel, KernelAxes
from xinit.initializers.law import Law, LawfulInitializer, lawful

__all__ = ["constant", "delta_orthogonal", "identity", "orthogonal", "sparse", "zero_hadamard"]


def orthogonal(**axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """Orthonormal rows or columns, whichever are fewer; uniform over all such matrices (Saxe et al. 2013).

    A convolution's kernel is one matrix (window x inputs, outputs), as that of `jax.nn.initializers.orthogonal`, whose
    `column_axis` is `out_axis` here. Stacked kernels, and the groups of a grouped convolution, have a matrix each.

    >>> w = orthogonal()(jax.random.key(0), (6, 3))
    >>> bool(jnp.allclose(w.T @ w, jnp.eye(3), atol=1e-5))
    True
    """

    def draw(key: Array, kernel: Kernel, dtype: DTypeLike) -> Inexact[Array, "..."]:
        return kernel.assembled(_orthonormal(key, kernel, kernel.fan_in, dtype))

    return lawful(draw, lambda kernel: Law(1 / max(kernel.fan_in, kernel.units), structure="orthogonal"), **axes)


def _orthonormal(key: Array, kernel: Kernel, n_in: int, dtype: DTypeLike) -> Inexact[Array, "..."]:
    """A matrix (n_in, units) for each of the stacked kernels and groups, or for the only one."""

    def matrix(key: Array) -> Inexact[Array, "n_in units"]:
        return jax.random.orthogonal(key, n_in, (), dtype, kernel.units)

    count = kernel.size(kernel.batch) * kernel.groups
    # One after the other: a batched QR never ends where a jitted program has several, on two CPU cores.
    return matrix(key) if count == 1 else jax.lax.map(matrix, jax.random.split(key, count))


def delta_orthogonal(**axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """A convolution that is 0 but in the middle of its window, with orthonormal rows there (Xiao et al. 2018).

    With H the matrix (inputs, outputs) in the middle, H H^T = 1, so that each position keeps its length; a stride only
    leaves positions out. A layer without a window is drawn as by `orthogonal`. Stacked kernels, and the groups of a
    grouped convolution, have a matrix each.

    >>> w = delta_orthogonal()(jax.random.key(0), (3, 3, 4, 8))
    >>> bool(jnp.allclose(w[1, 1] @ w[1, 1].T, jnp.eye(4), atol=1e-5)), int(jnp.count_nonzero(w))
    (True, 32)

    Raises:
      InputError: axes as in `variance_scaling`; when weights are drawn, a convolution with fewer outputs than inputs,
        for which there are no such rows.

    Reference: Xiao et al. 2018, "Dynamical Isometry and a Mean Field Theory of CNNs", section 3.1 and Algorithm 1.
    """

    def check(kernel: Kernel) -> None:
        if kernel.window and kernel.size(kernel.inputs) > kernel.units:
            raise InputError(
                f"delta_orthogonal keeps lengths, which needs at least as many outputs as inputs, and a convolution of "
                f"shape {kernel.shape} has {kernel.size(kernel.inputs)} inputs and {kernel.units} outputs; use widths "
                "that do not fall."
            )

    def draw(key: Array, kernel: Kernel, dtype: DTypeLike) -> Inexact[Array, "..."]:
        check(kernel)
        n_in = kernel.size(kernel.inputs)
        matrices = _orthonormal(key, kernel, n_in, dtype)
        return kernel.centred(matrices.reshape(-1, kernel.groups, n_in, kernel.units))

    def law(kernel: Kernel) -> Law:
        check(kernel)
        in_the_middle = 1 / max(kernel.size(kernel.inputs), kernel.units)
        return Law(in_the_middle / kernel.size(kernel.window), structure="orthogonal")

    return lawful(draw, law, **axes)


def sparse(nonzero: int = 15, std: float = 1.0, **axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """Into each unit `nonzero` weights from N(0, std^2) at random places, the others 0 (Martens 2010).

    n_in Var W = nonzero std^2, or n_in std^2 where the fan-in is smaller. At 15 inputs of unit size saturate tanh. Of a
    convolution's unit the places are those of its window and inputs together.

    >>> w = sparse(nonzero=4)(jax.random.key(0), (20, 3))
    >>> (w != 0).sum(axis=0).tolist()
    [4, 4, 4]

    Raises:
      InputError: nonzero is below 1, std is not above 0.
    """
    if nonzero < 1 or not 0 < std < math.inf:
        raise InputError(f"nonzero is {nonzero} and std {std}; the first must be at least 1, the second above 0.")

    def draw(key: Array, kernel: Kernel, dtype: DTypeLike) -> Inexact[Array, "..."]:
        value_key, place_key = jax.random.split(key)
        shape = kernel.size(kernel.batch), kernel.groups, kernel.fan_in, kernel.units
        orders = jnp.argsort(jax.random.uniform(place_key, shape, jnp.float32), axis=2)  # of a unit's weights
        return kernel.assembled(jnp.where(orders < nonzero, std * jax.random.normal(value_key, shape, dtype), 0))

    def law(kernel: Kernel) -> Law:
        return Law(std**2 * min(nonzero, kernel.fan_in) / kernel.fan_in, structure="sparse")

    return lawful(draw, law, **axes)


def identity(**axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """W_ij = 1 where i = j, else 0: the first units pass on what they get, any others start at 0 or are not heard.

    A convolution has this matrix in the middle of its window and 0 elsewhere, so that it passes on its input too.

    >>> identity()(jax.random.key(0), (2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    draw = lambda key, kernel, dtype: kernel.centred(jnp.eye(kernel.size(kernel.inputs), kernel.units, dtype=dtype))
    return lawful(draw, lambda kernel: Law(1 / max(kernel.fan_in, kernel.fan_out), structure="fixed"), **axes)


def zero_hadamard(**axes: Unpack[KernelAxes]) -> LawfulInitializer:
    """ZerO: the identity where a layer does not widen, else a Hadamard matrix (Zhao et al. 2021, Algorithm 1).

    W_ij = (-1)^popcount(i & j) / sqrt(p) where n_in < n_out, p the least power of 2 that is at least n_out; i and j
    count from 0. Nothing is random. The last layer, which narrows, reads class k off unit k alone. A convolution has
    this matrix, of its inputs and outputs, in the middle of its window.

    >>> zero_hadamard()(jax.random.key(0), (2, 4)).tolist()
    [[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5]]
    """

    def matrix(n_in: int, n_out: int, dtype: DTypeLike) -> Inexact[Array, "{n_in} {n_out}"]:
        if n_in >= n_out:
            return jnp.eye(n_in, n_out, dtype=dtype)
        ones = jax.lax.population_count(jnp.arange(n_in)[:, None] & jnp.arange(n_out)[None, :])
        return jnp.where(ones % 2 == 0, 1, -1).astype(dtype) / math.sqrt(_power_of_2(n_out))

    def law(kernel: Kernel) -> Law:
        n_in, n_out = kernel.size(kernel.inputs), kernel.units
        in_the_middle = 1 / n_in if n_in >= n_out else 1 / _power_of_2(n_out)
        return Law(in_the_middle / kernel.size(kernel.window), structure="fixed")

    draw = lambda key, kernel, dtype: kernel.centred(matrix(kernel.size(kernel.inputs), kernel.units, dtype))
    return lawful(draw, law, **axes)


def _power_of_2(n: int) -> int:
    """The least power of 2 that is at least n."""
    return 1 << (n - 1).bit_length()


def constant(value: float = 0.0) -> LawfulInitializer:
    """Every weight the same: all units of a layer stay equal for ever, which is why weights are random.

    It needs no fans, so any shape will do: biases, scales, a single number.

    >>> constant(0.5)(jax.random.key(0), (2,)).tolist()
    [0.5, 0.5]
    """
    if not math.isfinite(value):
        raise InputError(f"value is {value}; it must be a finite number.")
    draw = lambda key, kernel, dtype: jnp.full(kernel.shape, value, dtype)
    return lawful(draw, lambda kernel: Law(value**2, structure="fixed"))
