"""What Prometheus is told: counts, times, states, as ``ccdm_<noun>_<verb>_<unit>``.

Each application has metrics of its own and nothing is global, with one exception that
is not ours: where ``PROMETHEUS_MULTIPROC_DIR`` is set, the client library keeps values
in files of that folder, so that a scrape of any worker process tells of all of them.
``ccdm serve --workers`` sets it.

Labels have few values: templates of paths, never paths; no tenants, sessions or keys.
"""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ccdm_engine.version import __version__

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
            60, 120, 300)  # fmt: skip
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


class Metrics:
    """All metrics of one application."""

    def __init__(self) -> None:
        folder = os.environ.get(FOLDER)
        self._folder = Path(folder) if folder else None
        self.registry = registry = CollectorRegistry()
        if self._folder is None:
            ProcessCollector(registry=registry)
        self._define_traffic(registry)
        self._define_work(registry)
        self._define_states(registry)

    def _define_traffic(self, registry: CollectorRegistry) -> None:
        self._answered = Counter(
            "ccdm_requests_answered",
            "Requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._answered_seconds = Histogram(
            "ccdm_requests_answered_seconds",
            "Time from a request's head to its answer's end; streams and long polls "
            "left out.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "ccdm_requests_staged_seconds",
            "Time of one request in one stage: queue, decode, compute, store, encode.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "ccdm_requests_refused",
            "Requests answered with a problem.",
            ("problem",),
            registry=registry,
        )
        self._connections = Counter(
            "ccdm_connections_refused",
            "Connections closed before a request reached the application.",
            ("problem",),
            registry=registry,
        )
        self._received = Counter(
            "ccdm_bodies_received_bytes", "Bytes of bodies read.", registry=registry
        )
        self._sent = Counter(
            "ccdm_answers_sent_bytes", "Bytes of bodies sent.", registry=registry
        )

    def _define_work(self, registry: CollectorRegistry) -> None:
        self._analyses = Counter(
            "ccdm_analyses_finished",
            "Analyses that gave a result.",
            ("sampler",),
            registry=registry,
        )
        self._ess = Histogram(
            "ccdm_analyses_weighed_ratio",
            "Effective sample size of the weights, over the members used.",
            buckets=_SHARES,
            registry=registry,
        )
        self._warned = Counter(
            "ccdm_analyses_warned",
            "Warnings among the diagnostics.",
            ("code",),
            registry=registry,
        )
        self._jobs = Counter(
            "ccdm_jobs_finished",
            "Jobs that ended here, by status; `lost` went over to another worker.",
            ("status",),
            registry=registry,
        )
        self._store_seconds = Histogram(
            "ccdm_store_called_seconds",
            "Time of one call to the session store.",
            ("operation",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._store_failed = Counter(
            "ccdm_store_failed",
            "Calls to the session store that it refused or could not answer.",
            ("operation", "error"),
            registry=registry,
        )

    def _define_states(self, registry: CollectorRegistry) -> None:
        def state(name: str, text: str) -> Gauge:
            return Gauge(name, text, registry=registry, multiprocess_mode="livesum")

        self._running = state("ccdm_analyses_running", "Analyses that run now.")
        self._waiting = state("ccdm_analyses_waiting", "Analyses that wait now.")
        self._most_running = state(
            "ccdm_analyses_running_limit", "Analyses that may run at the same time."
        )
        self._most_waiting = state(
            "ccdm_analyses_waiting_limit", "Analyses that may wait."
        )
        self._open = state("ccdm_requests_open", "Requests that are being served.")
        self._held = state("ccdm_bodies_held_bytes", "Bytes of bodies in memory now.")
        self._unsent = state(
            "ccdm_answers_held_bytes", "Bytes of answers that wait for readers now."
        )
        self._stopping = state(
            "ccdm_service_stopping", "Processes that were told to stop."
        )

        # Every process sees the same queue: the latest look counts.
        def seen(name: str, text: str) -> Gauge:
            return Gauge(
                name, text, registry=registry, multiprocess_mode="livemostrecent"
            )

        self._jobs_waiting = seen("ccdm_jobs_waiting", "Jobs that wait for a worker.")
        self._jobs_due = seen(
            "ccdm_jobs_due", "Of the jobs that wait, those that a worker may take now."
        )
        self._jobs_running = seen("ccdm_jobs_running", "Jobs that a worker holds.")
        self._jobs_oldest = seen(
            "ccdm_jobs_open_oldest_seconds", "Age of the oldest job that is open."
        )
        build = Gauge(
            "ccdm_build_info",
            "One for each process of this version.",
            ("version", "python"),
            registry=registry,
            multiprocess_mode="livesum",
        )
        build.labels(__version__, platform.python_version()).set(1)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request as open."""
        self._open.inc()
        try:
            yield
        finally:
            self._open.dec()

    def answered(self, facts: Mapping[str, Any]) -> None:
        """Count an answer; facts are those of its line in the log."""
        route = facts["route"] or "none"
        method = facts["method"] if facts["method"] in _METHODS else "other"
        self._answered.labels(method, route, facts["status"]).inc()
        if not facts["streamed"]:
            self._answered_seconds.labels(route).observe(facts["ms"] / 1e3)
        for stage, milliseconds in facts["stages_ms"].items():
            self._stage_seconds.labels(stage).observe(milliseconds / 1e3)
        if facts["problem"]:
            self._refused.labels(facts["problem"]).inc()
        self._received.inc(facts["bytes_in"])
        self._sent.inc(facts["bytes_out"])

    def connection_refused(self, problem: str) -> None:
        """Count what did not come as far as the application."""
        self._connections.labels(problem).inc()

    def analysed(self, diagnostics: Mapping[str, Any]) -> None:
        """Count an analysis, how its weights were spread and what it warned of."""
        self._analyses.labels(diagnostics.get("sampler") or "none").inc()
        effective = diagnostics.get("effective_sample_size")
        used = len(diagnostics.get("members_used") or ())
        if effective is not None and used and math.isfinite(effective):
            self._ess.observe(effective / used)
        for warning in diagnostics.get("warnings") or ():
            self._warned.labels(warning.get("code", "")).inc()

    def job_finished(self, status: str) -> None:
        """Count a job by how it ended."""
        self._jobs.labels(status).inc()

    def jobs_seen(
        self, waiting: int, running: int, oldest_seconds: float, due: int
    ) -> None:
        """Take note of the queue of jobs."""
        self._jobs_waiting.set(waiting)
        self._jobs_due.set(due)
        self._jobs_running.set(running)
        self._jobs_oldest.set(oldest_seconds)

    @contextmanager
    def store_call(self, operation: str) -> Iterator[None]:
        """Time a call to the store, and count what it refuses."""
        start = perf_counter()
        try:
            yield
        except Exception as error:
            self._store_failed.labels(operation, type(error).__name__).inc()
            raise
        finally:
            self._store_seconds.labels(operation).observe(perf_counter() - start)

    def observe(self, load: Any, held: int, unsent: int, stopping: bool) -> None:
        """Take note of how busy this process is."""
        self._running.set(load.running)
        self._waiting.set(load.queued)
        self._most_running.set(load.max_running)
        self._most_waiting.set(load.max_queued)
        self._held.set(held)
        self._unsent.set(unsent)
        self._stopping.set(stopping)

    def render(self) -> bytes:
        """All of it, as Prometheus reads it."""
        if self._folder is None:
            return generate_latest(self.registry)
        _forget_dead_processes(self._folder)
        together = CollectorRegistry()
        MultiProcessCollector(together, str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(together)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _forget_dead_processes(folder: Path) -> None:
    """States of workers that were killed would count for ever."""
    for path in folder.glob("gauge_live*_*.db"):
        found = re.search(r"_(\d+)\.db$", path.name)
        if found and not _lives(int(found[1])):
            with suppress(OSError):
                mark_process_dead(int(found[1]), str(folder))  # type: ignore[no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
