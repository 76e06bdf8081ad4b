"""Arrays of files, read by the block: npy, and NetCDF or HDF5 through h5py.

A source is a name and a shape: it can be sent to a worker that sees the same folder,
and opens the file there. Bytes are read where they are needed and not kept: each time
out of the file whose head was read, or it is an error.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from service.media.kinds import (
    EMPTY,
    HEAD,
    JSON_TEXT,
    NPY,
    TEXT,
    is_classic_netcdf,
    looks_like,
)
from service.stored.beneath import Beneath, Facts, facts_of
from service.stored.chunks import check_packed, chunk_bytes
from service.stored.troubles import FormatError, reading

Array = npt.NDArray[np.float64]
KINDS = "fiu"
LONGEST_HEAD = 2**16
LARGEST_SIDE = 2**53
CONVERT = (
    "Convert it: nccopy -k nc4 old.nc new.nc, or in Python "
    "xarray.load_dataset(old).to_netcdf(new, engine='h5netcdf')."
)
RENAME = "Write NetCDF-4 or HDF5, or npy under a name that ends in .npy."


@dataclass(frozen=True, slots=True)
class NpySource:
    """An array of an npy file.

    Attributes:
        file: where it is.
        facts: of the file whose head this is.
        shape: of the array.
        dtype: of its numbers, as NumPy spells it.
        fortran: whether columns are contiguous.
        offset: of the first number.
        pointer: of the reference in the request.
        chunk_bytes: 0, as any piece of it can be read.
    """

    file: Beneath
    facts: Facts
    shape: tuple[int, ...]
    dtype: str
    fortran: bool
    offset: int
    pointer: str
    chunk_bytes: int = 0

    def read(self, columns: slice) -> Array:
        """The block ``(N, b)`` as float64.

        Raises:
            InvalidArrayError: when it cannot be read any more.
        """
        with reading(self.pointer, self.file.name):
            return self._block(columns)

    def whole(self) -> Array:
        """All of it; likewise."""
        with reading(self.pointer, self.file.name):
            return self._whole()

    def check(self) -> None:
        """Nothing in it is packed."""

    def _block(self, columns: slice) -> Array:
        rows, width = self.shape
        count, size = columns.stop - columns.start, np.dtype(self.dtype).itemsize
        shape = (count, rows) if self.fortran else (rows, count)
        found = np.empty(shape, dtype=self.dtype)
        with self._file() as file:
            if self.fortran:
                file.seek(self.offset + columns.start * rows * size)
                _fill(file, found)
            else:
                for row in range(rows):
                    file.seek(self.offset + (row * width + columns.start) * size)
                    _fill(file, found[row])
        return np.ascontiguousarray(found.T if self.fortran else found, np.float64)

    def _whole(self) -> Array:
        found = np.empty(self.shape[::-1] if self.fortran else self.shape, self.dtype)
        with self._file() as file:
            file.seek(self.offset)
            _fill(file, found)
        return np.ascontiguousarray(found.T if self.fortran else found, np.float64)

    @contextmanager
    def _file(self) -> Iterator[Any]:
        with (
            self.file.unchanged(self.facts) as handle,
            os.fdopen(handle, "rb", buffering=0, closefd=False) as file,
        ):
            yield file


def _fill(file: Any, array: npt.NDArray[Any]) -> None:
    left = memoryview(array.reshape(-1).view(np.uint8).data)
    while len(left):
        count = file.readinto(left)
        if not count:
            raise ValueError("it ends before its array does")
        left = left[count:]


@dataclass(frozen=True, slots=True)
class Hdf5Source:
    """A variable of a NetCDF-4 or HDF5 file.

    Attributes:
        file: where it is.
        facts: of the file whose head this is.
        variable: its name, groups before it.
        shape: of the array.
        pointer: of the reference in the request.
        chunk_bytes: memory to read the smallest piece of it: HDF5 unpacks a chunk as
            a whole, however small the array, out of one buffer into another.
    """

    file: Beneath
    facts: Facts
    variable: str
    shape: tuple[int, ...]
    pointer: str
    chunk_bytes: int

    def read(self, columns: slice) -> Array:
        """The block ``(N, b)`` as float64, NaN where the file says missing.

        Raises:
            InvalidArrayError: when it cannot be read any more.
        """
        return self._values((slice(None), columns))

    def whole(self) -> Array:
        """All of it; likewise."""
        return self._values(())

    def check(self) -> None:
        """Look through its chunks, once before any is read; likewise."""
        with self._dataset() as dataset:
            check_packed(dataset)

    def _values(self, where: Any) -> Array:
        with self._dataset() as dataset:
            found = np.ascontiguousarray(dataset[where], dtype=np.float64)
            missing = _missing(dataset)
            if missing is not None:
                found[found == missing] = np.nan
        return found

    @contextmanager
    def _dataset(self) -> Iterator[Any]:
        with (
            reading(self.pointer, self.file.name),
            self.file.unchanged(self.facts) as handle,
            _hdf5_file(handle) as opened,
        ):
            yield opened[self.variable]


def _missing(dataset: Any) -> np.float64 | None:
    """The number that stands for none."""
    told = dataset.attrs.get("_FillValue")
    if told is None:
        return None
    if np.size(told) != 1 or np.asarray(told).dtype.kind not in KINDS:
        raise ValueError("its _FillValue is not a number")
    return np.float64(np.asarray(told).reshape(-1)[0])


Source = NpySource | Hdf5Source


def check_unchanged(source: Source) -> None:
    """Refuse a file that is not any more what was read, block by block.

    Raises:
        InvalidArrayError: for it.
    """
    with reading(source.pointer, source.file.name), source.file.unchanged(source.facts):
        pass


def open_source(file: Beneath, variable: str | None, pointer: str) -> Source:
    """What a file holds, told by its head.

    Args:
        file: within a registered folder.
        variable: its name, for NetCDF and HDF5.
        pointer: of the reference in the request.

    Raises:
        InvalidArrayError: for a file that is not what it seems, an array that is none
            of numbers, or one that points to other files.
    """
    with reading(pointer, file.name), file.opened() as handle:
        if file.name.endswith(".npy"):
            return _npy(file, handle, pointer)
        return _hdf5(file, handle, variable or "", pointer)


def _npy(file: Beneath, handle: int, pointer: str) -> NpySource:
    head = np.lib.format
    facts = facts_of(handle)
    with os.fdopen(handle, "rb", closefd=False) as opened:
        version = head.read_magic(opened)
        read = {(1, 0): head.read_array_header_1_0, (2, 0): head.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"npy version {version}, wanted 1.0 or 2.0")
        _require_short_head(opened, version)
        shape, fortran, dtype = read[version](opened)
        offset = opened.tell()
    _require_numbers(dtype)
    _require_sides(shape)
    needed = offset + dtype.itemsize * math.prod(shape)
    if facts.size < needed:
        raise ValueError("it is shorter than its head says")
    fortran = fortran and len(shape) > 1
    return NpySource(file, facts, shape, dtype.str, fortran, offset, pointer)


def _require_short_head(opened: Any, version: tuple[int, int]) -> None:
    """NumPy reads a head of up to 4 GiB before it looks at its length."""
    start = opened.tell()
    length = int.from_bytes(opened.read(2 if version == (1, 0) else 4), "little")
    if length > LONGEST_HEAD:
        raise ValueError(f"got a head of {length} bytes, wanted at most {LONGEST_HEAD}")
    opened.seek(start)


def _require_sides(shape: tuple[Any, ...]) -> None:
    # True is an int, and NumPy takes what is negative for what is left over.
    if any(type(side) is not int or not 0 <= side < LARGEST_SIDE for side in shape):
        raise ValueError("got a shape that no array has, wanted whole numbers from 0")


def _hdf5(file: Beneath, handle: int, variable: str, pointer: str) -> Hdf5Source:
    h5py, facts = h5py_module(), facts_of(handle)
    if "\0" in variable:
        raise ValueError("there is no variable with a null in its name")
    _require_hdf5(os.pread(handle, HEAD, 0))
    with _hdf5_file(handle) as opened:
        here = opened
        for step in filter(None, variable.split("/")):
            steps_in = isinstance(here, h5py.Group) and step not in (".", "..")
            link = here.get(step, getlink=True) if steps_in else None
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
        if here.shape is None:
            raise ValueError("variable has no values at all")
        _missing(here)
        size, shape = chunk_bytes(here), tuple(here.shape)
        return Hdf5Source(file, facts, variable, shape, pointer, size)


def _require_hdf5(head: bytes) -> None:
    """Tell what is not HDF5 by what it is; HDF5 itself may begin with other things."""
    kind = looks_like(head)
    if is_classic_netcdf(head):
        raise FormatError(f"it is {kind}, not NetCDF-4 or HDF5", CONVERT)
    if kind in (NPY, TEXT, JSON_TEXT, EMPTY):
        raise FormatError(f"it is {kind}, not NetCDF-4 or HDF5", RENAME)


def _hdf5_file(handle: int) -> Any:
    """What is open, for HDF5 to read: by name it might be another file."""
    return h5py_module().File(f"/dev/fd/{handle}", "r")


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
            "NetCDF and HDF5 need the extra netcdf: pip install '.[netcdf]'"
        ) from None
