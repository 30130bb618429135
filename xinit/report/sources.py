"""The folders that a page is made from: of which kind one is, and what lies in the folder of a run.

A folder may come from a stranger: what is read here is text and numbers, and nothing in it is imported or called.
"""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xinit import record
from xinit.errors import InputError
from xinit.readings import QUANTILES

# The file that tells each kind of folder apart.
MARKERS = {"sweep": "sweep.json", "study": "claims.json", "run": "config.yaml"}
NEEDED = {  # of a run's config, what is shown in words
    "name": str, "scheme": dict, "activations": list, "widths": list, "data": dict, "optimizer": dict, "probe": dict,
    "verdict": dict, "batch_size": int, "steps": int, "init_seed": int, "data_seed": int,
}  # fmt: skip

NUMBERS = (  # of a summary, what is shown
    "test_error", "chance_error", "test_examples", "steps", "examples", "paper_share", "learning_rate", "diverged_at",
    "steps_per_s", "compile_s", "wall_s", "replicas",
)  # fmt: skip


Number = int | float | None


class Run(NamedTuple):
    """A run's folder as it lies there; `summary` is empty before the end, `readings` where nothing was measured."""

    path: pathlib.Path
    config: dict[str, Any]
    summary: dict[str, Any]
    status: dict[str, Any]
    readings: dict[str, np.ndarray]

    @property
    def state(self) -> str:
        """As `record.RunDirectory.write_status` has it."""
        return str(self.status.get("state", "not begun"))

    @property
    def limits(self) -> dict[str, float]:
        """The verdict's thresholds."""
        return {name: value for name, value in self.config["verdict"].items() if isinstance(value, int | float)}


def kind(path: pathlib.Path) -> str:
    """The kind of a folder: "run", "sweep" or "study".

    Raises:
      InputError: there is no such folder, or it is none of these.
    """
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path} {found}; a page is made from the folder of a run, a sweep or a study.")
    for name, marker in MARKERS.items():
        if (path / marker).is_file():
            return name
    raise InputError(f"{path} is no folder of a run, a sweep or a study; {_below(path)}.")


def _below(path: pathlib.Path) -> str:
    """What of these kinds lies below a folder, with an example, in words."""
    for name, marker in MARKERS.items():
        found = itertools.chain.from_iterable(path.glob("*/" * depth + marker) for depth in (1, 2, 3))
        if example := next(found, None):
            return f"below it lies a {name}, {example.parent}"
    return "nor does one lie below it"


def load(path: pathlib.Path) -> Run:
    """What a run's folder holds, whatever its state.

    Raises:
      InputError: its config, summary or readings cannot be read, or are none.
    """
    config, found = _config(path / "config.yaml"), readings(path)
    depth, layers = len(config["widths"]), found["act_std"].shape[1] if "act_std" in found else None
    if layers not in (depth, None):
        raise InputError(f"{path} has readings of {layers} layers, and a config of {depth}: they are not of one run.")
    return Run(path, config, _facts(path / "summary.json"), _facts(path / "status.json"), found)


def _facts(path: pathlib.Path) -> dict[str, Any]:
    """The content of a JSON file of a run, NUMBERS checked; empty where there is none."""
    try:
        found = record.read_json(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    wrong = [name for name in NUMBERS if not isinstance(found, dict) or not isinstance(found.get(name), Number)]
    if wrong:
        raise InputError(f"{path} is none of a run's: its {wrong[0]} is not a number.")
    return found


def _config(path: pathlib.Path) -> dict[str, Any]:
    import yaml

    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}.") from None
    for key, expected in NEEDED.items():
        found = config.get(key) if isinstance(config, Mapping) else None
        if not isinstance(found, expected):
            raise InputError(f"{path} is no config of a run: its {key} is {found!r}, not a {expected.__name__}.")
    return config


def readings(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The readings of a run's folder by name; empty where there are none.

    Raises:
      InputError: readings.nc is damaged, or its arrays are not those that `xinit.readings` describes.
    """
    file = path / "readings.nc"
    if not file.exists():
        return {}
    found = record.read_readings(file)
    if found is None:
        raise InputError(f"{file} cannot be read: it is cut short, or no netCDF file.")
    known = checked(found, {name: axes for name, (axes, _) in record.DESCRIBED.items()}, {}, file)
    return known if len(known.get("step", ())) else {}


def checked(
    found: Mapping[str, np.ndarray], axes_of: Mapping[str, Sequence[str]], sizes: Mapping[str, int], file: pathlib.Path
) -> dict[str, np.ndarray]:
    """The arrays that have their axes in `axes_of`; `sizes`: of axes whose length is known.

    Raises:
      InputError: one is not of numbers over its axes, each as long as in the others.
    """
    known = {name: found[name] for name in axes_of if name in found}
    sizes = {"quantile": len(QUANTILES), **sizes}
    for name, array in known.items():
        axes = axes_of[name]
        expected = tuple(sizes.setdefault(axis, n) for axis, n in zip(axes, array.shape, strict=False))
        kinds = "iu" if name == "step" else "iuf"
        if array.dtype.kind not in kinds or array.ndim != len(axes) or array.shape != expected:
            raise InputError(f"{file} is no file of readings: {name} should be numbers over {' and '.join(axes)}.")
    return known
