"""Large answers find room, or are asked for again; cycles are kept either way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from service import limits
from service.errors import TooBusyError
from service.limits import Bodies
from service.media.bodies import encode_body
from service.routers import cycles
from tests.service_http.bodies import ensemble
from tests.support.servers import in_process

MIB = 1 << 20
LIMITS = {"max_held_bytes": 4 * MIB, "max_body_bytes": MIB}
SIZES = {"state_dim": 100, "measurement_dim": 1}
OPTIONS = {"n_samples": 200, "sampler": "exact"}
ARRAYS = ensemble(40, 100, 1)


@contextmanager
def unsent(http: httpx.AsyncClient) -> Iterator[None]:
    """As many answers as may wait do, for the length of a block."""
    bodies = http._transport.app.state.bodies  # type: ignore[attr-defined]
    bodies.count(2 * MIB)
    yield
    bodies.count(-2 * MIB)


def is_busy(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1


async def test_answers_to_cycles_wait_for_room_and_cycles_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, body = encode_body(ARRAYS, {"options": OPTIONS})
    headers = {"Content-Type": kind, "Accept": "application/octet-stream"}
    async with in_process(tmp_path, **LIMITS) as http:
        made = await http.post("/v1/sessions", json=SIZES)
        place = made.headers["location"]

        async def put(k: int, **more: str) -> httpx.Response:
            address = f"{place}/cycles/{k}"
            return await http.put(address, content=body, headers=headers | more)

        with unsent(http):
            # Before any work.
            assert is_busy(await put(1))
            assert (await http.get(place)).json()["cycle"] == 0
        first = await put(1)
        assert first.status_code == 201 and len(first.content) == 8 * 200 * 100
        with unsent(http):
            assert is_busy(await put(1))
            # Whoever wants little is served.
            brief = {"Accept": "application/json", "Prefer": "return=minimal"}
            assert (await put(1, **brief)).status_code == 200
            # Too late to be known before, as where members come one by one.
            monkeypatch.setattr(cycles, "_answer_bytes", lambda *_: 0)
            late = await put(2)
            assert is_busy(late) and "Cycle 2 is finished" in late.json()["detail"]
        for k in (1, 2):
            again = await put(k)
            assert again.status_code == 200, again.text
            assert again.headers["ccdm-replayed"] == "true"
            assert (again.content == first.content) == (k == 1)


async def test_answers_of_the_facades_are_counted(tmp_path: Path) -> None:
    arrays = [ARRAYS[name] for name in ARRAYS]
    tensors = [
        {"name": name, "shape": x.shape, "datatype": "FP64", "data": x.tolist()}
        for name, x in ARRAYS.items()
    ]
    infer = "/v2/models/ccdm/infer", {"inputs": tensors}
    flat: list[Any] = [x.reshape(-1).tolist() for x in arrays]
    config = {"n": 40, "dx": 100, "dy": 1, "seed": 1}
    call = {"name": "ccdm-analysis", "input": flat, "config": config}
    switches = {"open_inference": True, "umbridge": True}
    async with in_process(tmp_path, **LIMITS, **switches) as http:
        for place, content in (infer, ("/umbridge/Evaluate", call)):
            done = await http.post(place, json=content)
            assert done.status_code == 200, done.text
            with unsent(http):
                assert is_busy(await http.post(place, json=content)), place


async def test_analyses_are_read_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies = Bodies(MIB, 60.0, 4 * MIB)
    under_way = most = 0

    async def read(size: int) -> None:
        nonlocal under_way, most
        async with bodies.reading(size):
            under_way += size
            most = max(most, under_way)
            await anyio.sleep(0.01)
            under_way -= size

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(read, 400_000)
    assert most == 800_000
    # One is read however long it is.
    await read(9 * MIB)
    monkeypatch.setattr(limits, "READ_TURN_SECONDS", 0.05)
    async with bodies.reading(9 * MIB):
        with pytest.raises(TooBusyError):
            await read(1)
    await read(1)
