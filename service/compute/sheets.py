"""Arrays on their way to a worker process and back: through shared memory.

Calls go to worker processes as pickles through a pipe. Megabytes do not belong there:
8 MB there and back took 20 ms, with five copies of them and a wake-up on either side
for every 64 KiB. So the arrays of a large call are written to a file in memory, a
*sheet*, and the pickle says where; the result comes back on the same sheet.

- A sheet has no name (``memfd_create``): it is gone with the last process that has it
  open, however that ends, and leaves nothing in ``/dev/shm``, whose size (64 MB in many
  containers) is no limit either.
- It is sealed against shrinking: what is mapped can be read, whatever happens to the
  worker in the middle of its work.
- Both sides map it privately: arrays can be written to, and nobody else sees that.
- It is filled by ``pwrite``, not through a mapping: a machine without memory answers
  with an error, and not with SIGBUS.

Where the system has no such files, or a worker may not look into ``/proc`` of the
service, or there is no room, everything goes through the pipe. A result for which a
worker finds no room on the sheet does so too, and the worker goes on.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import mmap
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, cast

import anyio
import anyio.to_thread
import numpy as np
from anyio import BrokenWorkerProcess

from service.compute.replies import ask

T = TypeVar("T")
_log = logging.getLogger(__name__)
# Below, a sheet and the thread that fills it cost more than the pipe.
SHARED_BYTES = 2**18
# Above, giving back the memory of a sheet would hold up the event loop.
_HELD_BYTES = 2**22
# What stays as it is: other errors, as of too many open files, pass.
_LASTING = (errno.EACCES, errno.EPERM, errno.ENOENT)
# Where arrays begin: on the bounds of cache lines.
_STEP = 64


class Note(NamedTuple):
    """A value, but for what is on the sheet.

    Attributes:
        content: its pickle.
        spans: where on the sheet the buffers are that the pickle misses, as first byte
            and length, in their order.
    """

    content: bytes
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def end(self) -> int:
        """Bytes of the sheet up to where this ends."""
        return max((at + length for at, length in self.spans if length), default=0)


class Slip(NamedTuple):
    """What a worker is handed: where the sheet is, and the call that is on it."""

    path: str
    call: Note


class UnreachableError(Exception):
    """The worker cannot open the sheet: the number of the error, and its text."""


class Sheets:
    """Calls worker processes, with what is large on sheets.

    Attributes:
        usable: whether sheets can be had, as far as is known.
    """

    def __init__(self) -> None:
        self.usable = hasattr(os, "memfd_create")

    async def run(
        self,
        function: Callable[..., T],
        *args: Any,
        limiter: anyio.CapacityLimiter,
        cancellable: bool = True,
        large: bool = False,
    ) -> T:
        """``function(*args)`` in a worker process of anyio's.

        Args:
            function: can be pickled.
            args: arrays and bodies among them go onto a sheet when they are large.
            limiter: of the processes.
            cancellable: whether cancelling kills the process.
            large: whether the result may be large even if the arguments are not.

        Raises:
            BrokenWorkerProcess, ProcessLookupError: when the process has died, or was
                ended because its answer was none to this call.
        """
        sheet = self._sheet(large or bulk(args) >= SHARED_BYTES)
        if sheet is not None:
            end = 0
            try:
                call = await anyio.to_thread.run_sync(_call, sheet, function, args)
                if call.spans or large:
                    slip = Slip(_place(sheet), call)
                    found = await ask(
                        _on_sheet, (slip,), cancellable=cancellable, limiter=limiter
                    )
                    result = cast(T, _read(sheet, found))
                    end = call.end
                    return result
            except UnreachableError as error:
                self._missed(error)
            finally:
                await _put_away(sheet, end)
        return await ask(function, args, cancellable=cancellable, limiter=limiter)

    def _missed(self, error: UnreachableError) -> None:
        number, text = error.args
        if self.usable and number in _LASTING:
            self.usable = False
            _log.warning(
                "arrays go to worker processes through pipes from now on, which is "
                "slower: workers cannot open what the service shares (%s)",
                text,
            )

    def _sheet(self, wanted: bool) -> int | None:
        if not (wanted and self.usable):
            return None
        try:
            sheet = os.memfd_create("ccdm", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:
            return None
        try:
            fcntl.fcntl(sheet, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        except OSError:
            os.close(sheet)
            return None
        return sheet


def _place(sheet: int) -> str:
    """Where other processes of the same user find it."""
    return f"/proc/{os.getpid()}/fd/{sheet}"


def bulk(args: tuple[Any, ...]) -> int:
    """Bytes of the arrays and bodies among arguments."""
    return sum(
        arg.nbytes if isinstance(arg, np.ndarray) else len(arg)
        for arg in args
        if isinstance(arg, (np.ndarray, bytearray))
    )


class _Text:
    """A body that is pickled as arrays are: its bytes apart."""

    def __init__(self, body: bytearray) -> None:
        self._body = body

    def __reduce_ex__(self, _: Any) -> tuple[Any, ...]:
        return bytearray, (pickle.PickleBuffer(self._body),)


def _call(sheet: int, function: Callable[..., Any], args: tuple[Any, ...]) -> Note:
    parts = [_Text(arg) if type(arg) is bytearray else arg for arg in args]
    return _written(sheet, (function, parts), 0)


def _on_sheet(slip: Slip) -> Note:
    """In the worker: the call of a slip, and its result behind it on the sheet."""
    try:
        sheet = os.open(slip.path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise UnreachableError(error.errno, str(error)) from None
    try:
        function, args = _read(sheet, slip.call)
        return _written(sheet, function(*args), slip.call.end)
    finally:
        os.close(sheet)


async def _put_away(sheet: int, end: int) -> None:
    """Close a sheet; the memory of its first ``end`` bytes is given back before."""
    if os.fstat(sheet).st_size <= _HELD_BYTES:
        _close(sheet, end)
        return
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(_close, sheet, end)


def _close(sheet: int, end: int) -> None:
    try:
        _forget(sheet, end)
    finally:
        os.close(sheet)


def _forget(sheet: int, end: int) -> None:
    """Give back the memory of a call: its result may be kept for long."""
    if end and hasattr(mmap, "MADV_REMOVE"):
        with suppress(OSError, ValueError), mmap.mmap(sheet, end) as whole:
            whole.madvise(mmap.MADV_REMOVE)


def _written(sheet: int, value: Any, start: int) -> Note:
    """A value onto a sheet from ``start`` on; where there is no room, beside it."""
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(value, 5, buffer_callback=buffers.append)
    # What is mapped begins with a page.
    at, spans = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, []
    with suppress(OSError):
        for buffer in buffers:
            with buffer.raw() as view:
                _put(sheet, view, at)
                spans.append((at, view.nbytes))
                at += -(-view.nbytes // _STEP) * _STEP
        return Note(content, tuple(spans))
    return Note(pickle.dumps(value, 5))


def _put(sheet: int, view: memoryview, at: int) -> None:
    done = 0
    while done < view.nbytes:
        done += os.pwrite(sheet, view[done:], at + done)


def _read(sheet: int, note: Note) -> Any:
    """The inverse; arrays are views of the mapped sheet, and keep it.

    Raises:
        MemoryError: when there is none for it.
    """
    start = note.spans[0][0] if note.spans else 0
    if os.fstat(sheet).st_size < note.end:
        raise BrokenWorkerProcess("a sheet is shorter than what was written on it")
    size = max(note.end - start, 0)
    view = memoryview(_mapped(sheet, start, size) if size else bytearray())
    places = ((at - start, length) for at, length in note.spans)
    return pickle.loads(
        note.content, buffers=[view[at : at + length] for at, length in places]
    )


def _mapped(sheet: int, start: int, size: int) -> mmap.mmap | bytearray:
    """What is on a sheet, to be written to; a copy where no map can be had."""
    with suppress(OSError):
        return mmap.mmap(sheet, size, access=mmap.ACCESS_COPY, offset=start)
    # A map takes a descriptor and a place among maps. Without memory this ends with
    # the error that says so, which whoever counts memory understands.
    copy, done = bytearray(size), 0
    with memoryview(copy) as view:
        while done < size:
            got = os.preadv(sheet, [view[done:]], start + done)
            if not got:
                raise BrokenWorkerProcess("a sheet was cut short")
            done += got
    return copy
