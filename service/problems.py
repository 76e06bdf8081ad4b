"""Problems (RFC 9457): which exception becomes which, and one installer for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from service import errors
from service.jobs import errors as jobs
from service.media import errors as media
from service.media.errors import FieldError
from service.media.types import PROBLEM
from service.openapi import allowed_methods
from service.problem_types import TYPES
from service.remedies import advised, together
from service.schemas.analyses import ARRAYS
from service.schemas.base import pointer, told
from service.schemas.coupling import MEMBER_ARRAYS
from service.sessions import errors as sessions
from service.stores import errors as stores


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of an exception.

    Attributes:
        exception: its class; subclasses follow.
        slug: the problem it becomes.
        members: further members of the problem.
        headers: further headers of the answer.
        logged: whether the operator has to hear of it, too.
    """

    exception: type[Exception]
    slug: str
    members: Callable[[Any], Mapping[str, Any]] = field(default=lambda error: {})
    headers: Callable[[Any], Mapping[str, str]] = field(default=lambda error: {})
    logged: bool = False


def _offered(error: Any) -> Mapping[str, Any]:
    return {"offered": list(error.offered)}


def _retry_after(error: Any) -> Mapping[str, str]:
    return {"Retry-After": str(max(1, round(error.retry_after)))}


def _limit(error: Any) -> Mapping[str, Any]:
    return {"limit_name": error.name, "limit": error.limit}


def _members_missing(error: Any) -> Mapping[str, Any]:
    return {
        "arrived": error.arrived,
        "expected": error.expected,
        "missing": list(error.missing[: sessions.MOST_LISTED]),
    }


def _failures(error: Any) -> Mapping[str, Any]:
    told = error.failures.items()
    return {"failed": [{"member": i, "reason": reason} for i, reason in told]}


def _quota(error: Any) -> Mapping[str, Any]:
    name = f"max_tenant_{error.what}"
    told = {"limit_name": name, "limit": error.limit, "used": error.used}
    return {**told, "remedy": error.remedy}


def _media_header(error: Any) -> Mapping[str, str]:
    return dict([error.header]) if error.header else {}


def _challenge(error: Any) -> Mapping[str, str]:
    return {"WWW-Authenticate": 'Bearer realm="ccdm"'}


