"""The Open Inference Protocol (KServe v2), with its binary tensor extension.

One model, ``ccdm``: inputs ``forecast_states`` [N, dx], ``simulated_measurements``
[N, dy] and ``observation`` [dy], output ``analysis_samples`` [n_samples, dx], all FP64.
The request parameters ``seed`` (a number) and ``options`` (JSON in a string, since
parameters are flat) are those of ``POST /v1/analyses``.
"""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.facades.common import Route, ToldError, analyse
from service.facades.tensors import INFERENCE_HEADER, Inference, decode, encode
from service.media.types import JSON, identity_only
from service.routers.dependencies import Tenant, decoded, room
from service.routers.health import readyz
from service.schemas.analyses import ARRAYS

MODEL, VERSION = "ccdm", "1"
OUTPUT = "analysis_samples"
_SHAPES = {ARRAYS[0]: [-1, -1], ARRAYS[1]: [-1, -1], ARRAYS[2]: [-1]}


class OpenInferenceRoute(Route):
    """Errors as ``{"error": message}``."""

    def shape(self, status: int, kind: str, message: str) -> Response:
        """An error of the server."""
        return Response(orjson.dumps({"error": message}), status, media_type=JSON)


router = APIRouter(
    prefix="/v2", route_class=OpenInferenceRoute, include_in_schema=False
)


@router.get("/health/live")
async def live() -> Response:
    """The process answers."""
    return _answer({"live": True})


@router.get("/health/ready")
@router.get("/models/{model}/ready")
@router.get("/models/{model}/versions/{version}/ready")
async def ready(
    request: Request, model: str = MODEL, version: str = VERSION
) -> Response:
    """The service can take work."""
    _require_model(model, version)
    return Response(status_code=(await readyz(request)).status_code)


@router.get("")
async def server(request: Request, tenant: Tenant) -> Response:
    """What this server is."""
    return _answer(
        {
            "name": MODEL,
            "version": request.app.version,
            "extensions": ["binary_tensor_data"],
        }
    )


@router.get("/models/{model}")
@router.get("/models/{model}/versions/{version}")
async def model_metadata(
    tenant: Tenant, model: str, version: str = VERSION
) -> Response:
    """What the model takes and gives."""
    _require_model(model, version)
    content = {
        "name": MODEL,
        "versions": [VERSION],
        "platform": "ccdm",
        "inputs": [
            {"name": name, "datatype": "FP64", "shape": shape}
            for name, shape in _SHAPES.items()
        ],
        "outputs": [{"name": OUTPUT, "datatype": "FP64", "shape": [-1, -1]}],
    }
    return _answer(content)


@router.post("/models/{model}/infer")
@router.post("/models/{model}/versions/{version}/infer")
async def infer(
    request: Request, tenant: Tenant, model: str, version: str = VERSION
) -> Response:
    """One analysis."""
    _require_model(model, version)
    identity_only(request.headers.get("content-encoding"))
    header = request.headers.get(INFERENCE_HEADER)
    read = _Decode(header)
    text = header is None
    async with decoded(request, read, text, within=read.json_bytes) as call:
        binary = call.wants_binary(OUTPUT)
        arrays = tuple(call.tensors[name] for name in ARRAYS)
        states, simulated, observation = arrays
        result = await analyse(
            request, (states, simulated, observation.reshape(-1)), call.analysis
        )
    head = {
        "model_name": MODEL,
        "model_version": VERSION,
        **({"id": call.id} if call.id else {}),
        "parameters": {
            "seed": result.diagnostics["seed"],
            "warnings": len(result.diagnostics.get("warnings") or ()),
        },
    }
    compute = request.app.state.compute
    with room(request, result.samples.nbytes):
        content, headers = await compute.in_thread(
            encode, head, OUTPUT, result.samples, binary
        )
    media = "application/octet-stream" if binary else JSON
    return Response(content, headers=headers, media_type=media)


class _Decode:
    """Reads a request whose JSON part is as long as its header says."""

    def __init__(self, header: str | None) -> None:
        self.header = header

    def __call__(self, body: bytearray) -> Inference:
        return decode(body, self.header, ARRAYS)

    def json_bytes(self, body: bytearray) -> int:
        """Bytes of the JSON part; the whole body where the header is no length."""
        header = self.header or ""
        # Not longer: Python refuses to read numbers of thousands of digits.
        is_length = len(header) < 10 and header.isdecimal()
        return int(header) if is_length else len(body)


def _require_model(model: str, version: str) -> None:
    if (model, version) != (MODEL, VERSION):
        raise ToldError(
            "not-found", f"there is one model here, {MODEL}, in version {VERSION}"
        )


def _answer(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type=JSON)
