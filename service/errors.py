"""What the service itself refuses, apart from any protocol or store.

Each error can be pickled: analyses run in worker processes, and what they find has to
come home.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.media.errors import FieldError


class ServiceError(Exception):
    """Root of everything refused here."""

    def __init__(self, detail: str, *errors: FieldError) -> None:
        super().__init__(detail, *errors)
        self.detail = detail
        self.errors = errors


class InvalidInputError(ServiceError):
    """Arrays that the engine cannot use."""


class InvalidOptionsError(ServiceError):
    """Options with values they cannot have."""


class InvalidParametersError(ServiceError):
    """Something else in the body, the query, the path or a header."""


class NumericalBreakdownError(ServiceError):
    """The computation broke down on valid input."""


class BadRequestError(ServiceError):
    """A request that is malformed before anything in it is read."""


class UnauthorizedError(ServiceError):
    """No key, or one that is not known."""


class ForbiddenError(ServiceError):
    """A known key, or a page, that may not do this."""


class UnknownHostError(ServiceError):
    """A Host that this service does not answer to."""


class BodyTimeoutError(ServiceError):
    """The body did not arrive in time."""


class DeadlineExceededError(ServiceError):
    """The analysis took longer than allowed and was stopped."""


class _LaterError(ServiceError):
    """Too much at a time.

    Attributes:
        retry_after: seconds after which another try makes sense.
    """

    def __init__(self, detail: str, retry_after: int) -> None:
        Exception.__init__(self, detail, retry_after)
        self.detail = detail
        self.errors = ()
        self.retry_after = retry_after


class TooBusyError(_LaterError):
    """More work than may wait."""


class WorkersEndedError(TooBusyError):
    """The processes that did the work were killed, each time it was tried."""


class ClusterUnavailableError(_LaterError):
    """The cluster that does the work is away, or has nobody to do it."""


class FilesUnavailableError(_LaterError):
    """Files of the operator's that nobody can read or write now."""


class FilesFullError(ServiceError):
    """No room where the operator has files written."""


class TooManyStreamsError(_LaterError):
    """More open streams, or requests that wait, than one tenant may have."""


class TooManyRequestsError(_LaterError):
    """More requests than one tenant may make in a time."""


def deadline_exceeded(what: str) -> DeadlineExceededError:
    """Work was stopped, and less of it would have ended in time."""
    return DeadlineExceededError(
        f"{what} and was stopped. Fewer members, fewer samples "
        'or steps, or sampler "ode" in place of "rk45" make it faster.'
    )


def refused(errors: Sequence[FieldError]) -> ServiceError:
    """Findings about parameters as one error; options have a kind of their own."""
    shown = "; ".join(
        f"{item.pointer or 'body'}: {item.message}" for item in errors[:3]
    )
    more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    about_options = all(
        item.pointer == "/options" or item.pointer.startswith("/options/")
        for item in errors
    )
    kind = InvalidOptionsError if about_options else InvalidParametersError
    return kind(f"{shown}{more}.", *errors)
