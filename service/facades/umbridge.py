"""UM-Bridge 1.0 (Seelinger et al. 2023, doi:10.21105/joss.04748): models over HTTP.

One model, ``ccdm-analysis``::

    input    vec(states) (n dx,)   vec(simulated) (n dy,)   observation (dy,)
    output   vec(analysis) (n_samples dx,)
    config   {"n", "dx", "dy", "seed", "options"}

Vectors hold one member after the other. Clients of this protocol send no Content-Type
and no key; where the service asks for keys, something in between has to add one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.facades.common import Route, ToldError, analyse
from service.media.answers import encode_json
from service.media.bodies import decode_object
from service.media.numbers import array_from_json
from service.media.types import JSON, identity_only
from service.routers.dependencies import Tenant, decoded, room
from service.schemas.base import shown

MODEL = "ccdm-analysis"
# The smallest ensemble there is: what sizes are those of when nothing is said.
_DEFAULTS = {"n": 2, "dx": 1, "dy": 1}
_MOST = 10**9

Vectors = list[npt.NDArray[np.float64]]


class UmBridgeRoute(Route):
    """Errors as ``{"error": {"type", "message"}}``."""

    def shape(self, status: int, kind: str, message: str) -> Response:
        """An error of a model."""
        name = "".join(word[:1].upper() + word[1:] for word in kind.split("-"))
        content = {"error": {"type": name, "message": message}}
        return Response(orjson.dumps(content), status, media_type=JSON)


@dataclass(frozen=True, slots=True)
class Call:
    """The body of a request.

    Attributes:
        n, dx, dy: sizes, from its ``config``.
        params: ``options`` and ``seed``, from there too.
        vectors: its ``input``, where it has one.
    """

    n: int
    dx: int
    dy: int
    params: dict[str, Any]
    vectors: Vectors

    @property
    def input_sizes(self) -> list[int]:
        """Lengths of the vectors that ``Evaluate`` takes."""
        return [self.n * self.dx, self.n * self.dy, self.dy]

    @property
    def output_sizes(self) -> list[int]:
        """Lengths of those that it gives."""
        options = self.params.get("options")
        samples = options.get("n_samples") if isinstance(options, dict) else None
        rows = samples if type(samples) is int and samples > 0 else self.n
        return [rows * self.dx]


router = APIRouter(
    prefix="/umbridge", route_class=UmBridgeRoute, include_in_schema=False
)


@router.get("/Info")
async def info(tenant: Tenant) -> Response:
    """The protocol, and the models there are."""
    return _answer({"protocolVersion": 1.0, "models": [MODEL]})


@router.post("/ModelInfo")
async def model_info(request: Request, tenant: Tenant) -> Response:
    """What the model can do."""
    await _call(request)
    names = ("Evaluate", "Gradient", "ApplyJacobian", "ApplyHessian")
    return _answer({"support": {name: name == "Evaluate" for name in names}})


@router.post("/InputSizes")
async def input_sizes(request: Request, tenant: Tenant) -> Response:
    """Lengths of the input vectors, for a ``config``."""
    return _answer({"inputSizes": (await _call(request)).input_sizes})


@router.post("/OutputSizes")
async def output_sizes(request: Request, tenant: Tenant) -> Response:
    """Length of the output vector, for a ``config``."""
    return _answer({"outputSizes": (await _call(request)).output_sizes})


@router.post("/Evaluate")
async def evaluate(request: Request, tenant: Tenant) -> Response:
    """One analysis."""
    identity_only(request.headers.get("content-encoding"))
    async with decoded(request, decode_call, text=True) as call:
        got = [len(vector) for vector in call.vectors]
        if got != call.input_sizes:
            wanted = f"{call.input_sizes} for n={call.n}, dx={call.dx}, dy={call.dy}"
            raise ToldError(
                "InvalidInput", f"input: got vectors of lengths {got}, wanted {wanted}"
            )
        states, simulated, observation = call.vectors
        arrays = (
            states.reshape(call.n, call.dx),
            simulated.reshape(call.n, call.dy),
            observation,
        )
        result = await analyse(request, arrays, call.params)
    samples = result.samples.reshape(1, -1)
    if [samples.size] != call.output_sizes:
        raise ToldError("InvalidOutput", "failed members were dropped; refill them")
    compute = request.app.state.compute
    with room(request, samples.nbytes):
        content = await compute.in_thread(encode_json, {"output": samples})
    return Response(content, media_type=JSON)


@router.post("/Gradient")
@router.post("/ApplyJacobian")
@router.post("/ApplyHessian")
async def unsupported(tenant: Tenant) -> Response:
    """Refuse what this model cannot do."""
    raise ToldError("UnsupportedFeature", f"{MODEL} supports Evaluate alone")


async def _call(request: Request) -> Call:
    identity_only(request.headers.get("content-encoding"))
    async with decoded(request, decode_call, text=True) as call:
        return call


def decode_call(body: bytearray) -> Call:
    """Read the body of any request of the protocol.

    Raises:
        ToldError: for another model, or a config or input of the wrong kind.
        BodyError: when it is no JSON object, or a vector is none.
    """
    content = decode_object(body)
    if content.get("name") != MODEL:
        raise ToldError("ModelNotFound", f"there is one model here, {MODEL}")
    config = content.get("config", {})
    if type(config) is not dict:
        raise ToldError(
            "InvalidInput",
            f"config: got {shown(config)}, wanted an object, such as {{}}",
        )
    unknown = sorted(set(config) - {*_DEFAULTS, "seed", "options"})
    if unknown:
        raise ToldError("InvalidInput", f"config: there is no {', '.join(unknown)}")
    vectors = content.get("input", [])
    if type(vectors) is not list or len(vectors) not in (0, 3):
        raise ToldError(
            "InvalidInput",
            f"input: got {shown(vectors)}, wanted three vectors: states, simulated "
            "measurements, observation",
        )
    return Call(
        **{name: _size(config, name) for name in _DEFAULTS},
        params={key: config[key] for key in ("seed", "options") if key in config},
        vectors=[_vector(vector, f"input/{i}") for i, vector in enumerate(vectors)],
    )


def _vector(value: Any, place: str) -> npt.NDArray[np.float64]:
    vector = array_from_json(value, f"/{place}")
    if vector.ndim != 1:
        raise ToldError("InvalidInput", f"{place}: wanted numbers in one list")
    return vector


def _size(config: dict[str, Any], name: str) -> int:
    value = config.get(name, _DEFAULTS[name])
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ToldError("InvalidInput", f"config: {name} has to be a whole number")
    return value


def _answer(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type=JSON)
