"""A probe's report as a folder: how it is written, and how it is read, also when it comes from a stranger.

<folder>/  probe.json  what is known of the layers and parameters, and what was found
           probe.nc    the readings, with the axis layer first

Both hold the hash of probe.json, so that files of two probes are not mixed up. Reading a folder executes nothing of it.
Nothing here imports jax.
"""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from xinit.analysis.finding import LEVELS
from xinit.analysis.probe_report import Report
from xinit.core import files, netcdf
from xinit.core.errors import InputError
from xinit.core.files import DamagedError
from xinit.core.readings import QUANTILES, READINGS, TRACED

FACTS, READ = "probe.json", "probe.nc"
# Raise it when an older xinit would misread what is written now.
FORMAT = 1
BY_LAYER = (
    "names", "kinds", "shapes", "widths", "depths", "paths", "fans", "functions", "normalised", "fed_by", "recurrent",
    "kernels",
)  # fmt: skip
AXES = {"_hist": ("layer", "bin"), "_edges": ("layer", "edge"), "_quantile": ("layer", "quantile")}  # by a name's end
NEEDED = ("pre_mean", "pre_std", "grad_pre_mean", "grad_pre_std")  # readings that every probe has


def save(report: Report, folder: str | os.PathLike) -> pathlib.Path:
    """Write a report into a folder and return its path; a probe that lies there is replaced.

    >>> save(report, "probes/first").name
    'first'

    Raises:
      InputError: something else than a saved probe lies there, or it cannot be written.
    """
    path = pathlib.Path(folder)
    facts = {"format": FORMAT, **_facts(report)}
    facts["hash"] = _hash(facts)
    described = {name: described_as(name) for name in report.readings}
    content = netcdf.encode(report.readings, described, {"probe": facts["hash"]})
    try:
        path.mkdir(parents=True, exist_ok=True)
        held = {entry.name for entry in path.iterdir()}
        if held and FACTS not in held:
            raise InputError(f"{path} holds {min(held)} and no saved probe; save into a new folder or an empty one.")
        files.write_atomically(path / READ, content)
        files.write_atomically(path / FACTS, (json.dumps(facts, indent=1) + "\n").encode())
    except OSError as error:
        raise InputError(f"The folder {path} cannot be written: {error.strerror or error}; choose another.") from error
    return path


def load(folder: str | os.PathLike) -> Report:
    """The report that `save` wrote into a folder, equal to it in every field.

    >>> load(save(report, "probes/first")).names == report.names
    True

    Raises:
      DamagedError: a file is cut short, holds something else, or is of another probe.
      InputError: there is no saved probe, a newer xinit wrote it, or the system cannot read it.
    """
    path = pathlib.Path(folder)
    facts, content = files.read_json(path, FACTS), files.read(path, READ, netcdf.LARGEST)
    if not facts or content is None:
        raise InputError(f"{path} is no saved probe: it has no {FACTS if not facts else READ}; report.save writes one.")
    files.check_format(facts, path / FACTS, FORMAT)
    if netcdf.attributes(content, path / READ).get("probe") != facts.get("hash"):
        raise DamagedError(f"{path / READ} and {path / FACTS} are not of one probe.")
    fields = {}
    for name, hint in typing.get_type_hints(Report).items():
        if name != "readings":
            try:
                fields[name] = _typed(facts.get(name), hint)
            except (ValueError, TypeError, OverflowError):
                raise DamagedError(
                    f"{path / FACTS} is no file of a probe: its {name} is not as xinit writes it."
                ) from None
    _check(fields, path / FACTS)
    return Report(**fields, readings=_readings(content, path / READ, len(fields["names"])))


def described_as(name: str) -> tuple[tuple[str, ...], str]:
    """The axes of a reading of a probe, and what it is.

    >>> described_as("pre_quantile")
    (('layer', 'quantile'), 'quantiles of the pre-activations')
    """
    axes = next((axes for end, axes in AXES.items() if name.endswith(end)), ("layer",))
    known = TRACED.get(name) or READINGS.get(name)
    return axes, known[1] if known else name.replace("_", " ")


def _facts(report: Report) -> dict[str, Any]:
    """The fields but the readings, in plain values."""
    names = [field.name for field in dataclasses.fields(report) if field.name != "readings"]
    return {name: _plain(getattr(report, name)) for name in names}


def _plain(value: Any) -> Any:
    """As JSON has it: a NamedTuple as a mapping, what is not finite as text, which JSON has no number for."""
    if hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _typed(value: Any, hint: Any) -> Any:
    """A value of a JSON file as the type of its field; ValueError where it is none."""
    if isinstance(hint, types.UnionType):
        inner = next(part for part in typing.get_args(hint) if part is not type(None))
        return None if value is None else _typed(value, inner)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, list):
        hints = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        return tuple(_typed(part, hint) for part, hint in zip(value, hints, strict=True))
    if origin is dict and isinstance(value, dict):
        return {files.printable(name): _typed(part, parts[1]) for name, part in value.items()}
    if isinstance(value, dict) and hasattr(hint, "_fields"):
        return hint(**{name: _typed(value.get(name), part) for name, part in typing.get_type_hints(hint).items()})
    if hint is float and (type(value) in (int, float) or value in ("nan", "inf", "-inf")):
        return float(value)
    if type(value) is not hint:
        raise ValueError
    return files.printable(value) if hint is str else value


def _check(fields: Mapping[str, Any], path: pathlib.Path) -> None:
    """That the fields are of the same layers, wired from earlier ones or back, and findings have known levels."""
    n = len(fields["names"])
    wrong = [name for name in BY_LAYER if len(fields[name]) != n]
    if not n or wrong:
        raise DamagedError(f"{path} is no file of a probe: its {(wrong or ['names'])[0]} are not of its layers.")
    if any(not 0 <= source < n for sources in fields["fed_by"] for source in sources):
        raise DamagedError(f"{path} is no file of a probe: its fed_by names layers that it does not have.")
    if any(width < 1 for width in fields["widths"]) or any(depth < 1 for depth in fields["depths"]):
        raise DamagedError(f"{path} is no file of a probe: its widths and depths are not all at least 1.")
    layers = {layer for finding in fields["findings"] for layer in finding.layers}
    if layers and not 0 <= min(layers) <= max(layers) < len(fields["names"]):
        raise DamagedError(f"{path} is no file of a probe: a finding is about a layer that it does not have.")
    if not fields["findings"] or any(finding.level not in LEVELS for finding in fields["findings"]):
        raise DamagedError(f"{path} is no file of a probe: it has no findings, or one that is not OK, WARN or FAIL.")


def _readings(content: bytes, path: pathlib.Path, n_layers: int) -> dict[str, np.ndarray]:
    arrays = netcdf.decode(content, path).arrays
    arrays = {name: array for name, array in arrays.items() if name not in netcdf.AXES}
    described = {name: described_as(name) for name in arrays}
    found = netcdf.checked(arrays, described, {"layer": n_layers}, path)
    for name in NEEDED:
        if name not in found:
            raise DamagedError(f"{path} is no file of a probe: it has no {name}.")
    for name in (name.removesuffix("_hist") for name in found if name.endswith("_hist")):
        if f"{name}_edges" not in found or found[f"{name}_edges"].shape[1] != found[f"{name}_hist"].shape[1] + 1:
            raise DamagedError(f"{path} is no file of a probe: {name}_edges do not fit {name}_hist.")
    if found.get("pre_quantile", np.zeros((1, len(QUANTILES)))).shape[-1] != len(QUANTILES):
        raise DamagedError(f"{path} is no file of a probe: its quantiles are not those that xinit writes.")
    return found


def _hash(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
