"""Problem details (RFC 9457)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ProblemError(BaseModel):
    """One thing wrong at one place."""

    pointer: str = Field(description="JSON pointer into the request.")
    code: str = Field(description="Stable short name.")
    message: str = Field(description="What was got, what is wanted.")
    remedy: str = Field("", description="What to do about it at this place.")


class ProblemDetails(BaseModel):
    """Why a request was not served. Further members depend on the type."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="Address of a page that explains this problem.")
    title: str
    status: int
    detail: str = Field(description="What happened this time, and what to do.")
    instance: str = Field(description="Path of the request.")
    request_id: str = Field(description="Names the request in the service's log.")
    errors: list[ProblemError] = Field(default_factory=list)
    remedy: str = Field(
        "",
        description="What to do: about the places in `errors`, where these say it; "
        "else what helps against this kind of problem.",
    )
