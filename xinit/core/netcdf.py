"""netCDF files of labelled arrays, to bytes and from them.

What comes from a stranger is checked before an array is read: as xinit writes them, arrays lie in the file itself, one
after the other and as they are. So nothing outside the file is opened, and nothing needs more memory than the file has
bytes.
"""

import contextlib
import io
import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xinit.core import extra
from xinit.core.files import DamagedError
from xinit.core.readings import QUANTILES

if TYPE_CHECKING:
    import h5py
    import xarray

LARGEST = 8 << 30  # bytes of a file that is read; the readings of a sweep of ten thousand runs have 1 GB
Axes = Mapping[str, tuple[tuple[str, ...], str]]  # by name: the axes of an array, and what it is
NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable."  # of netCDF itself: an axis without values
BYTES_OF_A_TEXT = 16
AXES = ("layer", "weight", "jacobian", "quantile")  # that have values of their own: places from 1 on, and QUANTILES


class Stored(NamedTuple):
    """What a file holds: arrays, those of texts with the type object, and attributes that are texts."""

    arrays: dict[str, np.ndarray]
    attributes: dict[str, str]


def encode(
    readings: Mapping[str, np.ndarray],
    described: Axes,
    attributes: Mapping[str, Any],
    columns: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """A netCDF file of arrays whose axes and definitions `described` holds, with `columns` along the axis replica."""
    import h5py  # written directly: h5netcdf takes six times as long, and importing xarray costs a second

    columns = columns or {}
    sizes = _sizes(readings, described) | ({"replica": len(next(iter(columns.values())))} if columns else {})
    coordinates = _coordinates(sizes)
    axes = {name: described[name][0] for name in readings} | dict.fromkeys(columns, ("replica",))
    axes |= {name: (name,) for name in coordinates}
    arrays = {**coordinates, **columns, **readings}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=True) as file:
        file.attrs.update(attributes)
        for place, (axis, n) in enumerate(sizes.items()):
            has_values = axes.get(axis) == (axis,)
            scale = _create(file, axis, arrays[axis] if has_values else np.zeros(n, ">f4"))
            scale.make_scale(axis if has_values else NO_VARIABLE + b"%10d" % n)
            scale.attrs["_Netcdf4Dimid"] = np.int32(place)
        for name in [name for name in arrays if name not in sizes]:
            variable = _create(file, name, arrays[name])
            for i, axis in enumerate(axes[name]):
                variable.dims[i].attach_scale(file[axis])
        for name in readings:
            file[name].attrs["long_name"] = described[name][1]
    return buffer.getvalue()


def _create(file: "h5py.File", name: str, values: Any) -> "h5py.Dataset":
    """An array of the file, of texts where its type is object; one without values may grow, as netCDF has it."""
    import h5py

    array = np.asarray(values)
    kind = h5py.string_dtype() if array.dtype == object else array.dtype
    growing = {} if array.size else {"maxshape": tuple(n or None for n in array.shape)}
    return file.create_dataset(name, array.shape, kind, array, **growing)


def _sizes(arrays: Mapping[str, np.ndarray], described: Axes) -> dict[str, int]:
    return {axis: n for name, a in arrays.items() for axis, n in zip(described[name][0], a.shape, strict=True)}


