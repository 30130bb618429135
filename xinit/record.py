"""The run directory: labelled readings, status, atomic writes. Reading one executes nothing; nothing here imports jax.

<out>/<name>/<hash>/  config.yaml  status.json  summary.json  readings.nc  checkpoints/  figures/
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import pathlib
import platform
import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xinit.errors import InputError
from xinit.readings import EDGES, QUANTILES, READINGS

if TYPE_CHECKING:
    import xarray

# Of a run: with a leading axis step, but for the edges.
DESCRIBED = {
    "step": (("step",), "training steps done"),
    **{name: (("step", *axes), words) for name, (axes, words) in READINGS.items()},
    **EDGES,
}


def run_hash(identity: Mapping[str, Any], source: str) -> str:
    """Twelve hex digits of what decides a run's results: the canonical config and a custom function's source."""
    canonical = json.dumps(identity, sort_keys=True, default=list)
    return hashlib.sha256((canonical + source).encode()).hexdigest()[:12]


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Turn an operating-system error into one sentence; whatever was written before stays."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The run folder {path} cannot be written: {error.strerror or error}; "
            "choose another with out=DIR or make room there. What was written before is kept."
        ) from error


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Fill a temporary name beside `path`, then rename: readers see the old or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class RunDirectory:
    """One run's folder, held by this process from `claim` to `release`."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._lock: Any = None
        self._forced = False
        self._checkpoint: str | None = None  # as in status.json: relative to `path`, so that folders can be moved

    def claim(self) -> None:
        """Create the folder and hold its lock; the operating system frees the lock of a process that died.

        Raises:
          InputError: another process holds it, or it cannot be written.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                status = self.status()
                holder = f"process {status.get('pid', 'unknown')} on {status.get('host', 'this host')}"
                raise InputError(
                    f"The run {self.path} is being computed by {holder}; wait for it or stop it."
                ) from None

    def begin(self, config_yaml: str, force: bool = False) -> None:
        """Begin to compute here, or go on; with `force`, without the results of the run before."""
        anew = force and not self._forced_run_was_cut()
        self._checkpoint = None if anew else self.status().get("checkpoint")
        self._forced = force
        with writing(self.path):
            self._sweep(anew)
            self.write_text("config.yaml", config_yaml)
            self.write_status("running")

    def _forced_run_was_cut(self) -> bool:
        """Whether a run that was forced did not come to its end: then the same command goes on with it."""
        return bool(self.status().get("forced")) and not self.is_over()

    def is_over(self) -> bool:
        """Whether the run says it came to its end, be that done or diverged."""
        return self.status().get("state") in ("done", "diverged")

    @property
    def checkpoint(self) -> pathlib.Path | None:
        """The folder of the checkpoints that hold this run's state, alone or among others; None where there is none."""
        pointer = self._checkpoint or self.status().get("checkpoint")
        return pathlib.Path(os.path.normpath(self.path / pointer)) if pointer else None

    def to_resume_from(self, force: bool) -> pathlib.Path | None:
        """The checkpoint that a run begun now would go on from."""
        return None if force and not self._forced_run_was_cut() else self.checkpoint

    def point_to(self, checkpoint: pathlib.Path) -> None:
        """Keep in the status where this run's checkpoints lie."""
        pointer = os.path.relpath(checkpoint, self.path)
        if pointer != self._checkpoint:
            self._checkpoint = pointer
            self.write_status("running")

    def _sweep(self, results: bool) -> None:
        """Clear what a killed process left half written and, where asked, the results."""
        for leftover in self.path.glob(".*.[0-9]*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        if results:
            for name in ("summary.json", "readings.nc", "log.txt"):
                (self.path / name).unlink(missing_ok=True)
            for folder in ("checkpoints", "figures", "params"):
                shutil.rmtree(self.path / folder, ignore_errors=True)

    def release(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def status(self) -> dict[str, Any]:
        """The content of status.json; empty where there is none."""
        return read_json(self.path / "status.json")

    def write_status(self, state: str, **more: Any) -> None:
        """`running`, `done`, `diverged`, `stopped`, `interrupted` or `failed`; who holds the run; what is known."""
        who = {"pid": os.getpid(), "host": platform.node(), "forced": self._forced}
        if self._checkpoint is not None and state not in ("done", "diverged"):
            who["checkpoint"] = self._checkpoint
        self.write_json("status.json", {"state": state, **who, **more})

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """A JSON file of the run, atomically."""
        self.write_text(name, json.dumps(content, indent=2) + "\n")

    def write_text(self, name: str, content: str) -> None:
        """A text file of the run, atomically."""
        with writing(self.path):
            write_atomically(self.path / name, content.encode())

    def write_readings(self, readings: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
        """readings.nc, atomically: arrays with a leading axis `step`, edges without."""
        # Made in memory first: HDF5 answers a full disk with much more than an OSError.
        content = netcdf(readings, DESCRIBED, attributes)
        with writing(self.path):
            write_atomically(self.path / "readings.nc", content)


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The content of a JSON file; empty where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


def is_finished(path: pathlib.Path) -> bool:
    """Whether the run was computed to its end, be that done or diverged."""
    return RunDirectory(path).is_over() and bool(read_json(path / "summary.json")) and _is_whole(path / "readings.nc")


def _is_whole(path: pathlib.Path) -> bool:
    """Whether HDF5 opens the file, which it does not where its end is missing."""
    import h5netcdf

    try:
        h5netcdf.File(path, "r").close()
    except Exception:  # absent, cut short, not HDF5
        return False
    return True


def netcdf(
    readings: Mapping[str, np.ndarray],
    described: Mapping[str, tuple[tuple[str, ...], str]],
    attributes: Mapping[str, Any],
    columns: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """A netCDF file of arrays whose axes and definitions `described` holds, with `columns` along the axis replica."""
    import h5netcdf  # written directly: importing xarray costs a second
    import h5py

    columns = columns or {}
    sizes = {axis: n for name, a in readings.items() for axis, n in zip(described[name][0], a.shape, strict=True)}
    if columns:
        sizes["replica"] = len(next(iter(columns.values())))
    coordinates = {axis: np.arange(1, n + 1) for axis, n in sizes.items() if axis in ("layer", "weight", "jacobian")}
    coordinates |= {"quantile": np.array(QUANTILES)} if "quantile" in sizes else {}
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        file.dimensions = sizes
        file.attrs.update(attributes)
        for axis, values in coordinates.items():
            file.create_variable(axis, (axis,), data=values)
        for name, values in columns.items():
            kind = h5py.string_dtype() if values.dtype == object else values.dtype
            file.create_variable(name, ("replica",), kind, values)
        for name, values in readings.items():
            axes, words = described[name]
            file.create_variable(name, axes, data=np.asarray(values)).attrs["long_name"] = words
    return buffer.getvalue()


def read_readings(path: pathlib.Path) -> dict[str, np.ndarray] | None:
    """The arrays of readings.nc by name, for those who need no labels; None where it is missing or damaged."""
    import h5netcdf

    try:
        with h5netcdf.File(path, "r") as file:
            return {name: variable[...] for name, variable in file.variables.items()}
    except Exception:  # absent, cut short, not HDF5
        return None


def open(run: str | os.PathLike) -> "xarray.Dataset":
    """The readings of a run as a labelled dataset, its summary and config among the attributes.

    Axes: step, layer (1..d), weight (1..d+1), jacobian (1..d-1), quantile, bin, edge. Loaded whole; no file stays open.

    Raises:
      InputError: the folder holds no readings.
    """
    path = pathlib.Path(run)
    if not (path / "readings.nc").exists():
        state = read_json(path / "status.json").get("state")
        found = f"a run that is {state} and has no readings yet" if state else "no run directory"
        raise InputError(f"{path} is {found}; a run directory is <out>/<name>/<hash>, as printed at the end of a run.")
    import xarray

    dataset = xarray.load_dataset(path / "readings.nc", engine="h5netcdf")
    scalars = {k: v for k, v in read_json(path / "summary.json").items() if isinstance(v, str | int | float)}
    return dataset.assign_attrs(scalars | {"path": str(path)})
