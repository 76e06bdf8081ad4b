"""What was acknowledged stays, whatever happens; all faults: ``make reliability``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from reliability.faults import FAULTS
from reliability.faults.scene import scene
from reliability.ledger import Account, Row, audit
from reliability.processes import ServiceProcess
from reliability.storm import SHORT, Storm
from service.client import CycleResult, ServiceError, Session

# One of each family; the stores' own tests have more of theirs.
CHOSEN = (
    "service_killed",
    "byte_flipped",
    "redis_killed",
    "redis_replies_cut",
    "client_leaves_before_answer",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_nothing_acknowledged_is_lost_wrong_or_double(
    name: str, tmp_path: Path
) -> None:
    with scene(tmp_path, SHORT) as surroundings:
        row = FAULTS[name](surroundings)
    assert row.acknowledged >= SHORT.clients * SHORT.cycles
    assert row.kept and row.struck > 0, row


@pytest.mark.slow
def test_a_fault_that_did_not_strike_has_kept_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that are allowed a tebibyte are not short of memory."""
    monkeypatch.setattr("reliability.faults.service.SHORT_BYTES", 1 << 40)
    monkeypatch.setattr("reliability.faults.service.SHORT_SECONDS", 0.5)
    with scene(tmp_path, SHORT) as surroundings:
        row = FAULTS["worker_out_of_memory"](surroundings)
    assert (row.struck, row.lost, row.wrong, row.duplicates) == (0, 0, 0, 0)
    assert not row.kept


# ``ccdm`` as :mod:`reliability.shifted` runs it, believing the wall clock alone.
CREDULOUS = """
import os, time
import sys
from pathlib import Path
from reliability.shifted import _turned
time.time = _turned(time.time, Path(os.environ["SHIFT_FILE"]))
from service.stores.clocks import SteadyClock
SteadyClock.early = SteadyClock.late = lambda self: time.time()
from service.cli import main
main()
"""


@pytest.mark.slow
def test_sessions_of_a_service_that_believes_its_clock_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the faults of clocks can fail; this one stands for them."""
    command = (sys.executable, "-c", CREDULOUS)
    monkeypatch.setattr("reliability.faults.clock.SHIFTED", command)
    with (
        scene(tmp_path, SHORT) as surroundings,
        pytest.raises(AssertionError, match="expired"),
    ):
        FAULTS["clocks_disagree"](surroundings)


@pytest.mark.slow
def test_the_audit_sees_what_is_lost_wrong_or_double(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path) as service:
        storm = Storm([service.url], SHORT)
        storm.begin()
        storm.end()
        lost, wrong, double = storm.accounts
        last = len(lost.acknowledged)
        lost.acknowledged[last + 1] = b""
        wrong.acknowledged[1] = wrong.acknowledged[2]
        double.asked -= 1
        row = audit(Row("", "sqlite"), storm.accounts, service.url)
        assert (row.lost, row.wrong, row.duplicates) == (1, 1, 1)
        # Other numbers than the engine's are wrong, too, however often they are given.
        forged = Account(99, session_id=double.session_id, seed=double.seed)
        forged.asked, forged.acknowledged = double.asked + 1, double.acknowledged
        row = audit(Row("", "sqlite"), [forged], service.url)
        assert row.wrong == len(forged.acknowledged)


class _Forgetful:
    """A session that stores at once, and says something else a few times first."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)

    def cycle(self, *_: object, number: int) -> CycleResult:
        if self._statuses:
            raise ServiceError(self._statuses.pop(0), {})
        return CycleResult(np.zeros((2, 3)), {}, cycle=number, replayed=True)


@pytest.mark.parametrize(
    ("statuses", "changed"), [((507,), 1), ((507, 503), 0), ((503, 507), 0), ((), 1)]
)
def test_what_was_refused_as_full_and_stored_is_seen(
    statuses: tuple[int, ...], changed: int
) -> None:
    """After 503 nobody knows; after nothing but 507 it may not be there."""
    storm, account = Storm([""], SHORT), Account(1)
    session = cast(Session, _Forgetful(*statuses))
    for _ in range(len(statuses) + 1):
        storm._cycle(session, account)
    assert (account.changed, len(account.acknowledged)) == (changed, 1)


def test_there_are_at_least_twenty_faults_of_every_family() -> None:
    assert len(FAULTS) >= 20
    names = [fault.__doc__ for fault in FAULTS.values()]
    assert all(names) and len(set(names)) == len(names)
