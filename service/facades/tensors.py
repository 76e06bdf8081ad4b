"""Tensors of the Open Inference Protocol: JSON, and binary data behind it.

::

    {"inputs": [{"name", "datatype", "shape", "data": [...]}], "parameters": {...}}
    {"inputs": [{"name", "datatype", "shape", "parameters": {"binary_data_size": 24}}]}
    followed by the bytes of the tensors in order, little-endian and row-major; then the
    header Inference-Header-Content-Length is the length of the JSON part
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from service.facades.common import ToldError
from service.media.answers import encode_json
from service.media.bodies import decode_object
from service.media.numbers import array_from_json

Array = npt.NDArray[np.float64]
INFERENCE_HEADER = "Inference-Header-Content-Length"
_DTYPES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4"}
_ANALYSIS = ("seed", "options")


@dataclass(frozen=True, slots=True)
class Inference:
    """One request.

    Attributes:
        id: what the client calls it.
        tensors: inputs by name.
        analysis: ``seed`` and ``options``.
        binary: whether outputs go as binary data where nothing else is said.
        outputs: whether each output that was asked for does.
    """

    id: str
    tensors: dict[str, Array]
    analysis: dict[str, Any]
    binary: bool
    outputs: dict[str, bool]

    def wants_binary(self, output: str) -> bool:
        """How an output is to go.

        Raises:
            ToldError: when only others were asked for.
        """
        if self.outputs and set(self.outputs) != {output}:
            raise _wrong(f"outputs: there is one, {output}")
        return self.outputs.get(output, self.binary)


def decode(body: bytearray, header: str | None, names: Sequence[str]) -> Inference:
    """Read a request.

    Args:
        body: all of it.
        header: ``Inference-Header-Content-Length``, where it came.
        names: of the inputs there have to be.

    Raises:
        ToldError, BodyError: for anything that is no such request.
    """
    length = _length(header, len(body))
    content = decode_object(bytes(body[:length]))
    rest = memoryview(body)[length:]
    tensors: dict[str, Array] = {}
    for place, tensor in enumerate(_objects(content, "inputs")):
        name = str(tensor.get("name"))
        if name not in names or name in tensors:
            raise _wrong(f"inputs: wanted each of {', '.join(names)} once")
        tensors[name], rest = _tensor(tensor, f"/inputs/{place}", rest)
    if len(tensors) != len(names) or len(rest):
        missing = ", ".join(name for name in names if name not in tensors)
        raise _wrong(f"inputs: missing {missing}" if missing else "too many bytes")
    parameters = _parameters(content)
    default = parameters.get("binary_data_output") is True
    return Inference(
        id=str(content.get("id") or "")[:200],
        tensors=tensors,
        analysis=_analysis(parameters),
        binary=default,
        outputs={
            str(item.get("name")): _parameters(item).get("binary_data", default) is True
            for item in _objects(content, "outputs")
        },
    )


def encode(
    head: dict[str, Any], name: str, samples: Array, binary: bool
) -> tuple[bytes, dict[str, str]]:
    """An answer with one output, and the headers it needs."""
    output: dict[str, Any] = {
        "name": name,
        "datatype": "FP64",
        "shape": list(samples.shape),
    }
    if not binary:
        flat = encode_json({"data": samples.reshape(1, -1)})
        # {"data":[[...]]}: the numbers alone, in one list.
        numbers = flat[len(b'{"data":[') : -len(b"]}")] if samples.size else b"[]"
        text = orjson.dumps({**head, "outputs": [output]})
        return text[: -len(b"}]}")] + b',"data":' + numbers + b"}]}", {}
    raw = np.ascontiguousarray(samples, dtype="<f8").tobytes()
    output["parameters"] = {"binary_data_size": len(raw)}
    text = orjson.dumps({**head, "outputs": [output]})
    return text + raw, {INFERENCE_HEADER: str(len(text))}


def _tensor(
    tensor: dict[str, Any], place: str, rest: memoryview
) -> tuple[Array, memoryview]:
    """One tensor, and the bytes behind it."""
    dtype = _DTYPES.get(str(tensor.get("datatype")))
    if dtype is None:
        raise _wrong(f"{place}/datatype: wanted one of {', '.join(_DTYPES)}")
    shape: list[int] = tensor.get("shape") or []
    whole = type(shape) is list and all(type(n) is int and n >= 0 for n in shape)
    if not whole or not 1 <= len(shape) <= 2:
        raise _wrong(f"{place}/shape: wanted one or two sizes")
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        flat = array_from_json(tensor.get("data"), f"{place}/data").reshape(-1)
        used = 0
    else:
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        if type(size) is not int or size != wanted or size > len(rest):
            raise _wrong(f"{place}: {wanted} bytes belong to this shape and datatype")
        flat = np.frombuffer(rest[:size], dtype=dtype).astype(np.float64)
        used = size
    if flat.size != math.prod(shape):
        raise _wrong(f"{place}/data: got {flat.size} numbers for shape {shape}")
    return flat.reshape(shape), rest[used:]


def _analysis(parameters: dict[str, Any]) -> dict[str, Any]:
    found = {name: parameters[name] for name in _ANALYSIS if name in parameters}
    options = found.get("options")
    if isinstance(options, str):
        found["options"] = decode_object(options.encode(), "/parameters/options")
    return found


def _objects(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = content.get(name) or []
    if type(found) is not list or not all(type(item) is dict for item in found):
        raise _wrong(f"{name}: wanted an array of objects")
    return found


def _parameters(content: dict[str, Any]) -> dict[str, Any]:
    found = content.get("parameters") or {}
    if type(found) is not dict:
        raise _wrong("parameters: wanted an object")
    return found


def _length(header: str | None, most: int) -> int:
    if header is None:
        return most
    if not (header.isascii() and header.isdigit()) or len(header) > 12:
        raise _wrong(f"{INFERENCE_HEADER}: wanted a number of bytes")
    if int(header) > most:
        raise _wrong(f"{INFERENCE_HEADER}: the body has only {most} bytes")
    return int(header)


def _wrong(message: str) -> ToldError:
    return ToldError("invalid-input", message)
