"""What of a stored analysis is told at sight, and what waits for its turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.compute import Compute
from service.compute import stored as computing
from service.compute.estimates import estimated_stored_bytes
from service.errors import InvalidOptionsError
from service.media.errors import InvalidArrayError, TooLargeError
from service.places import Place
from service.schemas.stored import StoredAnalysisRequest
from service.settings import Settings
from service.stored.jobs import StoredJob
from service.stored.requests import prepared
from service.stored.sources import NpySource
from tests.jobs.conftest import ASYNC
from tests.scale.test_stored_files import (
    DIMENSION,
    MEASURED,
    MEMBERS,
    folder,
    left,
    request,
)
from tests.support.servers import in_process

__all__ = ["folder"]
WAYS = [{}, ASYNC]


def local(**changes: Any) -> dict[str, Any]:
    return {"localization": request()["localization"] | changes}


UNFIT = [
    ({"options": {"preconditioner": "kernel"}}, "/localization", "tapers"),
    ({"options": {"preconditioner": "none"}}, "/localization", "tapers"),
    ({"options": {"scaling": "none"}}, "/options", "scaling is 'none'"),
    ({"options": {"measurement_bandwidth": 0.5}}, "/options", "is finite"),
    ({"options": {"measurement_error": [0.1, 0.2]}}, "/options/measurement_error", ""),
    (
        local(measurement_coordinates=[[0.0, 1.0]] * MEASURED),
        "/localization/measurement_coordinates",
        "wanted 1 axes",
    ),
    (local(period=[300.0, 300.0]), "/localization/period", "1, one per axis"),
    (
        {"simulated_measurements": [[0.0] * MEASURED] * (MEMBERS + 1)},
        "/simulated_measurements",
        "one row per member",
    ),
]


@pytest.mark.parametrize("headers", WAYS, ids=["waited", "job"])
@pytest.mark.parametrize(("changes", "pointer", "words"), UNFIT)
async def test_what_no_job_could_do_is_told_before_it_is_one(
    changes: Any, pointer: str, words: str, headers: Any, folder: Path
) -> None:
    locations = (f"runs+write={folder}",)
    async with in_process(folder.parent, locations=locations) as client:
        answer = await client.post(
            "/v1/stored-analyses", json=request(**changes), headers=headers
        )
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["pointer"] == pointer and words in error["message"], answer.text
        assert (await client.get("/v1/jobs")).json()["jobs"] == []


async def test_members_enough_for_kernels_are_told_too(folder: Path) -> None:
    members = 5 * (DIMENSION + 1)
    states = np.random.default_rng(1).standard_normal((members, DIMENSION))
    np.save(folder / "states.npy", states)
    np.save(folder / "simulated.npy", states[:, :MEASURED])
    locations = (f"runs+write={folder}",)
    async with in_process(folder.parent, locations=locations) as client:
        answer = await client.post("/v1/stored-analyses", json=request(), headers=ASYNC)
    assert answer.status_code == 422, answer.text
    assert "five members per variable" in answer.text


def job_of(folder: Path) -> StoredJob:
    settings = Settings(store_url="unused", locations=(f"runs+write={folder}",))
    return prepared(StoredAnalysisRequest.model_validate(request()), settings)


@pytest.mark.parametrize("headers", WAYS, ids=["waited", "job"])
async def test_numbers_are_read_in_the_turn_and_not_before(
    headers: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here nothing may be read at all: what does it is another process."""
    reads: list[str] = []
    monkeypatch.setattr(NpySource, "whole", lambda self: reads.append(self.pointer))
    locations = (f"runs+write={folder}",)
    async with in_process(folder.parent, locations=locations) as client:
        answer = await client.post(
            "/v1/stored-analyses", json=request(), headers=headers
        )
    assert answer.status_code in (200, 202), answer.text
    assert reads == []
    assert left(folder) == []


def test_memory_is_estimated_again_when_the_places_are_known(folder: Path) -> None:
    job = job_of(folder)
    job = replace(job, localization={**job.localization, "radius": 200.0})
    options = {"localization": job.read().localization}
    simulated = np.zeros((MEMBERS, MEASURED))
    least, all_of_it = (
        estimated_stored_bytes((MEMBERS, DIMENSION), simulated, options, least=least)
        for least in (True, False)
    )
    assert least < all_of_it
    computing.check_stored(replace(job, most_bytes=least))
    with pytest.raises(TooLargeError):
        computing.check_stored(replace(job, most_bytes=least - 1))
    with pytest.raises(TooLargeError):  # more threads, more parts at a time
        computing.check_stored(
            replace(job, most_bytes=least), Place("threads", threads=16)
        )
    with pytest.raises(TooLargeError):
        computing.run_stored(replace(job, most_bytes=all_of_it - 1))
    assert not (folder / "out.npy").exists()
    computing.run_stored(replace(job, most_bytes=all_of_it))
    assert left(folder) == []


def test_options_of_a_job_are_refused_where_it_runs_as_well(folder: Path) -> None:
    job = replace(job_of(folder), options={"scaling": "none"})
    with pytest.raises(InvalidOptionsError, match="scaling"):
        computing.run_stored(job)


async def test_a_file_that_goes_before_its_turn_is_told_where(folder: Path) -> None:
    """By the process that reads it, through the one that answers."""
    settings = Settings(
        store_url=f"sqlite:///{folder.parent}/x.sqlite",
        locations=(f"runs+write={folder}",),
    )
    job = prepared(StoredAnalysisRequest.model_validate(request()), settings)
    (folder / "places.npy").unlink()
    with pytest.raises(InvalidArrayError) as caught:
        await Compute(settings).analyse_stored(job)
    (error,) = caught.value.errors
    assert error.pointer == "/localization/state_coordinates"
    assert str(folder) not in error.message
    assert left(folder) == []
