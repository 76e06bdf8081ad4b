"""Fixtures of the session tests."""

import pytest

from service.sessions import Sessions
from service.stores import Store
from tests.support.analyses import SmallAnalysis
from tests.support.redis import own_redis, redis_server
from tests.support.stores import Clock, clock, open_another, store, store_url

__all__ = ["clock", "open_another", "own_redis", "redis_server", "store", "store_url"]


@pytest.fixture
def analysis() -> SmallAnalysis:
    """The analysis of this test."""
    return SmallAnalysis()


@pytest.fixture
def sessions(store: Store, analysis: SmallAnalysis, clock: Clock) -> Sessions:
    """Sessions on each kind of store in turn."""
    return Sessions(store, analysis, clock)
