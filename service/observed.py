"""The session store, with every call to it timed, counted and bounded in time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from functools import wraps
from typing import Any, cast

from service.metrics import Metrics
from service.stores import Store
from service.stores.errors import StoreUnavailable

# Longer than a store takes that is only slow, megabytes and turns included.
STORE_SECONDS = 60.0
# These know an end of their own, and tell of it otherwise.
_UNBOUNDED = ("open", "close", "health")


def observed(store: Store, metrics: Metrics) -> Store:
    """The same store; each of its calls is noted in the metrics."""
    return cast(Store, _Observed(store, metrics))


async def _in_time(call: Awaitable[Any]) -> Any:
    """What the store answers, unless it keeps a request waiting for ever.

    A write that waits for its turn is taken out of the queue; one that has begun may
    still be applied, and is recognised when it is sent again.
    """
    limit = asyncio.timeout(STORE_SECONDS)
    try:
        async with limit:
            return await call
    except TimeoutError:
        if not limit.expired():
            raise
        told = f"it did not answer within {STORE_SECONDS:g} seconds"
        raise StoreUnavailable(told) from None


class _Observed:
    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(found):
            return found

        @wraps(found)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with self._metrics.store_call(name):
                answer = found(*args, **kwargs)
                return await (answer if name in _UNBOUNDED else _in_time(answer))

        # Found at once the next time.
        setattr(self, name, call)
        return call
