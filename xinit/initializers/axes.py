"""Any initialiser on kernels with other axes than (window, inputs, outputs)."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Inexact

from xinit.initializers.kernel import Kernel, KernelAxes
from xinit.initializers.law import Law, LawOf, law_of, lawful

__all__ = ["on"]


def on(initializer: Initializer, kernel: Kernel) -> Initializer:
    """The initialiser for arrays whose axes are those of `kernel`; the same one where these are the usual axes.

    One of `xinit.initializers` draws with these axes itself. Any other draws each kernel as (window, inputs, outputs),
    which is then put in order. If it states a law, it draws matrices (fan-in, outputs): of independent weights, which
    are scaled to what the law says at the true fans; of weights that hang together one for each group.

    >>> heads = Kernel((64, 4, 16), in_axis=(0,), out_axis=(1, 2))  # 64 inputs, 4 heads of 16 outputs
    >>> w = on(jax.nn.initializers.orthogonal(), heads)(jax.random.key(0), heads.shape)
    >>> bool(jnp.allclose(w.reshape(64, 64) @ w.reshape(64, 64).T, jnp.eye(64), atol=1e-5))
    True
    """
    if kernel == Kernel(kernel.shape):
        return initializer
    stated = law_of(initializer)
    if stated is not None and stated.draw is not None:
        axes: KernelAxes = {"in_axis": kernel.in_axis, "out_axis": kernel.out_axis, "batch_axis": kernel.batch_axis}
        axes["groups"] = kernel.groups
        return lawful(stated.draw, stated.at, **axes)

    def init(
        key: Array, shape: Sequence[int], dtype: DTypeLike | None = None, out_sharding: Any = None
    ) -> Inexact[Array, "..."]:
        return _placed(initializer, stated, key, kernel._replace(shape=tuple(shape)), dtype)

    if stated is not None:
        vars(init)["law"] = stated
    return init


def _placed(
    initializer: Initializer, stated: LawOf | None, key: Array, kernel: Kernel, dtype: DTypeLike | None
) -> Inexact[Array, "..."]:
    """The kernel, each of the matrices in it drawn with a key of its own, one after the other."""
    law = stated.at(kernel) if stated else None
    apart = law is not None and law.structure != "independent"
    kernel = kernel if apart else kernel._replace(groups=1)
    window = [kernel.shape[axis] for axis in kernel.window]
    own = Kernel((*window, kernel.size(kernel.inputs), kernel.units) if law is None else (kernel.fan_in, kernel.units))
    count = kernel.size(kernel.batch) * kernel.groups
    keys = jax.random.split(key, count) if count > 1 else [key]
    drawn = jnp.stack([initializer(one, own.shape, dtype) for one in keys])
    return kernel.assembled(_scaled(drawn, stated, law, own))


def _scaled(drawn: Inexact[Array, "..."], stated: LawOf | None, law: Law | None, own: Kernel) -> Inexact[Array, "..."]:
    """Independent weights with the variance that their law says, which the function drew for the fans of `own`."""
    if stated is None or law is None or law.structure != "independent":
        return drawn
    variance = stated.at(own).variance
    return drawn if variance in (0, law.variance) else drawn * math.sqrt(law.variance / variance)
