"""How jax is set up for a run: the compilation cache, and the words for the device."""

import os
import pathlib
from importlib import metadata

import jax


def use_compilation_cache() -> None:
    """Keep every compiled program on disk, so that a second run of the same shape compiles nothing.

    In $JAX_COMPILATION_CACHE_DIR, else $XDG_CACHE_HOME/xinit/xla (~/.cache/xinit/xla). jax's own thresholds, a second
    of compilation and a size, would keep none of these programs.
    """
    if jax.config.jax_compilation_cache_dir is None:
        home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "xinit" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def device_words() -> str:
    """The device a run is on, for people: "cpu (2 cores)" or the accelerator's name."""
    device = jax.devices()[0]
    return f"cpu ({os.cpu_count()} cores)" if device.platform == "cpu" else f"{device.platform} ({device.device_kind})"


def versions() -> dict[str, str]:
    """The versions that decide a result."""
    return {name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")}
