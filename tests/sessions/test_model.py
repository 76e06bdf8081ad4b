"""Sessions follow a simple model of them, in random walks over both stores.

For more walks than the tests take: ``make reliability ARGS="walks"``.
"""

from __future__ import annotations

import pytest

from reliability.walks import run_walks
from tests.support.redis import RedisServer

# Of some 60 walks; how long they are is left to chance, and so some are short.
LEAST = 60


@pytest.mark.slow
def test_walks_on_sqlite_follow_the_model() -> None:
    assert run_walks("sqlite:", 60).operations > LEAST


@pytest.mark.slow
def test_walks_on_redis_follow_the_model(redis_server: RedisServer) -> None:
    assert run_walks(redis_server.url, 60).operations > LEAST
