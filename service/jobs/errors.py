"""What a job may answer instead of a status or a result.

The store's own errors pass through as they are.

::

    JobError
    ├── NoSuchJob        nobody of this tenant has a job of that name
    ├── JobGone          there was one: dismissed, or its time is over
    ├── ResultNotReady   it has not ended
    ├── TooManyJobs      so many of the tenant's jobs are open already
    └── LeaseLost        somebody else has taken the job, or it was dismissed
"""

from __future__ import annotations

from service.stores.errors import SessionGone


class JobError(Exception):
    """Root of everything that jobs raise on their own account."""


class NoSuchJob(JobError):
    """The tenant has no such job."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r}.")


class JobGone(JobError):
    """The job was dismissed, or was kept as long as jobs are kept.

    Attributes:
        reason: ``"dismissed"`` or ``"expired"``.
    """

    def __init__(self, job_id: str, reason: str) -> None:
        self.reason = reason
        done = "was dismissed" if reason == "dismissed" else "has expired"
        super().__init__(f"Job {job_id!r} {done}; there is no result.")


class ResultNotReady(JobError):
    """The job has not ended.

    Attributes:
        status: ``"accepted"`` or ``"running"``.
        retry_after: seconds after which another look makes sense.
    """

    def __init__(self, job_id: str, status: str, retry_after: float = 1.0) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(f"Job {job_id!r} is {status}; it has no result yet.")


class TooManyJobs(JobError):
    """So many of the tenant's jobs wait or run already.

    Attributes:
        retry_after: seconds after which another try makes sense.
    """

    def __init__(self, most: int, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"{most} jobs of this key wait or run already; come back when some have "
            "ended, or dismiss some."
        )


class LeaseLost(JobError):
    """Who runs the job does not hold it any more, and stops."""

    def __init__(self) -> None:
        super().__init__("The job is held by another worker, or was dismissed.")


def absent_job(job_id: str, error: Exception) -> NoSuchJob | JobGone:
    """What the store says of a job that is not there, in the words of jobs."""
    if isinstance(error, SessionGone):
        reason = "dismissed" if error.reason == "deleted" else "expired"
        return JobGone(job_id, reason)
    return NoSuchJob(job_id)
