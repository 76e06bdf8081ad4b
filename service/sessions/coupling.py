"""When a cycle whose members come one by one may go on, and without whom.

::

    all expected members have arrived       go on
    some are missing, missing="error"       wait for them
    some are missing, otherwise             wait until the deadline, then go on with
                                            the minimum or more

Declared in the session, and over that in the put of a cycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.sessions.errors import MembersMissing, SessionInputError
from service.sessions.models import Document, Session

FAILED_MEMBERS = "failed_members"
ERROR = "error"
# Fewer carry no information on uncertainty; the engine refuses them too.
LEAST_MEMBERS = 2
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Member:
    """One member that has arrived.

    Attributes:
        index: its row in the ensemble, from 0.
        mark: digest of what was sent.
        failed: it holds NaN or infinity, which is how a worker reports a crash.
        staged_at: when it arrived, in seconds since 1970.
        arrival: its number among all members that ever arrived in this session.
    """

    index: int
    mark: str
    failed: bool
    staged_at: float
    arrival: int


@dataclass(frozen=True, slots=True)
class Coupling:
    """What was declared.

    Attributes:
        members: size of the ensemble; ``None`` takes that of the latest analysis, and
            where there is none, one more than the largest index that arrived.
        minimum_members: usable members without which no cycle goes on.
        deadline_seconds: how long to wait for the others, from the first arrival on.
        missing: what becomes of those missing then: ``"drop"`` or ``"refill"`` as the
            engine's option ``failed_members``, or ``"error"``: do not go on.
    """

    members: int | None = None
    minimum_members: int | None = None
    deadline_seconds: float = 0.0
    missing: str = ERROR

    @classmethod
    def of(cls, session: Session, own: Mapping[str, Any]) -> Coupling:
        """The session's declaration with a cycle's own laid over it."""
        return cls(**{**(session.coupling or {}), **own})

    def expected(self, session: Session, arrived: Sequence[Member] = ()) -> int | None:
        """Size of the ensemble, as far as it is known."""
        if self.members is not None:
            return self.members
        if session.members is not None:
            return session.members
        return max((member.index + 1 for member in arrived), default=None)


@dataclass(frozen=True, slots=True)
class Roll:
    """Who has arrived, and what that means.

    Attributes:
        cycle: the cycle that they are for.
        expected: size of the ensemble; 0 while that is not known.
        arrived: in order of their index.
        coupling: what was declared.
    """

    cycle: int
    expected: int
    arrived: tuple[Member, ...]
    coupling: Coupling

    @classmethod
    def call(
        cls, session: Session, arrived: Sequence[Member], coupling: Coupling
    ) -> Roll:
        """See who is there for the session's next cycle.

        Raises:
            SessionInputError: when more have arrived than are expected.
        """
        expected = coupling.expected(session, arrived) or 0
        ordered = tuple(sorted(arrived, key=lambda member: member.index))
        if ordered and ordered[-1].index >= expected:
            raise SessionInputError(
                "coupling",
                got=f"members={expected}, and member {ordered[-1].index} is there",
                wanted="as many as the ensemble has, counted from 0",
            )
        return cls(session.cycle + 1, expected, ordered, coupling)

    @property
    def missing(self) -> tuple[int, ...]:
        """Indices of those who have not arrived."""
        there = {member.index for member in self.arrived}
        return tuple(i for i in range(self.expected) if i not in there)

    @property
    def usable(self) -> int:
        """How many have arrived and not failed."""
        return sum(not member.failed for member in self.arrived)

    @property
    def deadline(self) -> float | None:
        """Until when the missing ones are waited for; ``None`` without an arrival."""
        if not self.arrived:
            return None
        first = min(member.staged_at for member in self.arrived)
        return first + self.coupling.deadline_seconds

    def objection(self, now: float) -> MembersMissing | None:
        """Why the cycle cannot go on now; ``None`` when it can."""
        whole = self.expected > 0 and len(self.arrived) == self.expected
        strict = self.coupling.missing == ERROR
        if whole and strict:
            return None
        least = self.coupling.minimum_members or LEAST_MEMBERS
        wait = _RETRY_SECONDS
        if strict:
            reason = "all are needed, since nothing else was declared in coupling"
        elif self.usable < least:
            reason = f"at least {least} usable ones are needed"
        elif whole or self.deadline is None or now >= self.deadline:
            return None
        else:
            wait = self.deadline - now
            reason = f"the others are waited for, {wait:.1f} s more"
        return MembersMissing(
            self.cycle,
            arrived=len(self.arrived),
            usable=self.usable,
            expected=self.expected,
            missing=self.missing,
            reason=reason,
            retry_after=wait,
        )

    def options(self) -> Document:
        """Options that the policy adds to those of the analysis."""
        if self.coupling.missing == ERROR:
            return {}
        return {FAILED_MEMBERS: self.coupling.missing}

    def facts(self, now: float) -> Document:
        """What the diagnostics say of it."""
        return {
            "expected": self.expected,
            "arrived": len(self.arrived),
            "missing": list(self.missing),
            "failed": [member.index for member in self.arrived if member.failed],
            "policy": self.coupling.missing,
            "minimum_members": self.coupling.minimum_members,
            "deadline_seconds": self.coupling.deadline_seconds,
            "deadline_passed": self.deadline is not None and now >= self.deadline,
        }


def check_coupling(document: Document) -> Document:
    """Refuse a declaration that contradicts itself; it comes back as it is.

    Raises:
        SessionInputError: naming what does not fit.
    """
    most, least = document.get("members"), document.get("minimum_members")
    if most is not None and least is not None and least > most:
        raise SessionInputError(
            "coupling",
            got=f"minimum_members={least} with members={most}",
            wanted="a minimum that the ensemble can reach",
        )
    return document
