"""The result, written by the block beside its place and moved there when it is whole.

Whoever reads the file sees the whole result or none: an analysis that is killed in the
middle, or repeated, leaves one file or the one before. What lies beside has a name that
no other analysis has; whoever waits for the analysis chooses it, and takes it away when
the process that wrote it was killed. Where that one was killed, too, its job knows the
name, and takes the file away when it runs again; of what no job knows, a sweep does.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import stat
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.stored.beneath import Beneath
from service.stored.sources import h5py_module
from service.stored.troubles import TROUBLES, already_there, result_error, writing

Array = npt.NDArray[np.float64]
VARIABLE = "analysis_samples"
AXES = ("sample", "state")
LONGEST_NAME = 255
COMPARED = 2**20
BESIDE = r"\.ccdm-[0-9a-f]{16}\.part"
# Clocks of other machines may be so far off.
SPARE_SECONDS = 3600.0
SWEEP_SECONDS = 3600.0
# Until when each folder need not be looked through: a folder of results may be long.
_swept: dict[Path, float] = {}
_sweeping = threading.Lock()


class Attempt(NamedTuple):
    """One of the times that a job runs.

    Attributes:
        job: its name.
        number: from 1.
    """

    job: str
    number: int

    def earlier(self) -> list[Attempt]:
        """Those before it."""
        return [Attempt(self.job, number) for number in range(1, self.number)]


def beside(file: Beneath, attempt: Attempt | None = None) -> Beneath:
    """A name in the same folder: short, hidden, and nobody else's.

    Args:
        file: what it will be.
        attempt: who writes it, where somebody else has to find it.
    """
    if attempt is None:
        mark = secrets.token_hex(8)
    else:
        mark = hashlib.sha256(f"{attempt.job} {attempt.number}".encode()).hexdigest()
    return replace(file, steps=(*file.steps[:-1], f".ccdm-{mark[:16]}.part"))


def clear(side: Beneath) -> None:
    """Take away what an analysis that did not end left beside its place."""
    with suppress(OSError):
        side.remove()


def sweep(folder: Path, seconds: float) -> None:
    """Take away what services that were killed have left in a folder, once an hour.

    Only files that are named as ours and belong to this user, and that nobody has
    written to for longer than any analysis lasts.

    Args:
        folder: where a result of ours goes.
        seconds: the longest deadline.
    """
    if _swept_lately(folder):
        return
    oldest = time.time() - seconds - SPARE_SECONDS
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(BESIDE, entry.name):
                # Another one may end meanwhile, and is no reason to leave the rest.
                with suppress(OSError):
                    _sweep_entry(entry, oldest)


def _sweep_entry(entry: os.DirEntry[str], oldest: float) -> None:
    facts = entry.stat(follow_symlinks=False)
    plain = stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid()
    if plain and facts.st_mtime < oldest:
        Path(entry.path).unlink()


def _swept_lately(folder: Path) -> bool:
    """Whether this process has swept it within the hour; from now on, it has."""
    now = time.monotonic()
    with _sweeping:
        for place in [place for place, end in _swept.items() if end <= now]:
            del _swept[place]
        lately = folder in _swept
        if not lately:
            _swept[folder] = now + SWEEP_SECONDS
    return lately


def check_variable(name: str | None) -> None:
    """Refuse what cannot be the result's name in NetCDF and HDF5.

    Raises:
        InvalidParametersError: for it.
    """
    steps = (VARIABLE if name is None else name).split("/")
    if (
        steps[0] in AXES
        or any(step in ("", ".", "..") or not step.isprintable() for step in steps)
        or any(len(step.encode()) > LONGEST_NAME for step in steps)
    ):
        raise result_error(
            "/result/variable",
            "name",
            f"got {(name or '')[:80]!r}, wanted a name such as {VARIABLE}, with groups "
            f"before it if any, and not {' or '.join(AXES)}: those are the axes",
        )


class Target:
    """A file ``(n, dx)`` of float64, as yet without its name.

    Args:
        file: what it will be.
        side: what it is until then, see :func:`beside`.
        dimension: dx; n comes with the first block.
        variable: its name in NetCDF and HDF5.
        overwrite: whether a file that is there is replaced.
        again: whether one with the same bytes is the result, of whoever ended in the
            middle of telling so.

    Raises:
        InvalidParametersError: from all methods, for what cannot be written.
    """

    def __init__(
        self,
        file: Beneath,
        side: Beneath,
        dimension: int,
        *,
        variable: str | None = None,
        overwrite: bool = False,
        again: bool = False,
    ) -> None:
        self._file = file
        self._beside = side
        self._overwrite = overwrite
        self._again = again
        self._dimension = dimension
        self._variable = variable or VARIABLE
        self._array: Any = None
        self._offset = 0
        self._digest = hashlib.sha256()
        self.shape = (0, dimension)

    def __enter__(self) -> Target:
        """Nothing is there yet."""
        return self

    def put(self, columns: slice, samples: Array) -> None:
        """Write one block, ``(n, b)``; blocks come in order."""
        with writing():
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
        # Of a process that was killed, after which this one does the same again.
        self._beside.remove()
        self._array = os.fdopen(self._beside.begun(), "r+b", buffering=0)
        if self._file.name.endswith(".npy"):
            head = io.BytesIO()
            facts = {"descr": "<f8", "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_1_0(head, facts)
            self._offset = head.tell()
            self._array.write(head.getvalue())
        else:
            self._offset = self._begin_hdf5()

    def _begin_hdf5(self) -> int:
        """All but the numbers; where those go.

        They are written as those of npy are: HDF5 may not survive a full disk.
        """
        h5py = h5py_module()
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        # What is open, not what has its name by now.
        with h5py.File(f"/dev/fd/{self._array.fileno()}", "w") as opened:
            array = opened.create_dataset(
                self._variable, shape=self.shape, dtype="<f8", dcpl=plan
            )
            for axis, name in enumerate(AXES):
                scale = opened.create_dataset(name, data=np.arange(self.shape[axis]))
                scale.make_scale(name)
                array.dims[axis].attach_scale(scale)
            return int(array.id.get_offset())

    def _write(self, columns: slice, samples: Array) -> None:
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
        try:
            if kind is None:
                with writing():
                    self._close()
                    self._name()
            else:
                with suppress(*TROUBLES):
                    self._close()
        finally:
            clear(self._beside)

    def _close(self) -> None:
        array, self._array = self._array, None
        if array is not None:
            with array:
                os.fsync(array.fileno())

    def _name(self) -> None:
        here, there = self._beside.name, self._file.name
        with self._beside.folder() as side, self._file.folder() as folder:
            if not self._overwrite:
                try:
                    # A link, unlike a move, never replaces.
                    os.link(
                        *(here, there),
                        src_dir_fd=side,
                        dst_dir_fd=folder,
                        follow_symlinks=False,
                    )
                except FileExistsError:
                    self._check_same()
                    return
                except OSError:  # there are file systems without links
                    if self._file.path.exists():
                        self._check_same()
                        return
                else:
                    return
            os.replace(here, there, src_dir_fd=side, dst_dir_fd=folder)

    def _check_same(self) -> None:
        """Refuse a file that is there, unless it is this result."""
        if not (self._again and _alike(self._beside, self._file)):
            raise already_there()


def _alike(one: Beneath, other: Beneath) -> bool:
    """Whether both have the same bytes."""
    with (
        one.opened() as first,
        other.opened() as second,
        os.fdopen(first, "rb", closefd=False) as left,
        os.fdopen(second, "rb", closefd=False) as right,
    ):
        while True:
            piece = left.read(COMPARED)
            if piece != right.read(COMPARED):
                return False
            if not piece:
                return True
