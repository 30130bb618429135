"""A sweep from its runs: a table of its cells, and one labelled dataset of all.

<out>/[<name>/]sweeps/<hash of the members>/  sweep.json  table.csv  runs.csv  readings.nc

While they are trained there is running.json instead, or beside what an earlier command left (`analysis.running`).
"""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xinit.analysis.intervals import Interval, mean_interval
from xinit.analysis.outcomes import Outcome
from xinit.analysis.running import RUNNING
from xinit.analysis.stacking import stacked
from xinit.analysis.swept import SEEDS, as_text, swept
from xinit.analysis.verdict import LEVELS
from xinit.core import extra, files, folders, manifests, netcdf
from xinit.core.errors import InputError
from xinit.core.files import DamagedError
from xinit.core.readings import EDGES, ERROR_IS, READINGS

if TYPE_CHECKING:
    import xarray

FILES = ("sweep.json", "table.csv", "runs.csv", "readings.nc", RUNNING)
# What a run's summary adds to the dataset of a sweep: name there, key in summary.json, definition.
SCORES = {
    "test_error": ("test_error", "mean error of the test set at the end; nan where the run diverged"),
    "test_loss": ("test_loss", "mean of the loss over the test set at the end"),
    "final_valid_error": ("valid_error", "mean error of the whole validation set at the end"),
    "chance_error": ("chance_error", "error of the best constant answer"),
    "diverged_at": ("diverged_at", "first step whose loss was not finite; nan where there is none"),
}

# Of the dataset of a sweep: the axes of each array, and what it is.
DESCRIBED = {
    "step": (("step",), "training steps done"),
    **{name: (("replica", "step", *axes), words) for name, (axes, words) in READINGS.items()},
    **{name: (("replica", *axes), words) for name, (axes, words) in EDGES.items()},
    **{name: (("replica",), words) for name, (_, words) in SCORES.items()},
}


def described_with(more: extra.Extra) -> dict[str, tuple[tuple[str, ...], str]]:
    """`DESCRIBED`, with readings of the user's.

    >>> described_with({"rank": (("layer",), "a rank")})["rank"]
    (('replica', 'step', 'layer'), 'a rank')
    """
    return DESCRIBED | extra.over(more, "replica", "step")


