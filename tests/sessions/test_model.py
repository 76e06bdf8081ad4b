"""Sessions against a simple model of them, in random walks over both stores.

The model is a dictionary. Whatever a walk does - cycles in and out of order, repeated
and altered, changes, deletions, time, restarts - store and model agree after each step.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from service.sessions import (
    AnalysisNotKept,
    CycleConflict,
    CycleNotFound,
    SessionGone,
    SessionNotFound,
    Sessions,
    SessionSpec,
    VersionConflict,
)
from service.stores import Store, open_store
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.redis import RedisServer
from tests.support.stores import Clock

Result = TypeVar("Result")
TENANTS = ("a", "b")
KEEP = 2


@dataclass
class Model:
    """What one session should be."""

    tenant: str
    expires_at: float
    ttl: float
    version: int = 1
    bodies: list[int] = field(default_factory=list)
    samples: list[bytes] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False

    @property
    def cycle(self) -> int:
        """The last finished cycle."""
        return len(self.bodies)


class Walk(RuleBasedStateMachine):
    """One random walk."""

    url = ""
    sids = Bundle("sids")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.analysis = SmallAnalysis()
        self.models: dict[str, Model] = {}
        self.store: Store | None = None

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run to the end."""
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        """An empty store."""
        self.folder = tempfile.TemporaryDirectory()
        if self.url.startswith("redis"):
            self.address = self.url
            with RedisServer.client_of(self.url) as client:
                client.flushall()
        else:
            self.address = f"sqlite:///{Path(self.folder.name) / 's.sqlite'}"
        self.open()

    def open(self) -> None:
        """A service process starts."""
        self.store = open_store(self.address, clock=self.clock)
        self.run(self.store.open())
        self.sessions = Sessions(self.store, self.analysis, self.clock)

    def teardown(self) -> None:
        """The walk ends."""
        if self.store is not None:
            self.run(self.store.close())
            self.folder.cleanup()
        self.runner.close()

    def lost(self, model: Model) -> type[Exception] | None:
        """The error that every access must end in, if any."""
        if model.deleted or model.expires_at <= self.clock.now:
            return SessionGone
        return None

    def ask(self, sid: str, work: Coroutine[Any, Any, Result]) -> Result | Exception:
        """Run; a session that is gone must say so."""
        gone = self.lost(self.models[sid])
        try:
            result = self.run(work)
        except (
            *(SessionGone, SessionNotFound, CycleConflict, VersionConflict),
            *(AnalysisNotKept, CycleNotFound, ArithmeticError),
        ) as error:
            assert isinstance(error, SessionGone) == (gone is not None)
            return error
        assert gone is None
        return result

    def used(self, model: Model) -> None:
        """Reading renews a lifetime of which a tenth has passed."""
        passed = model.ttl - (model.expires_at - self.clock.now)
        if passed >= 0.1 * model.ttl:
            model.expires_at = self.clock.now + model.ttl

    @rule(target=sids, tenant=st.sampled_from(TENANTS), ttl=st.sampled_from([50, 500]))
    def create(self, tenant: str, ttl: float) -> str:
        """A session begins."""
        spec = SessionSpec(
            state_dim=3, measurement_dim=2, ttl_seconds=ttl, keep_analyses=KEEP, seed=1
        )
        session = self.run(self.sessions.create(tenant, spec))
        self.models[session.id] = Model(tenant, self.clock.now + ttl, ttl)
        return session.id

    @rule(sid=sids, step=st.integers(-3, 2), body=st.integers(0, 2))
    def put(self, sid: str, step: int, body: int) -> None:
        """Put a cycle: the next one (twice as often), an old one or a later one."""
        model = self.models[sid]
        k = max(1, model.cycle + min(step, 1) + max(step - 1, 0) * (body == 2))
        work = self.sessions.put_cycle(model.tenant, sid, k, *forecast(body))
        answer = self.ask(sid, work)
        if self.lost(model):
            return
        if k == model.cycle + 1:
            assert not isinstance(answer, Exception)
            assert not answer.replayed
            model.bodies.append(body)
            model.samples.append(answer.samples.tobytes())
            model.version += 1
            model.expires_at = self.clock.now + model.ttl
        elif k <= model.cycle and model.bodies[k - 1] == body:
            if k <= model.cycle - KEEP:
                assert isinstance(answer, AnalysisNotKept)
                return
            assert not isinstance(answer, Exception)
            assert answer.replayed
            assert answer.samples.tobytes() == model.samples[k - 1]
            self.used(model)
        else:
            assert isinstance(answer, CycleConflict)
            assert answer.current_cycle == model.cycle

    @rule(sid=sids)
    def fail(self, sid: str) -> None:
        """An analysis breaks down."""
        model = self.models[sid]
        self.analysis.error = ArithmeticError()
        work = self.sessions.put_cycle(model.tenant, sid, model.cycle + 1, *forecast(0))
        answer = self.ask(sid, work)
        self.analysis.error = None
        assert isinstance(answer, (ArithmeticError, SessionGone))

    @rule(sid=sids, key=st.sampled_from("xy"), seen=st.sampled_from([None, 0, 1]))
    def change(self, sid: str, key: str, seen: int | None) -> None:
        """Change a session, whatever its version, or the current or another one."""
        model = self.models[sid]
        expected = None if seen is None else model.version - seen
        work = self.sessions.update(
            *(model.tenant, sid), expected_version=expected, metadata={key: seen}
        )
        answer = self.ask(sid, work)
        if self.lost(model):
            return
        if seen == 1:
            assert isinstance(answer, VersionConflict)
            assert answer.current_version == model.version
            return
        assert not isinstance(answer, Exception)
        model.version += 1
        model.expires_at = self.clock.now + model.ttl
        model.metadata.pop(key, None)
        if seen is not None:
            model.metadata[key] = seen

    @rule(sid=sids, k=st.integers(0, 6))
    def read(self, sid: str, k: int) -> None:
        """Read an analysis."""
        model = self.models[sid]
        answer = self.ask(sid, self.sessions.analysis(model.tenant, sid, k))
        if self.lost(model):
            return
        self.used(model)
        if not 1 <= k <= model.cycle:
            assert isinstance(answer, CycleNotFound)
        elif k <= model.cycle - KEEP:
            assert isinstance(answer, AnalysisNotKept)
        else:
            assert not isinstance(answer, Exception)
            assert answer.tobytes() == model.samples[k - 1]

    @rule(sid=sids, seen=st.sampled_from([None, 0, 1]))
    def delete(self, sid: str, seen: int | None) -> None:
        """Delete a session."""
        model = self.models[sid]
        expected = None if seen is None else model.version + seen
        work = self.sessions.delete(model.tenant, sid, expected_version=expected)
        answer = self.ask(sid, work)
        if not self.lost(model):
            assert isinstance(answer, VersionConflict) == (seen == 1)
            model.deleted = seen != 1

    @rule(seconds=st.sampled_from([1.0, 7.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Time passes; far less than the day of a tombstone."""
        self.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        """The service process is replaced."""
        assert self.store is not None
        self.run(self.store.close())
        self.open()

    @invariant()
    def agree(self) -> None:
        """Lists, facts and documents are those of the model."""
        if self.store is None:
            return
        for tenant in TENANTS:
            listed, after = self.run(self.sessions.list(tenant, limit=1000))
            assert after is None
            live = {
                sid: model
                for sid, model in self.models.items()
                if model.tenant == tenant and not self.lost(model)
            }
            assert {session.id for session in listed} == set(live)
            for session in listed:
                model = live[session.id]
                assert session.version == model.version
                assert session.cycle == model.cycle
                assert session.expires_at == model.expires_at
                assert (session.metadata or {}) == model.metadata


def _walk(url: str, examples: int) -> None:
    walk = type("WalkOn" + url.partition(":")[0], (Walk,), {"url": url})
    run_state_machine_as_test(
        walk,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
def test_walks_on_sqlite_follow_the_model() -> None:
    _walk("sqlite:", 60)


@pytest.mark.slow
def test_walks_on_redis_follow_the_model(redis_server: RedisServer) -> None:
    _walk(redis_server.url, 60)
