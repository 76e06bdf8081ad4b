"""Bodies that are wrong in one way each, and what the service says of them.

Every case is sent as a one-shot analysis and as the next cycle of a session.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from service.media.multipart import encode_multipart
from service.media.npy import MAGIC, encode_npy
from tests.service_http.bodies import JSON, STATES, form, json_bytes, parts


@dataclass(frozen=True)
class Bad:
    """One wrong body and the problem it is.

    Attributes:
        name: of the test.
        status, slug: of the problem.
        pointer: of the first of its errors; ``None`` where it has none.
    """

    name: str
    status: int
    slug: str
    pointer: str | None
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: JSON)


def wrong(name: str, pointer: str, slug: str = "invalid-input", **changes: Any) -> Bad:
    """A JSON body with something wrong in one member."""
    return Bad(name, 422, slug, pointer, json_bytes(**changes))


def option(name: str, value: Any, pointer: str | None = None) -> Bad:
    """A JSON body with one wrong option."""
    return wrong(
        f"option {name} = {str(value)[:30]}",
        pointer or f"/options/{name}",
        "invalid-options",
        options={name: value},
    )


def not_json(name: str, body: bytes, pointer: str | None = "") -> Bad:
    """A body that is no JSON object."""
    return Bad(name, 400, "invalid-json", pointer, body)


def npy(name: str, data: bytes) -> Bad:
    """A multipart body with a bad npy file for the states."""
    headers, body = form(forecast_states=data)
    return Bad(name, 422, "invalid-input", "/forecast_states", body, headers)


def not_form(
    name: str, body: bytes, content_type: str, pointer: str | None = None
) -> Bad:
    """A body that is not the multipart form wanted."""
    headers = {"Content-Type": content_type}
    return Bad(name, 400, "invalid-multipart", pointer, body, headers)


def replaced(row: int, column: int, value: Any) -> list[list[Any]]:
    """The states with one element replaced."""
    states = [list(values) for values in STATES]
    states[row][column] = value
    return states


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    """An npy file with any header."""
    encoded = text.encode("latin-1")
    form_ = "<H" if version == 1 else "<I"
    length = struct.pack(form_, len(encoded))
    return MAGIC + bytes([version, 0]) + length + encoded + data


def spoilt(values: Any, place: tuple[int, ...], value: float) -> bytes:
    """An npy file with one element replaced."""
    array = np.array(values, dtype=np.float64)
    array[place] = value
    return encode_npy(array)


GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (5, 2), }"
LYING = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000), }"
NUMBERS = np.array(STATES).tobytes()
ABSURD = GOOD.replace("(5, 2)", "(0, 9999999999999999999)")
BASE64 = b"Content-Transfer-Encoding: base64\r\nX-Type"

SHAPES = [
    wrong("states with one axis", "/forecast_states", forecast_states=[1, 2, 3, 4, 5]),
    wrong("states with three axes", "/forecast_states/0/0", forecast_states=[[[1]]]),
    wrong("no members", "/forecast_states", forecast_states=[]),
    wrong("no state variables", "/forecast_states", forecast_states=[[]] * 5),
    wrong(
        "one member",
        "/forecast_states",
        forecast_states=[[1, 2]],
        simulated_measurements=[[1]],
    ),
    wrong("N mismatch", "/simulated_measurements", simulated_measurements=[[1]] * 3),
    wrong("dy mismatch", "/observation", observation=[1, 2]),
    wrong("observation with two axes", "/observation", observation=[[1, 2], [3, 4]]),
    wrong("observation empty", "/observation", observation=[]),
    wrong("a short row", "/forecast_states/2", forecast_states=[*STATES[:2], [1]]),
    wrong("a long row", "/forecast_states/1", forecast_states=[[1, 2], [1, 2, 3]]),
    wrong("a row that is none", "/forecast_states/1", forecast_states=[[1, 2], 3]),
]
VALUES = [
    wrong(
        "null in states", "/forecast_states/1/0", forecast_states=replaced(1, 0, None)
    ),
    wrong(
        "null in simulated",
        "/simulated_measurements/3/0",
        simulated_measurements=[[1.0], [2.0], [3.0], [None], [5.0]],
    ),
    wrong("string", "/forecast_states/2/1", forecast_states=replaced(2, 1, "1.5")),
    wrong("true", "/forecast_states/4/0", forecast_states=replaced(4, 0, True)),
    wrong("object", "/forecast_states/0/0", forecast_states=replaced(0, 0, {})),
    wrong("array", "/forecast_states/0/1", forecast_states=replaced(0, 1, [1])),
    wrong("string in observation", "/observation/0", observation=["nan"]),
    wrong("false in observation", "/observation/0", observation=[False]),
    wrong("observation a number", "/observation", observation=1.5),
    wrong("states a string", "/forecast_states", forecast_states="1,2,3"),
    wrong("states an object", "/forecast_states", forecast_states={"data": []}),
    wrong("states true", "/forecast_states", forecast_states=True),
    wrong("states missing", "/forecast_states", forecast_states=...),
    wrong("states null", "/forecast_states", forecast_states=None),
    wrong("observation missing", "/observation", observation=...),
]
NOT_JSON = [
    not_json("empty body", b""),
    not_json("a JSON array", b"[]"),
    not_json("a JSON string", b'"states"'),
    not_json("NaN literal", json_bytes().replace(b"1.5", b"NaN")),
    not_json("Infinity literal", json_bytes().replace(b"1.5", b"-Infinity")),
    not_json("1e999", json_bytes().replace(b"1.5", b"1e999")),
    not_json("a huge integer", json_bytes().replace(b"1.5", b"9" * 400)),
    not_json("truncated JSON", json_bytes()[:-20]),
    not_json("deep JSON", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    not_json("invalid UTF-8", b'{"a":"\xff"}'),
    not_json("byte order mark", b"\xef\xbb\xbf" + json_bytes()),
    not_json("lone surrogate", b'{"a":"\\ud800"}'),
    not_json("trailing text", json_bytes() + b"{}"),
    not_json(
        "a name twice", b'{"observation": [1], ' + json_bytes()[1:], "/observation"
    ),
    not_json(
        "a name twice, once escaped",
        b'{"observatio\\u006e": [1], ' + json_bytes()[1:],
        "/observation",
    ),
    not_json(
        "an option twice",
        b'{"options": {"steps": 1, "steps" : 2}, ' + json_bytes()[1:],
        "/steps",
    ),
    Bad(
        "more numbers than 64 MiB of npy",
        413,
        "too-large",
        None,
        b'{"observation":[' + b"0," * (2**23 + 1) + b"0]}",
    ),
]
OPTIONS = [
    option("foo", 1),
    option("with/slash~", 1, "/options/with~1slash~0"),
    option("state_bandwidth", -1.0),
    option("state_bandwidth", 0),
    option("state_bandwidth", "wide"),
    option("state_bandwidth", True),
    option("state_bandwidth", "inf"),
    option("measurement_bandwidth", -0.5),
    option("sampler", "magic"),
    option("steps", 0),
    option("steps", 2.5),
    option("n_samples", "10"),
    option("n_samples", 0),
    option("inflation", "1"),
    option("inflation", None),
    option("shrink", 1),
    option("measurement_error", [0.1, -1], "/options/measurement_error/1"),
    option("measurement_error", [0.1, 0.2, 0.3]),
    option("localization", {"radius": 1}, "/options/localization/state_coordinates"),
    wrong("options a list", "/options", "invalid-options", options=[]),
    # These three only the engine notices.
    wrong(
        "coordinates of another size",
        "/options/localization/state_coordinates",
        "invalid-options",
        options={
            "localization": {
                "state_coordinates": [0.0, 1.0, 2.0],
                "measurement_coordinates": [0.0],
                "radius": 1.0,
            }
        },
    ),
    wrong(
        "bandwidths in the wrong order",
        "/options/max_bandwidth",
        "invalid-options",
        options={"state_bandwidth": 2.0, "max_bandwidth": 1.0},
    ),
    wrong(
        "coordinates of other axes",
        "/options/localization/measurement_coordinates",
        "invalid-options",
        options={
            "localization": {
                "state_coordinates": [0.0, 1.0],
                "measurement_coordinates": [[0.0, 1.0]],
                "radius": 1.0,
            }
        },
    ),
    wrong("unknown member", "/forecast", "invalid-parameters", forecast=[]),
]
NPY = [
    npy("lying header", header(LYING, b"\0" * 40)),
    npy("object dtype", header(GOOD.replace("<f8", "|O"), NUMBERS)),
    npy("a pickle", pickle.dumps(STATES)),
    npy("records", header(GOOD.replace("'<f8'", "[('a', '<f8')]"), NUMBERS)),
    npy("complex", header(GOOD.replace("<f8", "<c16"), NUMBERS * 2)),
    npy("booleans", header(GOOD.replace("<f8", "|b1"), b"\0" * 10)),
    npy("text", header(GOOD.replace("<f8", "<U2"), NUMBERS)),
    npy("half precision", header(GOOD.replace("<f8", "<f2"), b"\0" * 20)),
    npy("cut short", header(GOOD, NUMBERS[:-8])),
    npy("bytes left over", header(GOOD, NUMBERS + b"\0" * 8)),
    npy("cut within its header", header(GOOD)[:30]),
    npy("header beyond the cap", header(GOOD + " " * 5000, NUMBERS)),
    npy("version 9", header(GOOD, NUMBERS, version=9)),
    npy("negative shape", header(GOOD.replace("(5, 2)", "(-5, 2)"), NUMBERS)),
    npy("shape with absurd axes", header(ABSURD)),
    npy("code for a header", header("__import__('os').abort()", NUMBERS)),
    npy("nothing", b""),
    npy("three axes", encode_npy(np.zeros((5, 2, 2)))),
    Bad("NaN in npy", 422, "invalid-input", "/forecast_states/3/1",
        *reversed(form(forecast_states=spoilt(STATES, (3, 1), np.nan)))),
    Bad("infinity in npy", 422, "invalid-input", "/observation/0",
        *reversed(form(observation=encode_npy([np.inf])))),
]  # fmt: skip
CONTENT_TYPE, FORM = encode_multipart(parts())
TWICE = encode_multipart([*parts(), *parts()[:1]])
EXTRA = encode_multipart([*parts(), ("weights", "text/plain", b"1")])
PARAMS = encode_multipart([*parts(), ("params", "application/json", b"{seed}")])
LIST = encode_multipart([*parts(), ("params", "application/json", b"[]")])
MISSING = form(observation=None)
MULTIPART = [
    not_form("part twice", TWICE[1], TWICE[0], "/forecast_states"),
    not_form("unknown part", EXTRA[1], EXTRA[0], "/weights"),
    not_form("no boundary", FORM, "multipart/form-data"),
    not_form("another boundary", FORM, "multipart/form-data; boundary=other"),
    not_form("truncated form", FORM[:-60], CONTENT_TYPE),
    not_form("nothing in the form", b"", CONTENT_TYPE),
    not_form("part without a name", FORM.replace(b"name=", b"nome="), CONTENT_TYPE),
    not_form(
        "transfer encoding",
        FORM.replace(b"Content-Type", BASE64, 1),
        CONTENT_TYPE,
    ),
    not_form("header without colon", FORM.replace(b"Type:", b"Type", 1), CONTENT_TYPE),
    Bad("params no JSON", 400, "invalid-json", "/params", PARAMS[1],
        {"Content-Type": PARAMS[0]}),
    Bad("params a list", 400, "invalid-json", "/params", LIST[1],
        {"Content-Type": LIST[0]}),
    Bad("part missing", 422, "invalid-input", "/observation", MISSING[1], MISSING[0]),
]  # fmt: skip
UNSUPPORTED = [
    Bad(f"content type {value or 'none'}", 415, "unsupported-media-type", None,
        json_bytes(), {"Content-Type": value} if value else {})
    for value in ("", "text/plain", "application/x-npy", "json",
                  "application/json; charset=utf-16", "multipart/mixed; boundary=x")
] + [
    Bad(f"content encoding {value}", 415, "unsupported-media-type", None,
        json_bytes(), {**JSON, "Content-Encoding": value})
    for value in ("gzip", "br", "deflate, gzip")
]  # fmt: skip

CASES = [
    *SHAPES,
    *VALUES,
    *NOT_JSON,
    *OPTIONS,
    *NPY,
    *MULTIPART,
    *UNSUPPORTED,
]
