"""What goes wrong with a file, as an error that tells the client what to do.

Readers of files fail in many ways over what others wrote: every one of them is the
request's, not the service's. No message carries a folder of the operator's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import InvalidParametersError
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
LONGEST_WORDS = 160


@contextmanager
def reading(pointer: str, name: str) -> Iterator[None]:
    """Something that reads the file of a reference.

    Raises:
        InvalidArrayError: for whatever it is that cannot be read.
    """
    try:
        yield
    except TROUBLES as error:
        said = f"{_said(error)}; wanted a whole file of real numbers"
        raise InvalidArrayError(
            f"{pointer}: {name}: {said}.", FieldError(pointer, "file", said)
        ) from None


@contextmanager
def writing() -> Iterator[None]:
    """Something that writes the result.

    Raises:
        InvalidParametersError: for whatever keeps it from being written.
    """
    try:
        yield
    except TROUBLES as error:
        raise result_error(
            "/result",
            "not-written",
            f"got {_said(error)}, wanted a place that can be written and has room; "
            "name another, or have the operator run ccdm check",
        ) from None


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
