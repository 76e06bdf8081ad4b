"""Small real servers that misbehave on purpose, for the client to meet."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PATIENCE = 20.0


class Recorder:
    """Answers every request from a script and keeps the bytes that came.

    An answer is raw bytes, or ``None`` to close the connection without any. The last
    one is repeated; without any, every request stays unanswered.
    """

    def __init__(self, answers: list[bytes | None], *, port: int = 0) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._closed = threading.Event()

    def serve(self) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with connection, suppress(OSError):
            while (request := read_message(connection)) is not None:
                self.requests.append(request)
                if not self._answers:
                    self._closed.wait(PATIENCE)
                    return
                place = min(len(self.requests), len(self._answers)) - 1
                answer = self._answers[place]
                if answer is None:
                    return
                connection.sendall(answer)


class Proxy:
    """Passes bytes on to a service; loses the replies that ``loses`` picks.

    A lost reply is one that the service did give: it is read in full, then the
    client's connection is closed instead.
    """

    def __init__(self, port: int, loses: Callable[[bytes, int], bool]) -> None:
        self._port = port
        self.loses = loses
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lost: list[bytes] = []
        self.requests: list[bytes] = []

    def serve(self) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(PATIENCE)
        with (
            client,
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port), PATIENCE) as service,
        ):
            while (request := read_message(client)) is not None:
                self.requests.append(request)
                service.sendall(request)
                reply = read_message(service)
                if reply is None:
                    return
                if self.loses(request, len(self.requests)):
                    self.lost.append(reply)
                    return
                client.sendall(reply)


@contextmanager
def running(server: Recorder | Proxy) -> Iterator[None]:
    """Serve in a thread for the length of a block."""
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.close()
        thread.join(PATIENCE)


def read_message(connection: socket.socket) -> bytes | None:
    """One HTTP/1.1 message with a Content-Length, or ``None`` at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    missing = (int(length[1]) if length else 0) - len(body)
    while missing > 0:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
        missing -= len(piece)
    return data


def answer(
    status: int, body: bytes = b"", media_type: str = "application/json", **headers: str
) -> bytes:
    """The bytes of an HTTP answer; header names take hyphens for underscores."""
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}"]
    if body:
        lines.append(f"Content-Type: {media_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def body_of(request: bytes) -> bytes:
    """The body of a recorded request."""
    return request.partition(b"\r\n\r\n")[2]


def normal(request: bytes) -> bytes:
    """A request without what may differ: the boundary of its form and the port."""
    boundary = re.search(rb"boundary=([0-9a-f]+)", request)
    if boundary:
        request = request.replace(boundary[1], b"BOUNDARY")
    return re.sub(rb"127\.0\.0\.1:\d+", b"HOST", request)
