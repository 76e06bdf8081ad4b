"""GET /metrics: counts, times and states, as Prometheus reads them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.auth import ADMIN
from service.metrics import MEDIA_TYPE
from service.openapi import problems

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    operation_id="metrics",
    response_class=Response,
    responses={
        200: {
            "description": "The text format of Prometheus.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **problems("not-found"),
    },
)
async def metrics(request: Request) -> Response:
    """Needs a key of the scope `admin` where keys are set; see `CCDM_METRICS`."""
    state = request.app.state
    if state.settings.metrics == "off":
        raise HTTPException(404)
    if state.settings.metrics == "key":
        state.gate.tenant(request, ADMIN)
    state.look()
    # With several workers this reads a file of each of them.
    content = await state.compute.in_thread(state.metrics.render)
    return Response(content, media_type=MEDIA_TYPE)
