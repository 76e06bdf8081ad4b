"""Attacks by what the service keeps: sessions as large as bodies may be."""

from __future__ import annotations

import http.client
from collections import Counter

PATIENCE = 120.0
_JSON = {"Content-Type": "application/json"}
_STATES = 100_000


def large_sessions(port: int, times: int) -> Counter[int]:
    """Coordinates of 100 000 x 60 numbers, a PATCH of 20 bytes, a list of long names"""
    row = b"[" + b",".join([b"0"] * 60) + b"]"
    coordinates = b",".join([row] * _STATES)
    names = b",".join([b'"' + b"n" * 150 + b'"'] * _STATES)
    found: Counter[int] = Counter()
    for _ in range(times):
        large = _session(b"coordinates", coordinates)
        made, session = post(port, "/v1/sessions", large)
        found[made] += 1
        if made == 201:
            patch = b'{"metadata":{"a":1}}'
            found[_asked(port, "PATCH", session, patch)[0]] += 1
        for _ in range(3):
            found[post(port, "/v1/sessions", _session(b"names", names))[0]] += 1
        found[_asked(port, "GET", "/v1/sessions?limit=1000")[0]] += 1
    return found


def post(port: int, path: str, body: bytes) -> tuple[int, str]:
    """The status, and where what was made is to be found."""
    return _asked(port, "POST", path, body)


def _session(name: bytes, values: bytes) -> bytes:
    start = b'{"state_dim":%d,"measurement_dim":1,"%b":{"states":[' % (_STATES, name)
    return start + values + b"]}}"


def _asked(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, _JSON if body else {})
        answer = connection.getresponse()
        while answer.read(1 << 20):
            pass
        return answer.status, answer.headers.get("Location", "")
    except TimeoutError:
        return -1, ""
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
