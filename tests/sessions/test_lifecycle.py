"""Sessions are created, found, changed, deleted, and expire."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.sessions import (
    CycleNotFound,
    SessionGone,
    SessionInputError,
    SessionNotFound,
    Sessions,
    SessionSpec,
    VersionConflict,
)
from service.stores import Store
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock

SPEC = SessionSpec(state_dim=3, measurement_dim=2)
FULL = SessionSpec(
    state_dim=3,
    measurement_dim=2,
    options={"sampler": "exact", "measurement_bandwidth": "inf"},
    seed=2**63 - 1,
    ttl_seconds=90.5,
    initial_ensemble=np.arange(12.0).reshape(4, 3),
    names={"states": ["x", "y", "ζ"], "measurements": ["a", "b"]},
    coordinates={"states": [0.1, 0.2, 0.3]},
    metadata={"who": "\ud83d\ude00", "deep": {"er": [1, None, True]}},
    keep_analyses=3,
)


async def test_a_session_is_as_it_was_asked_for(
    sessions: Sessions, clock: Clock
) -> None:
    session = await sessions.create("t", FULL)
    assert session == await sessions.get("t", session.id)
    for name in (
        *("state_dim", "measurement_dim", "options", "seed", "ttl_seconds", "names"),
        *("coordinates", "metadata", "keep_analyses"),
    ):
        assert getattr(session, name) == getattr(FULL, name)
    assert (session.cycle, session.version, session.members) == (0, 1, 4)
    assert session.created_at == session.updated_at == clock.now
    assert session.expires_at == clock.now + 90.5
    ensemble = await sessions.analysis("t", session.id, 0)
    assert FULL.initial_ensemble is not None
    assert ensemble.tobytes() == FULL.initial_ensemble.tobytes()


async def test_a_session_without_an_ensemble(sessions: Sessions) -> None:
    session = await sessions.create("t", SPEC)
    assert session.members is None
    assert 0 <= session.seed < 2**53
    assert session.keep_analyses == 10
    with pytest.raises(CycleNotFound, match="without an initial ensemble"):
        await sessions.analysis("t", session.id, 0)


async def test_names_and_seeds_are_new_each_time(sessions: Sessions) -> None:
    made = [await sessions.create("t", SPEC) for _ in range(5)]
    assert len({session.id for session in made}) == 5
    assert len({session.seed for session in made}) == 5


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("state_dim", 0),
        ("state_dim", 2.0),
        ("state_dim", True),
        ("measurement_dim", -1),
        ("measurement_dim", "2"),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 1.5),
        ("ttl_seconds", 0),
        ("ttl_seconds", -1.0),
        ("ttl_seconds", math.inf),
        ("ttl_seconds", math.nan),
        ("ttl_seconds", 1e300),
        ("ttl_seconds", "60"),
        ("keep_analyses", 0),
        ("options", []),
        ("options", {"inflation": math.nan}),
        ("options", {"inflation": {1, 2}}),
        ("metadata", {"x": math.inf}),
        ("names", ["x"]),
        ("initial_ensemble", np.zeros((4, 2))),
        ("initial_ensemble", np.zeros(3)),
        ("initial_ensemble", np.zeros((0, 3))),
        ("initial_ensemble", np.array([[1.0, 2.0, math.nan]])),
    ],
    ids=repr,
)
async def test_what_does_not_fit_is_refused_by_name(
    sessions: Sessions, argument: str, value: Any
) -> None:
    with pytest.raises(SessionInputError) as refused:
        await sessions.create("t", replace(SPEC, **{argument: value}))
    assert refused.value.argument == argument
    assert (await sessions.list("t"))[0] == []


async def test_options_are_checked_before_they_are_kept(
    store: Store, analysis: SmallAnalysis, clock: Clock
) -> None:
    def check(options: dict[str, Any]) -> None:
        if "bad" in options:
            raise ValueError("bad option")

    sessions = Sessions(store, analysis, clock, check_options=check)
    with pytest.raises(ValueError, match="bad option"):
        await sessions.create("t", replace(SPEC, options={"bad": 1}))
    session = await sessions.create("t", SPEC)
    with pytest.raises(ValueError, match="bad option"):
        await sessions.update("t", session.id, options={"bad": 1})
    assert await sessions.get("t", session.id) == session


async def test_lists_are_in_order_of_creation_and_in_pages(
    sessions: Sessions, clock: Clock
) -> None:
    made = []
    for _ in range(7):
        made.append(await sessions.create("t", SPEC))
        clock.advance(0.01)
    await sessions.create("other", SPEC)
    assert (await sessions.list("t")) == (made, None)
    first, after = await sessions.list("t", limit=3)
    second, end = await sessions.list("t", after=after, limit=4)
    assert (first + second, end) == (made, None)
    for limit in (0, -1, 1001, True):
        with pytest.raises(SessionInputError):
            await sessions.list("t", limit=limit)


async def test_changes_are_merged_and_counted(sessions: Sessions, clock: Clock) -> None:
    before = await sessions.create("t", FULL)
    clock.advance(5)
    after = await sessions.update(
        "t",
        before.id,
        expected_version=1,
        ttl_seconds=1000,
        metadata={"who": None, "deep": {"new": 1}, "more": {"x": None}},
        options={"sampler": None, "steps": 9},
    )
    assert after == replace(
        before,
        version=2,
        ttl_seconds=1000.0,
        updated_at=clock.now,
        expires_at=clock.now + 1000,
        metadata={"deep": {"er": [1, None, True], "new": 1}, "more": {}},
        options={"measurement_bandwidth": "inf", "steps": 9},
    )
    assert await sessions.get("t", before.id) == after


async def test_no_change_is_no_version(sessions: Sessions) -> None:
    session = await sessions.create("t", FULL)
    assert await sessions.update("t", session.id) == session
    assert await sessions.update("t", session.id, expected_version=1) == session


async def test_changes_of_another_version_are_refused(sessions: Sessions) -> None:
    session = await sessions.create("t", FULL)
    for expected in (0, 2):
        with pytest.raises(VersionConflict) as refused:
            await sessions.update(
                "t", session.id, expected_version=expected, ttl_seconds=1
            )
        assert refused.value.current_version == 1
        with pytest.raises(VersionConflict):
            await sessions.update("t", session.id, expected_version=expected)
    with pytest.raises(VersionConflict) as refused:
        await sessions.delete("t", session.id, expected_version=2)
    assert refused.value.current_version == 1
    assert await sessions.get("t", session.id) == session


@pytest.mark.parametrize(
    "change",
    [{"ttl_seconds": 0}, {"metadata": [1]}, {"options": {"x": math.nan}}],
    ids=repr,
)
async def test_changes_that_do_not_fit_change_nothing(
    sessions: Sessions, change: dict[str, Any]
) -> None:
    session = await sessions.create("t", FULL)
    with pytest.raises(SessionInputError) as refused:
        await sessions.update("t", session.id, **change)
    assert refused.value.argument in change
    assert await sessions.get("t", session.id) == session


async def _every_way_in(sessions: Sessions, tenant: str, sid: str) -> list[Exception]:
    ways = [
        sessions.get(tenant, sid),
        sessions.update(tenant, sid, ttl_seconds=5),
        sessions.put_cycle(tenant, sid, 1, *forecast(1)),
        sessions.cycle(tenant, sid, 1),
        sessions.cycles(tenant, sid),
        sessions.analysis(tenant, sid, 0),
        sessions.delete(tenant, sid),
    ]
    errors = []
    for way in ways:
        try:
            await way
        except (SessionGone, SessionNotFound) as error:
            errors.append(error)
    assert len(errors) == len(ways)
    return errors


async def test_a_deleted_session_is_gone_whatever_is_asked(sessions: Sessions) -> None:
    session = await sessions.create("t", FULL)
    await sessions.put_cycle("t", session.id, 1, *forecast(1))
    await sessions.delete("t", session.id, expected_version=2)
    for error in await _every_way_in(sessions, "t", session.id):
        assert isinstance(error, SessionGone)
        assert error.reason == "deleted"
    assert await sessions.list("t") == ([], None)


async def test_an_expired_session_is_gone_whatever_is_asked(
    sessions: Sessions, clock: Clock
) -> None:
    session = await sessions.create("t", FULL)
    await sessions.put_cycle("t", session.id, 1, *forecast(1))
    clock.advance(91)
    for error in await _every_way_in(sessions, "t", session.id):
        assert isinstance(error, SessionGone)
        assert error.reason == "expired"
    assert await sessions.list("t") == ([], None)


async def test_another_tenants_session_is_unknown_whatever_is_asked(
    sessions: Sessions,
) -> None:
    session = await sessions.create("t", FULL)
    for error in await _every_way_in(sessions, "other", session.id):
        assert isinstance(error, SessionNotFound)
    assert await sessions.get("t", session.id) == session


async def test_any_use_starts_the_lifetime_anew(
    sessions: Sessions, clock: Clock
) -> None:
    session = await sessions.create("t", FULL)
    await sessions.put_cycle("t", session.id, 1, *forecast(1))
    uses = [
        lambda: sessions.get("t", session.id),
        lambda: sessions.cycle("t", session.id, 1),
        lambda: sessions.cycles("t", session.id),
        lambda: sessions.analysis("t", session.id, 0),
        lambda: sessions.update("t", session.id),
        lambda: sessions.put_cycle("t", session.id, 1, *forecast(1)),
        lambda: sessions.put_cycle("t", session.id, 2, *forecast(2)),
    ]
    for use in uses:
        clock.advance(80)
        await use()
    found = await sessions.get("t", session.id)
    assert found.expires_at == clock.now + 90.5
    assert found.version == 3, "a longer life is not another version"


async def test_reading_often_writes_seldom(
    sessions: Sessions, clock: Clock, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await sessions.create("t", FULL)
    touched = 0
    touch = store.touch

    async def counted(*arguments: Any) -> None:
        nonlocal touched
        touched += 1
        await touch(*arguments)

    monkeypatch.setattr(store, "touch", counted)
    for _ in range(100):
        clock.advance(1)
        await sessions.get("t", session.id)
    assert touched == 10
