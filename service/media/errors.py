"""What can be wrong with bytes.

Every error can be pickled: large bodies are read in a worker process, and its
findings have to come home. None carries a value out of the body.
"""

from __future__ import annotations

from typing import NamedTuple


class FieldError(NamedTuple):
    """One thing wrong at one place of a request.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the body; parts of a multipart body and
            the members of its ``params`` have the same pointers as in JSON.
        code: stable short name.
        message: what was got, what is wanted.
        remedy: what to do about it, in a sentence; see :mod:`service.remedies` for
            where nothing is said here.
    """

    pointer: str
    code: str
    message: str
    remedy: str = ""


class MediaError(Exception):
    """Root of everything wrong with a body or its description."""


class BodyError(MediaError):
    """A body that cannot be used; says where and why."""

    def __init__(self, detail: str, *errors: FieldError) -> None:
        super().__init__(detail, *errors)
        self.detail = detail
        self.errors = errors


class InvalidJsonError(BodyError):
    """Not JSON (RFC 8259)."""


class InvalidMultipartError(BodyError):
    """Not multipart/form-data (RFC 7578), or not the parts that are read here."""


class InvalidArrayError(BodyError):
    """Readable, but not an array of numbers."""


class TooLargeError(BodyError):
    """More than a limit allows.

    Attributes:
        name: name of the limit, as in the settings.
        limit: its value.
    """

    def __init__(self, detail: str, name: str, limit: int) -> None:
        # Exception pickles by its args, so they have to be those of this __init__.
        Exception.__init__(self, detail, name, limit)
        self.detail = detail
        self.errors = ()
        self.name = name
        self.limit = limit


class UnsupportedMediaTypeError(MediaError):
    """A Content-Type or Content-Encoding that is not read here.

    Attributes:
        offered: media types that are.
        header: name and value of a header that tells a machine the same.
    """

    def __init__(
        self,
        detail: str,
        offered: tuple[str, ...],
        header: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(detail, offered, header)
        self.detail = detail
        self.offered = offered
        self.header = header


class NotAcceptableError(MediaError):
    """No media type on offer satisfies Accept."""

    def __init__(self, detail: str, offered: tuple[str, ...]) -> None:
        super().__init__(detail, offered)
        self.detail = detail
        self.offered = offered


def invalid_array(
    pointer: str, code: str, message: str, remedy: str = ""
) -> InvalidArrayError:
    """An array error with one place, worded once."""
    name = pointer.lstrip("/").split("/")[0]
    place = FieldError(pointer, code, message, remedy)
    return InvalidArrayError(f"{name}: {message}", place)
