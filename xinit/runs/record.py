"""The files of a run: what they hold, and how they are read. Reading one executes nothing; nothing here imports jax.

<out>/<name>/<hash>/  config.yaml  status.json  summary.json  readings.nc  checkpoints/  figures/

The status, the summary and the readings carry the hash of their run, so that a file of another run is not taken for one
of this. A folder may come from a stranger: see `files` and `netcdf` for what is refused.
"""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xinit.core import extra, files, netcdf
from xinit.core.errors import InputError
from xinit.core.files import DamagedError
from xinit.core.identity import names_outside_identity
from xinit.core.readings import EDGES, READINGS
from xinit.data.contract import settings_class
from xinit.settings.config import Config

if TYPE_CHECKING:
    import xarray

# Of a run: with a leading axis step, but for the edges.
DESCRIBED = {
    "step": (("step",), "training steps done"),
    **{name: (("step", *axes), words) for name, (axes, words) in READINGS.items()},
    **EDGES,
}


def described_with(more: extra.Extra) -> dict[str, tuple[tuple[str, ...], str]]:
    """`DESCRIBED`, with readings of the user's."""
    return DESCRIBED | extra.over(more, "step")


# The format of a run's files, which its status.json names; a run that names none is of format 0. Raise it when an older
# xinit would misread what is written now, or when older runs have to be translated; tests/data keeps a run of each.
FORMAT = 1

OVER = ("done", "diverged")
FILES = ("config.yaml", "status.json", "summary.json", "readings.nc")
HASH = re.compile(r"[0-9a-f]{12}")  # as `run_hash` gives
# Of a summary what must be numbers: the first five are known of every run that is over.
NUMBERS = (
    "chance_error", "test_examples", "steps", "examples", "learning_rate", "test_error", "valid_error", "test_loss",
    "diverged_at", "paper_share", "steps_per_s", "compile_s", "wall_s", "replicas", "sound_examples", "usual_rate",
)  # fmt: skip


def run_hash(identity: Mapping[str, Any], source: str) -> str:
    """Twelve hex digits of what decides a run's results: the canonical config and a custom function's source."""
    canonical = json.dumps(identity, sort_keys=True, default=list)
    return hashlib.sha256((canonical + source).encode()).hexdigest()[:12]


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The mapping in a JSON file; empty where there is none. Raises as `files.read_json`."""
    return files.read_json(path.parent, path.name)


def read_status(path: pathlib.Path) -> dict[str, Any]:
    """The status.json of a run's folder; empty where there is none.

    Raises:
      DamagedError: it is cut short or holds something else.
      InputError: a newer xinit wrote it, or it cannot be read.
    """
    status = read_json(path / "status.json")
    version = status.get("format", 0)
    if type(version) is not int:
        raise DamagedError(f"{path / 'status.json'} is none of a run's: its format is not a number.")
    if version > FORMAT:
        raise InputError(
            f"The run {path} is of format {version}, made by a newer xinit; this one knows formats up to {FORMAT}. "
            "Take the newer xinit, or compute elsewhere with out=DIR."
        )
    return status


def is_finished(path: pathlib.Path) -> bool:
    """Whether the run was computed to its end, be that done or diverged."""
    return finished(path) is not None


def finished(path: pathlib.Path) -> "Stored | None":
    """What a run left that was computed to its end; None where it was not, or where a file of it is damaged.

    Raises:
      InputError: a file cannot be read, which says nothing of what it holds.
    """
    try:
        stored = load(path)
    except DamagedError:
        return None
    is_over = stored.status.get("state") in OVER and all(stored.summary.get(name) is not None for name in NUMBERS[:5])
    return stored if is_over and stored.content is not None else None


def damage(path: pathlib.Path) -> str:
    """What is wrong with the files of a run, in a sentence; empty where they are whole. Raises InputError as `load`."""
    try:
        load(path)
    except DamagedError as error:
        return str(error)
    return ""


class Stored(NamedTuple):
    """The files of a run's folder, checked to be of one run; empty where there are none."""

    path: pathlib.Path
    config: str
    status: dict[str, Any]
    summary: dict[str, Any]
    content: bytes | None  # of readings.nc

    def readings(self) -> dict[str, np.ndarray]:
        """The arrays of readings.nc that `DESCRIBED` knows, and the user's; DamagedError where they are not so."""
        if self.content is None:
            return {}
        file = self.path / "readings.nc"
        return netcdf.checked(netcdf.decode(self.content, file).arrays, described_with(self.extra()), {}, file)

    def extra(self) -> extra.Extra:
        """The readings of the user's, as the file describes them; DamagedError where none can be so."""
        return {} if self.content is None else netcdf.extra_of(self.content, self.path / "readings.nc", "step")