RULES = (
    Rule(media.InvalidJsonError, "invalid-json"),
    Rule(media.InvalidMultipartError, "invalid-multipart"),
    Rule(media.InvalidArrayError, "invalid-input"),
    Rule(media.TooLargeError, "too-large", _limit),
    Rule(media.NotAcceptableError, "not-acceptable", _offered),
    Rule(
        media.UnsupportedMediaTypeError,
        "unsupported-media-type",
        _offered,
        _media_header,
    ),
    Rule(errors.InvalidInputError, "invalid-input"),
    Rule(errors.InvalidOptionsError, "invalid-options"),
    Rule(errors.InvalidParametersError, "invalid-parameters"),
    Rule(errors.NumericalBreakdownError, "numerical-breakdown"),
    Rule(errors.BadRequestError, "bad-request"),
    Rule(errors.UnauthorizedError, "unauthorized", headers=_challenge),
    Rule(errors.ForbiddenError, "forbidden"),
    Rule(errors.UnknownHostError, "unknown-host"),
    Rule(errors.BodyTimeoutError, "body-timeout"),
    Rule(errors.TooManyStreamsError, "too-many-streams", headers=_retry_after),
    Rule(errors.TooManyRequestsError, "too-many-requests", headers=_retry_after),
    Rule(errors.TooBusyError, "too-busy", headers=_retry_after),
    Rule(errors.WorkersEndedError, "too-busy", headers=_retry_after),
    Rule(errors.ClusterUnavailableError, "cluster-unavailable", headers=_retry_after),
    Rule(
        *(errors.FilesUnavailableError, "files-unavailable"),
        headers=_retry_after,
        logged=True,
    ),
    Rule(errors.FilesFullError, "files-full", logged=True),
    Rule(errors.DeadlineExceededError, "deadline-exceeded"),
    Rule(
        sessions.CycleConflict,
        "cycle-conflict",
        lambda error: {"current_cycle": error.current_cycle},
    ),
    Rule(
        sessions.CycleNotFound,
        "cycle-not-found",
        lambda error: {"current_cycle": error.current_cycle},
    ),
    Rule(
        sessions.AnalysisNotKept,
        "analysis-not-kept",
        lambda error: {"oldest_kept": error.oldest_kept},
    ),
    Rule(
        sessions.VersionConflict,
        "precondition-failed",
        lambda error: {"current_version": error.current_version},
    ),
    Rule(
        sessions.MembersMissing,
        "members-missing",
        _members_missing,
        headers=_retry_after,
    ),
    Rule(sessions.MemberConflict, "member-conflict"),
    Rule(
        sessions.MemberLate,
        "member-late",
        lambda error: {"current_cycle": error.current_cycle},
    ),
    Rule(sessions.MemberNotFound, "member-not-found"),
    Rule(sessions.MembersOverfull, "too-large", _limit),
    Rule(sessions.DocumentTooLarge, "too-large", _limit),
    Rule(sessions.ModelsFailed, "models-failed", _failures),
    Rule(jobs.NoSuchJob, "no-such-job"),
    Rule(jobs.JobGone, "job-gone", lambda error: {"reason": error.reason}),
    Rule(
        jobs.ResultNotReady,
        "result-not-ready",
        lambda error: {"job_status": error.status},
        headers=_retry_after,
    ),
    Rule(jobs.TooManyJobs, "too-many-jobs", headers=_retry_after),
    Rule(stores.SessionNotFound, "session-not-found"),
    Rule(stores.SessionGone, "session-gone", lambda error: {"reason": error.reason}),
    Rule(stores.StoreBusy, "too-busy", headers=_retry_after),
    Rule(stores.StoreUnavailable, "store-unavailable", headers=_retry_after),
    Rule(stores.QuotaExceeded, "quota-exceeded", _quota),
    Rule(stores.StoreFull, "store-full"),
    Rule(stores.StoreCorrupt, "store-corrupt", logged=True),
)


# What the framework checks: none of it in a body.
_OUTSIDE = {
    "path": "Correct this part of the address.",
    "query": "Correct it in the address, or leave it out: it has a default.",
    "header": "Correct this header, or leave it out: it has a default.",
}


