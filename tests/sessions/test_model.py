"""Sessions follow a simple model of them, in random walks over both stores.

For more walks than the tests take::

    python -m tests.sessions.test_model --walks 2000
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.sessions.walk import Walk
from tests.support.redis import RedisServer


def _walk(url: str, examples: int) -> None:
    walk = type("WalkOn" + url.partition(":")[0], (Walk,), {"url": url})
    walks = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    # A server that a busy machine has forgotten for two seconds is not what is asked.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.stores.redis_link.ANSWER_SECONDS", 60.0)
        run_state_machine_as_test(walk, settings=walks)


@pytest.mark.slow
def test_walks_on_sqlite_follow_the_model() -> None:
    _walk("sqlite:", 60)


@pytest.mark.slow
def test_walks_on_redis_follow_the_model(redis_server: RedisServer) -> None:
    _walk(redis_server.url, 60)


def main() -> None:
    """So many walks over each store; nothing is said unless one fails."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--walks", type=int, default=2000)
    walks = parser.parse_args().walks
    _walk("sqlite:", walks)
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(Path(folder) / "redis", appendonly="yes") as server,
    ):
        _walk(server.url, walks)
    print(f"{walks} walks over each store follow the model")


if __name__ == "__main__":
    main()
