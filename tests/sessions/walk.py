"""Sessions against a simple model of them, in random walks over both stores.

The model is a dictionary. Whatever a walk does - cycles in and out of order, repeated
and altered, members one by one, changes, deletions, time, restarts, moves through a
file - store and model agree after each step.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from service.portable import import_session, opened, write_session
from service.sessions import (
    AnalysisNotKept,
    CycleConflict,
    CycleNotFound,
    MemberConflict,
    MemberLate,
    MemberNotFound,
    MembersMissing,
    SessionGone,
    SessionNotFound,
    Sessions,
    SessionSpec,
    VersionConflict,
)
from service.sessions.gathering import Observed
from service.stores import Store, open_store
from tests.sessions.model import Model
from tests.support.analyses import SmallAnalysis, forecast, nudged
from tests.support.redis import RedisServer
from tests.support.stores import Clock

Result = TypeVar("Result")
TENANTS = ("a", "b")
KEEP = 2
TTLS = (50, 500, 5000)
MEMBERS = 4
# Fewer sessions live through more.
MOST_SESSIONS = 3
# One alone, some, and often all of them, so that many cycles can be gathered.
SOME = ((0,), (3,), (1, 2), (0, 1, 2, 3), (3, 2, 1, 0))


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
            *(MemberConflict, MemberLate, MemberNotFound, MembersMissing),
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

    @precondition(lambda self: len(self.models) < MOST_SESSIONS)
    @rule(
        target=sids,
        tenant=st.sampled_from(TENANTS),
        ttl=st.sampled_from(TTLS),
    )
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
            self.finished(model, body, answer.samples)
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

    def finished(
        self, model: Model, body: int | tuple[int, ...], samples: np.ndarray
    ) -> None:
        """A cycle has happened; members that were not in it are late."""
        model.bodies.append(body)
        model.samples.append(samples.tobytes())
        model.arrived.clear()
        model.version += 1
        model.expires_at = self.clock.now + model.ttl

    @rule(sid=sids, some=st.sampled_from(SOME), body=st.integers(0, 1))
    def arrive(self, sid: str, some: tuple[int, ...], body: int) -> None:
        """Members come for the next cycle, or come again."""
        for index in some:
            self.one_arrives(sid, index, body)

    def one_arrives(self, sid: str, index: int, body: int) -> None:
        """One of them."""
        model = self.models[sid]
        states, simulated, _ = forecast(body)
        work = self.sessions.members.put(
            *(model.tenant, sid, model.cycle + 1, index),
            *(states[index], simulated[index]),
        )
        answer = self.ask(sid, work)
        if self.lost(model):
            return
        known = model.arrived.get(index)
        if known not in (None, body):
            assert isinstance(answer, MemberConflict)
            return
        assert not isinstance(answer, Exception)
        assert answer.replayed == (known == body)
        model.arrived[index] = body
        self.used(model)

    @rule(sid=sids, index=st.integers(0, MEMBERS - 1), step=st.integers(0, 1))
    def take_back(self, sid: str, index: int, step: int) -> None:
        """A member of the next cycle, or of one that is finished, is taken back."""
        model = self.models[sid]
        k = max(1, model.cycle + step)
        answer = self.ask(sid, self.sessions.members.drop(model.tenant, sid, k, index))
        if self.lost(model):
            return
        if k <= model.cycle:
            assert isinstance(answer, MemberLate)
        elif index in model.arrived:
            assert answer is None
            del model.arrived[index]
        else:
            assert isinstance(answer, MemberNotFound)

    @rule(sid=sids, step=st.integers(0, 1), seen=st.integers(0, 1))
    def observe(self, sid: str, step: int, seen: int) -> None:
        """Put a cycle with only the observation, whoever has come."""
        self.gather(sid, step, seen)

    def gather(self, sid: str, step: int, seen: int) -> None:
        """Put the next cycle, or the last one again."""
        model = self.models[sid]
        k = max(1, model.cycle + step)
        observed = Observed(
            *(model.tenant, sid, k, forecast(seen)[2]), {}, {"members": MEMBERS}, 0.0
        )
        answer = self.ask(sid, self.sessions.gathering.put(observed))
        if self.lost(model):
            return
        if k <= model.cycle:
            before = model.bodies[k - 1]
            if not isinstance(before, tuple) or before[0] != seen:
                assert isinstance(answer, CycleConflict)
            else:
                assert not isinstance(answer, Exception)
                assert answer.replayed
                assert answer.samples.tobytes() == model.samples[k - 1]
                self.used(model)
        elif len(model.arrived) < MEMBERS:
            assert isinstance(answer, MembersMissing)
        else:
            assert not isinstance(answer, Exception)
            bodies = tuple(model.arrived[index] for index in range(MEMBERS))
            assert answer.samples.tobytes() == self.expected(bodies, seen, answer)
            self.finished(model, (seen, *bodies), answer.samples)

    @rule(sid=sids, body=st.integers(0, 1), seen=st.integers(0, 1))
    def gather_all(self, sid: str, body: int, seen: int) -> None:
        """Whoever is missing comes, and the cycle is put."""
        for index in range(MEMBERS):
            if index not in self.models[sid].arrived:
                self.one_arrives(sid, index, body)
        self.gather(sid, 1, seen)

    def expected(self, bodies: tuple[int, ...], seen: int, answer: Any) -> bytes:
        """The analysis of members that came one by one."""
        arrays = [forecast(body) for body in bodies]
        states = np.array([array[0][index] for index, array in enumerate(arrays)])
        simulated = np.array([array[1][index] for index, array in enumerate(arrays)])
        observation = forecast(seen)[2]
        options = answer.cycle.diagnostics["options"]
        found = nudged(states, simulated, observation, options, answer.cycle.seed)
        return found.tobytes()

    @rule(sid=sids)
    def move(self, sid: str) -> None:
        """The session goes through a file; members that wait stay behind."""
        assert self.store is not None
        model = self.models[sid]
        path = Path(self.folder.name) / "session.zip"
        with path.open("w+b") as file:
            answer = self.ask(sid, write_session(self.store, model.tenant, sid, file))
        if self.lost(model):
            assert isinstance(answer, SessionGone)
            return
        self.run(self.store.delete(model.tenant, sid))
        with opened(path) as session:
            self.run(import_session(self.store, model.tenant, session, self.clock.now))
        model.arrived.clear()

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
                self.agree_on_members(session.id, model)

    def agree_on_members(self, sid: str, model: Model) -> None:
        """Those that have arrived, and nobody else, are there."""
        assert self.store is not None
        parts = self.run(self.store.parts(model.tenant, sid))
        there = {part.name for part in parts}
        k = model.cycle + 1
        assert there == {f"member/{k}/{index}" for index in model.arrived}
