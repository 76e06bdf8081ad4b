"""What can go wrong between a caller and the service.

::

    ClientError
    ├── UsageError (ValueError)          the request could not be built
    ├── TransportError                   no answer
    │   ├── ConnectionFailedError        nothing reached the service
    │   ├── ReplyLostError               the connection broke; it may have been done
    │   └── TimedOutError (TimeoutError) no answer in time; it may have been done
    ├── UnexpectedReplyError             an answer that is not the service's
    └── ServiceError                     the service said no, and why
        ├── RequestRejectedError         400 406 413 415 422: mend the request
        │   └── InvalidInputError        422: shapes, numbers or options
        ├── NotAuthorizedError           401 403
        ├── NotFoundError                404
        │   ├── SessionNotFoundError
        │   └── CycleNotFoundError
        ├── GoneError                    410
        │   ├── SessionGoneError         expired or deleted
        │   └── AnalysisNotKeptError     too old a cycle
        ├── CycleConflictError           409, with ``current_cycle``
        ├── MembersMissingError          409: too few have arrived for the cycle
        ├── MemberConflictError          409: it has arrived, and was another one
        ├── MemberLateError              409: its cycle is finished without it
        ├── PreconditionFailedError      412: somebody changed it first
        ├── UnavailableError             429 503: come back after ``retry_after``
        └── ServiceFailureError          500 507 and the rest
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Root of everything the client raises on purpose."""


class UsageError(ClientError, ValueError):
    """The request could not be built from what was given."""


class TransportError(ClientError):
    """The service did not answer."""


class ConnectionFailedError(TransportError):
    """No connection: nothing reached the service, so repeating is safe."""


class ReplyLostError(TransportError):
    """The connection broke with the request under way; it may have been done.

    Cycles are repeated by the client itself with the same body, which the service
    answers with the result it already has. The creation of a session is not.
    """


class TimedOutError(TransportError, TimeoutError):
    """No answer within the time allowed; the request may have been done."""


class UnexpectedReplyError(ClientError):
    """Something answered, but not as this service does."""


class ServiceError(ClientError):
    """The service refused or failed, and said why (RFC 9457).

    Attributes:
        status: HTTP status; ``slug`` the last part of the problem's type.
        title, detail: what happened, in general and this time.
        errors: ``{"pointer", "code", "message", "remedy"}`` for every offending place.
        remedy: what to do about it.
        current_cycle: cycle the session stands at, in a cycle conflict.
        request_id: to find the request in the service's log.
        retry_after: seconds after which to come back, where the service said so.
        problem: the whole problem, with whatever else it carries.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after: float | None = None
    ) -> None:
        self.status = status
        self.problem = dict(problem)
        _, slash, name = str(problem.get("type", "")).rpartition("/")
        # RFC 9457 has "about:blank" for a problem without a type of its own.
        self.slug = name if slash else ""
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        remedy = problem.get("remedy", "")
        self.remedy = remedy if isinstance(remedy, str) else ""
        places = problem.get("errors")
        self.errors: list[dict[str, Any]] = [
            dict(item)
            for item in (places if isinstance(places, list) else ())
            if isinstance(item, dict)
        ]
        cycle = problem.get("current_cycle")
        self.current_cycle = cycle if isinstance(cycle, int) else None
        self.request_id = problem.get("request_id")
        self.retry_after = retry_after
        super().__init__(_sentence(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process boundaries in ensembles of workers.
        return type(self), (self.status, self.problem, self.retry_after)


class RequestRejectedError(ServiceError):
    """The request has to be mended before it can succeed."""


class InvalidInputError(RequestRejectedError, ValueError):
    """Arrays, options or parameters that cannot be used; see ``errors``."""


class NotAuthorizedError(ServiceError):
    """The API key is missing, unknown or may not do this."""


class NotFoundError(ServiceError):
    """There is nothing at this address."""


class SessionNotFoundError(NotFoundError):
    """No such session for this key."""


class CycleNotFoundError(NotFoundError):
    """The session has not come to this cycle yet."""


class GoneError(ServiceError):
    """It was there, and is no longer."""


class SessionGoneError(GoneError):
    """The session expired or was deleted."""


class AnalysisNotKeptError(GoneError):
    """The samples of this cycle were dropped; its diagnostics remain."""


class CycleConflictError(ServiceError):
    """The session is not where the caller believed: see ``current_cycle``.

    Somebody else advanced the session, or this process forgot that it did. Call
    ``session.refresh()``, take ``session.analysis()`` and forecast from there.
    """


class MembersMissingError(ServiceError):
    """Too few members have arrived for the cycle; nothing was changed."""


class MemberConflictError(ServiceError):
    """The member has arrived before, and it was another one; the first one stays."""


class MemberLateError(ServiceError):
    """The member's cycle is finished without it: see ``current_cycle``."""


class PreconditionFailedError(ServiceError):
    """The session changed since it was read."""


class UnavailableError(ServiceError):
    """Too busy, or the store cannot be reached; ``retry_after`` says when."""


class ServiceFailureError(ServiceError):
    """The service failed; ``request_id`` finds the reason in its log."""


_BY_SLUG: dict[str, type[ServiceError]] = {
    "session-not-found": SessionNotFoundError,
    "cycle-not-found": CycleNotFoundError,
    "session-gone": SessionGoneError,
    "analysis-not-kept": AnalysisNotKeptError,
    "cycle-conflict": CycleConflictError,
    "members-missing": MembersMissingError,
    "member-conflict": MemberConflictError,
    "member-late": MemberLateError,
}
_BY_STATUS: dict[int, type[ServiceError]] = {
    401: NotAuthorizedError,
    403: NotAuthorizedError,
    404: NotFoundError,
    410: GoneError,
    412: PreconditionFailedError,
    422: InvalidInputError,
    429: UnavailableError,
    503: UnavailableError,
}


def service_error(
    status: int, problem: Mapping[str, Any], retry_after: float | None
) -> ServiceError:
    """The exception for a problem: by its slug, else by its status."""
    error = ServiceError(status, problem, retry_after)
    fallback = RequestRejectedError if status < 500 else ServiceFailureError
    kind = _BY_SLUG.get(error.slug) or _BY_STATUS.get(status, fallback)
    return kind(status, problem, retry_after)


def _sentence(error: ServiceError) -> str:
    heading = " ".join(filter(None, [str(error.status), error.slug or error.title]))
    lines = [f"{heading}: {error.detail or error.title or 'no reason given'}"]
    for item in error.errors:
        message = item.get("message", "")
        if message and message not in error.detail:
            where = f"{item['pointer']}: " if item.get("pointer") else ""
            lines.append(f"  {where}{message}")
    if error.remedy and error.remedy not in error.detail:
        lines.append(f"  what to do: {error.remedy}")
    if error.retry_after is not None:
        lines.append(f"  come back in {error.retry_after:g} s")
    if error.request_id:
        lines.append(f"  (request {error.request_id})")
    return "\n".join(lines)
