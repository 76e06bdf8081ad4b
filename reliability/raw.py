"""Requests as bytes, for clients that do not behave."""

from __future__ import annotations

import socket
from contextlib import suppress

from reliability.ledger import Account
from service.client import calls

PATIENCE = 30.0


def cycle_request(account: Account, cycle: int) -> bytes:
    """The bytes of the PUT that the client would send."""
    request = next(calls.cycle(account.session_id, cycle, *account.forecast(cycle)))
    headers = {"Host": "127.0.0.1", **request.headers}
    return message(request.method, request.path, headers, request.body or b"")


def message(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes = b"",
    *,
    length: int | None = None,
) -> bytes:
    """A request of HTTP/1.1; ``length`` is what it says, true or not."""
    every = {**headers, "Content-Length": str(len(body) if length is None else length)}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in every.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def connect(port: int) -> socket.socket:
    """A connection to loopback."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def exchange(port: int, data: bytes, seconds: float = PATIENCE) -> bytes:
    """What is answered until the other side closes or says nothing for a while."""
    answer = b""
    with connect(port) as connection, suppress(OSError):
        connection.settimeout(seconds)
        with suppress(OSError):
            connection.sendall(data)
        while piece := connection.recv(65536):
            answer += piece
            if whole(answer):
                break
    return answer


def whole(answer: bytes) -> bool:
    """Whether an answer with a Content-Length is all there."""
    head, found, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return bool(found) and len(body) >= int(line.partition(b":")[2])
    return False


def status_of(answer: bytes) -> int:
    """Its status, 0 when there was no answer."""
    words = answer[:40].split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
