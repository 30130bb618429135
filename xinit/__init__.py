"""xinit: the laboratory for neural-network initialisation.

    import xinit
    readings = xinit.run(scheme="xavier", depth=5, width=256)   # train one network: an xarray.Dataset
    readings = xinit.sweep({"scheme": ["standard", "xavier"], "seed": range(8)}, depth=5)   # many, together
    readings = xinit.open("runs/shapeset-tanh-5x256-xavier/...")
    print(xinit.probe(model, (x, y)))   # your own Flax model, layer by layer
    model = xinit.initialize(model, "he", jax.random.key(0))
    print(xinit.verify_initializer(my_init, lambda fan_in, fan_out: 2 / fan_in))   # does it do what it says?

`python -m xinit.train --help` lists the settings.
"""

import importlib
import os
import time
from typing import TYPE_CHECKING, Any

from xinit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray

    from xinit.foreign import initialize, probe
    from xinit.laws import verify_initializer
    from xinit.theory import Prediction

__version__ = "0.1.0"
_LOADED_AT = time.time()  # a user's module edited after it must be imported anew: see custom
__all__ = ["InputError", "initialize", "open", "predict", "probe", "run", "sweep", "verify_initializer"]

# Reached as attributes without an import of their own, and loaded only then: `import xinit` stays quick.
_MODULES = ("activations", "initializers", "laws", "model", "probes", "profiles", "record", "schemes", "verdict")
_FUNCTIONS = {"initialize": "foreign", "probe": "foreign", "verify_initializer": "laws"}  # and the module of each


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


def sweep(over: "Mapping[str, Iterable[Any]]", *, progress: bool = True, **settings: Any) -> "xarray.Dataset":
    """Train every combination of `over`, as `python -m xinit.train -m` does: runs that share a program train together.

        readings = xinit.sweep({"scheme": ["standard", "xavier"], "seed": range(8)}, depth=5, width=256)
        readings.test_error.groupby("scheme").mean()

    Args:
      over: the values of each swept setting.
      progress: show progress on stdout.
      settings: what all runs share, as in `run`.

    Returns:
      The dataset of `sweeps.open`: a leading axis replica, the swept settings as coordinates on it.

    Raises:
      InputError: as `run`; every run is checked before the first begins.
    """
    import itertools

    from xinit import cli, console, launcher, runner, sweeps

    grid = [dict(zip(over, values, strict=True)) for values in itertools.product(*over.values())]
    raws = cli.compose_many("train", [cli.overrides_from(settings | one) for one in grid])
    outcomes = runner.execute_all(launcher.parse_all(raws), console.SweepReporter(quiet=not progress))
    return open(sweeps.write(outcomes))


def predict(**settings: Any) -> "Prediction":
    """What theory says of a network before it is drawn: every layer's second moments with their intervals, and more.

        xinit.predict(scheme="he", activation="relu", depth=30).values["act_second"]

    Args:
      settings: as in `run`; nothing is trained.

    Raises:
      InputError: as `run`, and where the activation has no finite moments.
    """
    from xinit import cli, config, inspection

    return inspection.predict_config(config.parse(cli.compose("train", cli.overrides_from(settings))))


def open(run: str | os.PathLike) -> "xarray.Dataset":
    """The readings of a run, or of a sweep, as a labelled dataset; see `record.open` and `sweeps.open`."""
    import pathlib

    from xinit import record, sweeps

    path = pathlib.Path(run)
    return sweeps.open(path) if (path / "sweep.json").exists() else record.open(path)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"xinit.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"xinit.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module 'xinit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, *_FUNCTIONS])
