"""A scheduler that dies, or falls silent, is told within seconds, at any moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.compute.link import Link
from service.errors import ClusterUnavailableError
from service.places import Place
from tests.scale.cluster import Cluster, filled, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

pytest.importorskip("distributed")

from service.compute.cluster import OnCluster, forget  # noqa: E402

PARTS = 30
# As numbers: so large that a result is always on its way.
LARGE = 1_000_000
SOON = 15.0


class Common:
    """What all parts need; it tells when it is sent."""

    def __init__(self, sent: Callable[[], None]) -> None:
        self._sent = sent

    def __reduce__(self) -> tuple[type[list[Any]], tuple[()]]:
        self._sent()
        return list, ()


def nothing() -> None:
    """Nothing happens at this moment."""


def stages(
    address: str,
    connected: Callable[[], None] = nothing,
    sent: Callable[[], None] = nothing,
    handed: Callable[[], None] = nothing,
    waited: Callable[[], None] = nothing,
    fetched: Callable[[int], None] = lambda done: None,
    size: int = LARGE,
) -> int:
    """Parts done; something may happen at each moment on the way."""
    place = Place("dask", f"tcp://{address}")

    def parts() -> Iterator[tuple[float, int]]:
        handed()
        yield 0.0, size
        waited()
        for _ in range(1, PARTS):
            yield 0.05, size

    crew = OnCluster(place, lambda stage, done, total: fetched(done))
    try:
        # It has done something before, and is connected.
        assert len(list(crew("sampling", filled, None, [(0.0, 1)] * 2, 2))) == 2
        connected()
        return len(list(crew("sampling", filled, Common(sent), parts(), PARTS)))
    finally:
        forget(place)


def told_after(moment: str, cluster: Cluster, number: int, **options: Any) -> float:
    """Seconds from the signal to the scheduler until its loss is told."""
    when: list[float] = []
    found: list[BaseException | int] = []

    def strike(done: int = PARTS // 2) -> None:
        if not when and done == PARTS // 2:
            os.kill(cluster.scheduler.pid, number)
            when.append(time.monotonic())

    def soon() -> None:
        threading.Timer(0.3, strike).start()

    def work() -> None:
        what = soon if moment == "waited" else strike
        try:
            found.append(stages(cluster.address, **{moment: what}, **options))
        except ClusterUnavailableError as error:
            found.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(60)
    assert not worker.is_alive(), "it hangs"
    assert isinstance(found[0], ClusterUnavailableError), found
    return time.monotonic() - when[0]


@pytest.mark.parametrize("moment", ["connected", "sent", "handed", "waited", "fetched"])
def test_a_scheduler_killed_at_any_moment_is_told_within_seconds(
    moment: str, tmp_path: Path
) -> None:
    with running(tmp_path, workers=1) as small:
        assert told_after(moment, small, signal.SIGKILL) < SOON


def test_a_scheduler_that_says_nothing_any_more_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays open: only a question that nobody answers shows it."""
    monkeypatch.setattr("service.compute.link.SILENCE_SECONDS", 3.0)
    with running(tmp_path, workers=1) as small:
        assert told_after("waited", small, signal.SIGSTOP, size=10) < SOON


def test_a_loop_that_is_busy_with_sending_has_not_heard_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What all parts need takes longer to write than a scheduler may be silent."""
    monkeypatch.setattr("service.compute.link.BEAT_SECONDS", 0.1)
    monkeypatch.setattr("service.compute.link.SILENCE_SECONDS", 2.0)
    with running(tmp_path, workers=1) as small:
        slow = partial(time.sleep, 5.0)
        assert stages(small.address, sent=slow, size=10) == PARTS


def test_a_link_whose_client_has_gone_says_so(tmp_path: Path) -> None:
    """Nothing is handed to an event loop that has ended."""
    from distributed import Client

    with running(tmp_path, workers=0) as empty:
        client = Client(empty.address, timeout=5, set_as_default=False)
        link = Link(client)
        assert link.threads() == 0
        client.close(timeout=1)
        with pytest.raises(ConnectionError):
            link.submit(filled, None, (0.0, 1))
