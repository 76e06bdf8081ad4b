"""Inputs of the last cycles are kept, and quotas hold for everything that is stored."""

from __future__ import annotations

import numpy as np
import pytest

from service.sessions import QuotaExceeded, Session, Sessions, SessionSpec
from service.sessions.documents import input_blobs
from service.stores import Quota, Store
from service.stores.codec import unpack_array
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock

SPEC = SessionSpec(state_dim=3, measurement_dim=2, seed=1, keep_analyses=2)


async def _kept(store: Store, session: Session) -> list[int]:
    """Cycles whose inputs are there, all three or none."""
    found = []
    for k in range(1, session.cycle + 1):
        there = [
            await store.blob("t", session.id, name) is not None
            for name in input_blobs(k)
        ]
        assert len(set(there)) == 1
        found += [k] if there[0] else []
    return found


async def test_inputs_of_the_last_cycles_are_kept_whatever_the_setting_was(
    store: Store, clock: Clock
) -> None:
    sid, k = "", 0
    expected = {
        2: [[1], [1, 2], [2, 3]],
        1: [[4], [5]],
        0: [[], []],
        3: [[8], [8, 9], [8, 9, 10], [9, 10, 11]],
    }
    for inputs, after in expected.items():
        sessions = Sessions(store, SmallAnalysis(), clock, keep_inputs=inputs)
        sid = sid or (await sessions.create("t", SPEC)).id
        for wanted in after:
            k += 1
            await sessions.put_cycle("t", sid, k, *forecast(k))
            session = await sessions.get("t", sid)
            assert await _kept(store, session) == wanted
            assert session.inputs_from == (wanted[0] if wanted else 0)
    for name, array in zip(input_blobs(11), forecast(11), strict=True):
        payload = await store.blob("t", sid, name)
        assert payload is not None
        np.testing.assert_array_equal(unpack_array(payload), array)


async def test_a_quota_refuses_sessions_and_cycles_and_leaves_them_as_they_were(
    store: Store, clock: Clock
) -> None:
    free = Sessions(store, SmallAnalysis(), clock)
    session = await free.create("t", SPEC)
    await free.put_cycle("t", session.id, 1, *forecast(1))
    before = await free.get("t", session.id)
    used = (await store.usage("t")).bytes
    quota = Quota(sessions=1, bytes=used + 100)
    bound = Sessions(store, SmallAnalysis(), clock, quota=quota)
    with pytest.raises(QuotaExceeded, match="At most 1 sessions"):
        await bound.create("t", SPEC)
    with pytest.raises(QuotaExceeded, match="bytes"):
        await bound.put_cycle("t", session.id, 2, *forecast(2))
    with pytest.raises(QuotaExceeded, match="bytes"):
        await bound.update(
            "t", session.id, metadata={"note": "x" * 4000, "y": [*range(999)]}
        )
    assert await bound.get("t", session.id) == before
    assert (await bound.put_cycle("t", session.id, 1, *forecast(1))).replayed
    # Another tenant has a quota of its own.
    assert (await bound.create("u", SPEC)).cycle == 0
    await free.put_cycle("t", session.id, 2, *forecast(2))
