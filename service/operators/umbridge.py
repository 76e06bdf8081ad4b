"""UM-Bridge 1.0 from the other side: ask a model for its output, member by member.

::

    POST {url}/Evaluate   {"name", "input": [[x_i ...]], "config"}
                          {"output": [[...]]}

One vector in, one vector out. The protocol knows one point per call, so an ensemble is
N calls, of which a bounded number runs at a time. Servers of this protocol answer as
``text/plain``, print NaN as ``nan`` and turn a model's exception into a page of text;
all of this is the failure of one member, not of the cycle.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import anyio
import httpx
import numpy as np
import numpy.typing as npt
import orjson

from service.operators.registry import RegisteredModel

Array = npt.NDArray[np.float64]
# Not in JSON, and yet printed by servers that are written in Python.
_NUMBERS = re.compile(rb"(?i)\b(nan|inf(?:inity)?)\b")
_SPELLED = {b"nan": b"NaN", b"inf": b"Infinity", b"infinity": b"Infinity"}
# Longer answers are read beside the event loop.
_LONG = 64 * 1024
_SHOWN = 200


class _Failed(Exception):
    """One member has no output; the text says why."""


class Operators:
    """The registered models.

    Args:
        models: by the names that clients use.
        at_once: calls under way in this process at most.
        seconds: for one call, to its last byte.
        most_bytes: of one answer.
    """

    def __init__(
        self,
        models: Mapping[str, RegisteredModel],
        *,
        at_once: int,
        seconds: float,
        most_bytes: int,
    ) -> None:
        self._models = dict(models)
        self._at_once = at_once
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._turns = asyncio.Semaphore(at_once)

    @property
    def names(self) -> list[str]:
        """What clients may ask for."""
        return sorted(self._models)

    async def evaluate(
        self, name: str, inputs: Array, size: int, cycle: int
    ) -> tuple[Array, dict[int, str]]:
        """Outputs of a model for every member.

        Args:
            name: of a registered model.
            inputs: ``(N, n)``; rows with NaN have failed before and are not sent.
            size: of one output.
            cycle: told to the model, in its config, as ``cycle``; and the row as
                ``member``.

        Returns:
            ``(N, size)``, NaN where there is no output; and why, by row.
        """
        outputs = np.full((len(inputs), size), np.nan)
        reasons: dict[int, str] = {}
        rows = iter(np.flatnonzero(np.isfinite(inputs).all(axis=1)).tolist())
        model = self._models.get(name)
        if model is None:
            # Registered with the process that accepted the job, not with this one.
            unknown = "is not registered (CCDM_UMBRIDGE_MODELS) where the job ran"
            return outputs, dict.fromkeys(range(len(inputs)), unknown)

        async def work(http: httpx.AsyncClient, rows: Iterator[int]) -> None:
            for i in rows:
                config = {**model.config, "cycle": cycle, "member": i}
                try:
                    async with self._turns:
                        text = await self._asked(http, model, inputs[i], config)
                    outputs[i] = await _vector(text, size)
                except _Failed as failed:
                    reasons[i] = str(failed)

        # No proxy of the environment, no redirect: nobody but the registered server.
        async with (
            httpx.AsyncClient(
                follow_redirects=False, trust_env=False, timeout=self._seconds
            ) as http,
            anyio.create_task_group() as group,
        ):
            for _ in range(min(self._at_once, len(inputs))):
                group.start_soon(work, http, rows)
        return outputs, dict(sorted(reasons.items()))

    async def _asked(
        self,
        http: httpx.AsyncClient,
        model: RegisteredModel,
        vector: Array,
        config: dict[str, Any],
    ) -> bytes:
        content = {"name": model.model, "input": [vector.tolist()], "config": config}
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        try:
            with anyio.fail_after(self._seconds):
                async with http.stream(
                    "POST",
                    f"{model.url}/Evaluate",
                    content=orjson.dumps(content),
                    headers=headers,
                ) as answer:
                    text = await self._read(answer)
        except TimeoutError:
            raise _Failed(f"no answer within {self._seconds:g} seconds") from None
        except httpx.HTTPError as error:
            raise _Failed(f"no answer ({type(error).__name__})") from None
        if answer.status_code != 200:
            raise _Failed(f"answered {answer.status_code}{_excerpt(text)}")
        return text

    async def _read(self, answer: httpx.Response) -> bytes:
        """The body as it came, up to a limit."""
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise _Failed("answered with a compressed body")
        text = bytearray()
        async for chunk in answer.aiter_raw():
            text += chunk
            if len(text) > self._most_bytes:
                raise _Failed(f"answered more than {self._most_bytes} bytes")
        return bytes(text)


async def _vector(text: bytes, size: int) -> Array:
    if len(text) > _LONG:
        return await asyncio.to_thread(read_output, text, size)
    return read_output(text, size)


def read_output(text: bytes, size: int) -> Array:
    """The one vector of an answer, ``(size,)``, finite.

    Raises:
        _Failed: when it is anything else.
    """
    content = _parsed(text)
    if not isinstance(content, dict):
        raise _Failed("answered no JSON object")
    if "error" in content:
        # Not orjson: half a surrogate pair, or a number beyond 64 bits, is not for it.
        raise _Failed(f"answered an error{_excerpt(_written(content['error']))}")
    output = content.get("output")
    if not isinstance(output, list) or len(output) != 1:
        raise _Failed("answered something else than one output vector")
    try:
        vector = np.asarray(output[0])
    except ValueError:
        raise _Failed("answered a ragged output vector") from None
    if vector.ndim != 1 or vector.dtype.kind not in "fi":
        raise _Failed("answered an output that is not a list of numbers")
    if len(vector) != size:
        raise _Failed(f"answered {len(vector)} numbers, wanted {size}")
    if not np.isfinite(vector).all():
        raise _Failed("answered NaN or infinity")
    return vector.astype(np.float64)


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(_NUMBERS.sub(lambda m: _SPELLED[m[1].lower()], text))
    except (ValueError, RecursionError):
        raise _Failed(f"answered what is no JSON{_excerpt(text)}") from None


def _written(content: Any) -> bytes:
    try:
        return json.dumps(content, separators=(",", ":")).encode(errors="replace")
    except (ValueError, RecursionError):
        return b"one that cannot be written down"


def _excerpt(text: bytes) -> str:
    shown = re.sub(r"[^\x20-\x7e]+", " ", text[:_SHOWN].decode(errors="replace"))
    return f": {shown.strip()}" if shown.strip() else ""
