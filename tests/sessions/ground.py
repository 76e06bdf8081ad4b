"""What a random walk goes over: a store, its sessions, and the model beside them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis.stateful import RuleBasedStateMachine

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
from service.stores import Store, open_store
from tests.sessions.model import Model
from tests.support.analyses import SmallAnalysis, forecast, nudged
from tests.support.redis import RedisServer
from tests.support.stores import Clock

Result = TypeVar("Result")
KEEP = 2


class Ground(RuleBasedStateMachine):
    """A store of either kind, without any rule."""

    url = ""

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

    def empty(self) -> None:
        """A store without sessions."""
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

    def happened(self, kind: str) -> None:
        """Told of what was done, of each kind, and as the model has it."""

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

    def created(self, tenant: str, ttl: float) -> str:
        """A new session, in store and model."""
        spec = SessionSpec(
            state_dim=3, measurement_dim=2, ttl_seconds=ttl, keep_analyses=KEEP, seed=1
        )
        session = self.run(self.sessions.create(tenant, spec))
        self.models[session.id] = Model(tenant, self.clock.now + ttl, ttl)
        return session.id

    def finished(
        self, model: Model, body: int | tuple[int, ...], samples: np.ndarray
    ) -> None:
        """A cycle has happened; members that were not in it are late."""
        self.happened("gathered" if isinstance(body, tuple) else "cycle")
        model.bodies.append(body)
        model.samples.append(samples.tobytes())
        model.arrived.clear()
        model.version += 1
        model.expires_at = self.clock.now + model.ttl

    def expected(self, bodies: tuple[int, ...], seen: int, answer: Any) -> bytes:
        """The analysis of members that came one by one."""
        arrays = [forecast(body) for body in bodies]
        states = np.array([array[0][index] for index, array in enumerate(arrays)])
        simulated = np.array([array[1][index] for index, array in enumerate(arrays)])
        observation = forecast(seen)[2]
        options = answer.cycle.diagnostics["options"]
        found = nudged(states, simulated, observation, options, answer.cycle.seed)
        return found.tobytes()
