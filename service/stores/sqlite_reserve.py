"""A little disk put by, so that deleting works when there is none left.

Even what frees room has to be written ahead first. So a small file lies beside the
store's; when the disk is full and something is to be deleted, it makes way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

# As long as the log ahead usually gets, so that all of it can go into the file.
RESERVE_BYTES = 4 << 20


class Reserve:
    """The file that makes way; all of its failures are passed over.

    Args:
        path: of the store's own file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + "-reserve")

    def fill(self) -> None:
        """Put room by, where there is some."""
        with contextlib.suppress(OSError):
            handle = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                size = os.fstat(handle).st_size
                if size < RESERVE_BYTES:
                    # Written, since a hole in a file keeps no room; as far as it goes.
                    os.pwrite(handle, bytes(RESERVE_BYTES - size), size)
            finally:
                os.close(handle)

    @contextlib.contextmanager
    def spent(self) -> Iterator[None]:
        """Inside, there is a little more room on the disk."""
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)
        try:
            yield
        finally:
            self.fill()
