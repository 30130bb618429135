"""Readings as pandas tables: a row for each run, each step or each layer, ready for groupby, seaborn or a CSV file."""

from typing import TYPE_CHECKING

import numpy as np

from xinit.analysis.sweeps import SCORES
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

if TYPE_CHECKING:
    import pandas
    import xarray

# What a row is, and the axes that tell the rows of a run apart.
ROWS = {
    "run": (),
    "step": ("step",),
    "layer": ("step", "layer"),
    "weight": ("step", "weight"),
    "jacobian": ("step", "jacobian"),
}


def frame(readings: "xarray.Dataset", by: str | None = None) -> "pandas.DataFrame":
    """The table that `xinit.frame` describes.

    >>> frame(sweep)[["seed", "diverged_at"]].to_dict("list")
    {'seed': [0, 1], 'diverged_at': [nan, nan]}
    >>> list(frame(run, "weight").columns[:2])
    ['step', 'weight']

    Raises:
      InputError: `by` is none of ROWS, or the runs have no such readings.
    """
    by = by or ("run" if "replica" in readings.dims else "layer")
    if by not in ROWS:
        raise InputError(f"Unknown by={by!r}; {allowed_words(str(by), ROWS)}")
    runs = readings if "replica" in readings.dims else _alone(readings)
    axes = ("replica", *ROWS[by])
    names = [name for name, values in runs.data_vars.items() if values.dims == axes]
    if not names:
        raise InputError(f"{readings.attrs.get('path', 'This dataset')} has no readings by {by}; {_who_has(runs, by)}.")
    table = runs[names].to_dataframe(dim_order=axes)
    if ROWS[by]:  # in a sweep, steps and layers that some of the runs have not
        table = table.dropna(how="all", subset=names)
    called = ["layer_name"] if by == "layer" and "layer_name" in runs.coords else []
    columns = [*runs.attrs.get("swept", "").split(), *ROWS[by], *called, *names, *(["path"] if by == "run" else [])]
    return table.reset_index()[columns]


def _who_has(readings: "xarray.Dataset", by: str) -> str:
    if "monitor" in readings.attrs:
        return "a monitor has them by layer, by step and by run"
    return f"a run measures them with probe={'full' if by == 'jacobian' else 'economy'} or more"


def _alone(run: "xarray.Dataset") -> "xarray.Dataset":
    """A run, or a monitor, as a sweep of one; what a run picked from a sweep has already stays."""
    level, path = run.attrs.get("verdict", "").partition(":")[0], run.attrs.get("path", "")
    scores = {name: run.attrs.get(key, np.nan) for name, (key, _) in SCORES.items()}
    if "monitor" in run.attrs:
        scores = {"last_step": run.step.values[-1], "last_loss": run.loss.values[-1]}
    facts = {"verdict": level, "path": path, **scores}
    lacking = {name: value for name, value in facts.items() if name not in run}
    return run.assign(lacking).set_coords("path").expand_dims("replica")