def cells(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row for each combination of swept settings but the seeds: the test error over its seeds.

    A diverged run has no error; it is counted beside the others, whose number is n.

    >>> [cell] = cells(outcomes)  # two runs that differ in their seed alone
    >>> cell["test_error"].n, cell["diverged"]
    (2, 0)
    """
    grouped: dict[str, tuple[dict[str, Any], list[Outcome]]] = {}
    for outcome, settings in zip(outcomes, swept([outcome.config for outcome in outcomes]), strict=True):
        where = {name: value for name, value in settings.items() if name not in SEEDS}
        grouped.setdefault(repr(where), (where, []))[1].append(outcome)
    return [where | _scores(members) for where, members in grouped.values()]


def _scores(members: Sequence[Outcome]) -> dict[str, Any]:
    errors = [member.summary["test_error"] for member in members if member.summary]
    interval = mean_interval([error for error in errors if error is not None])
    levels = [member.findings[0].level for member in members if member.findings]
    counts = {level: levels.count(level) for level in LEVELS if level in levels}
    unfinished = {"unfinished": len(members) - len(errors)} if len(errors) < len(members) else {}
    return {
        "test_error": interval,
        "diverged": errors.count(None),
        "verdicts": ", ".join(f"{level} {count}" for level, count in counts.items()),
        **unfinished,
    }


def error_is(summaries: Sequence[Mapping[str, Any]]) -> str:
    """What the errors of runs are, as their summaries say; "" where they are not all of one kind, or none is over.

    >>> error_is([outcome.summary for outcome in outcomes])
    'share misclassified'
    """
    kinds = {summary.get("error_is", ERROR_IS["labels"]) for summary in summaries if summary}
    return next((kind for kind in ERROR_IS.values() if kinds == {kind}), "")


def folder(outcomes: Sequence[Outcome]) -> pathlib.Path:
    """Where the aggregate of a sweep lies: it depends on its members alone.

    >>> str(folder(outcomes)) == sweep.attrs["path"]
    True
    """
    out, names = outcomes[0].config.out, {outcome.config.name for outcome in outcomes}
    name = folders.name_of_members(outcome.path.name for outcome in outcomes)
    return pathlib.Path(out, *(names if len(names) == 1 else ()), "sweeps", name)


def write(outcomes: Sequence[Outcome]) -> pathlib.Path:
    """The aggregate of the runs that came to an end: tables, and the readings of all in one file.

    >>> sorted(file.name for file in write(outcomes).iterdir())
    ['readings.nc', 'runs.csv', 'sweep.json', 'table.csv']
    """
    path = folder(outcomes)
    settings_of = zip(outcomes, swept([outcome.config for outcome in outcomes]), strict=True)
    rows = [(outcome, settings) for outcome, settings in settings_of if outcome.summary]
    members = [
        {"path": os.path.relpath(outcome.path, path), **settings, **_run_scores(outcome)} for outcome, settings in rows
    ]
    table = [_flat_interval(cell) for cell in cells(outcomes)]
    with files.writing(path):
        path.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path / "runs.csv", _csv(members))
        files.write_atomically(path / "table.csv", _csv(table))
        if rows:
            content = _netcdf([outcome for outcome, _ in rows], [settings for _, settings in rows], path)
            files.write_atomically(path / "readings.nc", content)
        described = json.dumps({"sweep": path.name, "runs": members, "cells": table}, indent=2)
        files.write_atomically(path / "sweep.json", (described + "\n").encode())
        (path / RUNNING).unlink(missing_ok=True)
    return path


def _run_scores(outcome: Outcome) -> dict[str, Any]:
    scores = {name: outcome.summary[key] for name, (key, _) in SCORES.items()}
    return scores | {"verdict": outcome.findings[0].level}


def _flat_interval(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell whose interval is spelt out; what is not a number is left empty."""
    interval: Interval = cell["test_error"]
    statistics = {f"test_error_{name}": value for name, value in interval._asdict().items() if name != "n"}
    known = {name: float(value) if np.isfinite(value) else None for name, value in statistics.items()}
    others = {name: value for name, value in cell.items() if name != "test_error"}
    where = list(others)[: list(cell).index("test_error")]
    rest = {name: value for name, value in others.items() if name not in where}
    return {name: others[name] for name in where} | known | {"n": interval.n} | rest


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    return files.as_csv(headings, [[row.get(heading) for heading in headings] for row in rows]).encode()


def _netcdf(outcomes: Sequence[Outcome], settings: Sequence[Mapping[str, Any]], path: pathlib.Path) -> bytes:
    """The readings of all runs with a leading axis replica, and what was swept as coordinates on it."""
    more = extra.merged([outcome.extra for outcome in outcomes])
    readings = stacked([outcome.readings for outcome in outcomes], more)
    taken = {*DESCRIBED, *more, *(axis for axes, _ in more.values() for axis in axes)}
    readings |= {name: _numbers([outcome.summary[key] for outcome in outcomes]) for name, (key, _) in SCORES.items()}
    labels: dict[str, list[Any]] = {"path": [os.path.relpath(outcome.path, path) for outcome in outcomes]}
    labels |= {"verdict": [outcome.findings[0].level for outcome in outcomes]}
    for name in dict.fromkeys(name for run_settings in settings for name in run_settings):
        column = f"swept_{name}" if name in taken else name
        labels[column] = [run_settings.get(name) for run_settings in settings]
    columns = {name: _column(values) for name, values in labels.items()}
    attributes = {"sweep": path.name, "swept": " ".join(name for name in columns if name not in ("path", "verdict"))}
    attributes["error_is"] = error_is([outcome.summary for outcome in outcomes])
    return netcdf.encode(readings, described_with(more), attributes | extra.listed(more), columns)


def _numbers(values: Iterable[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _column(values: Sequence[Any]) -> np.ndarray:
    """Numbers where all are, else text; a setting that a run has not is nan or empty."""
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return np.array(values) if None not in values else _numbers(values)
    return np.array(["" if value is None else as_text(value) for value in values], object)


def remove(path: pathlib.Path) -> None:
    """Remove what `write` has written; whatever else lies in the folder stays.

    >>> path = write(outcomes)
    >>> remove(path)
    >>> path.exists()
    False
    >>> path == write(outcomes)  # written again
    True
    """
    for name in FILES:
        (path / name).unlink(missing_ok=True)
    manifests.remove_if_empty(path)


class Stored(NamedTuple):
    """The files of a sweep's folder, checked to be of one sweep: sweep.json, and the content of readings.nc.

    `columns` are what was swept, the verdicts and the paths, along the axis replica; empty where no run is over.
    `extra` describes the readings of the user's.
    """

    described: dict[str, Any]
    readings: dict[str, np.ndarray]
    columns: dict[str, np.ndarray]
    attributes: dict[str, str]
    extra: extra.Extra


def load(path: pathlib.Path) -> Stored:
    """What a sweep's folder holds.

    >>> load(folder(outcomes)).columns["seed"]
    array([0, 1])

    Raises:
      InputError: a file is damaged, of another sweep, a link, or cannot be read.
    """
    described, file = files.read_json(path, "sweep.json"), path / "readings.nc"
    scores = _stored_scores(described, path / "sweep.json")
    n, content = len(described["runs"]), files.read(path, file.name, netcdf.LARGEST)
    if not n:
        return Stored(described, {}, {}, {}, {})
    if content is None:
        raise InputError(f"{file} cannot be read: it is absent. Give the sweep's command again to write it.")
    arrays, attributes = netcdf.decode(content, file)
    sweeps = {source["sweep"] for source in (described, attributes) if "sweep" in source}
    same = lambda name: np.array_equal(arrays.get(name, ()), scores[name], equal_nan=True)
    if len(sweeps) > 1 or not all(map(same, SCORES)):
        raise DamagedError(
            f"{file} and {path / 'sweep.json'} are not of one sweep; give its command again to write both."
        )
    more = netcdf.extra_of(content, file, "replica", "step")
    columns = {name: a for name, a in arrays.items() if name not in (*DESCRIBED, *netcdf.AXES) and a.shape == (n,)}
    readings = netcdf.checked(arrays, described_with(more), {"replica": n}, file)
    return Stored(described, readings, columns, attributes, more)


def _stored_scores(described: Mapping[str, Any], file: pathlib.Path) -> dict[str, np.ndarray]:
    """The scores of each run in sweep.json."""
    try:
        scores = {name: [run[name] for run in described["runs"]] for name in SCORES}
        if all(isinstance(value, int | float | None) for values in scores.values() for value in values):
            return {name: _numbers(values) for name, values in scores.items()}
    except (KeyError, TypeError, OverflowError):
        pass
    raise DamagedError(f"{file} is no file of a sweep: it does not have the scores of its runs.")


def open(path: pathlib.Path) -> "xarray.Dataset":
    """The dataset of a sweep's folder: axis replica, with what was swept as coordinates on it.

    `readings.set_index(replica=["scheme", "seed"]).unstack()` gives each of them an axis of its own.

    >>> readings = open(folder(outcomes))
    >>> readings.seed.values.tolist()
    [0, 1]

    Raises:
      InputError: none of its runs is over, or as `load`.
    """
    _, readings, columns, attributes, more = load(path)
    if "path" not in columns:
        raise InputError(f"{path} is a sweep of which no run is over; give its command again to go on with them.")
    paths = np.array([os.path.normpath(path / str(run)) for run in columns["path"]], object)
    names = [name for name in attributes.get("swept", "").split() if name in columns]
    labels = described_with(more), attributes | {"path": str(path)}, columns | {"path": paths}
    dataset = netcdf.labelled(readings, *labels)
    return dataset.set_coords([*names, "path"])
