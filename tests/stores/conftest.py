"""Fixtures of the store tests."""

from tests.support.redis import own_redis, redis_server
from tests.support.stores import clock, open_another, own_store, store, store_url

__all__ = [
    "clock",
    "open_another",
    "own_redis",
    "own_store",
    "redis_server",
    "store",
    "store_url",
]
