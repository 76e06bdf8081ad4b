"""Arrays of files, read by the block: npy, and NetCDF or HDF5 through h5py.

A source is a name and a shape: it can be sent to a worker that sees the same folder,
and opens the file there. Bytes are read where they are needed and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.media.errors import FieldError, InvalidArrayError

Array = npt.NDArray[np.float64]
KINDS = "fiu"


@dataclass(frozen=True, slots=True)
class NpySource:
    """An array of an npy file.

    Attributes:
        file: where it is.
        shape: of the array.
        dtype: of its numbers, as NumPy spells it.
        fortran: whether columns are contiguous.
        offset: of the first number.
    """

    file: Path
    shape: tuple[int, ...]
    dtype: str
    fortran: bool
    offset: int

    def read(self, columns: slice) -> Array:
        """The block ``(N, b)`` as float64."""
        rows, width = self.shape
        count, size = columns.stop - columns.start, np.dtype(self.dtype).itemsize
        shape = (count, rows) if self.fortran else (rows, count)
        found = np.empty(shape, dtype=self.dtype)
        with self.file.open("rb", buffering=0) as file:
            if self.fortran:
                file.seek(self.offset + columns.start * rows * size)
                _fill(file, found)
            else:
                for row in range(rows):
                    file.seek(self.offset + (row * width + columns.start) * size)
                    _fill(file, found[row])
        return np.ascontiguousarray(found.T if self.fortran else found, np.float64)

    def whole(self) -> Array:
        """All of it."""
        found = np.empty(self.shape[::-1] if self.fortran else self.shape, self.dtype)
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.offset)
            _fill(file, found)
        return np.ascontiguousarray(found.T if self.fortran else found, np.float64)


def _fill(file: Any, array: npt.NDArray[Any]) -> None:
    left = memoryview(array.reshape(-1).view(np.uint8).data)
    while len(left):
        count = file.readinto(left)
        if not count:
            raise InvalidArrayError("The file ends before its array does.")
        left = left[count:]


@dataclass(frozen=True, slots=True)
class Hdf5Source:
    """A variable of a NetCDF-4 or HDF5 file.

    Attributes:
        file: where it is.
        variable: its name, groups before it.
        shape: of the array.
    """

    file: Path
    variable: str
    shape: tuple[int, ...]

    def read(self, columns: slice) -> Array:
        """The block ``(N, b)`` as float64, NaN where the file says missing."""
        return self._values((slice(None), columns))

    def whole(self) -> Array:
        """All of it."""
        return self._values(())

    def _values(self, where: Any) -> Array:
        with h5py_module().File(self.file, "r") as opened:
            dataset = opened[self.variable]
            found = np.ascontiguousarray(dataset[where], dtype=np.float64)
            missing = dataset.attrs.get("_FillValue")
        if missing is not None:
            found[found == np.float64(np.asarray(missing).reshape(-1)[0])] = np.nan
        return found


Source = NpySource | Hdf5Source


def open_source(file: Path, variable: str | None, pointer: str) -> Source:
    """What a file holds, told by its head.

    Args:
        file: within a registered folder.
        variable: its name, for NetCDF and HDF5.
        pointer: of the reference in the request.

    Raises:
        InvalidArrayError: for a file that is not what it seems, an array that is none
            of numbers, or one that points to other files.
    """
    try:
        if file.suffix == ".npy":
            return _npy(file)
        return _hdf5(file, variable or "")
    except (OSError, ValueError, KeyError) as error:
        said = "cannot be read" if isinstance(error, OSError) else str(error)
        raise InvalidArrayError(
            f"{pointer}: {file.name}: {said}.", FieldError(pointer, "file", said)
        ) from None


def _npy(file: Path) -> NpySource:
    head = np.lib.format
    with file.open("rb") as opened:
        version = head.read_magic(opened)
        read = {(1, 0): head.read_array_header_1_0, (2, 0): head.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"npy version {version}, wanted 1.0 or 2.0")
        shape, fortran, dtype = read[version](opened)
        offset = opened.tell()
    _require_numbers(dtype)
    needed = offset + dtype.itemsize * int(np.prod(shape, dtype=object))
    if file.stat().st_size < needed:
        raise ValueError("it is shorter than its head says")
    return NpySource(file, shape, dtype.str, fortran and len(shape) > 1, offset)


def _hdf5(file: Path, variable: str) -> Hdf5Source:
    h5py = h5py_module()
    with h5py.File(file, "r") as opened:
        here = opened
        for step in filter(None, variable.split("/")):
            link = here.get(step, getlink=True) if isinstance(here, h5py.Group) else 0
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"there is no variable {variable!r} of its own in it")
            here = here[step]
        if not isinstance(here, h5py.Dataset):
            raise ValueError("variable is missing or names a group")
        if here.is_virtual or here.external:
            raise ValueError("its values lie in other files")
        if {"scale_factor", "add_offset"} & set(here.attrs):
            raise ValueError("its values are packed; write them as they are")
        _require_numbers(here.dtype)
        return Hdf5Source(file, variable, tuple(here.shape))


def _require_numbers(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in KINDS:
        raise ValueError(f"got dtype {dtype}, wanted real numbers")


def h5py_module() -> Any:
    """h5py, an extra.

    Raises:
        ValueError: where it is not installed.
    """
    try:
        return import_module("h5py")
    except ImportError:
        raise ValueError(
            "NetCDF and HDF5 need the extra netcdf: pip install 'ccdm[netcdf]'"
        ) from None
