"""The folder that a monitor of a training writes: how one that may come from a stranger is read.

<folder>/  monitor.json  the layers, the names of the readings, what was found at each step where a rule's level changed
           readings.bin  the monitor's identity, then a row of float64 for each step that was measured

A point is one row at the end of the file: adding it costs the same however long the record is, and of a row that was
cut short nothing is read. Both files carry the identity, so that a file of another monitor is not taken for one of
this. Nothing here imports jax.
"""

import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xinit.analysis import verdict
from xinit.analysis.finding import LEVELS, Finding
from xinit.analysis.saved_probes import described_as
from xinit.core import files, netcdf
from xinit.core.errors import InputError
from xinit.core.files import DamagedError
from xinit.core.readings import QUANTILES

if TYPE_CHECKING:
    import xarray

FACTS, ROWS = "monitor.json", "readings.bin"
NAME = re.compile(r"[a-z][a-z_0-9]{0,60}")  # of a reading
IDENTITY = re.compile(r"[0-9a-f]{12}")
WHOLE = ("step", "level")  # readings that are whole numbers
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
Columns = tuple[tuple[str, tuple[int, ...]], ...]
History = tuple[tuple[int, tuple[Finding, ...]], ...]


class Monitored(NamedTuple):
    """The record of a monitor, whatever its state.

    `readings` have the axis step in front, then layer. `columns`: the readings in the order
    in which they lie in a row, with the shape of each. `history`: the steps at which the level of a rule changed, with
    what was found there, worst first. `findings` at the last step; none before the first.
    """

    path: pathlib.Path
    identity: str
    state: str
    layers: tuple[str, ...]
    functions: tuple[str | None, ...]
    columns: Columns
    history: History
    findings: tuple[Finding, ...]
    readings: Readings

    @property
    def steps(self) -> np.ndarray:
        """The steps that were measured, ascending."""
        return self.readings["step"] if self.readings else np.zeros(0, np.int64)

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
    """Whether a monitor wrote, or began to write, into this folder.

    >>> is_one(pathlib.Path("watched"))
    True
    """
    return os.path.lexists(path / FACTS)


def load(folder: str | os.PathLike) -> Monitored:
    """What a monitor has recorded so far.

    >>> load("watched").layers
    ('w',)

    Raises:
      DamagedError: a file is cut short, holds something else, or is of another monitor.
      InputError: no monitor wrote here, a newer xinit did, or the system cannot read it.
    """
    path = pathlib.Path(folder)
    facts = files.read_json(path, FACTS)
    if not facts:
        raise InputError(f"{path} holds no record of a monitor: it has no {FACTS}; xinit.Monitor writes one.")
    files.check_format(facts, path / FACTS, FORMAT)
    layers, functions = _names(facts, path / FACTS)
    columns = _columns(facts.get("columns"), len(layers), path / FACTS)
    readings = _readings(path, facts["identity"], columns)
    history = _history(facts.get("history"), len(layers), path / FACTS)
    last = readings["step"][-1] if readings else -1
    measured = tuple(entry for entry in history if entry[0] <= last)  # what is said of a point is written before it
    latest = _history(facts.get("latest"), len(layers), path / FACTS)
    ending = latest if latest and latest[0][0] == last else measured
    findings = ending[-1][1] if ending else ()
    return Monitored(path, facts["identity"], facts["state"], layers, functions, columns, measured, findings, readings)


def open(folder: str | os.PathLike) -> "xarray.Dataset":
    """The record of a monitor as a labelled dataset with the axes step, layer, quantile, bin and edge.

    The layers' names are the coordinate layer_name; `verdict`, `state` and `path` are among the attributes.

    >>> open("watched").update_ratio.dims
    ('step', 'layer')

    Raises:
      InputError: as `load`, or nothing was measured yet.
    """
    record = load(folder)
    if not record.readings:
        raise InputError(f"{record.path} is the folder of a monitor that has measured nothing yet.")
    about = {"path": str(record.path), "monitor": record.identity, "state": record.state, "verdict": record.verdict}
    dataset = netcdf.labelled(record.readings, {name: described(name) for name in record.readings}, about)
    return dataset.assign_coords(layer_name=("layer", list(record.layers)))


def length(columns: Columns) -> int:
    """The numbers in a row.

    >>> length((("step", ()), ("pre_std", (3,))))
    4
    """
    return sum(math.prod(shape) for _, shape in columns)


def _names(facts: Mapping[str, Any], path: pathlib.Path) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    layers, functions = facts.get("layers"), facts.get("functions")
    is_text = lambda value: isinstance(value, str)
    if not IDENTITY.fullmatch(str(facts.get("identity"))) or facts.get("state") not in STATES:
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
        if (
            any(type(step) is not int for step in steps)
            or sorted(set(steps)) != steps
            or not all(dict(history).values())
        ):
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


def _columns(stored: Any, n_layers: int, path: pathlib.Path) -> Columns:
    """The readings of a row, of as many layers as there are; axes of the same name are of the same length."""
    try:
        columns = tuple((str(name), tuple(shape)) for name, shape in stored)
        sizes = {"layer": n_layers, "quantile": len(QUANTILES)}
        for name, shape in columns:
            pairs = zip(described(name)[0][1:], shape, strict=True)
            if not NAME.fullmatch(name) or any(type(n) is not int or n < 1 for n in shape):
                raise ValueError
            if any(sizes.setdefault(axis, n) != n for axis, n in pairs):
                raise ValueError
        names = {name for name, _ in columns}
        if len(names) < len(columns) or (columns and not names.issuperset(NEEDED)):
            raise ValueError
        return columns
    except (TypeError, ValueError):
        raise DamagedError(f"{path} is no file of a monitor: its columns are not as xinit writes them.") from None


def _readings(path: pathlib.Path, identity: str, columns: Columns) -> Readings:
    """The whole rows of the file by reading; empty where there is none."""
    content = files.read(path, ROWS, netcdf.LARGEST) or b""
    if not content or not columns:
        return {}
    begin, n = len(identity), length(columns)
    if content[:begin] != identity.encode():
        raise DamagedError(f"{path / ROWS} and {path / FACTS} are not of one monitor.")
    n_rows = (len(content) - begin) // (8 * n)
    rows = np.frombuffer(content, "<f8", n_rows * n, begin).reshape(n_rows, n)
    ends = np.cumsum([math.prod(shape) for _, shape in columns])[:-1]
    parts = np.split(rows, ends, axis=1)
    found = {name: part.reshape(n_rows, *shape) for (name, shape), part in zip(columns, parts, strict=True)}
    whole = np.stack([found[name] for name in WHOLE])
    steps, levels = found["step"], found["level"]
    if not np.all(whole == np.floor(whole)) or np.any(np.diff(steps) <= 0) or not np.all(np.isin(levels, range(3))):
        raise DamagedError(f"{path / ROWS} is no file of a monitor: its steps or levels are not as xinit writes them.")
    if np.any(steps < 0) or np.any(steps > 2**53):
        raise DamagedError(f"{path / ROWS} is no file of a monitor: it has steps that no training has.")
    return {name: own.astype(np.int64) if name in WHOLE else own for name, own in found.items()} if n_rows else {}
