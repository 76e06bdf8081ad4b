"""Python client of the assimilation service.

::

    from service.client import Client

    with Client("http://127.0.0.1:8000") as ccdm:
        session = ccdm.create_session(
            state_dim=3, measurement_dim=1, initial_ensemble=ensemble
        )
        while observing:
            states, simulated = forecast(ensemble)
            ensemble = session.cycle(states, simulated, observation).samples

NumPy arrays in, NumPy arrays out. What may be repeated is repeated when the service
is away or busy; what failed says why, in :mod:`service.client.errors`.
"""

from service.client.asynchronous import (
    AsyncClient,
    AsyncJob,
    AsyncSession,
    AsyncStoredJob,
)
from service.client.errors import (
    AnalysisNotKeptError,
    ClientError,
    ConnectionFailedError,
    CycleConflictError,
    CycleNotFoundError,
    GoneError,
    InvalidInputError,
    MemberConflictError,
    MemberLateError,
    MembersMissingError,
    NotAuthorizedError,
    NotFoundError,
    PreconditionFailedError,
    ReplyLostError,
    RequestRejectedError,
    ServiceError,
    ServiceFailureError,
    SessionGoneError,
    SessionNotFoundError,
    TimedOutError,
    TransportError,
    UnavailableError,
    UnexpectedReplyError,
    UsageError,
)
from service.client.events import Event
from service.client.jobs import JobStatus
from service.client.results import (
    AnalysisResult,
    CycleRecord,
    CycleResult,
    MemberList,
    SessionInfo,
    StoredResult,
)
from service.client.retry import Retry, RetryPolicy
from service.client.synchronous import Client, Job, Session, StoredJob

__all__ = [
    "AnalysisNotKeptError",
    "AnalysisResult",
    "AsyncClient",
    "AsyncJob",
    "AsyncSession",
    "AsyncStoredJob",
    "Client",
    "ClientError",
    "ConnectionFailedError",
    "CycleConflictError",
    "CycleNotFoundError",
    "CycleRecord",
    "CycleResult",
    "Event",
    "GoneError",
    "InvalidInputError",
    "Job",
    "JobStatus",
    "MemberConflictError",
    "MemberLateError",
    "MemberList",
    "MembersMissingError",
    "NotAuthorizedError",
    "NotFoundError",
    "PreconditionFailedError",
    "ReplyLostError",
    "RequestRejectedError",
    "Retry",
    "RetryPolicy",
    "ServiceError",
    "ServiceFailureError",
    "Session",
    "SessionGoneError",
    "SessionInfo",
    "SessionNotFoundError",
    "StoredJob",
    "StoredResult",
    "TimedOutError",
    "TransportError",
    "UnavailableError",
    "UnexpectedReplyError",
    "UsageError",
]
