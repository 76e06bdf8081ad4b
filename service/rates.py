"""So many requests a second for each tenant: one bucket of tokens for each.

A bucket holds up to ``burst`` tokens and gains ``per_second`` of them a second; a
request takes one. Every process counts for itself: with several, each tenant may have
so many requests in each of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from service.errors import TooManyRequestsError


class Rates:
    """Lets requests through, or says when to come back.

    Args:
        per_second: requests a second for one tenant; ``None`` is no limit.
        burst: requests at once after a pause.
        what: what is counted, after their number.
        clock: seconds.
    """

    def __init__(
        self,
        per_second: float | None,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        what: str = "requests a second are allowed for all keys of a tenant.",
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._what = what
        # Tokens of each tenant, and when they were counted. Tenants come from the
        # settings, so there are few.
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, tenant: str) -> None:
        """Let one request of a tenant through.

        Raises:
            TooManyRequestsError: when it has none left.
        """
        if self._per_second is None:
            return
        now = self._clock()
        tokens, counted = self._buckets.get(tenant, (self._burst, now))
        tokens = min(self._burst, tokens + (now - counted) * self._per_second)
        if tokens < 1:
            self._buckets[tenant] = tokens, now
            seconds = math.ceil((1 - tokens) / self._per_second)
            detail = f"{self._per_second:g} {self._what}"
            raise TooManyRequestsError(detail, seconds)
        self._buckets[tenant] = tokens - 1, now
