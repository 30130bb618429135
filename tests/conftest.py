"""Strict numerics for every test, caches of their own, and the optional data beside the project."""

import atexit
import math
import os
import pathlib
import re
import shutil
import tempfile

# Before jax or a child process looks: the suite neither reads nor fills the user's caches.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="xinit-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"  # for GPUs; it would make the folder part of every key
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(dir=os.environ["XDG_CACHE_HOME"])

import jax
import jaxtyping
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests import checker, programs
from xinit.core.backend import use_compilation_cache

# What these parts say of their arguments and results, the shapes of arrays included, is checked wherever a test calls.
# Not networks.profiles and initializers.verification: their tests hand them what is wrong, to see our own messages.
CHECKED = (
    "networks.activations",
    "networks.losses",
    "networks.mlp",
    *(f"initializers.{part}" for part in ("law", "scaled", "structured", "checks")),
    "schemes",
    "probes",
    "training",
    "theory",
)
jaxtyping.install_import_hook([f"xinit.{name}" for name in CHECKED], f"{checker.__name__}.check")

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)  # more than there are cores: for populations
use_compilation_cache()
OWN_PROGRAMS = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
if "PYTEST_XDIST_WORKER" not in os.environ:
    programs.forget_if_too_many()
programs.begin(OWN_PROGRAMS)

LONGEST = ("study", "glorot2010", "launcher", "runner", "population", "engines", "inspect", "trackers", "damage",
           "sweep", "surroundings", "compare", "compromise", "cli", "sweeps", "loop")  # fmt: skip
SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that take longest come first, so that no worker is left alone with one of them at the end."""
    place = {f"test_{name}": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def shared(name: str) -> pathlib.Path:
    """A file or folder beside the project, or a skip that names what is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs ../shared/{name} beside the project, which is absent")
    return path


NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


def assert_same_but_for_rounding(text: str, stored: str, digits: int) -> None:
    """That two texts have the same words, and numbers that agree to a unit of so many significant digits.

    Processors differ in the last bit of a sum, so a number that was computed elsewhere may be printed with another last
    digit here.
    """
    assert NUMBER.sub("#", text) == NUMBER.sub("#", stored)
    for here, there in zip(map(float, NUMBER.findall(text)), map(float, NUMBER.findall(stored)), strict=True):
        unit = 10.0 ** (math.floor(math.log10(abs(there) or 1)) + 1 - digits)
        assert math.isclose(here, there, rel_tol=0, abs_tol=1.001 * unit), (here, there)


@pytest.fixture(scope="module")
def compile_quickly():
    """For modules whose programs take longer to optimise than to run, here and in the processes they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module", autouse=True)
def share_programs():
    """What other workers have compiled by the begin of a module serves it, and what it has compiled serves them."""
    programs.fetch(OWN_PROGRAMS)
    yield
    programs.publish(OWN_PROGRAMS)


@pytest.fixture(scope="module")
def no_programs(tmp_path_factory):
    """For tests that count what is compiled: a cache without any program, here and in the processes they start."""
    folder = str(tmp_path_factory.mktemp("programs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
        jax.config.update("jax_compilation_cache_dir", folder)
        compilation_cache.reset_cache()
        yield
    jax.config.update("jax_compilation_cache_dir", str(OWN_PROGRAMS))
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def chromium():
    """A headless browser, or a skip that names what is missing; a failure where XINIT_REQUIRE_BROWSER is set."""
    required = os.environ.get("XINIT_REQUIRE_BROWSER")
    miss = pytest.fail if required else pytest.skip
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        miss("needs the package playwright, which is absent")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        miss("needs Chromium (Debian's package chromium), which is absent")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tfds_dir() -> pathlib.Path:
    return shared("tensorflow_datasets")
