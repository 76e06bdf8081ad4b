"""Sessions against a simple model of them, in random walks over both stores.

The model is a dictionary. Whatever a walk does - cycles in and out of order, repeated
and altered, members one by one, changes, deletions, time, restarts, moves through a
file - store and model agree after each step.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
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
    VersionConflict,
)
from service.sessions.gathering import Observed
from tests.sessions.ground import KEEP, Ground
from tests.sessions.model import Model
from tests.support.analyses import forecast

TENANTS = ("a", "b")
TTLS = (50, 500, 5000)
MEMBERS = 4
# Fewer sessions live through more.
MOST_SESSIONS = 3
# One alone, some, and often all of them, so that many cycles can be gathered.
SOME = ((0,), (3,), (1, 2), (0, 1, 2, 3), (3, 2, 1, 0))


class Walk(Ground):
    """One random walk."""

    sids = Bundle("sids")

    @initialize(target=sids, tenant=st.sampled_from(TENANTS), ttl=st.sampled_from(TTLS))
    def begin(self, tenant: str, ttl: float) -> str:
        """An empty store, and a session: most that can be done is done to one."""
        self.empty()
        return self.created(tenant, ttl)

    @precondition(lambda self: len(self.models) < MOST_SESSIONS)
    @rule(
        target=sids,
        tenant=st.sampled_from(TENANTS),
        ttl=st.sampled_from(TTLS),
    )
    def create(self, tenant: str, ttl: float) -> str:
        """A session begins."""
        return self.created(tenant, ttl)

    @rule(sid=sids, step=st.integers(-3, 2), body=st.integers(0, 2))
    def put(self, sid: str, step: int, body: int) -> None:
        """Put a cycle: the next one (twice as often), an old one or a later one."""
        model = self.models[sid]
        k = max(1, model.cycle + min(step, 1) + max(step - 1, 0) * (body == 2))
        self.put_body(sid, k, body)

    def put_body(self, sid: str, k: int, body: int) -> None:
        """Put any cycle whole."""
        model = self.models[sid]
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
            self.happened("replay")
            assert answer.samples.tobytes() == model.samples[k - 1]
            self.used(model)
        else:
            assert isinstance(answer, CycleConflict)
            assert answer.current_cycle == model.cycle

    @rule(sid=sids, back=st.integers(0, KEEP - 1))
    def repeat(self, sid: str, back: int) -> None:
        """Put a cycle that is kept once more, as it was put; without one, the next."""
        model = self.models[sid]
        if model.cycle <= back:
            self.put_body(sid, model.cycle + 1, 0)
            return
        body = model.bodies[model.cycle - back - 1]
        if isinstance(body, tuple):
            self.gather(sid, -back, body[0])
        else:
            self.put_body(sid, model.cycle - back, body)

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
        self.happened("member")
        self.used(model)

    @rule(
        sid=sids,
        index=st.integers(0, MEMBERS - 1),
        step=st.integers(0, 1),
        comes=st.booleans(),
    )
    def take_back(self, sid: str, index: int, step: int, comes: bool) -> None:
        """A member of the next cycle, or of one that is finished, is taken back."""
        model = self.models[sid]
        if comes:
            self.one_arrives(sid, index, 0)
        k = max(1, model.cycle + step)
        answer = self.ask(sid, self.sessions.members.drop(model.tenant, sid, k, index))
        if self.lost(model):
            return
        if k <= model.cycle:
            assert isinstance(answer, MemberLate)
        elif index in model.arrived:
            assert answer is None
            del model.arrived[index]
            self.happened("taken back")
        else:
            assert isinstance(answer, MemberNotFound)

    @rule(sid=sids, step=st.integers(0, 1), seen=st.integers(0, 1))
    def observe(self, sid: str, step: int, seen: int) -> None:
        """Put a cycle with only the observation, whoever has come."""
        self.gather(sid, step, seen)

    def gather(self, sid: str, step: int, seen: int) -> None:
        """Put the next cycle, or one of the last again."""
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
                self.happened("replay")
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
        self.happened("move")
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
            if model.deleted:
                self.happened("delete")

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
        if self.models:
            self.happened("restart")

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
