"""The folders that a page is made from: of which kind one is, and what lies in the folder of a run.

A folder may come from a stranger: what is read here is text and numbers, and nothing in it is imported or called.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis import running, saved_monitors, saved_probes
from xinit.analysis.layout import layout_of
from xinit.core import files
from xinit.core.errors import InputError
from xinit.core.extra import NOTHING, Extra
from xinit.runs import record

# The file that tells each kind of folder apart.
MARKERS = {
    "running sweep": running.RUNNING, "sweep": "sweep.json", "study": "claims.json", "run": "config.yaml",
    "probe": saved_probes.FACTS, "monitor": saved_monitors.FACTS, "comparison": "schemes.csv",
    "inspection": "inspection.json", "coordinates": "coordinates.json", "transfer": "transfer.json",
}  # fmt: skip
RESULTS = ("comparison", "inspection", "coordinates", "transfer")  # of commands that end with a figure and a table
KINDS = "a run, a sweep, a study, a comparison, an inspection, a monitor or a saved probe"
LONGEST = 100  # characters of a layer's name
NEEDED = {  # of a run's config, what is shown in words
    "name": str, "scheme": dict, "activations": list, "widths": list, "data": dict, "optimizer": dict, "probe": dict,
    "verdict": dict, "batch_size": int, "steps": int, "init_seed": int, "data_seed": int,
}  # fmt: skip


class Run(NamedTuple):
    """A run's folder as it lies there; `summary` is empty before the end, `readings` where nothing was measured."""

    path: pathlib.Path
    text: str  # of config.yaml
    config: dict[str, Any]
    summary: dict[str, Any]
    status: dict[str, Any]
    readings: dict[str, np.ndarray]
    extra: Extra = NOTHING  # of these, the user's own

    @property
    def state(self) -> str:
        """As `RunDirectory.write_status` has it."""
        return str(self.status.get("state", "not begun"))

    @property
    def layers(self) -> list[str]:
        """What the layers are called, where they have names of their own."""
        return self._names("layers")

    @property
    def weights(self) -> list[str]:
        """What the weights are called, where they have names of their own."""
        return self._names("weights")

    def _names(self, key: str) -> list[str]:
        names = self.summary.get(key)
        return [files.printable(str(name))[:LONGEST] for name in names] if isinstance(names, list) else []

    @property
    def limits(self) -> dict[str, float]:
        """The verdict's thresholds."""
        return {name: value for name, value in self.config["verdict"].items() if isinstance(value, int | float)}


def kind(path: pathlib.Path) -> str:
    """The kind of a folder: one of MARKERS; "probes" of one that holds several, each in its folder.

    Raises:
      InputError: there is no such folder, or it is none of these.
    """
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path} {found}; a page is made from the folder of {KINDS}.")
    for name, marker in MARKERS.items():
        if os.path.lexists(path / marker):  # in whatever state: it is read later
            return name
    if probes_in(path):
        return "probes"
    raise InputError(f"{path} is no folder of {KINDS}; {_below(path)}.")


def probes_in(path: pathlib.Path) -> list[pathlib.Path]:
    """The saved probes that lie in folders of this one, links left out, by their names."""
    with files.reading(path):
        found = [pathlib.Path(entry.path) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    return sorted(folder for folder in found if os.path.lexists(folder / MARKERS["probe"]))


def _below(path: pathlib.Path) -> str:
    """What of these kinds lies at most three folders below, links left out, with an example, in words."""
    for folder, below, found in os.walk(path):
        if kinds := [name for name, marker in MARKERS.items() if marker in found]:
            return f"below it lies a {kinds[0]}, {files.printable(str(pathlib.Path(folder)))}"
        if len(pathlib.Path(folder).relative_to(path).parts) == 3:
            below.clear()
        below.sort()
    return "nor does one lie below it"


def load(path: pathlib.Path) -> Run:
    """What a run's folder holds, whatever its state.

    Raises:
      InputError: a file of it cannot be read, is none of a run's, or is of another run.
    """
    stored = record.load(path)
    config, readings = _config(stored.config, path / "config.yaml"), stored.readings()
    depth, layers = len(config["widths"]), _n_layers(readings)
    if layers not in (depth, None):
        raise InputError(f"{path} has readings of {layers} layers, and a config of {depth}: they are not of one run.")
    measured = readings if len(readings.get("step", ())) else {}
    extra = stored.extra() if measured else {}
    return Run(path, stored.config, config, stored.summary, stored.status, measured, extra)


def _n_layers(readings: Mapping[str, np.ndarray]) -> int | None:
    """How many layers the config must have: of a residual network its branches; None where it does not say."""
    if "act_std" not in readings:
        return None
    layout = layout_of(readings)
    if not layout.is_known:
        return None
    return int(layout.main.sum()) - 1 if layout.has_skips else len(layout.branch)


def _config(text: str, path: pathlib.Path) -> dict[str, Any]:
    config = files.parse_yaml(text, path)
    for key, expected in NEEDED.items():
        if not isinstance(config.get(key), expected):
            found = files.printable(repr(config.get(key)))
            raise InputError(f"{path} is no config of a run: its {key} is {found}, not a {expected.__name__}.")
    return config
