"""Analyses of files from Python: waited for, as jobs, and found among other jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.client import (
    AsyncClient,
    AsyncStoredJob,
    Client,
    Job,
    RequestRejectedError,
    StoredJob,
    StoredResult,
    UnexpectedReplyError,
    UsageError,
)
from tests.client.pairs import FIXED, pairs
from tests.scale.test_stored_files import folder, reference, request
from tests.support.client_servers import Recorder, answer, running
from tests.support.servers import Server, serving

__all__ = ["folder"]


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, LOCATIONS=f"runs+write={folder}") as server:
        yield server


def asked(name: str = "out.npy", **changes: Any) -> dict[str, Any]:
    """As arguments, with arrays where the request has lists."""
    found = request(result=reference(name), **changes)
    found["observation"] = np.asarray(found["observation"])
    places = found["localization"]
    places["measurement_coordinates"] = np.asarray(places["measurement_coordinates"])
    return found


def test_a_job_comes_to_what_the_call_comes_to(server: Server, folder: Path) -> None:
    with Client(server.url) as client:
        waited = client.analyse_stored(**asked())
        assert waited.result == reference("out.npy")
        assert waited.shape == np.load(folder / "out.npy").shape
        assert waited.timing["compute"] > 0 and waited.request_id
        job = client.submit_stored(**asked("job.npy"))
        assert isinstance(job, StoredJob) and job.status.kind == "stored-analysis"
        result = job.wait(timeout=60)
        assert result.sha256 == waited.sha256
        assert result.diagnostics == waited.diagnostics
        assert result.result == reference("job.npy")
        assert (folder / "job.npy").read_bytes() == (folder / "out.npy").read_bytes()
        with pytest.raises(RequestRejectedError, match="overwrite"):
            client.submit_stored(**asked())
        assert client.analyse_stored(**asked(overwrite=True)).sha256 == waited.sha256


def test_it_is_found_among_jobs_of_other_kinds(server: Server) -> None:
    with Client(server.url) as client:
        client.submit(*pairs(), options=FIXED, seed=1)
        client.submit_stored(**asked())
        plain, stored = client.jobs()
        assert isinstance(plain, Job) and isinstance(stored, StoredJob)
        assert plain.wait(timeout=60).samples.shape == (12, 2)
        assert isinstance(stored.wait(timeout=60), StoredResult)
        again = client.job(stored.id)
        assert isinstance(again, StoredJob) and again.wait().shape[0] == 12


async def test_the_awaiting_client_does_the_same(server: Server) -> None:
    async with AsyncClient(server.url) as client:
        job = await client.submit_stored(**asked())
        result = await job.wait(timeout=60)
        waited = await client.analyse_stored(**asked(overwrite=True))
        assert result.sha256 == waited.sha256
        (found,) = [each async for each in client.jobs()]
        assert isinstance(found, AsyncStoredJob)


@pytest.mark.parametrize("overwrite", [True, False])
def test_it_is_repeated_only_where_that_does_no_harm(overwrite: bool) -> None:
    from service.client.stored import StoredRequest

    assert StoredRequest(**asked(overwrite=overwrite)).message().repeatable is overwrite


def test_what_is_no_array_is_told_before_it_is_sent() -> None:
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(UsageError, match="observation"):
            client.analyse_stored(**{**asked(), "observation": "states.npy"})
        with pytest.raises(UsageError, match="localization"):
            client.analyse_stored(**{**asked(), "localization": 3.0})


def test_an_answer_without_its_place_is_unexpected() -> None:
    other = Recorder([answer(200, b'{"diagnostics": {}}')])
    with (
        running(other),
        Client(other.url) as client,
        pytest.raises(UnexpectedReplyError, match="where it is"),
    ):
        client.analyse_stored(**asked())
