"""Sessions: what is asked for, what is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from service.schemas.base import Incoming, Outgoing, Seed, array_schema
from service.schemas.coupling import CouplingParams
from service.schemas.options import (
    FIRST_WRONG,
    Count,
    Deviation,
    Deviations,
    Numbers,
    Options,
    Places,
    Positive,
)

Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
NameList = Annotated[list[Name], FIRST_WRONG]
Ensemble = Annotated[
    Any, array_schema("Initial ensemble `[N][dx]`, kept as cycle 0.", rows=True)
]
Metadata = Annotated[
    dict[str, Any], Field(description="Whatever the client wants to remember.")
]
Ttl = Annotated[
    float,
    Field(ge=1, description="The session expires when it is not used for so long."),
]


class Names(Incoming):
    """What people call the variables; CSV answers use them."""

    states: NameList | None = None
    measurements: NameList | None = None


class Coordinates(Incoming):
    """Where the variables are."""

    states: Places | None = None
    measurements: Places | None = None


class SessionParams(Incoming):
    """What comes with the initial ensemble of a session, or instead of one."""

    state_dim: Count = Field(description="dx.")
    measurement_dim: Annotated[int, Field(ge=0)] = Field(description="dy.")
    options: Options | None = Field(None, description="Options of every cycle.")
    seed: Seed | None = Field(None, description="Root of all randomness.")
    ttl_seconds: Ttl | None = None
    keep_analyses: Count | None = Field(
        None, description="Analyses of which the samples are kept."
    )
    initial_mean: Numbers | None = Field(
        None, description="Mean `[dx]` of an initial ensemble to be drawn."
    )
    initial_std: Deviation | Deviations | None = Field(
        None, description="Its standard deviation, one or `[dx]`."
    )
    members: Annotated[int, Field(ge=2)] | None = Field(None, description="Its size.")
    names: Names | None = None
    coordinates: Coordinates | None = None
    metadata: Metadata | None = None
    coupling: CouplingParams | None = Field(
        None, description="For members that come one by one; without, all are needed."
    )

    @model_validator(mode="after")
    def _gaussian_whole(self) -> Self:
        given = [self.initial_mean, self.initial_std, self.members]
        if any(item is not None for item in given) and None in given:
            raise PydanticCustomError(
                "incomplete",
                "initial_mean, initial_std and members come together or not at all",
            )
        return self


class SessionRequest(SessionParams):
    """A session in JSON."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "state_dim": 2,
                    "measurement_dim": 1,
                    "initial_mean": [1.0, 1.0],
                    "initial_std": 0.5,
                    "members": 5,
                    "seed": 1,
                    "metadata": {"experiment": "first steps"},
                }
            ]
        }
    )

    initial_ensemble: Ensemble | None = None


class SessionPatch(Incoming):
    """Changes to a session, as a merge patch (RFC 7396) of these members."""

    ttl_seconds: Ttl | None = None
    metadata: Metadata | None = Field(None, description="`null` removes a name.")
    options: dict[str, Any] | None = Field(
        None, description="As in `Options`; `null` brings back the default."
    )
    coupling: dict[str, Any] | None = Field(
        None, description="As in `CouplingParams`; `null` brings back the default."
    )


class SessionView(Outgoing):
    """A session as it is now."""

    id: str
    state_dim: int
    measurement_dim: int
    members: int | None = Field(description="Members of the latest ensemble.")
    cycle: int = Field(description="The last finished cycle; 0 before the first.")
    version: int = Field(description="Counted up with every change; in the ETag.")
    options: dict[str, Any]
    seed: int
    ttl_seconds: Positive
    keep_analyses: int
    oldest_kept: int = Field(description="Oldest cycle whose samples are kept.")
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    names: dict[str, Any] | None
    coordinates: dict[str, Any] | None
    metadata: dict[str, Any] | None
    coupling: dict[str, Any] | None = None


class SessionList(Outgoing):
    """One page of sessions, in order of creation."""

    sessions: list[SessionView]
    next: str | None = Field(description="Pass it as `after` for the next page.")
