"""The application: everything is put together here, and nothing happens at import."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import State

from ccdm_engine.version import __version__
from service import dashboard, openapi, problems
from service.auth import Gate
from service.compute import Compute
from service.connections import STATE, ConnectionLimits
from service.draining import Draining
from service.facades import open_inference, umbridge
from service.fresh import Fresh
from service.jobs.equipment import equip
from service.limits import Bodies, Heads
from service.memory import give_back, keep_apart
from service.metrics import Metrics
from service.observability import QUIET, HeadAsGet, Observability, make_logger
from service.observed import observed
from service.operators import Operators
from service.rates import Rates
from service.routers import (
    analyses,
    cycles,
    downloads,
    events,
    health,
    jobs,
    login,
    members,
    pages,
    scrape,
    sessions,
    stored,
)
from service.sessions import Sessions
from service.settings import Settings, check_names
from service.stored.locations import parse
from service.stores.opening import open_store
from service.stores.protocol import PartLimits, Quota
from service.streams import Streams

# How long the store's word on its health holds, however many probes come.
HEALTH_SECONDS = 1.0
TAGS = [
    {"name": "analyses", "description": "One analysis; nothing is kept."},
    {"name": "sessions", "description": "An ensemble kept between cycles."},
    {"name": "cycles", "description": "Forecast in, analysis out, one by one."},
    {"name": "jobs", "description": "Work that nobody waits for."},
    {"name": "health", "description": "Probes."},
]


def build_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: read from the environment when not given.
    """
    if settings is None:
        check_names(os.environ)
        settings = Settings()
    app = FastAPI(
        title="CCDM",
        version=__version__,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        telemetry=_telemetry(settings),
    )
    _equip(app, settings)
    _route(app, settings)
    problems.install(app)
    openapi.install(app, keys=bool(app.state.gate.keys))
    _wrap(app, settings)
    return app


def build_parts(settings: Settings) -> State:
    """What requests and jobs are served with, HTTP apart."""
    parts = State()
    parts.settings = settings
    parts.logger = make_logger(settings)
    # Set when the process has been told to end: streams and long polls watch it.
    parts.stopping = asyncio.Event()
    parts.bodies = Bodies(
        settings.max_body_bytes, settings.body_seconds, settings.max_held_bytes
    )
    parts.metrics = metrics = Metrics()
    parts.compute = compute = Compute(settings, metrics.analysed)
    parts.store = store = observed(open_store(settings.store_url), metrics)
    parts.sessions = Sessions(
        store,
        compute.analyse,
        keep_analyses=settings.keep_analyses,
        keep_inputs=settings.keep_inputs,
        check_options=compute.check_options,
        part_limits=PartLimits(settings.max_members, settings.max_staged_bytes),
        quota=Quota(settings.max_tenant_sessions, settings.max_tenant_bytes),
        stopping=parts.stopping,
        waiting=compute.waiting,
        holding=parts.bodies.hold,
        reading=parts.bodies.reading,
        document_bytes=settings.max_session_document_bytes,
    )
    parts.operators = Operators(
        settings.umbridge_models,
        at_once=settings.max_model_calls,
        seconds=settings.model_seconds,
        most_bytes=settings.max_model_answer_bytes,
    )
    return parts


def _equip(app: FastAPI, settings: Settings) -> None:
    """What requests are served with, in the application's state."""
    app.state = build_parts(settings)
    equip(app.state, settings.job_workers)
    app.state.gate = Gate(settings)
    app.state.rates = Rates(settings.requests_per_second, settings.request_burst)
    app.state.streams = Streams(settings.max_streams)
    app.state.look = partial(_look, app)
    app.state.store_health = Fresh(app.state.store.health, HEALTH_SECONDS)


def _route(app: FastAPI, settings: Settings) -> None:
    """Every address that is answered."""
    for module in (
        *(analyses, stored, sessions, cycles, downloads, members, events),
        *(jobs, health, scrape, pages, login, dashboard),
    ):
        app.include_router(module.router)
    for switch, facade in (
        (settings.umbridge, umbridge),
        (settings.open_inference, open_inference),
    ):
        if switch:
            app.include_router(facade.router)
    app.mount("/dashboard/static", dashboard.Assets())
    app.mount("/static", StaticFiles(directory=pages.STATIC))


def _wrap(app: FastAPI, settings: Settings) -> None:
    """What every request goes through; the last one added is the outermost."""
    app.add_middleware(HeadAsGet)
    app.add_middleware(
        Heads, max_bytes=settings.max_head_bytes, max_headers=settings.max_headers
    )
    app.add_middleware(
        Observability,
        logger=app.state.logger,
        metrics=app.state.metrics,
        look=app.state.look,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    logger = app.state.logger
    keep_apart()
    await app.state.store.open()
    health = await app.state.store.health()
    write = logger.info if health.ok and not health.warnings else logger.warning
    write("store", ok=health.ok, detail=health.detail, warnings=health.warnings)
    for name, place in parse(app.state.settings.locations).items():
        # A share may be mounted later: until then its requests are answered 503.
        if trouble := place.trouble():
            logger.warning(
                "location", name=name, folder=str(place.folder), detail=trouble
            )
    draining = Draining(app.state.stopping, app.state.settings.drain_seconds)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_warm_up, app)
            group.start_soon(app.state.workers.work)
            group.start_soon(give_back, app.state.bodies.in_hand)
            with draining.watched():
                yield {STATE: _connection_limits(app)}
            group.cancel_scope.cancel()
    finally:
        await app.state.store.close()


def _telemetry(settings: Settings) -> TelemetryConfig:
    """Traces, where they are wanted; logs and metrics are the service's own.

    The framework opens a span for each request, goes on with the ``traceparent`` of
    the client, and sends to ``OTEL_EXPORTER_OTLP_ENDPOINT``. Bodies are no part of it.
    """
    return {
        "tracing": settings.tracing,
        "auto_configure": settings.tracing,
        "metrics": False,
        "logs": False,
        "exclude": lambda scope: scope.get("path") in QUIET,
    }


def _connection_limits(app: FastAPI) -> ConnectionLimits:
    """What the server's protocol needs to know; it finds this in the state."""
    settings: Settings = app.state.settings
    return ConnectionLimits(
        settings.head_seconds,
        settings.body_seconds,
        settings.stall_seconds,
        settings.answer_seconds,
        settings.max_connections,
        app.state.metrics.connection_refused,
        app.state.bodies.count,
    )


def _look(app: FastAPI) -> None:
    """Let the metrics know how busy this process is now."""
    state = app.state
    stopping = state.stopping.is_set()
    held = state.bodies.held_bytes, state.bodies.unsent_bytes
    state.metrics.observe(state.compute.load, *held, stopping)


async def _warm_up(app: FastAPI) -> None:
    """Spare the first requests the loading; the service answers without it, too."""
    try:
        await app.state.compute.start()
    except Exception:
        app.state.logger.exception("warm-up")
    # All that has been loaded stays: looking it through for garbage again and again
    # would hold up everybody for a tenth of a second each time.
    gc.freeze()
