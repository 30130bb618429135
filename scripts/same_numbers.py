"""Do two trees of runs, inspections or studies hold the same numbers? Compared bit for bit, on one machine.

    python scripts/same_numbers.py BEFORE AFTER

Give the same commands before and after a change, each with an `out` of its own, and compare the two. Every array of a
.nc file and every entry of a .json file that BEFORE has must be in AFTER; what differs is listed, and the exit code is
4. Times, process ids and folders are left out. What AFTER has beyond that is listed, and is no difference.
"""

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import h5netcdf
import numpy as np

OF_ONE_RUN = {"wall_s", "compile_s", "steps_per_s", "pid", "host", "versions", "when", "path"}


def arrays_of(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Every variable of a netCDF file."""
    with h5netcdf.File(path) as file:
        return {name: variable[...] for name, variable in file.variables.items()}


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are of one type and shape, and hold the same bits."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return one.tolist() == other.tolist() if one.dtype.kind == "O" else one.tobytes() == other.tobytes()


def differences_of_arrays(before: pathlib.Path, after: pathlib.Path) -> Iterator[str]:
    """The names of arrays that differ or are missing."""
    ours, theirs = arrays_of(before), arrays_of(after)
    for name, values in ours.items():
        if name not in theirs:
            yield f"{name} is missing"
        elif not same(values, theirs[name]):
            yield f"{name} differs"
    yield from (f"+ {name}" for name in theirs.keys() - ours.keys())


def differences_of_values(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """The entries of JSON content that differ or are missing."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() - OF_ONE_RUN:
            if name not in after:
                yield f"{where}{name} is missing"
            else:
                yield from differences_of_values(before[name], after[name], f"{where}{name}.")
        yield from (f"+ {where}{name}" for name in after.keys() - before.keys())
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, pair in enumerate(zip(before, after, strict=True)):
            yield from differences_of_values(*pair, f"{where}{i}.")
    elif json.dumps(before) != json.dumps(after):
        yield f"{where.removesuffix('.') or 'the content'} differs"


def compare(before: pathlib.Path, after: pathlib.Path) -> Iterator[str]:
    """Every difference between two trees, with its file; what AFTER has beyond begins with a plus."""
    for file in sorted([*before.rglob("*.nc"), *before.rglob("*.json")]):
        name = file.relative_to(before)
        if not (after / name).exists():
            yield f"{name} is missing"
        elif file.suffix == ".nc":
            yield from (f"{name}: {difference}" for difference in differences_of_arrays(file, after / name))
        else:
            ours, theirs = (json.loads((folder / name).read_text()) for folder in (before, after))
            yield from (f"{name}: {difference}" for difference in differences_of_values(ours, theirs))


def main() -> int:
    """Print what differs; 0 where nothing does, else 4."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    found = list(compare(*map(pathlib.Path, sys.argv[1:])))
    print("\n".join(found))
    n_wrong = sum(": +" not in difference for difference in found)
    print(f"{n_wrong} differences" if n_wrong else "the same numbers")
    return 4 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
