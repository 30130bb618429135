"""Arrays to netCDF and back, and files of strangers, which are refused before an array of theirs is read."""

import io

import h5py
import numpy as np
import pytest

from xinit.core import netcdf
from xinit.core.files import DamagedError
from xinit.runs import record

STEPS = np.arange(3)
READINGS = {"step": STEPS, "act_std": np.arange(6, dtype=np.float32).reshape(3, 2), "train_loss": np.ones(3)}


@pytest.mark.parametrize("n", [3, 0])
def test_what_was_encoded_is_decoded(tmp_path, n):
    readings = {name: values[:n] for name, values in READINGS.items()}
    columns = {"scheme": np.array(["he", "größer"], object), "seed": np.arange(2)}
    content = netcdf.encode(readings, record.DESCRIBED, {"name": "made"}, columns)
    found = netcdf.decode(content, tmp_path)
    assert found.attributes["name"] == netcdf.attributes(content, tmp_path)["name"] == "made"
    for name, values in (readings | columns).items():
        np.testing.assert_array_equal(found.arrays[name], values, strict=name in readings)


def test_the_labelled_dataset_is_the_one_that_xarray_reads():
    import xarray

    content = netcdf.encode(READINGS, record.DESCRIBED, {"name": "made"})
    expected = xarray.load_dataset(io.BytesIO(content), engine="h5netcdf")
    found = netcdf.labelled(READINGS, record.DESCRIBED, {"name": "made"})
    xarray.testing.assert_identical(found, expected)


def external(file, outside):
    file.create_dataset("x", (4,), "u1", external=[(str(outside), 0, 4)])


def virtual(file, outside):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource(str(outside), "x", (4,))
    file.create_virtual_dataset("x", layout)


def link_to(link):
    def make(file, outside):
        file["x"] = link(outside)

    return make


def one_array_often(file, outside):
    file["x"] = np.zeros(10_000)
    for i in range(10):
        file[f"x{i}"] = file["x"]


FOREIGN = {
    "external storage": external,
    "a virtual array": virtual,
    "an external link": link_to(lambda outside: h5py.ExternalLink(str(outside), "x")),
    "a soft link": link_to(lambda outside: h5py.SoftLink("/step")),
    "a group": lambda file, outside: file.create_group("x"),
    "a filter": lambda file, outside: file.create_dataset("x", data=np.zeros(100), compression="gzip"),
    "a checksum filter": lambda file, outside: file.create_dataset("x", data=np.zeros(100), fletcher32=True),
    "zeros that are not there": lambda file, outside: file.create_dataset("x", (2**40,), "f4"),
    "chunks that are not there": lambda file, outside: file.create_dataset("x", (2**40,), "f4", chunks=(1024,)),
    "references": lambda file, outside: file.create_dataset("x", data=file.ref, dtype=h5py.ref_dtype),
    "records": lambda file, outside: file.create_dataset("x", data=np.zeros(2, [("a", "f4"), ("b", "f4")])),
    "one array under many names": one_array_often,
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_what_xinit_does_not_write_is_refused(tmp_path, make):
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["x"] = np.arange(4, dtype="u1")
    content = io.BytesIO(netcdf.encode(READINGS, record.DESCRIBED, {}))
    with h5py.File(content, "r+") as file:
        make(file, outside)
    with pytest.raises(DamagedError, match="no netCDF file as xinit writes them"):
        netcdf.decode(content.getvalue(), tmp_path / "readings.nc")


def test_many_texts_that_are_one_are_refused(tmp_path):
    """A text is stored as where it lies, so that a small file can hold as many copies of a long one as it likes."""
    file, n = io.BytesIO(netcdf.encode(READINGS, record.DESCRIBED, {})), 1000
    with h5py.File(file, "r+") as content:
        texts = content.create_dataset("x", (n,), h5py.string_dtype())
        texts[0] = "long" * 1000
        start = texts.id.get_offset()
    raw = bytearray(file.getvalue())
    raw[start : start + 16 * n] = raw[start : start + 16] * n
    with h5py.File(io.BytesIO(raw)) as content:
        assert content["x"].asstr()[n - 1] == "long" * 1000
    with pytest.raises(DamagedError):
        netcdf.decode(bytes(raw), tmp_path)
