"""A file of a location, read and written so that nobody can put another in its place.

A path that was looked at may lead elsewhere by the time it is opened. So each step is
opened from the one before, and none of them may be a link: what a client may follow was
followed when the name was looked up. What is open is then told by its inode, size and
time, and has to be the same for as long as it is read, by whichever process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from service.stored.troubles import away

# Folders are gone through, not read: they need not be readable.
_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# What is no file, such as a pipe, must not be waited for.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Facts(NamedTuple):
    """What tells a file from another, or from itself after a change.

    Without the device: it has another number on each machine that sees the folder.

    Attributes:
        inode: its number in the file system.
        size: bytes.
        modified: nanoseconds since 1970.
    """

    inode: int
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Beneath:
    """A file, by the way to it from the folder of a location.

    Attributes:
        root: the folder, without links.
        steps: folders, and the name of the file; links among them are not followed.
    """

    root: Path
    steps: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it is, to be compared and not to be opened."""
        return self.root.joinpath(*self.steps)

    @property
    def name(self) -> str:
        """Of the file."""
        return self.steps[-1]

    @contextmanager
    def folder(self) -> Iterator[int]:
        """A descriptor of the folder in which it is.

        Raises:
            OSError: for a step that is none any more, or a link by now.
            FilesUnavailableError: where not even the root is there.
        """
        try:
            handle = os.open(self.root, _THROUGH)
        except FileNotFoundError:
            raise away() from None
        try:
            for step in self.steps[:-1]:
                inner = os.open(step, _THROUGH | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the file, to be read.

        Raises:
            OSError: likewise.
            ValueError: for what is no file.
        """
        with self.folder() as folder:
            handle = os.open(self.name, _READ, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ValueError("it is not a regular file")
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def unchanged(self, facts: Facts) -> Iterator[int]:
        """The same of one that has to stay what it was, to the end.

        Raises:
            OSError, ValueError: likewise, and for one that has changed.
        """
        with self.opened() as handle:
            _require_same(handle, facts)
            try:
                yield handle
            finally:
                # Also where it could not be read: this is why, then.
                _require_same(handle, facts)

    def begun(self) -> int:
        """A descriptor of a file that was not there before, to be written and closed.

        Raises:
            OSError: likewise, and where there is one.
        """
        with self.folder() as folder:
            return os.open(self.name, _NEW, 0o666, dir_fd=folder)

    def remove(self) -> None:
        """Take it away, if it is there.

        Raises:
            OSError: likewise.
        """
        with self.folder() as folder, suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=folder)

    def is_same(self, other: Beneath) -> bool:
        """Whether both are one file, by whatever names; it may be there or not."""
        if self.path == other.path:
            return True
        try:
            return self.path.samefile(other.path)
        except OSError:
            return False


def facts_of(handle: int) -> Facts:
    """Those of an open file."""
    found = os.fstat(handle)
    return Facts(found.st_ino, found.st_size, found.st_mtime_ns)


def _require_same(handle: int, facts: Facts) -> None:
    if facts_of(handle) != facts:
        raise ValueError(
            "it was changed or replaced while it was read; send the request again when "
            "it is whole"
        )
