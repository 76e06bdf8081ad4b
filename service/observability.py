"""What is known of a request while it runs, and what is written about it afterwards.

One pure-ASGI middleware: it names the request, times its stages, writes one log line,
and turns what nobody caught into a problem with an opaque id. Keys and arrays never
reach a log.
"""

from __future__ import annotations

import logging
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import problem_response
from service.settings import Settings

# The engine's own time is a part of computing; the others follow each other.
STAGES = ("queue", "decode", "compute", "engine", "store", "encode")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Names of requests tell them apart and keep no secret: the system need not be asked for
# each of them.
_numbers = random.Random()
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
# Asked every few seconds, and of no interest while all is well.
QUIET = ("/livez", "/readyz", "/metrics")
_timings: ContextVar[dict[str, float] | None] = ContextVar("timings", default=None)


def record(stage: str, seconds: float) -> None:
    """Add to a stage of the request that is being served, if one is."""
    timings = _timings.get()
    if timings is not None:
        timings[stage] = timings.get(stage, 0.0) + seconds


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Time a stage of the request that is being served."""
    start = time.perf_counter()
    try:
        yield
    finally:
        record(stage, time.perf_counter() - start)


def make_logger(settings: Settings) -> Any:
    """A logger of structured lines on standard error; no global state is touched."""
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if as_text
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
    )


def forward_logs(logger: Any) -> None:
    """Write what the server below and the stores say into the service's own log.

    To be called where a process belongs to the service: loggers are global.
    """
    handler = _Forward(logger)
    for name in ("uvicorn", "asyncio", "service"):
        library = logging.getLogger(name)
        library.handlers[:] = [handler]
        library.propagate = False


class _Forward(logging.Handler):
    def __init__(self, logger: Any) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """One line for one record, a traceback included."""
        write = self._logger.error if record.exc_info else self._logger.warning
        write(
            "server",
            source=record.name,
            detail=record.getMessage().strip(),
            exc_info=record.exc_info,
        )


class Observability:
    """The outermost middleware."""

    def __init__(
        self, app: ASGIApp, logger: Any, metrics: Metrics, look: Callable[[], None]
    ) -> None:
        self.app = app
        self.logger = logger
        self.metrics = metrics
        self.look = look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and know about it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with self.metrics.request():
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(Headers(scope=scope))
        token = _timings.set({})
        exchange = _Exchange(scope, send)
        try:
            await self.app(scope, receive, exchange.send)
        except Exception:
            self.logger.exception("failure", request_id=state["request_id"])
            if exchange.status:
                # Too late for a problem: break off, so that nobody takes it for whole.
                raise
            response = problem_response(scope, "internal", _INTERNAL)
            await response(scope, receive, exchange.send)
        finally:
            facts = exchange.facts(_timings.get() or {})
            self.look()
            self.metrics.answered({**facts, "streamed": _is_streamed(scope)})
            self._log(exchange, facts)
            _timings.reset(token)

    def _log(self, exchange: _Exchange, facts: dict[str, Any]) -> None:
        scope = exchange.scope
        quiet = scope["path"] in QUIET and exchange.status < 400
        write = self.logger.debug if quiet else self.logger.info
        write(
            "request",
            request_id=scope["state"]["request_id"],
            trace_id=_trace_id(scope),
            tenant=scope["state"].get("tenant"),
            **facts,
        )


_INTERNAL = (
    "Something failed that should not have. Nothing of the request was kept; the "
    "service's log has the reason under this request_id."
)


class _Exchange:
    """One answer on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.start = time.perf_counter()
        self.status = 0
        self.bytes_out = 0
        self._send = send

    def elapsed(self) -> float:
        return time.perf_counter() - self.start

    def facts(self, stages: dict[str, float]) -> dict[str, Any]:
        """What is worth keeping of the exchange, in log and metrics."""
        state = self.scope["state"]
        return {
            "method": self.scope["method"],
            "route": route_of(self.scope),
            "status": self.status or 499,
            "problem": state.get("problem"),
            "bytes_in": state.get("body_bytes", 0),
            "bytes_out": self.bytes_out,
            "ms": round(1e3 * self.elapsed(), 2),
            "stages_ms": {k: round(1e3 * v, 2) for k, v in stages.items()},
        }

    async def send(self, message: Message) -> None:
        """Pass an answer on, with what is known of the request in its headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message["headers"])
            headers["X-Request-ID"] = self.scope["state"]["request_id"]
            headers["Server-Timing"] = self._server_timing()
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("X-Content-Type-Options", "nosniff")
        else:
            self.bytes_out += len(message.get("body", b""))
        await self._send(message)

    def _server_timing(self) -> str:
        stages = _timings.get() or {}
        named = [(name, stages[name]) for name in STAGES if name in stages]
        named.append(("total", self.elapsed()))
        return ", ".join(f"{name};dur={1e3 * value:.2f}" for name, value in named)


class HeadAsGet:
    """Serves HEAD as GET; the server below leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, a HEAD under the name of GET."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", "ccdm.head": True}
        await self.app(scope, receive, send)


def route_of(scope: Scope) -> str | None:
    """The template of the path, which names no session."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else None


def _trace_id(scope: Scope) -> str | None:
    """The trace that the request belongs to: the client's, or one begun here."""
    named = _TRACEPARENT.fullmatch(Headers(scope=scope).get("traceparent", ""))
    if named:
        return named[1]
    span = getattr(scope.get("fastapi.telemetry"), "span", None)
    number = span.get_span_context().trace_id if span is not None else 0
    return f"{number:032x}" if number else None


def _is_streamed(scope: Scope) -> bool:
    """Whether the answer takes as long as the client likes."""
    path = route_of(scope) or ""
    query = parse_qsl(scope["query_string"], keep_blank_values=True)
    return path.endswith("/events") or any(name == b"wait" for name, _ in query)


def _request_id(headers: Headers) -> str:
    asked = headers.get("x-request-id", "")
    return (
        asked if _REQUEST_ID.fullmatch(asked) else f"{_numbers.getrandbits(128):032x}"
    )
