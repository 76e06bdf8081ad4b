"""Pages end where documents are long, and the next ones go on from there."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from service.sessions import Sessions, SessionSpec, machine
from service.stores import Store
from tests.support.stores import Clock

SPEC = SessionSpec(state_dim=2, measurement_dim=1)


async def test_pages_of_sessions_are_cut_by_bytes(
    sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "PAGE_BYTES", 10_000)
    made = []
    for length in (10, 4000, 4000, 10, 4000, 50_000, 50_000, 10):
        made.append(
            await sessions.create("t", replace(SPEC, metadata={"a": "x" * length}))
        )
        clock.advance(0.01)
    pages, after = [], None
    while True:
        found, after = await sessions.list("t", after=after, limit=100)
        pages.append(found)
        if after is None:
            break
        assert after == found[-1].id
    assert [len(page) for page in pages] == [4, 1, 1, 1, 1]
    assert list(chain(*pages)) == made


async def test_pages_of_cycles_are_cut_by_bytes(
    sessions: Sessions, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await sessions.create("t", SPEC)
    arrays = np.zeros((3, 2)), np.zeros((3, 1)), np.zeros(1)
    for k in range(1, 13):
        # The record of the sixth alone is more than a page.
        options = {"note": "x" * (20_000 if k == 6 else 1500)}
        await sessions.put_cycle("t", session.id, k, *arrays, options=options)
    size = (await sessions.cycle("t", session.id, 1)).size
    assert 1500 < size < 5000
    monkeypatch.setattr(machine, "PAGE_BYTES", int(3.5 * size))
    pages, after = [], 0
    while after < 12:
        found = await sessions.cycles("t", session.id, after=after, limit=1000)
        pages.append([cycle.cycle for cycle in found])
        after = pages[-1][-1]
    assert list(chain(*pages)) == list(range(1, 13))
    assert [6] in pages and max(map(len, pages)) == 3
    read = []
    plain = store.records

    async def counted(tenant: str, sid: str, names: list[str]) -> object:
        read.extend(names)
        return await plain(tenant, sid, names)

    monkeypatch.setattr(store, "records", counted)
    assert len(await sessions.cycles("t", session.id, limit=1000)) == 3
    assert len(read) <= 4
