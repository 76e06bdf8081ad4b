"""Dask workers that die of a part, raise, are slow, or are of another make."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from service.compute.estimates import PARTS_ALIVE
from service.errors import ClusterUnavailableError, WorkersEndedError
from service.places import Place
from tests.scale.cluster import PATIENCE, Cluster, filled, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

pytest.importorskip("distributed")

from service.compute.cluster import OnCluster, forget  # noqa: E402
from service.compute.link import Link  # noqa: E402

OTHER = """
import ccdm_engine.version
ccdm_engine.version.__version__ = "0.0.1"
"""
WITHOUT = """
import sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ccdm_engine", "service", "tests"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nowhere())
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler for which one death is enough, and one worker of many threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
        with running(tmp_path_factory.mktemp("dask"), workers=0) as cluster:
            cluster.add_worker(threads=8)
            yield cluster
            forget(place(cluster))


def place(cluster: Cluster) -> Place:
    return Place("dask", f"tcp://{cluster.address}")


def doing(
    cluster: Cluster, work: Callable[..., Any], parts: list[Any]
) -> Iterator[Any]:
    crew = OnCluster(place(cluster), lambda stage, done, total: None)
    return crew("sampling", work, None, iter(parts), len(parts))


def deadly(common: None, part: int) -> None:
    """Work that ends whoever does it."""
    os._exit(1)


def failing(common: None, part: Path) -> None:
    """Work that fails, and leaves a trace."""
    with part.open("a") as file:
        file.write("tried\n")
    raise ArithmeticError("no such sum")


def test_an_error_that_a_part_raises_is_not_asked_for_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    traces = [tmp_path / "first", tmp_path / "second"]
    with pytest.raises(ArithmeticError, match="no such sum"):
        list(doing(cluster, failing, traces))
    assert traces[0].read_text() == "tried\n"


def test_workers_of_another_make_are_named(cluster: Cluster, tmp_path: Path) -> None:
    others = []
    for name, preload in (("other.py", OTHER), ("without.py", WITHOUT)):
        (tmp_path / name).write_text(preload)
        others.append(cluster.add_worker("--preload", str(tmp_path / name)))
    with pytest.raises(ClusterUnavailableError, match="2 of 3 Dask workers") as found:
        list(doing(cluster, filled, [(0.0, 1)] * 4))
    for told in ("has 0.0.1", "has none", "install the same"):
        assert told in found.value.detail
    assert "tcp://" not in found.value.detail
    for other in others:
        other.kill()
        other.wait(PATIENCE)


def test_what_waits_behind_a_slow_part_waits_with_the_workers(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    futures: list[Future[Any]] = []
    submit = Link.submit

    def noting(link: Link, *args: Any) -> Future[Any]:
        futures.append(submit(link, *args))
        return futures[-1]

    monkeypatch.setattr(Link, "submit", noting)
    results = doing(cluster, filled, [(2.0, 1000)] + [(0.0, 1000)] * 39)
    next(results)
    # Of 24 that are handed in, whatever threads there are.
    assert len(futures) == 24
    assert sum(future.done() for future in futures) <= PARTS_ALIVE
    assert len(list(results)) == 39


def test_a_part_that_ends_workers_is_no_lost_scheduler(cluster: Cluster) -> None:
    with pytest.raises(WorkersEndedError, match="ended 1 Dask workers"):
        list(doing(cluster, deadly, [1, 2]))
