"""xinit: the laboratory for neural-network initialisation.

    import xinit
    readings = xinit.run(scheme="xavier", depth=5, width=256)   # train one network: an xarray.Dataset
    readings = xinit.sweep({"scheme": ["standard", "xavier"], "seed": range(8)}, depth=5)   # many, together
    readings = xinit.open("runs/shapeset-tanh-5x256-xavier/...")
    xinit.frame(readings), xinit.figure(readings)   # the same as a pandas table, and drawn by matplotlib
    print(xinit.probe(model, (x, y)))   # your own JAX model, layer by layer; xinit.Probe for many calls of one model
    model = xinit.initialize(model, "he", jax.random.key(0))   # linen: (variables, "he", key, model=model, batch=x)
    monitor = xinit.Monitor(model, (x, y), "watched")   # in your own loop: monitor(step, model) records every layer
    print(xinit.verify_initializer(my_init, lambda fan_in, fan_out: 2 / fan_in))   # does it do what it says?

`python -m xinit.train --help` lists the settings.
"""

import importlib
import os
import time
from typing import TYPE_CHECKING, Any

from xinit.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas
    import xarray

    from xinit.core.figure import Figure
    from xinit.initializers.verification import verify_initializer
    from xinit.runs.monitor import Monitor
    from xinit.theory.prediction import Prediction
    from xinit.tracing import Probe, initialize, probe
    from xinit.tracing.coordinates import coordinate_check

__version__ = "0.2.0"
_LOADED_AT = time.time()  # a user's module edited after it must be imported anew: see custom
__all__ = [
    "InputError", "Monitor", "Probe", "coordinate_check", "figure", "frame", "initialize", "open", "predict", "probe",
    "run", "sweep", "verify_initializer",
]  # fmt: skip

# Reached as attributes without an import of their own, and loaded only then: `import xinit` stays quick.
_MODULES = {
    "activations": "networks.activations",
    "initializers": "initializers",
    "model": "networks.mlp",
    "probes": "probes",
    "profiles": "networks.profiles",
    "record": "runs.record",
    "schemes": "schemes",
    "verdict": "analysis.verdict",
}
# Functions, and the module of each.
_FUNCTIONS = {
    "Monitor": "runs.monitor",
    "Probe": "tracing",
    "coordinate_check": "tracing.coordinates",
    "initialize": "tracing",
    "probe": "tracing",
    "verify_initializer": "initializers.verification",
}


def run(*, progress: bool = True, **settings: Any) -> "xarray.Dataset":
    """Train one network, as `python -m xinit.train` does, and return its readings as `xinit.open` does.

    >>> readings = xinit.run(data="synthetic", depth=2, width=16, steps=20, probe="economy", progress=False)
    >>> readings.act_std.dims
    ('step', 'layer')

    Args:
      progress: show progress on stdout.
      settings: what the command line takes: `scheme="xavier"`, `width=[512, 256]`, `optimizer={"learning_rate": 0.1}`.
        Data may be arrays: `data=(x, y)`, or `data={"x_train": ..., "y_train": ..., "x_test": ..., "y_test": ...}`.

    Raises:
      InputError: a setting is unknown or wrong, the data are missing, the folder cannot be written.
    """
    from xinit.commands import console
    from xinit.runs import runner
    from xinit.settings.compose import compose, overrides_from
    from xinit.settings.parse import parse

    parsed = parse(compose("train", overrides_from(settings)))
    return open(runner.execute(parsed, console.Reporter(quiet=not progress)).path)


