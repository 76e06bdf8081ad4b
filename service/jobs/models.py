"""What a job is, and how it is written down.

::

    accepted --> running --> successful
        |           |  \\---> failed
        \\-----------+------> dismissed

A *job* is a document of its tenant. Beside it, as long as it is open, lies a *ticket*
in a list that all workers read: who works on it, and since how many beats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.stores.codec import pack_document, unpack_document
from service.stores.protocol import Loaded

Array = npt.NDArray[np.float64]
Document = dict[str, Any]
Kind = Literal["analysis", "cycle", "stored-analysis"]
Status = Literal["accepted", "running", "successful", "failed", "dismissed"]
ENDED: frozenset[Status] = frozenset(("successful", "failed", "dismissed"))

SAMPLES = "samples"
FACTS = "facts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, as it is now.

    Attributes:
        id: its name.
        tenant: whose it is.
        kind: what it does.
        asked: everything that was asked for, arrays apart.
        apart: whether that is only what names a cycle, and the rest a blob beside it.
        arrays: names of the arrays that came with it.
        status: how it stands.
        progress: percent that are done.
        message: the same in words.
        created, updated, started, finished: seconds since 1970.
        attempt: how many workers have begun it.
        problem: why it failed.
        version: of its document in the store.
        expires_at: when it is forgotten, seconds since 1970.
        timeout: how long it may run, in seconds; ``None`` leaves that to the settings.
    """

    id: str
    tenant: str
    kind: Kind
    asked: Document
    apart: bool = False
    arrays: tuple[str, ...] = ()
    status: Status = "accepted"
    progress: int = 0
    message: str = "waiting for a worker"
    created: float = 0.0
    updated: float = 0.0
    started: float | None = None
    finished: float | None = None
    attempt: int = 0
    problem: Document | None = None
    version: int = 0
    expires_at: float = 0.0
    timeout: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """That a job is open, and who works on it.

    Attributes:
        id: of the job.
        tenant: whose it is.
        created: when it was accepted, seconds since 1970.
        worker: who holds it; ``None`` while it waits.
        attempt: how many have held it.
        later: when it may be taken again, seconds since 1970; 0 for at once.
        begun: of one that was put off, since when its time runs, likewise.
        version: goes up with every beat of the holder.
        expires_at: as of the job.
    """

    id: str
    tenant: str
    created: float
    worker: str | None = None
    attempt: int = 0
    later: float = 0.0
    begun: float = 0.0
    version: int = 0
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be.

    Attributes:
        kind: what it does.
        asked: everything that is asked for, arrays apart.
        arrays: by name.
        key: what makes another submission the same one, while this job is open.
        timeout: as of the job.
    """

    kind: Kind
    asked: Document
    arrays: Mapping[str, Array] = field(default_factory=dict)
    key: str | None = None
    timeout: float | None = None


_JOB = (
    *("kind", "asked", "status", "progress", "message", "created", "updated"),
    *("started", "finished", "attempt", "problem", "timeout", "apart"),
)
_TICKET = ("tenant", "created", "worker", "attempt", "later", "begun")


def pack_job(job: Job) -> bytes:
    """A job as it is stored."""
    document = {name: getattr(job, name) for name in _JOB}
    return pack_document({**document, "arrays": list(job.arrays)})


def unpack_job(tenant: str, job_id: str, loaded: Loaded) -> Job:
    """The inverse of :func:`pack_job`."""
    document = unpack_document(loaded.meta)
    return Job(
        id=job_id,
        tenant=tenant,
        arrays=tuple(document["arrays"]),
        version=loaded.version,
        expires_at=loaded.expires_at,
        # One that an earlier version wrote has no ``timeout`` or no ``apart``.
        **{name: document[name] for name in _JOB if name in document},
    )


def pack_ticket(ticket: Ticket) -> bytes:
    """A ticket as it is stored."""
    return pack_document({name: getattr(ticket, name) for name in _TICKET})


def unpack_ticket(job_id: str, loaded: Loaded) -> Ticket:
    """The inverse of :func:`pack_ticket`."""
    document = unpack_document(loaded.meta)
    return Ticket(
        id=job_id,
        version=loaded.version,
        expires_at=loaded.expires_at,
        # One that an earlier version wrote has no ``later`` or no ``begun``.
        **{name: document[name] for name in _TICKET if name in document},
    )


def shelf(tenant: str) -> str:
    """Where the jobs of a tenant are, among the tenants of a store."""
    return f"{tenant}.jobs"


def keys(tenant: str) -> str:
    """Where it is written which job was the last one of a key."""
    return f"{tenant}.job-keys"


def input_blob(name: str) -> str:
    """The name under which an array of the request is kept."""
    return f"input-{name}"


def key_of(*parts: object) -> str:
    """A name that these parts alone decide."""
    text = "\0".join(map(str, parts)).encode()
    return hashlib.sha256(b"ccdm-job-1\0" + text).hexdigest()[:32]
