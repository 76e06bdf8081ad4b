"""Jobs, in the words of OGC API - Processes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, RootModel

from service.schemas.analyses import AnalysisAnswer
from service.schemas.base import Outgoing
from service.schemas.stored import StoredAnalysisAnswer

JobStatus = Literal["accepted", "running", "successful", "failed", "dismissed"]


class JobLink(Outgoing):
    """Where something about a job is."""

    href: str
    rel: str
    type: str | None = None
    title: str | None = None


class JobView(Outgoing):
    """A job and how it stands (`statusInfo` of OGC API - Processes)."""

    jobID: str
    type: Literal["process"]
    processID: Literal["analysis", "cycle", "stored-analysis"]
    status: JobStatus
    message: str = Field(description="The same in words, or why it failed.")
    progress: int = Field(ge=0, le=100, description="Percent done.")
    created: datetime
    started: datetime | None
    finished: datetime | None
    updated: datetime
    attempt: int = Field(
        description="Workers that have begun it; more than one where some were killed."
    )
    session: str | None = Field(None, description="Whose cycle it is.")
    cycle: int | None = Field(None, description="Number of that cycle.")
    links: list[JobLink]


class JobList(Outgoing):
    """One page of jobs, in the order in which they were accepted."""

    jobs: list[JobView]
    links: list[JobLink]


class JobSamples(AnalysisAnswer):
    """The answer of an analysis, or of a cycle, which has a number."""

    cycle: int | None = None


def _one_of(schema: dict[str, Any]) -> None:
    schema["oneOf"] = schema.pop("anyOf")


class JobResults(RootModel[JobSamples | StoredAnalysisAnswer]):
    """The answer that the request would have had.

    Of a stored analysis, `result` tells where the samples are.
    """

    model_config = ConfigDict(json_schema_extra=_one_of)