def sweep(over: "Mapping[str, Iterable[Any]]", *, progress: bool = True, **settings: Any) -> "xarray.Dataset":
    """Train every combination of `over`, as `python -m xinit.train -m` does: runs that share a program train together.

        readings = xinit.sweep({"scheme": ["standard", "xavier"], "seed": range(8)}, depth=5, width=256)
        readings.test_error.groupby("scheme").mean()

    >>> small = {"data": "synthetic", "depth": 2, "width": 16, "steps": 20, "probe": "economy"}
    >>> readings = xinit.sweep({"seed": [0, 1]}, progress=False, **small)
    >>> readings.test_error.dims, readings.seed.values.tolist()
    (('replica',), [0, 1])

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

    from xinit.analysis import sweeps
    from xinit.commands import console, sweeping
    from xinit.runs import runner
    from xinit.settings.compose import compose_many, overrides_from

    # Once for each value, since of arrays it takes a while.
    swept = [[overrides_from({name: value}) for value in _listed(name, values)] for name, values in over.items()]
    shared = overrides_from({name: value for name, value in settings.items() if name not in over})
    raws = compose_many("train", [[*shared, *itertools.chain(*values)] for values in itertools.product(*swept)])
    configs = sweeping.parse_all(raws)
    with sweeping.begun(configs):
        outcomes = runner.execute_all(configs, console.SweepReporter(quiet=not progress))
    return open(sweeps.write(outcomes))


def _listed(name: str, values: Any) -> tuple[Any, ...]:
    listed = tuple(values) if hasattr(values, "__iter__") and not isinstance(values, str) else ()
    if not listed:
        raise InputError(f"{name} is {values!r}; a sweep takes a list of values, at least one, as in seed=[0, 1].")
    return listed


def predict(**settings: Any) -> "Prediction":
    """What theory says of a network before it is drawn: every layer's second moments with their intervals, and more.

        xinit.predict(scheme="he", activation="relu", depth=30).values["act_second"]

    >>> prediction = xinit.predict(data="synthetic", scheme="he", activation="relu", depth=2, width=16)
    >>> prediction.values["act_second"].shape  # one mean square for each hidden layer
    (2,)

    Args:
      settings: as in `run`; nothing is trained.

    Raises:
      InputError: as `run`, and where the activation has no finite moments.
    """
    from xinit.settings.compose import compose, overrides_from
    from xinit.settings.parse import parse
    from xinit.training import inspection

    return inspection.predict_config(parse(compose("train", overrides_from(settings))))


def open(run: str | os.PathLike) -> "xarray.Dataset":
    """The readings of a run, a sweep or a monitor, as a labelled dataset.

    See `record.open`, `sweeps.open` and `saved_monitors.open`.

    >>> xinit.open(run.attrs["path"]).attrs["steps"]
    20
    """
    import pathlib

    from xinit.analysis import saved_monitors, sweeps
    from xinit.runs import record

    path = pathlib.Path(run)
    if saved_monitors.is_one(path):
        return saved_monitors.open(path)
    return sweeps.open(path) if os.path.lexists(path / "sweep.json") else record.open(path)


def frame(source: "str | os.PathLike | xarray.Dataset", by: str | None = None) -> "pandas.DataFrame":
    """Readings as a pandas table with plain columns: what was swept, what the row is about, what was read.

        runs = xinit.frame(sweep)                         # a row for each run: settings, errors, verdict
        runs.groupby("scheme").test_error.agg(["mean", "std", "count"])
        curves = xinit.frame(sweep, "step")               # losses and errors while it trains
        curves.pivot_table("valid_error", "step", "scheme").plot()
        layers = xinit.frame(run)                         # a row for each layer at each step: act_std, grad_pre_std ...
        layers.query("step == 0").plot("layer", "act_std")
        layers.to_csv("layers.csv", index=False)

    What has further axes, quantiles and histograms, stays in the dataset: `readings.act_quantile.to_dataframe()`. Where
    runs differ in steps or depth, each has only the rows that it has readings for.

    >>> xinit.frame(sweep, "step").columns[:2].tolist()
    ['seed', 'step']

    Args:
      source: the folder of a run or a sweep, or the dataset that `open`, `run` or `sweep` returned.
      by: what a row is: "run"; "step"; "layer", "weight" or "jacobian", each at each step. By default "run" of a sweep
        and "layer" of a run.

    Raises:
      InputError: no such folder; an unknown `by`, or one that was not measured.
    """
    from xinit.analysis import frames

    return frames.frame(_dataset(source), by)


def figure(source: "str | os.PathLike | xarray.Dataset") -> "Figure":
    """What is worth seeing of a run or a sweep, as a matplotlib figure that a notebook shows by itself.

        xinit.figure("runs/shapeset-tanh-5x256-xavier/...")   # what every layer does while it trains
        xinit.figure(sweep).savefig("sweep.pdf")              # errors over what was tuned, curves, signal and gradient

    Of a run it is `figures.run.layers_figure`, of a sweep `figures.sweep.sweep_figure`, of a monitor
    `figures.monitor.figure`. pyplot has no part in it.

    >>> [axes.get_title() for axes in xinit.figure(sweep).axes[:2]]
    ['test error, %', 'validation error, %']

    Args:
      source: as in `frame`.

    Raises:
      InputError: no such folder; a run whose layers were not measured.
    """
    from xinit.analysis.figures import run as run_figures
    from xinit.analysis.figures import sweep as sweep_figures

    readings = _dataset(source)
    if "monitor" in readings.attrs:
        from xinit.analysis.figures import monitor

        return monitor.figure(readings)
    return sweep_figures.sweep_figure(readings) if "replica" in readings.dims else run_figures.run_figure(readings)


def _dataset(source: "str | os.PathLike | xarray.Dataset") -> "xarray.Dataset":
    if isinstance(source, str | os.PathLike):
        return open(source)
    if not hasattr(source, "data_vars"):
        raise InputError(f"source is {source!r}; it must be the folder of a run or a sweep, or the dataset of one.")
    return source


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"xinit.{_MODULES[name]}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"xinit.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module 'xinit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, *_FUNCTIONS])
