"""What is asked for, and what is known, as plain frozen data.

``N`` members, ``dx`` state variables, ``dy`` measurements.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Document = dict[str, Any]

DEFAULT_TTL_SECONDS = 7 * 86_400.0
DEFAULT_KEEP_ANALYSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a client asks for.

    Attributes:
        state_dim: ``dx``.
        measurement_dim: ``dy``.
        options: analysis options of every cycle, as JSON values.
        seed: root of all randomness; ``None`` draws one and reports it.
        ttl_seconds: the session expires when it has not been used for so long.
        initial_ensemble: ``(N, dx)``, kept as the analysis of cycle 0.
        names, coordinates, metadata: what people and clients want to remember.
        keep_analyses: how many of the last analyses are kept in full; ``None`` takes
            the service's own number.
        coupling: when a cycle whose members come one by one may go on; the fields of
            :class:`~service.sessions.coupling.Coupling`.
    """

    state_dim: int
    measurement_dim: int
    options: Document = field(default_factory=dict)
    seed: int | None = None
    ttl_seconds: float = DEFAULT_TTL_SECONDS
    initial_ensemble: Array | None = None
    names: Document | None = None
    coordinates: Document | None = None
    metadata: Document | None = None
    keep_analyses: int | None = None
    coupling: Document | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What is known of a session.

    Attributes:
        members: members of the latest ensemble; ``None`` before there is one.
        initial_members: members of the initial ensemble, if there was one.
        cycle: the last finished cycle, 0 before the first.
        version: counted up with every change; the lifetime alone is not one.
        seed: root of all randomness.
        oldest_kept: the oldest cycle whose analysis is kept in full.
        inputs_from: the oldest cycle whose inputs are kept, 0 when none are.
        created_at, updated_at, expires_at: seconds since 1970.
        state_dim, measurement_dim, options, ttl_seconds, names, coordinates,
        metadata, keep_analyses, coupling: as in :class:`SessionSpec`.
        size: bytes of its document, about; known of what is stored, no part of it.
    """

    id: str
    state_dim: int
    measurement_dim: int
    members: int | None
    cycle: int
    version: int
    options: Document
    seed: int
    ttl_seconds: float
    created_at: float
    updated_at: float
    expires_at: float
    names: Document | None
    coordinates: Document | None
    metadata: Document | None
    keep_analyses: int
    oldest_kept: int
    initial_members: int | None
    coupling: Document | None = None
    inputs_from: int = 0
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """What is known of one finished cycle.

    Attributes:
        cycle: its number, from 1.
        digest: SHA-256 of what was put, in hexadecimal.
        seed: the seed of this cycle's analysis.
        created_at: when it was finished, in seconds since 1970.
        diagnostics: facts about the analysis, as JSON values.
        n_samples: rows of the analysis.
        options: this cycle's own options, laid over those of the session.
        timings: seconds by phase when it was analysed, ``queue`` and ``compute``;
            empty for cycles kept by versions that did not note them.
        size: bytes of its record, as for :class:`Session`.
    """

    cycle: int
    digest: str
    seed: int
    created_at: float
    diagnostics: Document
    n_samples: int
    options: Document
    timings: Document = field(default_factory=dict)
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Known:
    """A session as somebody has read it.

    Attributes:
        session: as it was then.
        since: when they began to read it, as ``time.perf_counter`` tells.
    """

    session: Session
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleResult:
    """The answer to a cycle.

    Attributes:
        cycle: facts.
        samples: ``(n_samples, dx)``, read-only when replayed.
        replayed: the cycle was finished before, and these are its kept samples.
        timings: seconds by phase, of this call: ``queue``, ``compute``, ``store``,
            and what of ``compute`` was the ``engine``, where the analysis tells it.
    """

    cycle: Cycle
    samples: Array
    replayed: bool
    timings: Mapping[str, float] = field(default_factory=dict)


class AnalysisResult(Protocol):
    """What the sessions need from an analysis."""

    @property
    def samples(self) -> Array:
        """Analysis samples, ``(n_samples, dx)``."""

    @property
    def diagnostics(self) -> Document:
        """Facts about the analysis, as JSON values."""


class Analyse(Protocol):
    """Computes one analysis; ``service.compute`` has the one with the engine."""

    def __call__(
        self,
        forecast_states: Array,
        simulated_measurements: Array,
        observation: Array,
        options: Document,
        seed: int | None,
        /,
    ) -> Awaitable[AnalysisResult]:
        """Analysis of states ``(N, dx)``, measurements ``(N, dy)``, ``(dy,)``."""


class CheckOptions(Protocol):
    """Refuses analysis options that no analysis would take."""

    def __call__(self, options: Document, /) -> object:
        """Raise for an unknown name or a value outside its domain."""
