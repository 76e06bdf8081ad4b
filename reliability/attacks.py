"""Input that means harm, one function each; answers are counted by status.

Statuses that are none: 0 a connection that was closed without one, -1 one that was
neither answered nor closed in the time that it was given.
"""

from __future__ import annotations

import gzip
import json
import pickle
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np

from reliability.documents import large_sessions
from reliability.raw import connect, dripping, end_of, ended, held, message
from reliability.readers import slow_readers, unread_replays
from service.media.multipart import encode_multipart
from service.media.npy import MAGIC, encode_npy

Answers = Counter[int]
Attack = Callable[[int, int], Answers]
HOST = {"Host": "127.0.0.1"}
JSON_HEADERS = {**HOST, "Content-Type": "application/json"}
ANALYSES = "/v1/analyses"
MB = 1 << 20


def _each(port: int, requests: Iterable[bytes]) -> Answers:
    return Counter(ended(port, request) for request in requests)


def _posted(body: bytes, content_type: str = "application/json") -> bytes:
    return message("POST", ANALYSES, {**HOST, "Content-Type": content_type}, body)


def _form(states: bytes, params: bytes = b"{}") -> bytes:
    rest = [("simulated_measurements", np.ones((2, 1))), ("observation", np.ones(1))]
    parts = [("forecast_states", "application/x-npy", states)]
    parts += [(name, "application/x-npy", encode_npy(value)) for name, value in rest]
    kind, body = encode_multipart([*parts, ("params", "application/json", params)])
    return _posted(body, kind)


def _npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("latin-1")
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return MAGIC + bytes([version, 0]) + length + text + data


def npy_bombs(port: int, times: int) -> Answers:
    """npy of 128 bytes that claims 80 GB, or more than 2^64 bytes"""
    shapes = ["(10000000000,)", "(100000, 100000)", "(4294967296, 4294967296, 2)"]
    head = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}, }}\n"
    bombs = [_npy(head.format(shape)) for shape in shapes]
    return _each(port, [_form(bomb) for bomb in bombs * times])


def npy_headers(port: int, times: int) -> Answers:
    """npy with a header of 4 GB, of brackets only, of code, or of pickled objects"""
    pickled = pickle.dumps(np.array([{}], dtype=object))
    code = "__import__('os').system('true')"
    objects = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    files = [
        MAGIC + b"\x02\x00" + b"\xff\xff\xff\xff" + b"{" * 100,
        _npy("(" * 60_000),
        _npy("{'descr': '<f8', 'shape': (" + "9" * 5000 + ",), }"),
        _npy(code),
        _npy(objects, pickled),
    ]
    return _each(port, [_form(file) for file in files * times])


def zip_bombs(port: int, times: int) -> Answers:
    """gzip of 1 GB of zeros in 1 MB, as content and as transfer encoding"""
    packed = gzip.compress(bytes(64 * MB), 9) * 16
    as_content = {**JSON_HEADERS, "Content-Encoding": "gzip"}
    twice = {**JSON_HEADERS, "Content-Encoding": "gzip, gzip"}
    line = f"POST {ANALYSES} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    transfer = f"{line}Transfer-Encoding: gzip, chunked\r\n\r\n".encode()
    requests = [
        message("POST", ANALYSES, as_content, packed),
        message("POST", ANALYSES, twice, packed),
        transfer + b"%x\r\n" % len(packed) + packed + b"\r\n0\r\n\r\n",
    ]
    return _each(port, requests * times)


def lying_lengths(port: int, times: int) -> Answers:
    """Content-Length too short, too long by 10^18, negative, double, or with chunks"""
    body = b'{"seed": 1}'
    line = f"POST {ANALYSES} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
    line += b"Content-Type: application/json\r\n"
    lies = [b"10" + b"0" * 17, b"-1", b"+11", b"1_1", b"0x11", b"11, 12", b" ", b"\xb2"]
    requests = [line + b"Content-Length: " + lie + b"\r\n\r\n" + body for lie in lies]
    twice = b"Content-Length: 11\r\nContent-Length: 5\r\n\r\n"
    both = b"Content-Length: 11\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests += [line + twice + body, line + both + body]
    requests += [line + b"Content-Length: 3\r\n\r\n" + body]
    return _each(port, requests * times)


def bodies_that_stop(port: int, times: int) -> Answers:
    """Bodies of which half comes and then nothing, all at once"""
    request = message("POST", ANALYSES, JSON_HEADERS, b'{"seed"', length=MB)
    return held(port, [request] * 10 * times)


