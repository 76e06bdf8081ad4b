"""The result, written by the block beside its place and moved there when it is whole.

Whoever reads the file sees the whole result or none: an analysis that is killed in the
middle, or repeated, leaves one file or the one before.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from service.stored.sources import h5py_module

Array = npt.NDArray[np.float64]
VARIABLE = "analysis_samples"


class Target:
    """A file ``(n, dx)`` of float64, as yet without its name.

    Args:
        file: what it will be.
        dimension: dx; n comes with the first block.
        variable: its name in NetCDF and HDF5.
    """

    def __init__(self, file: Path, dimension: int, variable: str | None) -> None:
        self._file = file
        self._beside = file.with_name(f".{file.name}.{os.getpid()}.part")
        self._dimension = dimension
        self._variable = variable or VARIABLE
        self._array: Any = None
        self._opened: Any = None
        self._offset = 0
        self._digest = hashlib.sha256()
        self.shape = (0, dimension)

    def __enter__(self) -> Target:
        """Nothing is there yet."""
        return self

    def put(self, columns: slice, samples: Array) -> None:
        """Write one block, ``(n, b)``; blocks come in order."""
        if self._array is None:
            self._begin(samples.shape[0])
        self._write(columns, samples)
        self._digest.update(np.ascontiguousarray(samples, "<f8").data.cast("B"))

    @property
    def digest(self) -> str:
        """SHA-256 of the blocks, one after the other, each row by row."""
        return self._digest.hexdigest()

    def _begin(self, rows: int) -> None:
        self.shape = (rows, self._dimension)
        if self._file.suffix == ".npy":
            head = io.BytesIO()
            facts = {"descr": "<f8", "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_1_0(head, facts)
            self._offset = head.tell()
            self._array = self._beside.open("wb", buffering=0)
            self._array.write(head.getvalue())
            return
        h5py = h5py_module()
        self._opened = h5py.File(self._beside, "w")
        self._array = self._opened.create_dataset(
            self._variable, shape=self.shape, dtype="<f8"
        )
        for axis, name in enumerate(("sample", "state")):
            scale = self._opened.create_dataset(name, data=np.arange(self.shape[axis]))
            scale.make_scale(name)
            self._array.dims[axis].attach_scale(scale)

    def _write(self, columns: slice, samples: Array) -> None:
        if self._opened is not None:
            self._array[:, columns] = samples
            return
        handle = self._array.fileno()
        for row, values in enumerate(np.ascontiguousarray(samples, "<f8")):
            place = self._offset + 8 * (row * self._dimension + columns.start)
            left = values.data.cast("B")
            while len(left):
                count = os.pwrite(handle, left, place)
                left, place = left[count:], place + count

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it its name, or take it away."""
        if self._opened is not None:
            self._opened.close()
        elif self._array is not None:
            os.fsync(self._array.fileno())
            self._array.close()
        self._array = self._opened = None
        if kind is None and self._beside.exists():
            os.replace(self._beside, self._file)
        else:
            self._beside.unlink(missing_ok=True)
