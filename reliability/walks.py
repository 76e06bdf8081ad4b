"""Random walks of sessions beside a simple model of them, as many as asked for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.sessions.ground import Result
from tests.sessions.walk import Walk

STEPS = 25


@dataclass
class Walks:
    """Figures of all walks over one store.

    Attributes:
        store: its kind.
        walks: how many there were, of up to 25 steps each.
        operations: of sessions in them, each held against the model.
        strayed: walks on which store and model differed; the first ends it all.
        seconds: how long all of it took.
        first: what went wrong.
        kinds: how often each kind of operation was done as it should; not in tables.
    """

    store: str
    walks: int = 0
    operations: int = 0
    strayed: int = 0
    seconds: float = 0.0
    first: str = ""
    kinds: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """For JSON and CSV."""
        plain = asdict(self)
        del plain["kinds"]
        return plain


def run_walks(url: str, walks: int, *, again: bool = False) -> Walks:
    """Walk, and count.

    Args:
        url: of a Redis server, or ``sqlite:`` for a file for each walk.
        walks: how many.
        again: the same ones every time, in place of new ones.

    Raises:
        Exception: what the first walk ended in that strayed, with its steps.
    """
    figures = Walks(url.partition(":")[0])

    class Counted(Walk):
        def ask(
            self, sid: str, work: Coroutine[Any, Any, Result]
        ) -> Result | Exception:
            figures.operations += 1
            return super().ask(sid, work)

        def happened(self, kind: str) -> None:
            figures.kinds[kind] += 1

        def teardown(self) -> None:
            figures.walks += 1
            super().teardown()

    Counted.url = url
    asked = settings(
        max_examples=walks,
        stateful_step_count=STEPS,
        derandomize=again,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    began = time.monotonic()
    # A server that a busy machine has forgotten for two seconds is not what is asked.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.stores.redis_link.ANSWER_SECONDS", 60.0)
        run_state_machine_as_test(Counted, settings=asked)
    figures.seconds = round(time.monotonic() - began, 1)
    return figures
