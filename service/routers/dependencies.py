"""What endpoints are given: who asks, the machines behind, the body, the answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import Depends, Header, Path, Request
from starlette.responses import Response

from service.compute import Compute
from service.limits import Bodies, while_connected
from service.media.answers import answer_headers, encode_answer
from service.media.bodies import (
    PARAMS_BYTES,
    ArrayBody,
    decode_body,
    decode_object,
    params_bytes,
)
from service.media.types import (
    ARRAY_BODIES,
    JSON,
    MERGE_PATCH,
    NPY,
    RAW,
    content_type,
    identity_only,
)
from service.observability import timed
from service.routers.parameters import TIMEOUT, check_query
from service.sessions import SessionNotFound, Sessions
from service.settings import Settings
from service.streams import Streams

T = TypeVar("T")
# Above this a JSON body would hold the interpreter too long to stay in this process.
JSON_INLINE_BYTES = 16 * 1024
# The same of numbers that are copied as they are, with no more JSON than that beside
# them: a thread takes longer to wake.
BINARY_INLINE_BYTES = 128 * 1024
JSON_THREAD_BYTES = 512 * 1024
# Seconds; nothing can be done in less, and asking for it is a mistake.
SHORTEST_TIMEOUT = 0.001


# Coroutines, however little they do: plain functions would each go through a thread.
async def _tenant(request: Request) -> str:
    state = request.app.state
    tenant: str = state.gate.tenant(request)
    state.rates.take(tenant)
    check_query(request)
    return tenant


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _compute(request: Request) -> Compute:
    compute: Compute = request.app.state.compute
    return compute


async def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


async def _streams(request: Request) -> Streams:
    streams: Streams = request.app.state.streams
    return streams


async def _session_id(
    session_id: Annotated[str, Path(description="Id of the session.")],
) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", session_id):
        # No session has such a name, so no store need be asked.
        raise SessionNotFound(session_id[:64])
    return session_id


Tenant = Annotated[str, Depends(_tenant)]
TheSettings = Annotated[Settings, Depends(_settings)]
TheCompute = Annotated[Compute, Depends(_compute)]
TheSessions = Annotated[Sessions, Depends(_sessions)]
TheStreams = Annotated[Streams, Depends(_streams)]
SessionId = Annotated[str, Depends(_session_id)]
Timeout = Annotated[
    float | None,
    Header(
        alias=TIMEOUT,
        ge=SHORTEST_TIMEOUT,
        allow_inf_nan=False,
        description="Seconds after which the work is stopped and 504 answered, waiting "
        "for a turn included. With `Prefer: respond-async` how long the job may run, "
        "from when it is begun. The service has a deadline of its own for either.",
    ),
]


@asynccontextmanager
async def array_body(
    request: Request,
    names: Sequence[str],
    timeout: float | None = None,
    *,
    kept: bool = False,
) -> AsyncIterator[ArrayBody]:
    """The arrays and parameters of a request; memory is accounted for until the end.

    Args:
        request: what came.
        names: members that are arrays.
        timeout: seconds that all work on the body may take, where the client says so.
        kept: whether the parameters are stored, and so have to be short.
    """
    settings: Settings = request.app.state.settings
    most = settings.max_session_document_bytes if kept else None
    identity_only(request.headers.get("content-encoding"))
    media = content_type(request.headers.get("content-type"), ARRAY_BODIES)
    decode = partial(decode_body, media, names=tuple(names), most_params=most)
    text, within = media.name == JSON, partial(params_bytes, media)
    async with decoded(request, decode, text, timeout, within=within) as body:
        yield body


@asynccontextmanager
async def decoded(
    request: Request,
    decode: Callable[[bytearray], T],
    text: bool,
    timeout: float | None = None,
    *,
    within: Callable[[bytearray], int] = len,
) -> AsyncIterator[T]:
    """What a body holds, decoded where that does not hold up others.

    Args:
        request: what came.
        decode: of the body; can be pickled.
        text: whether the numbers are written as text, which takes long.
        timeout: as for :func:`array_body`.
        within: bytes of JSON in the body, where numbers are not text.
    """
    bodies: Bodies = request.app.state.bodies
    compute: Compute = request.app.state.compute
    async with bodies.read(request) as body:
        with compute.patience(timeout):
            with timed("decode"):
                if text and len(body) > JSON_THREAD_BYTES:
                    work = partial(compute.in_process, decode, body)
                    content = await while_connected(request, work)
                elif not _is_short(body, text, within):
                    content = await compute.in_thread(decode, body)
                else:
                    content = decode(body)
            yield content


def _is_short(body: bytearray, text: bool, within: Callable[[bytearray], int]) -> bool:
    """Whether decoding takes less than a thread takes to wake."""
    if text or len(body) <= JSON_INLINE_BYTES:
        return len(body) <= JSON_INLINE_BYTES
    return len(body) <= BINARY_INLINE_BYTES and within(body) <= JSON_INLINE_BYTES


async def json_body(request: Request, max_bytes: int = PARAMS_BYTES) -> dict[str, Any]:
    """A JSON body without arrays, plain or as a merge patch.

    Args:
        request: what came.
        max_bytes: longest body that is read here.
    """
    identity_only(request.headers.get("content-encoding"))
    content_type(request.headers.get("content-type"), (MERGE_PATCH, JSON))
    bodies: Bodies = request.app.state.bodies
    compute: Compute = request.app.state.compute
    async with bodies.read(request, max_bytes) as body:
        with timed("decode"):
            if len(body) > JSON_INLINE_BYTES:
                return await compute.in_thread(decode_object, body)
            return decode_object(body)


async def array_answer(
    request: Request,
    media_type: str,
    samples: npt.NDArray[np.float64],
    *,
    facts: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
) -> Response:
    """Samples as an answer in the media type that was negotiated.

    Raises:
        TooBusyError: when too many answers wait for their readers.
    """
    encode = partial(
        encode_answer,
        media_type,
        samples,
        name="analysis_samples",
        facts=facts,
        columns=columns,
    )
    with timed("encode"):
        compute: Compute = request.app.state.compute
        is_binary = media_type in (NPY, RAW)
        inline = BINARY_INLINE_BYTES if is_binary else JSON_INLINE_BYTES
        with room(request, samples.nbytes):
            if samples.nbytes <= inline:
                content = encode()
            else:
                content = await compute.in_thread(encode)
    every = {
        **answer_headers(media_type, samples.shape),
        "Vary": "Accept",
        **(headers or {}),
    }
    return Response(content, status, every, media_type)


async def document_answer(
    request: Request,
    content: Mapping[str, Any],
    size: int,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """JSON without arrays; where it is long, written aside.

    Args:
        request: what came.
        content: what to say.
        size: bytes that it takes, roughly; room for them is the caller's to get.
        status: of the answer.
        headers: of the answer.
    """
    if size <= JSON_INLINE_BYTES:
        return Response(orjson.dumps(content), status, headers, JSON)
    compute: Compute = request.app.state.compute
    with timed("encode"):
        text = await compute.in_thread(orjson.dumps, content)
    return Response(text, status, headers, JSON)


def room(request: Request, size: int) -> AbstractContextManager[None]:
    """Room for an answer of so many bytes; a short one needs none.

    Raises:
        TooBusyError: when too many answers wait for their readers.
    """
    bodies: Bodies = request.app.state.bodies
    return nullcontext() if size <= JSON_INLINE_BYTES else bodies.answer(size)


def diagnostic_headers(diagnostics: Mapping[str, Any]) -> dict[str, str]:
    """The facts that travel with binary answers."""
    return {
        "Ccdm-Seed": str(diagnostics.get("seed", "")),
        "Ccdm-Warnings": str(len(diagnostics.get("warnings") or ())),
    }
