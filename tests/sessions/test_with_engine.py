"""Sessions with the real engine behind them, and what a cycle costs the store."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, assimilate
from service.compute import Compute
from service.errors import InvalidInputError, InvalidOptionsError
from service.sessions import Sessions, SessionSpec
from service.settings import Settings
from service.stores import Store, open_store
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.stores import Clock

OPTIONS = {"sampler": "exact", "measurement_bandwidth": "inf"}


@pytest.fixture
async def assimilating(store: Store, clock: Clock) -> AsyncIterator[Sessions]:
    """Sessions that assimilate, on each kind of store in turn."""
    compute = Compute(Settings())
    yield Sessions(store, compute.analyse, clock, check_options=compute.check_options)


async def test_a_cycle_is_what_the_engine_says(assimilating: Sessions) -> None:
    spec = SessionSpec(state_dim=3, measurement_dim=2, seed=5, options=OPTIONS)
    session = await assimilating.create("t", spec)
    arrays = forecast(1, members=30)
    for k in range(1, 4):
        result = await assimilating.put_cycle("t", session.id, k, *arrays)
        direct = assimilate(
            *arrays,
            options=AnalysisOptions.from_dict(OPTIONS),
            seed=result.cycle.seed,
        )
        assert result.samples.tobytes() == direct.samples.tobytes()
        facts = dict(result.cycle.diagnostics)
        digest = hashlib.sha256(direct.samples.tobytes()).hexdigest()
        assert facts.pop("manifest")["samples"]["sha256"] == digest
        assert facts == direct.diagnostics.to_dict()
        kept = await assimilating.analysis("t", session.id, k)
        assert kept.tobytes() == direct.samples.tobytes()
        found = await assimilating.cycle("t", session.id, k)
        assert found.diagnostics == result.cycle.diagnostics
        arrays = (direct.samples, *arrays[1:])


async def test_what_the_engine_refuses_leaves_the_session_unchanged(
    assimilating: Sessions,
) -> None:
    spec = SessionSpec(state_dim=3, measurement_dim=2)
    session = await assimilating.create("t", spec)
    states, simulated, observation = forecast(1)
    holed = states.copy()
    holed[2, 1] = np.nan
    with pytest.raises(InvalidInputError):
        await assimilating.put_cycle("t", session.id, 1, holed, simulated, observation)
    with pytest.raises(InvalidOptionsError):
        await assimilating.put_cycle(
            *("t", session.id, 1, states, simulated, observation),
            options={"sampler": "magic"},
        )
    with pytest.raises(InvalidOptionsError):
        await assimilating.update("t", session.id, options={"steps": -1})
    assert await assimilating.get("t", session.id) == session


async def test_a_cycle_costs_two_round_trips_to_redis(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy:
        store = open_store(proxy.url, clock=clock)
        await store.open()
        sessions = Sessions(store, SmallAnalysis(), clock)
        spec = SessionSpec(state_dim=3, measurement_dim=2, keep_analyses=2)
        session = await sessions.create("t", spec)
        await sessions.put_cycle("t", session.id, 1, *forecast(1))
        for k in range(2, 6):
            before = proxy.round_trips
            await sessions.put_cycle("t", session.id, k, *forecast(k))
            assert proxy.round_trips - before == 2
        before = proxy.round_trips
        await sessions.put_cycle("t", session.id, 5, *forecast(5))
        assert proxy.round_trips - before == 4, "a repetition reads facts and samples"
        await store.close()