def problem_response(
    scope: Scope,
    slug: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as an answer."""
    kind = TYPES[slug]
    state = scope.setdefault("state", {})
    state["problem"] = slug
    places = advised(errors)
    problem = {
        "type": f"/problems/{slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": scope["path"],
        "request_id": state.get("request_id", ""),
        "errors": [item._asdict() for item in places],
        "remedy": together(places, kind.remedy),
        **(members or {}),
    }
    return Response(orjson.dumps(problem), kind.status, headers, PROBLEM)


def described(error: Exception) -> dict[str, Any]:
    """What :func:`problem_response` would be told of an exception, to be kept."""
    if isinstance(error, sessions.SessionInputError):
        slug, found = _session_findings(error)
        return {"slug": slug, "detail": str(error), "errors": [found._asdict()]}
    rules = {rule.exception: rule for rule in RULES}
    rule = next((rules[kind] for kind in type(error).__mro__ if kind in rules), None)
    if rule is None:
        return {"slug": "internal", "detail": TYPES["internal"].meaning}
    return {
        "slug": rule.slug,
        "detail": getattr(error, "detail", "") or str(error),
        "errors": [item._asdict() for item in getattr(error, "errors", ())],
        "members": dict(rule.members(error)),
    }


def kept_problem(scope: Scope, problem: Mapping[str, Any]) -> Response:
    """A problem that was :func:`described` before, as an answer."""
    return problem_response(
        scope,
        problem["slug"],
        problem["detail"],
        errors=[FieldError(**item) for item in problem.get("errors", ())],
        members=problem.get("members"),
    )


def install(app: FastAPI) -> None:
    """Make every exception in the table an answer."""
    for rule in RULES:
        app.add_exception_handler(rule.exception, _handler(rule))
    app.add_exception_handler(sessions.SessionInputError, _session_input)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _nobody_there)


def _handler(rule: Rule) -> Callable[[Request, Exception], Response]:
    def handle(request: Request, error: Exception) -> Response:
        if rule.logged:
            request.app.state.logger.error(
                rule.slug, request_id=request.state.request_id, detail=str(error)
            )
        return problem_response(
            request.scope,
            rule.slug,
            getattr(error, "detail", "") or str(error),
            errors=getattr(error, "errors", ()),
            members=rule.members(error),
            headers=rule.headers(error),
        )

    return handle


def _invalid_request(request: Request, error: Exception) -> Response:
    """Path, query and headers are checked by the framework; the body never is."""
    assert isinstance(error, RequestValidationError)
    found = [
        FieldError(
            *("/" + "/".join(map(str, item["loc"])), "value", told(item)),
            remedy=_OUTSIDE.get(str(item["loc"][0]), ""),
        )
        for item in error.errors()
    ]
    detail = "; ".join(f"{item.pointer}: {item.message}" for item in found)
    return problem_response(request.scope, "invalid-parameters", detail, errors=found)


def _session_input(request: Request, error: Exception) -> Response:
    """What does not fit a session: an array, an option, or something else."""
    assert isinstance(error, sessions.SessionInputError)
    slug, item = _session_findings(error)
    return problem_response(request.scope, slug, str(error), errors=[item])


def _session_findings(error: sessions.SessionInputError) -> tuple[str, FieldError]:
    slug = {"options": "invalid-options"}.get(error.argument, "invalid-parameters")
    if error.argument in ("initial_ensemble", *ARRAYS, *MEMBER_ARRAYS):
        slug = "invalid-input"
    place = pointer(error.argument, *(error.index or ()))
    message = f"got {error.got}, wanted {error.wanted}"
    return slug, FieldError(place, error.code, message, error.remedy)


def _http_error(request: Request, error: Exception) -> Response:
    """What routing itself refuses."""
    assert isinstance(error, HTTPException)
    slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code)
    if slug is None:
        return _plain_problem(request, error)
    if error.status_code == 404:
        return _nothing_there(request)
    # Routing names the methods of one route; a path may have several.
    methods = allowed_methods(request.app, request.url.path)
    allowed = ", ".join(methods) or (error.headers or {}).get("Allow", "")
    detail = f"Got {request.method}, wanted one of {allowed}."
    return problem_response(
        *(request.scope, slug, detail),
        members=_other_method(request, methods),
        headers={"Allow": allowed},
    )


def _nothing_there(request: Request) -> Response:
    """No such path, and the one that was meant, perhaps."""
    detail = f"{TYPES['not-found'].meaning[:-1]}; those for data begin with /v1/."
    meant = "/v1" + request.url.path.rstrip("/")
    known = allowed_methods(request.app, meant)
    remedy = {"remedy": f"Send it to {meant}. See /docs for all endpoints."}
    return problem_response(
        request.scope, "not-found", detail, members=remedy if known else None
    )


def _other_method(request: Request, methods: Sequence[str]) -> dict[str, str]:
    """What to send instead, where that is plain."""
    if request.method == "POST" and "PUT" in methods:
        return {
            "remedy": "Send it with PUT: its number is chosen by you, so that it can "
            "be sent again."
        }
    return {}


def _plain_problem(request: Request, error: HTTPException) -> Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(error.status_code).phrase,
        "status": error.status_code,
        "detail": error.detail,
        "instance": request.url.path,
        "request_id": request.state.request_id,
        "errors": [],
    }
    return Response(orjson.dumps(body), error.status_code, error.headers, PROBLEM)


def _nobody_there(request: Request, error: Exception) -> Response:
    return Response(status_code=499)
