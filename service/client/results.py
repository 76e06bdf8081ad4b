"""What the client returns: arrays, and facts beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from service.client.errors import UnexpectedReplyError
from service.client.labels import Labels
from service.client.messages import Reply
from service.client.wire import Array, read_json, read_timing

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """One analysis.

    Attributes:
        samples: draws from p(x | y*), float64 ``(n_samples, dx)``.
        diagnostics: the engine's facts about them.
        timing: seconds the service spent by stage (queue, decode, compute, ...);
            ``engine`` is a part of ``compute``.
        request_id: of the request, as in the service's log.
        labels: names and coordinates of the state variables: of the session, or of
            forecast states that were sent as an ``xarray.DataArray``.
    """

    samples: Array
    diagnostics: dict[str, Any]
    timing: dict[str, float] = field(default_factory=dict)
    request_id: str | None = None
    labels: Labels | None = field(default=None, repr=False, compare=False)

    def to_xarray(self) -> xarray.DataArray:
        """The samples with names and coordinates (needs xarray).

        Raises:
            UsageError: without xarray.
        """
        return (self.labels or Labels()).array(self.samples)


@dataclass(frozen=True, slots=True)
class CycleResult(AnalysisResult):
    """The analysis of one cycle of a session.

    Attributes:
        cycle: its number, from 1.
        replayed: the service had this result already and sent it again, because the
            first reply was lost or the same cycle was sent twice.
    """

    cycle: int = 0
    replayed: bool = False

    def to_xarray(self) -> xarray.DataArray:
        """The samples with names and coordinates (needs xarray); ``cycle`` is one.

        Raises:
            UsageError: without xarray.
        """
        samples = (self.labels or Labels()).array(self.samples)
        return samples.assign_coords(cycle=self.cycle)


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One analysis of files; the samples are in one of them.

    Attributes:
        result: the reference to that file: location, path, and variable if any.
        shape: ``(n_samples, dx)`` of the samples.
        sha256: of their blocks, as the service's documentation has it.
        diagnostics: the engine's facts about them.
        inputs: size and time of the files that were read, by pointer.
        timing: seconds the service spent by stage; empty for a job.
        request_id: of the request, as in the service's log.
    """

    result: dict[str, str]
    shape: tuple[int, int]
    sha256: str
    diagnostics: dict[str, Any]
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """What is kept of a finished cycle, samples apart."""

    cycle: int
    created_at: datetime | None
    seed: int | None
    n_samples: int | None
    diagnostics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as the service showed it last; ``view`` holds all of it."""

    id: str
    cycle: int
    version: int
    state_dim: int
    measurement_dim: int
    members: int | None
    seed: int
    options: dict[str, Any]
    expires_at: datetime | None
    view: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class MemberList:
    """Who has arrived for a cycle, or is in it.

    Attributes:
        cycle: its number.
        finished: whether it is finished.
        expected: size of the ensemble, where known.
        arrived: rows of the members that have arrived, in order.
        failed: those of them that hold NaN.
        missing: rows whose members have not arrived.
    """

    cycle: int
    finished: bool
    expected: int | None
    arrived: list[int]
    failed: list[int]
    missing: list[int]


def analysis_result(reply: Reply) -> AnalysisResult:
    """Read the answer to a one-shot analysis."""
    content = read_json(reply)
    return AnalysisResult(
        samples=_samples(content),
        diagnostics=content.get("diagnostics") or {},
        timing=read_timing(reply),
        request_id=reply.headers.get("x-request-id"),
    )


def cycle_result(reply: Reply, samples: Array | None = None) -> CycleResult:
    """Read the answer to a cycle, whose samples may have come separately."""
    content = read_json(reply)
    return CycleResult(
        samples=_samples(content) if samples is None else samples,
        diagnostics=content.get("diagnostics") or {},
        timing=read_timing(reply),
        request_id=reply.headers.get("x-request-id"),
        cycle=content["cycle"],
        replayed=reply.headers.get("ccdm-replayed", "").lower() == "true",
    )


def stored_result(reply: Reply) -> StoredResult:
    """Read the answer to an analysis of files."""
    content = read_json(reply)
    try:
        told = dict(content["result"])
        rows, columns = told.pop("shape")
        return StoredResult(
            shape=(rows, columns),
            sha256=told.pop("sha256"),
            result=told,
            diagnostics=content.get("diagnostics") or {},
            inputs=content.get("inputs") or {},
            timing=read_timing(reply),
            request_id=reply.headers.get("x-request-id"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedReplyError("the answer does not say where it is") from error


def cycle_record(content: Mapping[str, Any]) -> CycleRecord:
    """Read one entry of a session's history."""
    return CycleRecord(
        cycle=content["cycle"],
        created_at=_time(content.get("created_at")),
        seed=content.get("seed"),
        n_samples=content.get("n_samples"),
        diagnostics=content.get("diagnostics") or {},
    )


def session_info(content: Mapping[str, Any]) -> SessionInfo:
    """Read a session's view."""
    try:
        return SessionInfo(
            id=content["id"],
            cycle=content["cycle"],
            version=content["version"],
            state_dim=content["state_dim"],
            measurement_dim=content["measurement_dim"],
            members=content.get("members"),
            seed=content["seed"],
            options=content.get("options") or {},
            expires_at=_time(content.get("expires_at")),
            view=dict(content),
        )
    except KeyError as error:
        raise UnexpectedReplyError(f"the session's view has no {error}") from error


def member_list(content: Mapping[str, Any]) -> MemberList:
    """Read who has arrived."""
    there = content["members"]
    return MemberList(
        cycle=content["cycle"],
        finished=content["finished"],
        expected=content["expected"],
        arrived=[entry["member"] for entry in there],
        failed=[entry["member"] for entry in there if entry["failed"]],
        missing=list(content["missing"]),
    )


def _samples(content: Mapping[str, Any]) -> Array:
    try:
        samples = np.array(content["analysis_samples"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedReplyError("the answer holds no analysis samples") from error
    if samples.ndim != 2:
        raise UnexpectedReplyError(f"analysis samples of shape {samples.shape}")
    return samples


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
