"""When to send a request again, decided without sending or waiting.

A request that is *repeatable* is sent again after any transport error and after 429
and 503. One that is not (the creation of a session) is sent again only when it is
certain that the service did nothing: no connection, or turned away as too busy.
Waiting grows as ``first_delay * 2^n`` up to ``longest_delay``, each with up to half of
it taken away at random so that many clients do not return together; a ``Retry-After``
of the service is the least that is waited.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.client.errors import ConnectionFailedError, TransportError
from service.client.messages import Reply, Request
from service.client.transport import Outcome

_BUSY = (429, 503)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often to try.

    Attributes:
        give_up_after: seconds since the first attempt after which no other is begun;
            0 never repeats.
        first_delay, longest_delay: seconds to wait before the second attempt, and
            the most to wait before any.
    """

    give_up_after: float = 20.0
    first_delay: float = 0.1
    longest_delay: float = 5.0


@dataclass(frozen=True, slots=True)
class Retry:
    """What ``on_retry`` is told before each repetition."""

    request: Request
    attempt: int
    delay: float
    reason: str


@dataclass(slots=True)
class Attempts:
    """The attempts at one request so far."""

    policy: RetryPolicy
    request: Request
    clock: Callable[[], float] = time.monotonic
    spread: Callable[[], float] = random.random
    count: int = 0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self.started = self.clock()

    def next(self, outcome: Outcome) -> Retry | None:
        """The repetition to make after this outcome, or ``None`` to stop."""
        self.count += 1
        if not _worth_repeating(self.request, outcome):
            return None
        grown = self.policy.first_delay * 2 ** min(self.count - 1, 30)
        delay = min(grown, self.policy.longest_delay) * (1 - 0.5 * self.spread())
        if isinstance(outcome, Reply):
            delay = max(delay, retry_after(outcome) or 0.0)
        if self.clock() - self.started + delay > self.policy.give_up_after:
            return None
        return Retry(self.request, self.count, delay, _reason(outcome))


def retry_after(reply: Reply) -> float | None:
    """Seconds that the service asks to wait: ``Retry-After`` as number or date."""
    text = reply.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())


def _worth_repeating(request: Request, outcome: Outcome) -> bool:
    if isinstance(outcome, ConnectionFailedError):
        return True
    if isinstance(outcome, TransportError):
        return request.repeatable
    turned_away = outcome.status == 429 or b"too-busy" in outcome.body
    return outcome.status in _BUSY and (request.repeatable or turned_away)


def _reason(outcome: Outcome) -> str:
    if isinstance(outcome, Reply):
        return f"the service answered {outcome.status}"
    return str(outcome)
