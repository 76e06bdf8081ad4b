"""What is watched while an analysis runs; whoever watches does it no harm."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect, Request

from service.compute import progress
from service.compute.progress import Writer, followed
from service.limits import while_connected

Receive = Callable[[], Awaitable[dict[str, Any]]]


async def fails_when_told_to_stop() -> dict[str, Any]:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise ConnectionResetError("while it was cancelled") from None
    raise AssertionError


async def fails_at_once() -> dict[str, Any]:
    raise ConnectionResetError("at once")


async def leaves() -> dict[str, Any]:
    return {"type": "http.disconnect"}


@pytest.fixture
async def complaints() -> list[str]:
    """What asyncio has to say of tasks whose errors nobody looked at."""
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, facts: heard.append(facts["message"]))
    return heard


async def settled() -> None:
    """All that was begun has ended, and what nobody keeps is gone."""
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()


@pytest.mark.parametrize("receive", [fails_when_told_to_stop, fails_at_once])
async def test_a_watcher_with_an_error_of_its_own_hides_nothing(
    receive: Receive, complaints: list[str]
) -> None:
    request = Request({"type": "http"}, receive)

    async def works() -> str:
        await asyncio.sleep(0.01)
        return "done"

    async def breaks() -> str:
        await asyncio.sleep(0.01)
        raise LookupError("its own")

    assert await while_connected(request, works) == "done"
    with pytest.raises(LookupError, match="its own"):
        await while_connected(request, breaks)
    # As when a deadline ends it from outside.
    with anyio.move_on_after(0.01) as patience:
        await while_connected(request, lambda: asyncio.sleep(60))
    assert patience.cancelled_caught
    await settled()
    assert complaints == []


async def test_a_client_that_leaves_stops_the_work(complaints: list[str]) -> None:
    with pytest.raises(ClientDisconnect):
        await while_connected(
            Request({"type": "http"}, leaves), lambda: asyncio.sleep(60)
        )
    await settled()
    assert complaints == []


async def test_progress_that_cannot_be_told_hides_no_result(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    before = len(os.listdir("/proc/self/fd"))

    def refused(share: float, stage: str) -> None:
        raise LookupError("nobody to tell")

    async with followed(refused) as file:
        writer = Writer(file)
        writer("sampling", 1, 2)
        writer.close()
        await asyncio.sleep(0.1)
        # As something that cleans a folder of old files does.
        Path(file).unlink()
        result = "done"
    assert result == "done"
    assert len(os.listdir("/proc/self/fd")) == before
    assert [record.message for record in caplog.records] == [
        "the progress of an analysis could not be told"
    ]
