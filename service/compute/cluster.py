"""Parts on the workers of a Dask scheduler that the operator has named.

What all parts of a stage need is sent to every worker once; each part then goes to
whoever is free. A worker that dies takes its parts along: the scheduler gives them to
another. Parts are pure, and their results are taken once, so that an analysis ends
right, once, whoever was killed. A scheduler that is gone, or says nothing any more, is
a problem of its own, told within seconds: see :mod:`service.compute.link`.

The connection belongs to one process, which the deadline or a client that leaves can
kill; the scheduler then forgets what it asked for.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from ccdm_engine.parts import InTurn, Through
from ccdm_engine.version import __version__
from service.compute.engine import engine
from service.compute.estimates import PARTS_ALIVE
from service.compute.link import Link
from service.compute.progress import Progress
from service.errors import ClusterUnavailableError, ServiceError, WorkersEndedError
from service.places import Place

C = TypeVar("C")
P = TypeVar("P")
R = TypeVar("R")

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
# When to come back to a scheduler that was away.
RETRY_SECONDS = 10
SHARE_SECONDS = 30.0
# Parts handed in beyond those being done, per thread of a worker.
AHEAD = 3
# Of what workers have that cannot do the work so much is told.
MOST_NAMED = 3
# Fewer parts are done where they are: the cluster is not even asked.
WORTH_SENDING = 2
# Addresses are for the operator: what is raised here goes to clients.
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OnCluster:
    """Who does the parts of an analysis: the workers, or nobody else for a single one.

    Attributes:
        place: the scheduler.
        progress: told after every part.
    """

    place: Place
    progress: Progress

    def __call__(
        self,
        stage: str,
        work: Callable[[C, P], R],
        common: C,
        parts: Iterable[P],
        total: int,
    ) -> Iterator[R]:
        """See :class:`ccdm_engine.parts.Crew`.

        Raises:
            ClusterUnavailableError: when the scheduler does not answer, goes away, has
                no workers left, or some that cannot do the work as this process would.
            WorkersEndedError: when a part ended one worker after the other.
        """
        if total < WORTH_SENDING:
            yield from InTurn(self.progress)(stage, work, common, parts, total)
            return
        distributed = _distributed()
        try:
            link = Link(_connected(self.place))
            try:
                _check_alike(link)
                yield from self._through(link)(stage, work, common, parts, total)
            except (OSError, CancelledError, ServiceError):
                raise
            except Exception:
                # Perhaps of one that has come since.
                _check_alike(link)
                raise
        except distributed.KilledWorker as error:
            worker = error.last_worker.address
            _log.warning("a part of an analysis ended %s, and others before", worker)
            raise WorkersEndedError(
                f"A part of the analysis ended {error.allowed_failures + 1} Dask "
                "workers one after the other. Perhaps it needs more memory than they "
                "have: their logs say.",
                RETRY_SECONDS,
            ) from error
        except (OSError, CancelledError) as error:
            forget(self.place)
            _log.warning("Dask at %s failed: %r", self.place.address, error)
            raise ClusterUnavailableError(_told(error), RETRY_SECONDS) from error

    def _through(self, link: Link) -> Through:
        return Through(
            _Checked(link),  # type: ignore[arg-type]
            AHEAD * max(link.threads(), 1),
            # Once per stage; dropped by the workers when the stage is over.
            share=lambda common: link.shared(common, SHARE_SECONDS),
            progress=self.progress,
            lost=(CancelledError,),
            fetch=link.wait,
            bring=link.bring,
            near=PARTS_ALIVE,
        )


@dataclass(frozen=True, slots=True)
class _Checked:
    """The cluster's executor, for parts done as this process would do them."""

    link: Link

    def submit(self, work: Callable[..., R], shared: Any, part: Any) -> Future[R]:
        """A future of ``work(shared, part)``."""
        return self.link.submit(do_part, work, __version__, shared, part)


def do_part(work: Callable[..., Any], version: str, common: Any, part: Any) -> Any:
    """One part, on a worker: with one BLAS thread, by the same engine.

    Raises:
        RuntimeError: when the worker has another version installed.
    """
    if version != __version__:
        raise RuntimeError(
            f"the Dask worker has ccdm {__version__}, the service {version}; "
            "install the same on both"
        )
    engine()
    return work(common, part)


def _check_alike(link: Link) -> None:
    """Refuse workers that would not do a part as this process does.

    Raises:
        ClusterUnavailableError: with what they have; the log names them.
        OSError: when the scheduler is gone.
    """

    def version() -> str:
        from ccdm_engine.version import __version__

        return __version__

    found = link.everywhere(version, SHARE_SECONDS)
    others = {who: it for who, it in found.items() if it != __version__}
    if others:
        _log.warning("Dask workers with another ccdm: %r", others)
        having = Counter(
            it if isinstance(it, str) else f"none ({type(it).__name__})"
            for it in others.values()
        )
        told = (f"{n} has {it}" for it, n in having.most_common(MOST_NAMED))
        raise ClusterUnavailableError(
            f"{len(others)} of {len(found)} Dask workers have another ccdm than "
            f"{__version__}, the service's: {', '.join(told)}. The operator has to "
            "install the same on all of them, or end those.",
            RETRY_SECONDS,
        )


def _distributed() -> Any:
    """Dask's part that distributes, an extra.

    Raises:
        ClusterUnavailableError: where it is not installed.
    """
    try:
        return import_module("distributed")
    except ImportError:
        raise ClusterUnavailableError(
            "CCDM_COMPUTE names a Dask scheduler, and Dask is not installed: "
            "pip install '.[dask]' in this project's folder.",
            60,
        ) from None


def _connected(place: Place) -> Any:
    """The connection of this process, made anew when the last one was lost.

    Raises:
        OSError: when there is none to be had.
    """
    if _client(place).status != "running":
        forget(place)
    return _client(place)


@cache
def _client(place: Place) -> Any:
    """The connection of this process, made once.

    Raises:
        OSError: when there is none to be had.
    """
    # Where nobody listens Dask would try again for all of its time.
    socket.create_connection(place.listens, CONNECT_SECONDS).close()
    return _distributed().Client(
        place.address,
        security=_security(place),
        timeout=CONNECT_SECONDS,
        set_as_default=False,
        name=f"ccdm-{__version__}",
    )


def _security(place: Place) -> Any:
    if not place.address.startswith("tls://"):
        return None
    authority, certificate, key = (
        None if file is None else str(file) for file in place.certificates
    )
    return _distributed().Security(
        tls_ca_file=authority,
        tls_client_cert=certificate,
        tls_client_key=key,
        require_encryption=True,
    )


def workers_of(place: Place) -> list[int]:
    """How many threads each worker of the scheduler has.

    Raises:
        ClusterUnavailableError: when it does not answer, or Dask is not installed.
    """
    try:
        found: dict[str, int] = _connected(place).nthreads()
    except OSError as error:
        told = f"The Dask scheduler is away: {type(error).__name__}."
        raise ClusterUnavailableError(told, RETRY_SECONDS) from error
    finally:
        forget(place)
    return list(found.values())


def forget(place: Place) -> None:
    """Connect anew next time."""
    if _client.cache_info().currsize:
        with suppress(Exception):
            _client(place).close(timeout=CLOSE_SECONDS)
    _client.cache_clear()


def _told(error: BaseException) -> str:
    return (
        "The Dask scheduler or its workers cannot do the work: "
        f"{type(error).__name__}. Nothing has been stored."
    )