def slow_heads(port: int, times: int) -> Answers:
    """Heads that come a byte at a time, all at once"""
    return dripping(port, b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX:", 10 * times)


def slow_bodies(port: int, times: int) -> Answers:
    """Bodies that come a byte at a time, all at once"""
    head = message("POST", ANALYSES, JSON_HEADERS, b"", length=MB)
    return dripping(port, head, 10 * times)


def tiny_parts(port: int, times: int) -> Answers:
    """Multipart of 1 000 000 tiny parts"""
    plain = b"--b\r\nA:b\r\n\r\n\r\n" * 1_000_000 + b"--b--\r\n"
    named = b'--b\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n\r\n'
    distinct = b"".join(named % number for number in range(200_000)) + b"--b--\r\n"
    empty = b"--b\r\n" * 1_000_000
    kind = "multipart/form-data; boundary=b"
    bodies = [plain, distinct, empty][: max(1, times)]
    return _each(port, [_posted(body, kind) for body in bodies])


def deep_json(port: int, times: int) -> Answers:
    """JSON nested 100 000 deep, or with 500 000 names"""
    many = json.dumps({f"n{number}": 0 for number in range(500_000)}).encode()
    bodies = [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"forecast_states":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"options":' + b'{"a":' * 900 + b"1" + b"}" * 901,
        many,
    ]
    return _each(port, [_posted(body) for body in bodies * times])


def long_strings(port: int, times: int) -> Answers:
    """One string, or run of escapes, of 4 MiB: as JSON, and beside arrays"""
    texts = [b'{"a": "' + piece * 2**21 + b'"}' for piece in (b"xx", b"\\n")]
    parts = [encode_multipart([("params", "application/json", x)]) for x in texts]
    forms = [_posted(body, kind) for kind, body in parts]
    return _each(port, [*map(_posted, texts), *forms] * times)


def long_numbers(port: int, times: int) -> Answers:
    """Integers of 5 000 and 1 000 000 digits, exponents beyond doubles"""
    digits = ["9" * 5000, "9" * 1_000_000, "1e5000", "-1e999999999", "0." + "9" * 10**6]
    places = ['{{"seed": {}}}', '{{"forecast_states": [[{}]]}}']
    places.append('{{"options": {{"steps": {}}}}}')
    bodies = [place.format(number).encode() for number in digits for place in places]
    return _each(port, [_posted(body) for body in bodies * times])


def huge_shapes(port: int, times: int) -> Answers:
    """Sessions and analyses of sizes nobody has, rows without numbers"""
    session = {"state_dim": 10**9, "measurement_dim": 10**9}
    gaussian = {"initial_mean": [0.0] * 1000, "initial_std": 1.0, "members": 10**12}
    wide = encode_npy(np.zeros((2, 500_000)))
    narrow = encode_npy(np.zeros((1_000_000, 1)))
    rows = b'{"forecast_states": [' + b"[]," * 3_000_000 + b"[]]}"
    samples = b'{"options": {"n_samples": 1000000000000}}'
    made = [session, {"state_dim": 1000, "measurement_dim": 1, **gaussian}]
    requests = [
        message("POST", "/v1/sessions", JSON_HEADERS, json.dumps(item).encode())
        for item in made
    ]
    requests += [_form(wide), _form(narrow), _posted(rows)]
    requests += [_form(encode_npy(np.ones((2, 1))), samples)]
    return _each(port, requests * times)


def long_json(port: int, times: int) -> Answers:
    """As many numbers as a JSON body can hold, in one row and in many"""
    row = b"[" + b"0," * (7 * MB) + b"0]"
    short = b"[" + b"[0]," * (3 * MB) + b"[0]]"
    bodies = [
        b'{"forecast_states": [' + row + b"]}",
        b'{"forecast_states": ' + short + b"}",
    ]
    return _each(port, [_posted(body) for body in bodies * times])


def bodies_at_once(port: int, times: int) -> Answers:
    """Forty bodies of nearly the most bytes, held at the same time"""
    body = bytes(15 * MB)
    request = message("POST", ANALYSES, JSON_HEADERS, body, length=len(body) + 10)
    return held(port, [request] * 40)


def header_floods(port: int, times: int) -> Answers:
    """10 000 headers, headers of 1 MB, folded and broken ones"""
    line = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    requests = [
        line + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)) + b"\r\n",
        line + b"X: " + b"y" * MB + b"\r\n\r\n",
        line + b"X" * MB + b": y\r\n\r\n",
        line + b"X: y\r\n z\r\n\r\n",
        line + b"X : y\r\n\r\n",
        line + b"X: \x00\r\n\r\n",
        line + b"X: y\nZ: \r\n\r\n",
        b"GET /" + b"a" * MB + b" HTTP/1.1\r\n\r\n",
        b"GET /livez?" + b"a=b&" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"G" * MB,
        b"\r\n" * 100_000,
    ]
    return _each(port, requests * times)


