"""Jobs: work that nobody waits for, its status, its result, its end."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from service.jobs.book import Book
from service.jobs.errors import JobGone, NoSuchJob, ResultNotReady
from service.media.answers import encode_json
from service.media.types import ARRAY_ANSWERS, JSON, negotiate
from service.observability import timed
from service.openapi import answer, array_answers, problems
from service.problems import kept_problem
from service.routers.dependencies import (
    Tenant,
    TheSessions,
    TheSettings,
    TheStreams,
    array_answer,
    diagnostic_headers,
)
from service.routers.parameters import Whole
from service.routers.submitting import TheBook, job_view
from service.routers.views import state_columns
from service.streams import (
    EVENT_STREAM,
    EventStream,
    encode_comment,
    encode_event,
    with_retry,
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_STORE = ("store-unavailable", "store-corrupt", "not-acceptable")
_JOB = ("no-such-job", "job-gone", *_STORE)


async def _job_id(job_id: Annotated[str, Path(description="Id of the job.")]) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", job_id):
        # No job has such a name, so no store need be asked.
        raise NoSuchJob(job_id[:64])
    return job_id


JobId = Annotated[str, Depends(_job_id)]


@router.get(
    "",
    summary="List jobs",
    operation_id="list_jobs",
    response_class=Response,
    responses={
        200: answer("JobList", "A page.", {"Link": "The next page, if any."}),
        **problems(*_STORE, "invalid-parameters"),
    },
)
async def list_jobs(
    request: Request,
    tenant: Tenant,
    book: TheBook,
    after: Annotated[str | None, Query(max_length=64, description="An id.")] = None,
    limit: Annotated[
        Whole, Query(ge=1, le=1000, description="Most on one page.")
    ] = 100,
) -> Response:
    """Jobs of this key in the order in which they were accepted."""
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        jobs, more = await book.list(tenant, after=after, limit=limit)
    here = "/v1/jobs"
    links = [{"href": here, "rel": "self", "type": JSON}]
    headers = {}
    if more is not None:
        following = f"{here}?after={more}&limit={limit}"
        links.append({"href": following, "rel": "next", "type": JSON})
        headers["Link"] = f'<{following}>; rel="next"'
    content = {"jobs": [job_view(job) for job in jobs], "links": links}
    return Response(orjson.dumps(content), headers=headers, media_type=JSON)


@router.get(
    "/{job_id}",
    summary="See how a job stands",
    operation_id="read_job",
    response_class=Response,
    responses={200: answer("JobView", "Its status."), **problems(*_JOB)},
)
async def read_job(
    request: Request, tenant: Tenant, book: TheBook, job_id: JobId
) -> Response:
    """Status, progress and times of a job."""
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        job = await book.get(tenant, job_id)
    return Response(orjson.dumps(job_view(job)), media_type=JSON)


@router.get(
    "/{job_id}/results",
    summary="Download the result of a job",
    operation_id="read_job_results",
    response_class=Response,
    responses={
        200: array_answers(
            "JobResults",
            "What the request would have been answered.",
            {
                "Ccdm-Seed": "Seed that gives these samples again.",
                "Ccdm-Warnings": "Number of warnings among the diagnostics.",
            },
        ),
        **problems(
            *_JOB,
            *("result-not-ready", "session-not-found", "session-gone"),
            *("analysis-not-kept", "invalid-input", "invalid-options"),
            *("numerical-breakdown", "too-large", "cycle-conflict", "members-missing"),
            *("deadline-exceeded", "store-full", "quota-exceeded", "job-abandoned"),
            "too-busy",
        ),
    },
)
async def read_job_results(
    request: Request,
    tenant: Tenant,
    book: TheBook,
    sessions: TheSessions,
    job_id: JobId,
) -> Response:
    """The answer that the request would have had without `Prefer: respond-async`: the
    same bytes, in the media type asked for here; of a stored analysis in JSON alone.
    Of a job that failed, the problem.
    """
    media_type = negotiate(request.headers.get("accept"), ARRAY_ANSWERS)
    with timed("store"):
        job = await book.get(tenant, job_id)
    if job.status == "dismissed":
        raise JobGone(job.id, "dismissed")
    if not job.ended:
        raise ResultNotReady(job.id, job.status)
    if job.problem is not None:
        return kept_problem(request.scope, job.problem)
    if job.kind == "stored-analysis":
        negotiate(request.headers.get("accept"), (JSON,))
        with timed("store"):
            return Response(encode_json(await book.facts(job)), media_type=JSON)
    columns = None
    with timed("store"):
        if job.kind == "cycle":
            sid, k = job.asked["session"], job.asked["cycle"]
            session = await sessions.get(tenant, sid)
            diagnostics = (await sessions.cycle(tenant, sid, k)).diagnostics
            samples = await sessions.analysis(tenant, sid, k)
            facts: dict[str, Any] = {"cycle": k, "diagnostics": diagnostics}
            columns = state_columns(session, range(session.state_dim))
        else:
            samples, facts = await book.result(job)
            diagnostics = facts["diagnostics"]
    return await array_answer(
        request,
        media_type,
        samples,
        facts=facts,
        headers=diagnostic_headers(diagnostics),
        columns=columns,
    )


@router.delete(
    "/{job_id}",
    summary="Dismiss a job",
    operation_id="dismiss_job",
    response_class=Response,
    responses={200: answer("JobView", "Dismissed."), **problems(*_JOB)},
)
async def dismiss_job(
    request: Request, tenant: Tenant, book: TheBook, job_id: JobId
) -> Response:
    """Stop a job that waits or runs; delete one that has ended, with its result.

    A cycle that is finished stays finished.
    """
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        before = await book.get(tenant, job_id)
        job = await book.dismiss(tenant, job_id)
    if not before.ended:
        request.app.state.metrics.job_finished("dismissed")
    return Response(orjson.dumps(job_view(job)), media_type=JSON)


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    operation_id="job_events",
    response_class=Response,
    responses={
        200: {
            "description": "Events `job`, each with the status as it is then, until "
            "the job has ended. Comments come between them when nothing happens.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        **problems(*_JOB, "too-many-streams"),
    },
)
async def job_events(
    request: Request,
    tenant: Tenant,
    settings: TheSettings,
    book: TheBook,
    streams: TheStreams,
    job_id: JobId,
) -> Response:
    """Server-sent events: the status as it is now, and whenever it changes."""
    negotiate(request.headers.get("accept"), (EVENT_STREAM,))
    with timed("store"):
        await book.get(tenant, job_id)
    if request.scope.get("ccdm.head"):
        return Response(media_type=EVENT_STREAM)
    streams.enter(tenant)
    told = _told(book, tenant, job_id, settings.heartbeat_seconds)
    return EventStream(with_retry(told), streams, tenant)


async def _told(
    book: Book, tenant: str, job_id: str, heartbeat: float
) -> AsyncGenerator[bytes]:
    """Statuses as events, as long as there are new ones to come."""
    seen = None
    while not book.stopping:
        try:
            job, state = await book.moved(tenant, job_id, seen, heartbeat)
        except (NoSuchJob, JobGone):
            yield encode_event("gone", {"jobID": job_id})
            return
        if state == seen:
            yield encode_comment("nothing new")
            continue
        seen = state
        yield encode_event("job", job_view(job), str(job.version))
        if job.ended:
            return
