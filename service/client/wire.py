"""Arrays and parameters to request bodies, and answers back to arrays.

Arrays travel as npy parts of a multipart form: their own bytes behind a short header,
so nothing is rounded and nothing is printed. Answers that carry samples *and*
diagnostics travel as JSON, whose shortest-form numbers read back to the same doubles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from service.client.errors import UnexpectedReplyError, UsageError, service_error
from service.client.messages import Reply
from service.client.retry import retry_after
from service.media.bodies import encode_body
from service.media.errors import InvalidArrayError
from service.media.npy import decode_npy

Array = npt.NDArray[np.float64]
Observation = npt.ArrayLike | Sequence[float | None]


def form(
    arrays: Mapping[str, Observation], params: Mapping[str, Any]
) -> tuple[str, bytes]:
    """Content type and body of a multipart form of npy parts and ``params``.

    Raises:
        UsageError: for an array that does not hold numbers.
    """
    found = {name: numbers(name, values) for name, values in arrays.items()}
    try:
        return encode_body(found, _plain(params))
    except TypeError as error:
        raise UsageError(f"cannot be sent as JSON: {error}") from error


def json(values: Mapping[str, Any]) -> bytes:
    """JSON with infinity as ``"inf"`` and arrays as lists.

    Raises:
        UsageError: when something in it has no JSON form.
    """
    try:
        return orjson.dumps(_plain(values))
    except TypeError as error:
        raise UsageError(f"cannot be sent as JSON: {error}") from error


def options_dict(options: Any) -> dict[str, Any]:
    """Options as JSON values, from a mapping or anything with ``to_dict()``."""
    if hasattr(options, "to_dict"):
        options = options.to_dict()
    if not isinstance(options, Mapping):
        raise UsageError(f"options: got {type(options).__name__}, wanted a dict")
    return dict(options)


def read_json(reply: Reply) -> dict[str, Any]:
    """The object in a JSON answer.

    Raises:
        ServiceError: when the answer is a problem.
        UnexpectedReplyError: when it is no JSON object.
    """
    _check(reply)
    try:
        content = orjson.loads(reply.body)
    except orjson.JSONDecodeError as error:
        raise _unexpected(reply) from error
    if not isinstance(content, dict):
        raise _unexpected(reply)
    return content


def read_nothing(reply: Reply) -> None:
    """An answer whose body does not matter.

    Raises:
        ServiceError: when the answer is a problem.
    """
    _check(reply)


def read_npy(reply: Reply) -> Array:
    """The array in an npy answer.

    Raises:
        ServiceError: when the answer is a problem.
        UnexpectedReplyError: when it is no npy file.
    """
    _check(reply)
    try:
        return decode_npy(reply.body, "")
    except InvalidArrayError as error:
        raise _unexpected(reply) from error


def read_timing(reply: Reply) -> dict[str, float]:
    """Seconds by stage, from ``Server-Timing: compute;dur=1.2`` (milliseconds)."""
    timing: dict[str, float] = {}
    for entry in reply.headers.get("server-timing", "").split(","):
        name, *attributes = (piece.strip() for piece in entry.split(";"))
        for attribute in attributes:
            key, _, value = attribute.partition("=")
            if key == "dur" and name:
                timing[name] = float(value) / 1e3
    return timing


def numbers(name: str, values: Observation) -> npt.NDArray[Any]:
    """An array of real numbers; ``None`` in it is a missing one (NaN)."""
    try:
        array = np.asarray(values)
        if array.dtype == object:
            array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: not an array of numbers ({error})") from error
    if array.dtype.kind not in "fiu":
        kind = "text" if array.dtype.kind in "US" else f"{array.dtype} values"
        raise UsageError(f"{name}: got {kind}, wanted real numbers")
    return array


def with_nulls(values: npt.NDArray[Any]) -> list[float | None]:
    """Numbers for JSON, a missing one as null."""
    flat = values.astype(np.float64).reshape(-1).tolist()
    return [None if math.isnan(value) else value for value in flat]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _check(reply: Reply) -> None:
    if 200 <= reply.status < 300:
        return
    if reply.status < 400:
        raise _unexpected(reply)
    try:
        problem = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        problem = None
    if not isinstance(problem, dict):
        # A proxy in between answers in its own words.
        problem = {"detail": reply.body[:200].decode("utf-8", "replace").strip()}
    problem.setdefault("request_id", reply.headers.get("x-request-id"))
    raise service_error(reply.status, problem, retry_after(reply))


def _unexpected(reply: Reply) -> UnexpectedReplyError:
    kind = reply.headers.get("content-type", "no content type")
    start = reply.body[:80].decode("utf-8", "replace")
    return UnexpectedReplyError(
        f"answer {reply.status} of {len(reply.body)} bytes as {kind} is not what this "
        f"service sends; is the address right? It begins: {start!r}"
    )