def load(path: pathlib.Path) -> Stored:
    """What a run's folder holds, whatever its state.

    Raises:
      DamagedError: a file is cut short, holds something else, or is of another run.
      InputError: a file is a link, or the system cannot read it, or a newer xinit wrote it.
    """
    status, summary = read_status(path), read_json(path / "summary.json")
    config = files.read(path, "config.yaml", files.LARGEST_YAML) or b""
    content = files.read(path, "readings.nc", netcdf.LARGEST)
    attributes = netcdf.attributes(content, path / "readings.nc") if content is not None else {}
    _check_of_one_run(path, {"status.json": status, "summary.json": summary, "readings.nc": attributes})
    if wrong := [name for name in NUMBERS if not isinstance(summary.get(name), int | float | None)]:
        raise DamagedError(f"{path / 'summary.json'} is none of a run's: its {wrong[0]} is not a number.")
    text = config.decode(errors="replace")
    _check_config(path, text, attributes.get("config", ""))
    return Stored(path, text, status, summary, content)


def _check_of_one_run(path: pathlib.Path, contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the hashes that files carry with each other and with the folder's name, unless that was changed."""
    hashes = {name: content["run"] for name, content in contents.items() if "run" in content}
    name = pathlib.Path(os.path.realpath(path)).name
    expected = name if HASH.fullmatch(name) else next(iter(hashes.values()), None)
    if strange := [name for name, run in hashes.items() if run != expected]:
        raise DamagedError(f"{path / strange[0]} is of another run than the files beside it; remove what is not of it.")


def _check_config(path: pathlib.Path, config: str, of_readings: str) -> None:
    """Compare config.yaml with the config that the readings carry, in the settings that decide a run's results."""
    if not config or not of_readings or config == of_readings:
        return
    texts = (config, "config.yaml"), (of_readings, "readings.nc")
    first, second = (_identity(text, path / name) for text, name in texts)
    if any(first[key] != second[key] for key in first.keys() & second.keys()):
        raise DamagedError(f"{path / 'readings.nc'} and {path / 'config.yaml'} are not of one run.")


def _identity(text: str, path: pathlib.Path) -> dict[tuple[str, str], Any]:
    """Of a config as YAML the settings that a run's hash covers, flat."""
    config = files.parse_yaml(text, path)
    names = config.keys() - names_outside_identity(Config)
    pairs = {(name, key): value for name in names for key, value in _items(config[name])}
    outside = _outside_identity_of_data(pairs.get(("data", "kind")))
    return {(name, key): value for (name, key), value in pairs.items() if name != "data" or key not in outside}


def _outside_identity_of_data(kind: Any) -> set[str]:
    """The settings of a kind of data set that change no result; none are known of one that is not there any more."""
    try:
        return names_outside_identity(settings_class(kind))
    except InputError:
        return set()


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else [("", value)]


def read_readings(path: pathlib.Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file of readings by name, for those who need no labels; None where there is none.

    Raises:
      InputError: as `load`.
    """
    content = files.read(path.parent, path.name, netcdf.LARGEST)
    return None if content is None else netcdf.decode(content, path).arrays


def open(run: str | os.PathLike) -> "xarray.Dataset":
    """The readings of a run as a labelled dataset, its summary and config among the attributes.

    Axes: step, layer (1..d), weight (1..d+1), jacobian (1..d-1), quantile, bin, edge, and those of the user's readings,
    which the attribute `extra` names. Loaded whole; no file stays open. Where the layers of a network have names they
    are the coordinates layer_name and weight_name.

    Raises:
      InputError: the folder holds no readings, or a file in it is damaged, of another run, a link, or unreadable.
    """
    path = pathlib.Path(run)
    stored = load(path)
    if stored.content is None:
        state = files.printable(str(stored.status.get("state", "")))
        kind = f"a run that is {state} and has no readings yet" if state else "no run directory"
        raise InputError(f"{path} is {kind}; a run directory is <out>/<name>/<hash>, as printed at the end of a run.")
    attributes = netcdf.attributes(stored.content, path / "readings.nc")
    scalars = {k: v for k, v in stored.summary.items() if isinstance(v, str | int | float)}
    labels = described_with(stored.extra()), attributes | scalars | {"path": str(path)}
    dataset = netcdf.labelled(stored.readings(), *labels)
    return dataset.assign_coords({name: ((axis,), names) for name, axis, names in _names(stored, dataset.sizes)})


def _names(stored: Stored, sizes: Mapping[Any, int]) -> Iterator[tuple[str, str, list[str]]]:
    """Of a network that is no plain stack of layers the names of its layers and weights, along their axes."""
    for axis in ("layer", "weight"):
        names = stored.summary.get(f"{axis}s")
        if isinstance(names, list) and len(names) == sizes.get(axis):
            yield f"{axis}_name", axis, [str(name) for name in names]
