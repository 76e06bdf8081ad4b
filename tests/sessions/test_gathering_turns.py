"""Long analyses of gathered members hold up nobody else's cycle."""

from __future__ import annotations

import asyncio

from service.sessions import Sessions, SessionSpec
from service.sessions.gathering import Observed
from service.sessions.models import AnalysisResult, Array, Document
from service.stores import Store
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock

STATES, SIMULATED, OBSERVATION = forecast(1)
LONG = {"steps": 9}


class Patient(SmallAnalysis):
    """Analyses that asked for many steps wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def __call__(
        self,
        states: Array,
        simulated: Array,
        observation: Array,
        options: Document,
        seed: int | None,
    ) -> AnalysisResult:
        if options.get("steps"):
            await self.go_on.wait()
        return await super().__call__(states, simulated, observation, options, seed)


async def test_long_analyses_hold_up_nobody_else(store: Store, clock: Clock) -> None:
    analysis = Patient()
    sessions = Sessions(store, analysis, clock)

    async def gathered(tenant: str, options: Document) -> int:
        spec = SessionSpec(
            state_dim=3, measurement_dim=2, seed=1, coupling={"members": 6}
        )
        sid = (await sessions.create(tenant, spec)).id
        for i in range(6):
            await sessions.members.put(tenant, sid, 1, i, STATES[i], SIMULATED[i])
        asked = Observed(tenant, sid, 1, OBSERVATION, options, {}, 0.0)
        return (await sessions.gathering.put(asked)).cycle.cycle

    long = [asyncio.create_task(gathered("busy", LONG)) for _ in range(8)]
    try:
        async with asyncio.timeout(20):
            assert await gathered("other", {}) == 1
        assert not any(task.done() for task in long)
    finally:
        analysis.go_on.set()
    assert await asyncio.gather(*long) == [1] * 8
