"""Models on a server that behaves badly, in every way that one can."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

NASTY = ("slow", "drip", "huge", "redirect", "short", "text", "error", "ragged", "gzip")


class Nasty(BaseHTTPRequestHandler):
    """Every way to be a bad model; which one, the name of the model says."""

    protocol_version = "HTTP/1.1"
    at_once = most = redirected = 0
    lock = threading.Lock()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        type(self).redirected += 1
        self._answer(200, b'{"output": [[0, 0, 0]]}')

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        asked = json.loads(self.rfile.read(length))
        # The other side may have given up.
        with suppress(OSError):
            getattr(self, asked["name"])(asked)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def good(self, asked: Any) -> None:
        kind = type(self)
        with self.lock:
            kind.at_once += 1
            kind.most = max(kind.most, kind.at_once)
        time.sleep(0.05)
        with self.lock:
            kind.at_once -= 1
        self._answer(200, json.dumps({"output": asked["input"]}).encode())

    def slow(self, asked: Any) -> None:
        time.sleep(3)

    def drip(self, asked: Any) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(30):
            self.wfile.write(b" ")
            time.sleep(0.1)

    def huge(self, asked: Any) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(200):
            self.wfile.write(b"1," * 4096)

    def redirect(self, asked: Any) -> None:
        self._answer(302, b"", Location="/Evaluate")

    def short(self, asked: Any) -> None:
        self._answer(200, b'{"output": [[1.0]]}')

    def text(self, asked: Any) -> None:
        self._answer(500, b"Traceback: \x1b[31mno such thing")

    def error(self, asked: Any) -> None:
        self._answer(200, b'{"error": {"type": "X", "message": "I will not"}}')

    def ragged(self, asked: Any) -> None:
        self._answer(200, b'{"output": [[1.0, [2.0], 3.0]]}')

    def gzip(self, asked: Any) -> None:
        self._answer(200, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
