"""What a client was promised, and whether the service kept to it.

For each acknowledged cycle the client keeps the bytes that it got. Afterwards

    lost        acknowledged, and no longer there
    wrong       other bytes than acknowledged, or than the engine gives in process
    duplicate   a cycle that is listed twice, or that nobody asked for
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import threadpoolctl  # type: ignore[import-untyped]

from ccdm_engine import AnalysisOptions, assimilate
from service.client import Client, GoneError, NotFoundError, RetryPolicy
from service.sessions.requests import cycle_seed

Array = npt.NDArray[np.float64]
DIMS: dict[str, Any] = {"state_dim": 3, "measurement_dim": 2}
# Bandwidths that are given need no search: it is not the engine that is tested here.
OPTIONS: dict[str, Any] = {"state_bandwidth": 0.3, "measurement_bandwidth": 0.5}
READING = RetryPolicy(give_up_after=60, first_delay=0.05, longest_delay=1.0)


@dataclass
class Row:
    """Figures of one fault.

    Attributes:
        fault, store: what was done to which kind of store; without one it was not run.
        struck: how often the fault was seen to take effect, as the fault itself counts
            it: processes that are gone, replies cut, commands refused, and the like.
        sessions: how many there were.
        calls: cycles asked for; ``repeats``: how often the client had to ask again.
        acknowledged: cycles answered with 200 or 201.
        refused: calls that ended in an error; the caller made them again.
        lost, wrong, duplicates: see above.
        changed: calls refused as 507 that had been stored all the same.
        seconds: how long all of it took.
        note: what else was seen.
    """

    fault: str
    store: str
    struck: int = 0
    sessions: int = 0
    calls: int = 0
    repeats: int = 0
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    wrong: int = 0
    duplicates: int = 0
    changed: int = 0
    seconds: float = 0.0
    note: str = ""

    def noting(self, note: str) -> Row:
        """The row, with something to say before the rest."""
        self.note = "; ".join(filter(None, [note, self.note]))
        return self

    @property
    def kept(self) -> bool:
        """Whether the promise was kept; nothing is by a fault that did not strike."""
        broken = self.lost or self.wrong or self.duplicates or self.changed
        return not broken and (self.struck > 0 or not self.store)

    def to_dict(self) -> dict[str, Any]:
        """For JSON and CSV."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass
class Account:
    """One session and what was acknowledged to its client."""

    number: int
    members: int = 12
    session_id: str = ""
    seed: int = 0
    asked: int = 0
    calls: int = 0
    repeats: int = 0
    refused: int = 0
    changed: int = 0
    unsure: bool = False
    errors: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[int, bytes] = field(default_factory=dict)

    def forecast(self, cycle: int) -> tuple[Array, Array, Array]:
        """Arrays of one cycle: ``(N, 3)``, ``(N, 2)`` and ``(2,)``; always the same."""
        random = np.random.default_rng([self.number, cycle])
        states = random.standard_normal((self.members, 3))
        simulated = states[:, :2] + 0.5 * random.standard_normal((self.members, 2))
        return states, simulated, random.standard_normal(2)

    def expected(self, cycle: int) -> bytes:
        """Samples as the engine gives them in this process."""
        with threadpoolctl.threadpool_limits(limits=1):
            analysis = assimilate(
                *self.forecast(cycle),
                options=AnalysisOptions.from_dict(OPTIONS),
                seed=cycle_seed(self.seed, cycle),
            )
        return analysis.samples.tobytes()


def audit(
    row: Row, accounts: list[Account], url: str, api_key: str | None = None
) -> Row:
    """Hold what is there against what was acknowledged, and add it to a row."""
    with Client(url, retry=READING, api_key=api_key) as client:
        for account in accounts:
            _audit_one(row, account, client)
    row.sessions = len(accounts)
    row.note = "; ".join(filter(None, [row.note, _told(accounts)]))
    return row


def _audit_one(row: Row, account: Account, client: Client) -> None:
    row.calls += account.calls
    row.repeats += account.repeats
    row.refused += account.refused
    row.changed += account.changed
    row.acknowledged += len(account.acknowledged)
    try:
        session = client.session(account.session_id)
        listed = [record.cycle for record in session.history()]
    except (NotFoundError, GoneError):
        row.lost += len(account.acknowledged)
        return
    row.duplicates += len(listed) - len(set(listed))
    row.duplicates += max(0, session.current_cycle - account.asked)
    row.lost += len(set(account.acknowledged) - set(listed))
    for cycle, acknowledged in account.acknowledged.items():
        try:
            found = session.analysis(cycle).tobytes()
        except (NotFoundError, GoneError):
            row.lost += cycle in listed
            continue
        row.wrong += not (found == acknowledged == account.expected(cycle))


def _told(accounts: list[Account]) -> str:
    """The kinds of refusals that callers were told of."""
    total: dict[str, int] = {}
    for account in accounts:
        for name, count in account.errors.items():
            total[name] = total.get(name, 0) + count
    listed = ", ".join(f"{count} x {name}" for name, count in sorted(total.items()))
    return f"callers saw {listed}" if listed else ""
