"""Members that come one by one, and when their cycle may go on without some."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from service.schemas.base import Incoming, Outgoing, array_schema

MEMBER_ARRAYS = ("forecast_state", "simulated_measurement")

# A thousand years; it ends up in sums with the time of day.
_LONGEST = 3.2e10


class CouplingParams(Incoming):
    """When a cycle whose members come one by one may go on, and without whom."""

    members: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Size of the ensemble; null takes that of the last analysis."
    )
    minimum_members: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Usable members without which no cycle goes on; 2 when null."
    )
    deadline_seconds: Annotated[float, Field(ge=0, le=_LONGEST)] = Field(
        0.0,
        description="How long the others are waited for, from the first arrival on.",
    )
    missing: Literal["error", "drop", "refill"] = Field(
        "error",
        description="What becomes of members that are missing then: `drop` and "
        "`refill` as in `failed_members`; `error` does not go on without them.",
    )

    def chosen(self) -> dict[str, Any]:
        """What was declared."""
        return self.model_dump(exclude_unset=True)


class MemberParams(Incoming):
    """What comes with the arrays of a member: nothing."""


class MemberRequest(MemberParams):
    """One member in JSON; nulls say that its simulation failed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"forecast_state": [0.9, 1.2], "simulated_measurement": [1.0]}]
        }
    )

    forecast_state: Annotated[
        Any, array_schema("Forecast state `[dx]`.", rows=False, missing=True)
    ]
    simulated_measurement: Annotated[
        Any,
        array_schema(
            "Measurements simulated from it, `[dy]`, with noise unless "
            "`measurement_error` is given.",
            rows=False,
            missing=True,
        ),
    ]


class MemberView(Outgoing):
    """One member that has arrived."""

    member: int
    failed: bool = Field(description="It holds null or NaN.")
    staged_at: datetime


class MemberAnswer(Outgoing):
    """The answer to one member."""

    cycle: int
    member: int
    failed: bool = Field(description="It holds null or NaN.")


class MemberList(Outgoing):
    """Who has arrived for a cycle, or is in it."""

    cycle: int
    finished: bool
    expected: int | None = Field(description="Size of the ensemble, where known.")
    arrived: int
    members: list[MemberView]
    missing: list[int] = Field(description="Rows whose members have not arrived.")