def _coordinates(sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    numbered = {axis: np.arange(1, n + 1) for axis, n in sizes.items() if axis in AXES[:3]}
    return numbered | ({"quantile": np.array(QUANTILES)} if "quantile" in sizes else {})


def decode(content: bytes, path: pathlib.Path) -> Stored:
    """All arrays and texts of a file's content; `path` is for messages.

    Raises:
      DamagedError: it is cut short, no netCDF file, or holds what xinit does not write.
    """
    with _opened(content, path) as file:
        names = [name for name in file if not _is_axis(_plain(file, name))]
        if sum(_size(file[name]) for name in names) > len(content):
            raise ValueError("its arrays are larger than the file")
        arrays = {name: _array(file[name], len(content)) for name in names}
        return Stored(arrays, _texts(file))


def attributes(content: bytes, path: pathlib.Path) -> dict[str, str]:
    """The texts alone, without a look at the arrays; as `decode`."""
    with _opened(content, path) as file:
        return _texts(file)


def extra_of(content: bytes, path: pathlib.Path, *leading: str) -> dict[str, tuple[tuple[str, ...], str]]:
    """The readings of the user's that a file says it has: their axes after the leading ones, and their definitions.

    Raises:
      DamagedError: as `decode`, or one has a name or axes that no such reading has.
    """
    with _opened(content, path) as file:
        names = _texts(file).get(extra.ATTRIBUTE, "").split()
        if any(map(extra.fault_of_name, names)):  # before one is looked up, which may be a path that leads elsewhere
            raise ValueError("its readings have other names")
        found = {name: (_axes(_plain(file, name)), _definition(file[name])) for name in names}
        described = {name: (axes[len(leading) :], words) for name, (axes, words) in found.items()}
        if any(axes[: len(leading)] != leading for axes, _ in found.values()) or extra.fault_of(described):
            raise ValueError("its readings have other axes")
        return described


def _axes(dataset: "h5py.Dataset") -> tuple[str, ...]:
    return tuple(axis[0].name.removeprefix("/") for axis in dataset.dims)


def _definition(dataset: "h5py.Dataset") -> str:
    text = dataset.attrs.get("long_name", "")
    return extra.plain(text) if isinstance(text, str) else ""


@contextlib.contextmanager
def _opened(content: bytes, path: pathlib.Path) -> Iterator["h5py.File"]:
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            yield file
    except Exception as error:  # whatever damage does to the reader
        raise DamagedError(
            f"{path} cannot be read: it is cut short, or no netCDF file as xinit writes them."
        ) from error


def _plain(file: "h5py.File", name: str) -> "h5py.Dataset":
    """An array or an axis of the file; raises ValueError unless all its values lie in the file, as they are."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise ValueError(f"{name} is no array of the file")
    dataset = file[name]
    storage = dataset.id.get_create_plist()
    layouts = (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT, h5py.h5d.CHUNKED)  # the last where an axis has no length yet
    if storage.get_layout() not in layouts or storage.get_nfilters() or storage.get_external_count():
        raise ValueError(f"{name} is not stored as it is")
    if dataset.dtype.kind not in "iuf" and h5py.check_string_dtype(dataset.dtype) is None:
        raise ValueError(f"{name} is of a type that no reading has")
    if dataset.id.get_storage_size() != _size(dataset) and not _is_axis(dataset):
        raise ValueError(f"{name} is larger than what is stored of it")
    return dataset


def _size(dataset: "h5py.Dataset") -> int:
    """The bytes that an array's values take in a file; a text is there a length, an address and an index."""
    size: int = dataset.size * (dataset.dtype.itemsize if dataset.dtype.kind in "iuf" else BYTES_OF_A_TEXT)
    return size


def _is_axis(dataset: "h5py.Dataset") -> bool:
    name = dataset.attrs.get("NAME")
    return isinstance(name, bytes) and name.startswith(NO_VARIABLE)


def _array(dataset: "h5py.Dataset", largest: int) -> np.ndarray:
    if dataset.dtype.kind in "iuf":
        numbers: np.ndarray = dataset[...]
        return numbers
    texts, dataset = [], dataset.asstr(errors="replace")
    for i in range(dataset.shape[0] if dataset.ndim == 1 else 0):  # one by one: many may refer to the same bytes
        texts.append(dataset[i])
        largest -= len(texts[-1])
        if largest < 0:
            raise ValueError("its texts are larger than the file")
    return np.array(texts, object)


def _texts(file: "h5py.File") -> dict[str, str]:
    single = [name for name in file.attrs if file.attrs.get_id(name).shape == ()]
    return {name: text for name in single if isinstance(text := file.attrs[name], str)}


def checked(
    found: Mapping[str, np.ndarray], described: Axes, sizes: Mapping[str, int], path: pathlib.Path
) -> dict[str, np.ndarray]:
    """The arrays that `described` knows; `sizes`: of axes whose length is known.

    Raises:
      DamagedError: one is not of numbers over its axes, each as long as in the others.
    """
    known = {name: found[name] for name in found if name in described}
    sizes = {"quantile": len(QUANTILES), **sizes}
    for name, array in known.items():
        axes = described[name][0]
        expected = tuple(sizes.setdefault(axis, n) for axis, n in zip(axes, array.shape, strict=False))
        kinds = "iu" if name == "step" else "iuf"
        if array.dtype.kind not in kinds or array.ndim != len(axes) or array.shape != expected:
            raise DamagedError(f"{path} is no file of readings: {name} should be numbers over {' and '.join(axes)}.")
    return known


def labelled(
    arrays: Mapping[str, np.ndarray],
    described: Axes,
    attributes: Mapping[str, Any],
    columns: Mapping[str, np.ndarray] | None = None,
) -> "xarray.Dataset":
    """The dataset of what `encode` takes, with the same labels."""
    import xarray

    variables = {name: (*described[name][:1], a, {"long_name": described[name][1]}) for name, a in arrays.items()}
    labels = {name: ("replica", values) for name, values in (columns or {}).items()}
    coordinates = {axis: (axis, values) for axis, values in _coordinates(_sizes(arrays, described)).items()}
    return xarray.Dataset({**labels, **variables}, coordinates, dict(attributes))
