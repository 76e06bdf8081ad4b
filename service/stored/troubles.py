"""What goes wrong with a file, as an error that tells the client what to do.

Readers of files fail in many ways over what others wrote: these are the request's, not
the service's. A disk that fails or is full, a file server that is away and a folder
that is not there are the operator's: no other request mends them. What is neither a
system's word nor a reader's is in the log, as it may be a defect of ours. No message
carries a folder of the operator's.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import (
    FilesFullError,
    FilesUnavailableError,
    InvalidParametersError,
)
from service.media.errors import FieldError, InvalidArrayError

# RecursionError is a RuntimeError, KeyError and IndexError are LookupErrors.
TROUBLES = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    SyntaxError,
)
# Of these the readers' own words tell the client enough.
_TOLD = (OSError, EOFError, ValueError, MemoryError)
LONGEST_WORDS = 160
RETRY_SECONDS = 30
_FULL = {errno.ENOSPC, errno.EDQUOT}
_AWAY = {
    *(errno.EIO, errno.ESTALE, errno.EROFS, errno.ENODEV, errno.ENXIO),
    *(errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    *(errno.EMFILE, errno.ENFILE),
}
_log = logging.getLogger(__name__)


class FormatError(ValueError):
    """A file of another format than its name says.

    Attributes:
        remedy: how to make one of the right format of it.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@contextmanager
def reading(pointer: str, name: str) -> Iterator[None]:
    """Something that reads the file of a reference.

    Raises:
        InvalidArrayError: for whatever it is that cannot be read.
        FilesUnavailableError: where that is not for the file.
    """
    try:
        yield
    except TROUBLES as error:
        _check_ours(error, name)
        said = f"{_said(error)}; wanted a whole file of real numbers"
        remedy = error.remedy if isinstance(error, FormatError) else ""
        raise InvalidArrayError(
            f"{pointer}: {name}: {said}.", FieldError(pointer, "file", said, remedy)
        ) from None


@contextmanager
def writing() -> Iterator[None]:
    """Something that writes the result.

    Raises:
        InvalidParametersError: for whatever keeps it from being written.
        FilesUnavailableError, FilesFullError: where that is not for its name.
    """
    try:
        yield
    except TROUBLES as error:
        _check_ours(error, "the result")
        raise result_error(
            "/result",
            "not-written",
            f"got {_said(error)}, wanted a place that can be written and has room; "
            "name another, or have the operator run ccdm check",
        ) from None


def _check_ours(error: BaseException, name: str) -> None:
    """Tell what no other request would mend, and log what may be a defect.

    Raises:
        FilesUnavailableError, FilesFullError: for it.
    """
    if not isinstance(error, _TOLD):
        _log.warning("%s cannot be used", name, exc_info=error)
    if not isinstance(error, OSError):
        return
    said = os.strerror(error.errno or errno.EIO)
    if error.errno in _FULL:
        raise FilesFullError(f"{name}: {said}.") from None
    if error.errno in _AWAY:
        raise FilesUnavailableError(f"{name}: {said}.", RETRY_SECONDS) from None


def away() -> FilesUnavailableError:
    """The folder of a location is not there, on the machine that looked."""
    return FilesUnavailableError(
        f"The folder of a location is not there on {socket.gethostname()}.",
        RETRY_SECONDS,
    )


def result_error(pointer: str, code: str, message: str) -> InvalidParametersError:
    """Something wrong with where the result should go."""
    return InvalidParametersError(
        f"{pointer}: {message}.", FieldError(pointer, code, message)
    )


def already_there() -> InvalidParametersError:
    """A file that the request does not say it may replace."""
    return result_error(
        "/result/path",
        "exists",
        'got the path of a file that is there; name another, or set "overwrite": true '
        "to replace it",
    )


def in_place(pointer: str) -> InvalidParametersError:
    """A result in the place of what it is made from."""
    return result_error(
        "/result/path",
        "in-place",
        f"got the file of {pointer}, wanted another: an analysis that is done again, "
        "as after a crash, would read its own result; name a new path",
    )


def _said(error: BaseException) -> str:
    if isinstance(error, OSError):
        # Its text may have the whole path.
        return f"cannot be used ({os.strerror(error.errno or 5)})"
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    if isinstance(error, ValueError) and str(error).isprintable():
        return str(error)[:LONGEST_WORDS]
    return f"cannot be used ({type(error).__name__})"