def costly_headers(port: int, times: int) -> Answers:
    """Accept, If-None-Match, Cookie and others with thousands of entries"""
    values = {
        "Accept": "a/b;q=0.1," * 5000,
        "If-None-Match": '"a",' * 10_000 + "!",
        "Content-Type": "multipart/form-data; " + "a=" * 20_000,
        "Cookie": "a=b;" * 12_000,
        "Authorization": "Bearer " + "a" * 50_000,
        "Prefer": "return=minimal," * 3000,
        "X-Request-ID": "a" * 50_000,
        "Traceparent": "00-" + "0" * 50_000,
        "Ccdm-Timeout": "1" * 50_000,
        "Host": "a." * 25_000,
    }
    requests = []
    for name, value in values.items():
        headers = {**HOST, name: value}
        requests.append(message("GET", "/v1/sessions/none", headers))
        requests.append(message("POST", ANALYSES, {**headers, "Expect": "nothing"}))
    return _each(port, requests * times)


def duplicate_headers(port: int, times: int) -> Answers:
    """Host, Content-Type, Authorization and others twice with other values"""
    line = b"GET /v1/sessions/none HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    twice = [
        b"Host: evil\r\n",
        b"Content-Type: application/json\r\nContent-Type: text/plain\r\n",
        b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        b"X-API-Key: a\r\nX-API-Key: b\r\n",
        b"Accept: text/csv\r\nAccept: image/png\r\n",
        b'If-Match: "1"\r\nIf-Match: "2"\r\n',
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Connection: close\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
    ]
    return _each(port, [line + item + b"\r\n" for item in twice] * times)


def path_tricks(port: int, times: int) -> Answers:
    """Paths that climb, are encoded twice, hold NUL or name other hosts"""
    up = ["..", "%2e%2e", "..%2f..", "%252e%252e", "..%5c..", "%c0%ae%c0%ae", "....//"]
    roots = ["/static", "/problems", "/v1/sessions", "/dashboard", "/dashboard/static"]
    paths = [f"{root}/{step}/{step}/{step}/etc/passwd" for root in roots for step in up]
    paths += [f"{root}/%00" for root in roots] + ["//etc/passwd", "/static//etc/passwd"]
    paths += ["http://evil.example/livez", "*", "/v1/sessions/%0d%0aX:%20y", "/\x7f"]
    paths += ["/v1/sessions/" + "a" * 50_000, "/static/../../service/app.py"]
    return _each(port, [message("GET", path, HOST) for path in paths * times])


def other_protocols(port: int, times: int) -> Answers:
    """TLS, HTTP/2, HTTP/0.9, WebSocket and noise on the same port"""
    upgrade = {**HOST, "Connection": "Upgrade", "Upgrade": "websocket"}
    upgrade |= {
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    requests = [
        bytes.fromhex("16030100c8010000c40303") + bytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        message("GET", "/livez", upgrade),
        bytes(range(256)) * 64,
        b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"CONNECT evil:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ]
    return _each(port, requests * times)


def chunk_floods(port: int, times: int) -> Answers:
    """Bodies in 200 000 chunks of a byte, and chunk sizes that are none"""
    line = b"POST /v1/analyses HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    line += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests = [
        line + b"1\r\n[\r\n" * 200_000 + b"0\r\n\r\n",
        line + b"1;" + b"a=b;" * 100_000 + b"\r\n[\r\n0\r\n\r\n",
        line + b"ffffffffffffffffff\r\n[",
        line + b"-1\r\n[\r\n0\r\n\r\n",
        line + b"0\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    ]
    return _each(port, requests * times)


def pipelines(port: int, times: int) -> Answers:
    """2 000 requests in one piece, of which no answer is read"""
    one = message("GET", "/v1/sessions/none", HOST)
    found: Answers = Counter()
    for _ in range(times):
        with connect(port) as connection:
            connection.settimeout(2.0)
            with suppress(OSError):
                connection.sendall(one * 2000)
            time.sleep(0.5)
            found[end_of(connection, time.monotonic() + 2)] += 1
    return found


def idle_connections(port: int, times: int) -> Answers:
    """Hundreds of connections that say nothing"""
    return held(port, [b""] * 100 * times)


ATTACKS: tuple[Attack, ...] = (
    npy_bombs,
    npy_headers,
    zip_bombs,
    lying_lengths,
    bodies_that_stop,
    slow_heads,
    slow_bodies,
    tiny_parts,
    deep_json,
    long_strings,
    long_numbers,
    huge_shapes,
    long_json,
    bodies_at_once,
    header_floods,
    costly_headers,
    duplicate_headers,
    path_tricks,
    other_protocols,
    chunk_floods,
    pipelines,
    slow_readers,
    unread_replays,
    large_sessions,
    idle_connections,
)
