"""Sessions follow a simple model of them, in random walks over both stores.

For more walks than the tests take: ``make reliability ARGS="walks"``.
"""

from __future__ import annotations

import pytest

from reliability.walks import run_walks
from tests.support.redis import RedisServer

# In 60 walks, so that nothing is out of reach. They are the same every time, but for
# constants of whatever modules are loaded, which Hypothesis likes to try: far less
# than was ever seen of them.
LEAST = {
    "cycle": 10,
    "delete": 5,
    "gathered": 4,
    "member": 40,
    "move": 5,
    "replay": 5,
    "restart": 20,
    "taken back": 4,
}


def walked(url: str) -> None:
    done = run_walks(url, 60, again=True).kinds
    assert {kind: min(done[kind], least) for kind, least in LEAST.items()} == LEAST
    assert done.keys() == LEAST.keys()


@pytest.mark.slow
def test_walks_on_sqlite_follow_the_model() -> None:
    walked("sqlite:")


@pytest.mark.slow
def test_walks_on_redis_follow_the_model(redis_server: RedisServer) -> None:
    walked(redis_server.url)
