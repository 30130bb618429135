"""xinit: the laboratory for neural-network initialisation.

    import xinit
    readings = xinit.run(scheme="xavier", depth=5, width=256)   # train one network: an xarray.Dataset
    readings = xinit.open("runs/shapeset-tanh-5x256-xavier/...")

`python -m xinit.train --help` lists the settings.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from xinit.errors import InputError

if TYPE_CHECKING:
    import xarray

__version__ = "0.1.0"
__all__ = ["InputError", "open", "run"]

# Reached as attributes without an import of their own, and loaded only then: `import xinit` stays quick.
_MODULES = ("activations", "initializers", "model", "probes", "profiles", "record", "schemes", "verdict")


def run(*, progress: bool = True, **settings: Any) -> "xarray.Dataset":
    """Train one network, as `python -m xinit.train` does, and return its readings as `xinit.open` does.

    Args:
      progress: show progress on stdout.
      settings: what the command line takes: `scheme="xavier"`, `width=[512, 256]`, `optimizer={"learning_rate": 0.1}`.

    Raises:
      InputError: a setting is unknown or wrong, the data are missing, the folder cannot be written.
    """
    from xinit import cli, config, console, runner

    parsed = config.parse(cli.compose("train", cli.overrides_from(settings)))
    return open(runner.execute(parsed, console.Reporter(quiet=not progress)).path)


def open(run: str | os.PathLike) -> "xarray.Dataset":
    """The readings of a run as a labelled dataset, its summary and config among the attributes; see `record.open`."""
    from xinit import record

    return record.open(run)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"xinit.{name}")
    raise AttributeError(f"module 'xinit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
