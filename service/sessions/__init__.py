"""Sessions: an ensemble kept between cycles, and the rules of its cycles."""

from service.sessions.errors import (
    AnalysisNotKept,
    CycleConflict,
    CycleNotFound,
    SessionError,
    SessionInputError,
    VersionConflict,
)
from service.sessions.machine import Sessions
from service.sessions.models import (
    DEFAULT_KEEP_ANALYSES,
    DEFAULT_TTL_SECONDS,
    Analyse,
    AnalysisResult,
    CheckOptions,
    Cycle,
    CycleResult,
    Session,
    SessionSpec,
)
from service.stores.errors import (
    SessionGone,
    SessionNotFound,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

__all__ = [
    "DEFAULT_KEEP_ANALYSES",
    "DEFAULT_TTL_SECONDS",
    "Analyse",
    "AnalysisNotKept",
    "AnalysisResult",
    "CheckOptions",
    "Cycle",
    "CycleConflict",
    "CycleNotFound",
    "CycleResult",
    "Session",
    "SessionError",
    "SessionGone",
    "SessionInputError",
    "SessionNotFound",
    "SessionSpec",
    "Sessions",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "VersionConflict",
]
