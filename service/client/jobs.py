"""Calls about jobs: work that the caller does not wait for, or waits for later."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import numpy.typing as npt

from service.client import calls, coupling, wire
from service.client.errors import TimedOutError, UsageError
from service.client.labels import Labels
from service.client.messages import Reply, Request, Steps
from service.client.results import (
    AnalysisResult,
    CycleResult,
    StoredResult,
    analysis_result,
    cycle_result,
    stored_result,
)
from service.media.types import JSON, NPY

ENDED = ("successful", "failed", "dismissed")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
ASYNC = {"Prefer": "respond-async"}
STORED = "stored-analysis"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as the service showed it last; ``view`` holds all of it.

    Attributes:
        id: its name.
        kind: ``analysis``, ``cycle`` or ``stored-analysis``.
        status: ``accepted``, ``running``, ``successful``, ``failed`` or ``dismissed``.
        progress: percent done.
        message: the same in words, or why it failed.
        attempt: workers that have begun it.
        session, cycle: where it is the cycle of a session.
    """

    id: str
    kind: str
    status: str
    progress: int
    message: str
    attempt: int
    created: datetime
    started: datetime | None
    finished: datetime | None
    session: str | None
    cycle: int | None
    view: dict[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in ENDED


def job_status(content: Mapping[str, Any]) -> JobStatus:
    """Read a job's view."""
    return JobStatus(
        id=content["jobID"],
        kind=content["processID"],
        status=content["status"],
        progress=content["progress"],
        message=content["message"],
        attempt=content["attempt"],
        created=datetime.fromisoformat(content["created"]),
        started=_time(content["started"]),
        finished=_time(content["finished"]),
        session=content.get("session"),
        cycle=content.get("cycle"),
        view=dict(content),
    )


def submit(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: wire.Observation,
    options: Any = None,
    seed: int | None = None,
) -> Steps[JobStatus]:
    """``POST /v1/analyses`` with ``Prefer: respond-async``."""
    steps = calls.analyse(
        forecast_states, simulated_measurements, observation, options, seed
    )
    request = next(steps)
    # Twice would be two jobs.
    reply = yield replace(
        request, headers={**request.headers, **ASYNC}, repeatable=False
    )
    return job_status(wire.read_json(reply))


def submit_cycle(
    session: str,
    number: int,
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: wire.Observation,
    options: Any = None,
) -> Steps[JobStatus | CycleResult]:
    """``PUT .../cycles/{k}`` likewise; the result at once where it is there."""
    steps = calls.cycle(
        *(session, number, forecast_states, simulated_measurements),
        *(observation, options),
    )
    request = next(steps)
    reply = yield replace(request, headers={**request.headers, **ASYNC})
    if reply.status == 202:
        return job_status(wire.read_json(reply))
    return cycle_result(reply)


def submit_drive(*asked: Any) -> Steps[JobStatus | CycleResult]:
    """As :func:`.coupling.drive`, as a job; the result at once where it is there."""
    request = next(coupling.drive(*asked))
    reply = yield replace(request, headers={**request.headers, **ASYNC})
    if reply.status == 202:
        return job_status(wire.read_json(reply))
    return cycle_result(reply)


def status(job: str) -> Steps[JobStatus]:
    """``GET /v1/jobs/{id}``."""
    return job_status(wire.read_json((yield _get(_at(job)))))


def listed(after: str | None = None) -> Steps[tuple[list[JobStatus], str | None]]:
    """``GET /v1/jobs``: one page, and where the next begins."""
    query = {} if after is None else {"after": after}
    content = wire.read_json(
        (yield Request("GET", "/v1/jobs", query, {"Accept": JSON}))
    )
    jobs = [job_status(view) for view in content["jobs"]]
    more = any(link["rel"] == "next" for link in content["links"])
    return jobs, jobs[-1].id if more else None


def result(job: JobStatus) -> Steps[AnalysisResult | StoredResult]:
    """``GET /v1/jobs/{id}/results``, read as what the job is."""
    reply: Reply = yield _get(f"{_at(job.id)}/results")
    if job.kind == STORED:
        return stored_result(reply)
    return analysis_result(reply) if job.cycle is None else cycle_result(reply)


def wait(
    job: str, timeout: float, labels: Labels | None = None
) -> Steps[AnalysisResult | StoredResult]:
    """Ask until the job has ended, more and more rarely, then for its result.

    Raises:
        TimedOutError: when it has not ended by then; it goes on.
    """
    end = time.monotonic() + timeout
    pause = 0.0
    while True:
        reply = yield replace(_get(_at(job)), delay=pause)
        found = job_status(wire.read_json(reply))
        if found.ended:
            ended = yield from result(found)
            if isinstance(ended, StoredResult):
                return ended
            labels = labels or (yield from _labels(found))
            return replace(ended, labels=labels)
        left = end - time.monotonic()
        if left <= 0:
            raise TimedOutError(
                f"job {job} is {found.status} after {timeout:g} s; it goes on, and may "
                "be waited for again"
            )
        pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE, left)


def _labels(job: JobStatus) -> Steps[Labels | None]:
    """Those of the session whose cycle it is."""
    if job.session is None:
        return None
    session = yield from calls.read_session(job.session)
    return Labels.of_session(session.view)


def samples(job: str) -> Steps[wire.Array]:
    """``GET /v1/jobs/{id}/results`` as npy."""
    path = f"{_at(job)}/results"
    return wire.read_npy((yield Request("GET", path, headers={"Accept": NPY})))


def dismiss(job: str) -> Steps[None]:
    """``DELETE /v1/jobs/{id}``; one that is gone already is as wanted."""
    reply = yield Request("DELETE", _at(job))
    if reply.status != 410:
        wire.read_nothing(reply)


def _get(path: str) -> Request:
    return Request("GET", path, headers={"Accept": JSON})


def _at(job: str) -> str:
    if not isinstance(job, str) or not job:
        raise UsageError(f"job: got {job!r}, wanted the id of a job")
    return f"/v1/jobs/{quote(job, safe='')}"


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
