"""How jax is set up for a run: the compilation cache, CPU devices, and what there is to run on."""

import contextlib
import os
import pathlib
from collections.abc import Mapping
from importlib import metadata

import jax

from xinit.core.errors import InputError


def use_compilation_cache() -> None:
    """Keep every compiled program on disk, so that a second run of the same shape compiles nothing.

    In $JAX_COMPILATION_CACHE_DIR, else $XDG_CACHE_HOME/xinit/xla (~/.cache/xinit/xla). jax's own thresholds, a second
    of compilation and a size, would keep none of these programs.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]  # jax makes its settings as it is imported
        home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "xinit" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def use_a_cpu_device_for_each_core() -> None:
    """Let jax see every core as a device, for populations; without effect once jax has begun to use its devices.

    It costs runs on their own nothing: each device may still use every core.
    """
    chosen: bool = jax.config.jax_num_cpu_devices > 0  # type: ignore[attr-defined]  # jax makes its settings as it is imported
    if chosen or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return  # somebody chose; the latter is the older way to say it
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores())


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_memory(device: jax.Device) -> int:
    """Bytes of memory of a device; of this machine, or what a container leaves of it, for a CPU."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # absent, or the word "max"
            limits.append(int(pathlib.Path(file).read_text()))
    return min(limits)


def check_memory(needs: Mapping[str, int]) -> None:
    """Refuse what the memory of the device cannot hold, before anything of it is made.

    Args:
      needs: bytes that are needed at the least, by what they are for.

    Raises:
      InputError: they are more than there are; what most of them are for is named.
    """
    total, memory = sum(needs.values()), device_memory(jax.local_devices()[0])
    if total > memory:
        largest = max(needs, key=lambda name: needs[name])
        raise InputError(
            f"This needs {total / 1e9:,.0f} GB of memory or more and there are {memory / 1e9:,.0f} GB; most of it is "
            f"for {largest}."
        )


def device_words() -> str:
    """The device a run is on, for people: "cpu (2 cores)" or the accelerator's name."""
    device = jax.devices()[0]
    return f"cpu ({cores()} cores)" if device.platform == "cpu" else f"{device.platform} ({device.device_kind})"


def versions() -> dict[str, str]:
    """The versions that decide a result."""
    return {name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")}
