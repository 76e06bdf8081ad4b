"""A breaker: stop asking a server that does not answer, and notice when it does.

Closed, every call goes through. After a few failures in a row it opens, and calls are
refused at once. After a pause one call goes through as a probe: its success closes the
breaker, its failure opens it for another pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class BreakerOpen(Exception):
    """The call was refused without trying.

    Attributes:
        wait: seconds until the next probe.
    """

    def __init__(self, wait: float) -> None:
        self.wait = wait
        super().__init__(f"not tried; next probe in {wait:.1f} s")


class Breaker:
    """Counts failures in a row.

    Args:
        threshold: failures in a row that open it.
        pause: seconds between probes.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        threshold: int = 3,
        pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._pause = pause
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last calls have failed."""
        return self._failures >= self._threshold

    def close(self) -> None:
        """Somebody has seen the server answer."""
        self._failures = 0

    @contextmanager
    def guard(
        self,
        failures: tuple[type[Exception], ...],
        unsaid: tuple[type[Exception], ...] = (),
    ) -> Iterator[None]:
        """Let a call through, or refuse it, and learn from how it ends.

        Args:
            failures: exceptions that mean no answer; any other one is an answer.
            unsaid: exceptions among them that say nothing about the server.

        Raises:
            BreakerOpen: when the call is refused.
        """
        now = self._clock()
        if self.is_open:
            if now < self._probe_at:
                raise BreakerOpen(self._probe_at - now)
            # Others wait for what this probe finds out.
            self._probe_at = now + self._pause
        try:
            yield
        except unsaid:
            raise
        except failures:
            self._failures += 1
            self._probe_at = self._clock() + self._pause
            raise
        except Exception:
            self.close()
            raise
        self.close()
