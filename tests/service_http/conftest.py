"""One service for most tests, and requests to it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.redis import own_redis
from tests.support.servers import PATIENCE, Server, serving

__all__ = ["own_redis"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the settings it has by default."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    """A plain HTTP client of that service."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        yield client
