"""A cycle put without its members: models compute them from the last analysis."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.media.lengths import least_length
from service.sessions.cycling import Cycling, Gathered, Request
from service.sessions.errors import ModelsFailed
from service.sessions.models import Array, CycleResult, Document, Session
from service.sessions.reading import Reading
from service.sessions.requests import check_arrays, check_vector, gathered_mark
from service.sessions.watching import Watching
from service.stores.offloop import INLINE_JSON, JSON_COST, off_loop

# Fewer usable members than that are no ensemble.
_FEWEST = 2
# Of a large ensemble the first few tell enough.
_MOST_TOLD = 100


class Evaluates(Protocol):
    """Models by name; see ``service.operators``."""

    async def evaluate(
        self, name: str, inputs: Array, size: int, cycle: int
    ) -> tuple[Array, dict[int, str]]:
        """Outputs ``(N, size)`` for inputs ``(N, n)``, NaN and a reason for some."""


@dataclass(frozen=True, slots=True)
class Driven:
    """One put of one cycle whose members are computed here.

    Attributes:
        tenant, sid, cycle: whose session, its name, the cycle.
        observation: ``(dy,)``; NaN is a missing entry.
        options: this cycle's own options.
        measurement_model: simulates the measurements of every forecast.
        forecast_model: takes every member of the last analysis on; ``None`` where
            the forecast came along.
        forecast_states: ``(N, dx)`` then.
    """

    tenant: str
    sid: str
    cycle: int
    observation: Array
    options: Document
    measurement_model: str
    forecast_model: str | None = None
    forecast_states: Array | None = None

    @property
    def models(self) -> dict[str, str | None]:
        """Names of the models, as they stand in the diagnostics."""
        return {"forecast": self.forecast_model, "measurement": self.measurement_model}

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays that came along."""
        states = self.forecast_states
        there = {} if states is None else {"forecast_states": states}
        return {**there, "observation": self.observation}

    def check(self, session: Session) -> None:
        """Whether the arrays fit the session.

        Raises:
            SessionInputError: when they do not.
        """
        dx, dy = session.state_dim, session.measurement_dim
        check_vector("observation", self.observation, dy)
        if (states := self.forecast_states) is not None:
            blank = np.zeros((len(states), dy))
            check_arrays(
                states, blank, self.observation, state_dim=dx, measurement_dim=dy
            )

    def mark(self) -> str:
        """What tells this request from others."""
        named, states = dict(self.models), self.forecast_states
        if states is not None:
            content = np.ascontiguousarray(states, dtype="<f8")
            named["states"] = hashlib.sha256(content.data).hexdigest()
        return gathered_mark(self.observation, self.options, {"models": named})


class Driving:
    """Has the members of a cycle computed, and puts it."""

    def __init__(self, reading: Reading, cycling: Cycling, watching: Watching) -> None:
        self._reading = reading
        self._cycling = cycling
        self._watching = watching

    async def put(self, driven: Driven, models: Evaluates) -> CycleResult:
        """Compute and assimilate, or answer again when that has happened.

        Raises:
            SessionInputError: when something does not fit the session.
            CycleConflict: when the cycle is not next, or was another request.
            CycleNotFound: when there is no ensemble to go on from.
            ModelsFailed: when the policy for failed members does not allow what
                failed, or next to nothing is left.
        """
        session = await self._reading.session(driven.tenant, driven.sid)
        driven.check(session)
        states = driven.forecast_states
        size = 0 if states is None else states.nbytes
        size += JSON_COST * least_length(driven.options, INLINE_JSON)
        mark = await off_loop(size, driven.mark)
        done = await self._cycling.finished(driven.tenant, session, driven.cycle, mark)
        if done is not None:
            return done
        states, simulated, failures = await self._computed(driven, session, models)
        _check_failures(session.options | driven.options, failures, len(states))
        facts = {**driven.models, "failed": len(failures)}
        request = Request(
            tenant=driven.tenant,
            sid=driven.sid,
            cycle=driven.cycle,
            forecast_states=states,
            simulated_measurements=simulated,
            observation=driven.observation,
            options=driven.options,
            gathered=Gathered(
                mark=mark, facts=facts, key="models", reasons=dict(failures)
            ),
        )
        done = await self._cycling.put(request)
        self._watching.nudge(driven.tenant, driven.sid)
        return done

    async def _computed(
        self, driven: Driven, session: Session, models: Evaluates
    ) -> tuple[Array, Array, Mapping[int, str]]:
        """Forecasts ``(N, dx)``, measurements ``(N, dy)``, and what failed."""
        dx, dy, cycle = session.state_dim, session.measurement_dim, driven.cycle
        states, failures = driven.forecast_states, dict[int, str]()
        if states is None or driven.forecast_model is not None:
            name = driven.forecast_model or ""
            last = await self._reading.analysis(driven.tenant, session, session.cycle)
            states, failed = await models.evaluate(name, last, dx, cycle)
            failures |= {i: f"model {name} {why}" for i, why in failed.items()}
        name = driven.measurement_model
        simulated, failed = await models.evaluate(name, states, dy, cycle)
        failures |= {i: f"model {name} {why}" for i, why in failed.items()}
        return states, simulated, failures


def _check_failures(
    options: Document, failures: Mapping[int, str], members: int
) -> None:
    policy = options.get("failed_members", "error")
    if not failures or (policy != "error" and members - len(failures) >= _FEWEST):
        return
    raise ModelsFailed(
        members, len(failures), dict(list(failures.items())[:_MOST_TOLD])
    )
