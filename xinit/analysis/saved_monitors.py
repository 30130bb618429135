"""The folder that a monitor of a training writes: how one that may come from a stranger is read.

<folder>/  monitor.json        the layers, and what was found, at each step where that changed
           readings-000000.nc  the readings of the first POINTS steps that were measured, the next file those after them

All carry the monitor's identity, so that a file of another one is not taken for one of this. Each file is replaced as a
whole, so that a reader never sees a part of a point. Nothing here imports jax.
"""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xinit.analysis import verdict
from xinit.analysis.finding import LEVELS, Finding
from xinit.analysis.saved_probes import described_as
from xinit.core import files, netcdf
from xinit.core.errors import InputError
from xinit.core.files import DamagedError

if TYPE_CHECKING:
    import xarray

FACTS = "monitor.json"
SEGMENT = re.compile(r"readings-(\d{6})\.nc")
POINTS = 64  # in one file of readings, which is written anew for each of them
FORMAT = 1  # raise it when an older xinit would misread what is written now
STATES = ("running", "closed")
# What a monitor measures beside what a probe does.
MONITORED: dict[str, tuple[tuple[str, ...], str]] = {
    "step": ((), "training steps done"),
    "loss": ((), "the loss on the monitor's batch"),
    "level": ((), "the verdict: 0 is OK, 1 is WARN, 2 is FAIL"),
    "update_ratio": (
        ("layer",),
        "norm of the change of the layer's kernel in the last step over its norm before; nan where the monitor was not "
        "called at the step before, or the kernel was 0",
    ),
}
NEEDED = ("step", "loss", "level", "pre_mean", "pre_std", "grad_pre_mean", "grad_pre_std")
Readings = dict[str, np.ndarray]
History = tuple[tuple[int, tuple[Finding, ...]], ...]


class Monitored(NamedTuple):
    """The record of a monitor, whatever its state.

    `readings` have the axis step in front, then layer. `history`: the steps at which the findings changed, with what
    was found from then on, worst first.
    """

    path: pathlib.Path
    identity: str
    state: str
    layers: tuple[str, ...]
    functions: tuple[str | None, ...]
    history: History
    readings: Readings

    @property
    def steps(self) -> np.ndarray:
        """The steps that were measured, ascending."""
        return self.readings["step"] if self.readings else np.zeros(0, np.int64)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found at the last step; none before the first."""
        return self.history[-1][1] if self.history else ()

    @property
    def verdict(self) -> str:
        """The worst of that, in a sentence; empty before the first step."""
        return verdict.sentence(list(self.findings)) if self.findings else ""


def described(name: str) -> tuple[tuple[str, ...], str]:
    """The axes of a reading of a monitor, and what it is.

    >>> described("pre_std")
    (('step', 'layer'), 'standard deviation of the pre-activations')
    """
    axes, words = MONITORED.get(name) or described_as(name)
    return ("step", *axes), words


def is_one(path: pathlib.Path) -> bool:
    """Whether a monitor wrote, or began to write, into this folder."""
    return os.path.lexists(path / FACTS)


def load(folder: str | os.PathLike) -> Monitored:
    """What a monitor has recorded so far.

    Raises:
      DamagedError: a file is cut short, holds something else, or is of another monitor.
      InputError: no monitor wrote here, a newer xinit did, or the system cannot read it.
    """
    path = pathlib.Path(folder)
    facts = files.read_json(path, FACTS)
    if not facts:
        raise InputError(f"{path} holds no record of a monitor: it has no {FACTS}; xinit.Monitor writes one.")
    version = facts.get("format")
    if type(version) is not int:
        raise DamagedError(f"{path / FACTS} is no file of a monitor: its format is not a number.")
    if version > FORMAT:
        raise InputError(f"{path} is of format {version}, made by a newer xinit; this one knows up to {FORMAT}.")
    layers, functions = _names(facts, path / FACTS)
    readings = _readings(path, facts["identity"], len(layers))
    history = _history(facts.get("history"), len(layers), path / FACTS)
    last = readings["step"][-1] if readings else -1
    measured = tuple(entry for entry in history if entry[0] <= last)  # what is said of a point is written before it
    return Monitored(path, facts["identity"], facts["state"], layers, functions, measured, readings)


def open(folder: str | os.PathLike) -> "xarray.Dataset":
    """The record of a monitor as a labelled dataset with the axes step, layer, quantile, bin and edge.

    The layers' names are the coordinate layer_name; `verdict`, `state` and `path` are among the attributes.

    Raises:
      InputError: as `load`, or nothing was measured yet.
    """
    record = load(folder)
    if not record.readings:
        raise InputError(f"{record.path} is the folder of a monitor that has measured nothing yet.")
    about = {"path": str(record.path), "monitor": record.identity, "state": record.state, "verdict": record.verdict}
    dataset = netcdf.labelled(record.readings, {name: described(name) for name in record.readings}, about)
    return dataset.assign_coords(layer_name=("layer", list(record.layers)))


def segments(path: pathlib.Path) -> list[str]:
    """The names of a folder's files of readings, in their order, up to the first that is missing."""
    with files.reading(path):
        found = sorted(name for name in os.listdir(path) if SEGMENT.fullmatch(name))
    return [name for number, name in enumerate(found) if name == segment(number)]


