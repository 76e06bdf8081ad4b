"""The session store, with every call to it timed and counted."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import Any, cast

from service.metrics import Metrics
from service.stores import Store


def observed(store: Store, metrics: Metrics) -> Store:
    """The same store; each of its calls is noted in the metrics."""
    return cast(Store, _Observed(store, metrics))


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
                return await found(*args, **kwargs)

        # Found at once the next time.
        setattr(self, name, call)
        return call
