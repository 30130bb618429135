"""Which random numbers jax draws: its generator, as this process has set it, is a part of what a run is."""

import os
import sys

DEFAULT = "threefry2x32"
VARIABLES = ("JAX_DEFAULT_PRNG_IMPL", "JAX_THREEFRY_PARTITIONABLE")


def generator() -> str:
    """The name of the generator behind `jax.random.key`, in which equal seeds give equal numbers.

    jax is imported only where somebody may have chosen another generator than jax's own.
    """
    if "jax" not in sys.modules and not any(variable in os.environ for variable in VARIABLES):
        return DEFAULT
    import jax

    name: str = jax.config.jax_default_prng_impl  # type: ignore[attr-defined]  # jax makes its settings as it is imported
    partitionable = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]  # as above
    return name if partitionable or not name.startswith("threefry") else f"{name}, not partitionable"


def same_under_vmap() -> bool:
    """Whether `vmap` over keys draws what each key draws on its own, which XLA's own generators do not."""
    return not generator().endswith("rbg")