def segment(number: int) -> str:
    """The name of a file of readings."""
    return f"readings-{number:06d}.nc"


def _names(facts: Mapping[str, Any], path: pathlib.Path) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    layers, functions = facts.get("layers"), facts.get("functions")
    is_text = lambda value: isinstance(value, str)
    if not is_text(facts.get("identity")) or facts.get("state") not in STATES:
        raise DamagedError(f"{path} is no file of a monitor: its identity or its state is not as xinit writes it.")
    if not isinstance(layers, list) or not layers or not all(map(is_text, layers)):
        raise DamagedError(f"{path} is no file of a monitor: its layers are no names.")
    if not isinstance(functions, list) or len(functions) != len(layers):
        raise DamagedError(f"{path} is no file of a monitor: its functions are not of its layers.")
    return (
        tuple(map(files.printable, layers)),
        tuple(files.printable(one) if isinstance(one, str) else None for one in functions),
    )


def _history(stored: Any, n_layers: int, path: pathlib.Path) -> History:
    try:
        history = tuple((step, tuple(_finding(one, n_layers) for one in findings)) for step, findings in stored)
        steps = [step for step, _ in history]
        if any(type(step) is not int for step in steps) or sorted(set(steps)) != steps:
            raise ValueError
        return history
    except (TypeError, ValueError, KeyError):
        raise DamagedError(f"{path} is no file of a monitor: its history is not as xinit writes it.") from None


def _finding(stored: Mapping[str, Any], n_layers: int) -> Finding:
    level, rule, sentence, layers = (stored[name] for name in ("level", "rule", "sentence", "layers"))
    places = tuple(layers)
    if level not in LEVELS or any(type(place) is not int or not 0 <= place < n_layers for place in places):
        raise ValueError
    return Finding(level, files.printable(rule), files.printable(sentence), layers=places)


def _readings(path: pathlib.Path, identity: str, n_layers: int) -> Readings:
    parts: list[Readings] = []
    for name in segments(path):
        content = files.read(path, name, netcdf.LARGEST)
        if content is None:  # it was removed since, by a training that began again
            break
        if netcdf.attributes(content, path / name).get("monitor") != identity:
            raise DamagedError(f"{path / name} and {path / FACTS} are not of one monitor.")
        arrays = netcdf.decode(content, path / name).arrays
        arrays = {key: array for key, array in arrays.items() if key not in netcdf.AXES}
        found = netcdf.checked(arrays, {key: described(key) for key in arrays}, {"layer": n_layers}, path / name)
        _check(found, parts, path / name)
        parts.append(found)
    return stacked(parts)


def _check(found: Readings, before: Sequence[Readings], path: pathlib.Path) -> None:
    """That a file has what every monitor measures, the readings of the files before it, and ascending steps."""
    if missing := [name for name in NEEDED if name not in found]:
        raise DamagedError(f"{path} is no file of a monitor: it has no {missing[0]}.")
    steps = np.concatenate([part["step"] for part in (*before, found)])
    shapes = [{name: array.shape[1:] for name, array in part.items()} for part in (*before[:1], found)]
    if not len(found["step"]) or np.any(np.diff(steps) <= 0) or shapes[0] != shapes[-1]:
        raise DamagedError(f"{path} is no file of a monitor: its steps or readings do not follow those before them.")


def stacked(parts: Sequence[Readings]) -> Readings:
    """Readings one after the other along the axis step."""
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else {})}
