"""One service for the tests of the client, and pairs to send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli.demo.processes import Service
from service.client import Client
from tests.support.servers import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that runs through all tests."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of that service."""
    with Client(server.url) as connected:
        yield connected


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Service]:
    """A service of one test's own, which comes back at the same address."""
    with Service(f"sqlite:///{tmp_path}/sessions.sqlite", tmp_path / "log") as running:
        yield running
