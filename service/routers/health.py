"""Probes: is the process alive, is the service ready."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.media.types import JSON
from service.openapi import answer

router = APIRouter(tags=["health"])


@router.get(
    "/livez",
    summary="Is the process alive?",
    operation_id="livez",
    response_class=Response,
    responses={200: answer("Alive", "It is.")},
)
async def livez() -> Response:
    """Answer at once; touches neither the store nor the workers."""
    return Response(b'{"status":"alive"}', media_type=JSON)


@router.get(
    "/readyz",
    summary="Is the service ready?",
    operation_id="readyz",
    response_class=Response,
    responses={
        200: answer(
            "Readiness", "Ready, or degraded: ready for all but large analyses."
        ),
        503: answer("Readiness", "Not ready; the reason stands beside each check."),
    },
)
async def readyz(request: Request) -> Response:
    """List each dependency with its state and the reason.

    A Dask scheduler that is away leaves the service ready, and degraded. What the
    store said holds for a second: probes may come in numbers.
    """
    checks = [await _store(request), _workers(request), _draining(request)]
    ready = all(check["ok"] for check in checks)
    status = "ready" if ready else "not ready"
    # Without it small analyses go on: no reason to send requests elsewhere.
    compute = await request.app.state.compute.reach.look()
    if compute is not None:
        checks.append({"name": "compute", **asdict(compute)})
        status = "degraded" if ready and not compute.ok else status
    body = {"status": status, "checks": checks}
    return Response(orjson.dumps(body), 200 if ready else 503, media_type=JSON)


async def _store(request: Request) -> dict[str, Any]:
    health = await request.app.state.store_health.look()
    return {
        "name": "store",
        "ok": health.ok,
        "detail": health.detail,
        "warnings": list(health.warnings),
    }


def _workers(request: Request) -> dict[str, Any]:
    load = request.app.state.compute.load
    full = load.running >= load.max_running and load.queued >= load.max_queued
    return {
        "name": "workers",
        "ok": not full,
        "detail": f"{load.running} of {load.max_running} running, "
        f"{load.queued} of {load.max_queued} waiting",
        "warnings": [],
    }


def _draining(request: Request) -> dict[str, Any]:
    stopping = request.app.state.stopping.is_set()
    detail = "ends soon: it was told to stop" if stopping else "goes on"
    return {"name": "service", "ok": not stopping, "detail": detail, "warnings": []}
