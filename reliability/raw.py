"""Requests as bytes, for clients that do not behave."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from reliability.ledger import Account
from service.client import calls

PATIENCE = 30.0
# That a connection may stay open which says nothing, or hardly anything.
HELD = 20.0


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


def ended(port: int, data: bytes, seconds: float = PATIENCE) -> int:
    """The status that is answered, or how it ends without one.

    Args:
        port: of whom it is sent to.
        data: what is sent.
        seconds: without a word after which it is taken to be left open.
    """
    answer = b""
    with connect(port) as connection:
        connection.settimeout(seconds)
        with suppress(OSError):
            connection.sendall(data)
        try:
            while piece := connection.recv(65536):
                answer += piece
                if whole(answer):
                    break
        except TimeoutError:
            return status_of(answer) or -1
        except OSError:
            pass
    return status_of(answer)


def end_of(connection: socket.socket, end: float, most: int = 65536) -> int:
    """The same for a connection that was spoken to: what has come by ``end``."""
    connection.settimeout(max(0.01, end - time.monotonic()))
    try:
        return status_of(connection.recv(most))
    except TimeoutError:
        return -1
    except OSError:
        return 0


def held(port: int, requests: Sequence[bytes], seconds: float = HELD) -> Counter[int]:
    """Open all, send what each has, and see how each ends."""
    found: Counter[int] = Counter()
    with ExitStack() as stack:
        connections = []
        for request in requests:
            try:
                connection = stack.enter_context(connect(port))
            except TimeoutError:
                found[-1] += 1
                continue
            connections.append(connection)
            connection.settimeout(seconds)
            with suppress(OSError):
                connection.sendall(request)
        end = time.monotonic() + seconds
        found.update(end_of(connection, end) for connection in connections)
    return found


def dripping(
    port: int, start: bytes, count: int, seconds: float = HELD
) -> Counter[int]:
    """Open many, and let bytes drip into each until it ends or time is over."""
    found: Counter[int] = Counter()
    with ExitStack() as stack:
        left = [stack.enter_context(connect(port)) for _ in range(count)]
        for connection in left:
            with suppress(OSError):
                connection.sendall(start)
        end = time.monotonic() + seconds
        while left and time.monotonic() < end:
            time.sleep(0.2)
            for connection in list(left):
                if not _drip(connection):
                    left.remove(connection)
                    found[end_of(connection, end)] += 1
        found.update([-1] * len(left))
    return found


def _drip(connection: socket.socket) -> bool:
    """Send one more byte; False once the other side has said something."""
    connection.settimeout(0.0)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        with suppress(OSError):
            connection.send(b"x")
        return True
    except OSError:
        pass
    return False


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
