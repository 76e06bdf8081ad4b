"""Requests whose answer is a job: ``Prefer: respond-async`` (RFC 7240)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from service.jobs.book import Book
from service.jobs.models import Array, Job, Submission, key_of
from service.media.types import JSON, PROBLEM
from service.observability import timed
from service.openapi import Document, answer
from service.routers.parameters import TIMEOUT
from service.routers.views import timestamp
from service.schemas.analyses import ARRAYS
from service.sessions import Session
from service.sessions.driving import Driven
from service.sessions.reading import check_kept
from service.sessions.requests import (
    as_vector,
    check_arrays,
    check_vector,
    digest,
    gathered_mark,
)
from service.stores.offloop import off_loop

OBSERVATION = ARRAYS[2]
ASYNC = "respond-async"
PREFERS = (
    "`respond-async` answers 202 with a job instead of the result; where there is "
    "nothing to wait for, the answer comes at once all the same."
)
_RESULTS = "http://www.opengis.net/def/rel/ogc/1.0/results"


async def _book(request: Request) -> Book:
    book: Book = request.app.state.book
    return book


TheBook = Annotated[Book, Depends(_book)]


def accepted_answer() -> Document:
    """The answer 202 in the documentation."""
    return answer(
        "JobView",
        "Accepted as a job; where `Prefer: respond-async` came.",
        {"Location": "Where its status is.", "Preference-Applied": "`respond-async`."},
    )


def preferences(request: Request) -> frozenset[str]:
    """What the client would like, in lower case, parameters left out."""
    sent = ",".join(request.headers.getlist("prefer"))
    found = (item.partition(";")[0].replace(" ", "") for item in sent.split(","))
    return frozenset(item.lower() for item in found if item)


def prefers_job(request: Request) -> bool:
    """Whether the client would rather have a job than wait."""
    return ASYNC in preferences(request)


async def accepted(request: Request, tenant: str, wanted: Submission) -> Response:
    """Accept a job, and say where it is; `Ccdm-Timeout` is its deadline then."""
    book: Book = request.app.state.book
    # A number: the header was checked as a parameter of each such request.
    seconds = request.headers.get(TIMEOUT)
    if seconds is not None:
        wanted = replace(wanted, timeout=float(seconds))
    with timed("store"):
        job = await book.submit(tenant, wanted)
    headers = {"Location": f"/v1/jobs/{job.id}", "Preference-Applied": ASYNC}
    return Response(orjson.dumps(job_view(job)), 202, headers, JSON)


async def cycle_job(
    request: Request,
    session: Session,
    asked: dict[str, Any],
    arrays: Mapping[str, Array],
) -> Submission:
    """A cycle as a job; the same cycle again is the same job while that is open.

    Raises:
        SessionInputError: when the arrays do not fit the session.
    """
    dx, dy = session.state_dim, session.measurement_dim
    options, coupling = asked["options"], asked["coupling"]
    kept = {**arrays, OBSERVATION: as_vector(arrays[OBSERVATION])}
    if len(kept) == 1:
        check_vector(OBSERVATION, kept[OBSERVATION], dy)
        mark = gathered_mark(kept[OBSERVATION], options, coupling)
    else:
        x, y, observation = (kept[name] for name in ARRAYS)
        check_arrays(x, y, observation, state_dim=dx, measurement_dim=dy)
        size = x.nbytes + y.nbytes
        mark = await off_loop(size, lambda: digest(x, y, observation, options))
    request.app.state.compute.check_options(session.options | options)
    wait = min(asked["wait"], request.app.state.settings.max_wait_seconds)
    key = key_of(session.id, asked["cycle"], mark)
    return Submission("cycle", {**asked, "wait": wait}, kept, key)


def driven_job(request: Request, session: Session, driven: Driven) -> Submission:
    """A cycle whose members models compute, as a job; likewise.

    Raises:
        SessionInputError: when the arrays do not fit the session.
        CycleNotFound, AnalysisNotKept: when there is no ensemble to go on from.
    """
    driven.check(session)
    if driven.forecast_model is not None:
        check_kept(session, session.cycle)
    request.app.state.compute.check_options(session.options | driven.options)
    asked = {"session": session.id, "cycle": driven.cycle, "options": driven.options}
    asked["models"] = driven.models
    key = key_of(session.id, driven.cycle, driven.mark())
    return Submission("cycle", asked, driven.arrays, key)


def job_view(job: Job) -> dict[str, Any]:
    """A job without what only the service needs."""
    view = {
        "jobID": job.id,
        "type": "process",
        "processID": job.kind,
        "status": job.status,
        "message": job.message,
        "progress": job.progress,
        "created": _time(job.created),
        "started": _time(job.started),
        "finished": _time(job.finished),
        "updated": _time(job.updated),
        "attempt": job.attempt,
    }
    if job.kind == "cycle":
        view |= {"session": job.asked["session"], "cycle": job.asked["cycle"]}
    return {**view, "links": job_links(job)}


def job_links(job: Job) -> list[dict[str, str]]:
    """Where more of a job is."""
    here = f"/v1/jobs/{job.id}"
    links = [
        {"href": here, "rel": "self", "type": JSON},
        {"href": f"{here}/events", "rel": "monitor", "type": "text/event-stream"},
    ]
    if job.status in ("successful", "failed"):
        kind = JSON if job.status == "successful" else PROBLEM
        links.append({"href": f"{here}/results", "rel": _RESULTS, "type": kind})
    if job.kind == "cycle":
        session = f"/v1/sessions/{job.asked['session']}"
        links.append({"href": session, "rel": "related", "type": JSON})
    return links


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)
