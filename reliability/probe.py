"""A probe that asks on a schedule, whatever the answers before took.

Each answer's time counts from when it was due: a service that stands still for a
second delays every probe of that second, and all of them show it.
"""

from __future__ import annotations

import http.client
import threading
import time

EVERY = 0.05
PATIENCE = 60.0


class Probe:
    """``GET /livez`` twenty times a second, on one connection while it lasts.

    Attributes:
        taken: milliseconds from when each probe was due to its answer, or failure.
        failed: how many were not answered 200.
        expected: how many there should have been; known in the end.
    """

    def __init__(self, port: int, patience: float = PATIENCE) -> None:
        self.taken: list[float] = []
        self.failed = 0
        self.expected = 0
        self._connection = http.client.HTTPConnection("127.0.0.1", port, patience)
        self._patience = patience
        self._done = threading.Event()
        self._began = self._ended = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Ask no more than is due by now, and wait for that."""
        self._ended = time.monotonic()
        self._done.set()
        self._thread.join(self._patience)
        self.expected = int((self._ended - self._began) / EVERY)

    def _work(self) -> None:
        while True:
            due = self._began + EVERY * len(self.taken)
            self._done.wait(max(0.0, due - time.monotonic()))
            if self._done.is_set() and due > self._ended:
                break
            answered = self._ask()
            self.taken.append(1000 * (time.monotonic() - due))
            self.failed += not answered
        self._connection.close()

    def _ask(self) -> bool:
        try:
            self._connection.request("GET", "/livez")
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            # The next request makes a connection of its own.
            self._connection.close()
            return False
        return answer.status == 200
