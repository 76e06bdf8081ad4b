"""Long parameters of a job are moved for who runs it, and for nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.jobs import book as books
from service.jobs.asked import ASKED
from service.jobs.book import Book, Limits
from service.jobs.models import Submission, shelf
from service.media.bodies import encode_body
from service.stores import Store
from tests.jobs.conftest import ASYNC, ended
from tests.support.servers import PATIENCE, serving
from tests.support.stores import clock, open_another, store, store_url

__all__ = ["clock", "open_another", "store", "store_url"]
LONG = {"session": "s", "cycle": 3, "options": {"places": [[0.1, 0.2, 0.3]] * 20_000}}


async def test_what_was_asked_lies_beside_the_document(store: Store) -> None:
    book = Book(store, Limits())
    wanted = Submission("cycle", LONG, {"observation": np.ones(2)})
    job = await book.submit("t", wanted)
    assert len((await store.load(shelf("t"), job.id)).meta) < 1000
    found = await book.get("t", job.id)
    assert found.asked == {"session": "s", "cycle": 3}
    assert await book.asked(found) == LONG
    assert await book.save(replace(found, status="failed")) is not None
    assert ASKED not in (await store.names(shelf("t"), job.id)).blobs


async def test_a_page_has_so_many_bytes_of_documents(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(store, Limits())
    for _ in range(3):
        await book.submit("t", Submission("analysis", {"options": {}, "seed": 1}))
    jobs, more = await book.list("t")
    assert (len(jobs), more) == (3, None)
    monkeypatch.setattr(books, "PAGE_BYTES", 1)
    (job,), more = await book.list("t")
    assert job.id == jobs[0].id == more


def test_a_job_with_coordinates_is_run_with_them(tmp_path: Path) -> None:
    wide = 1500
    arrays = {
        "forecast_states": np.random.default_rng(0).normal(size=(6, wide)),
        "simulated_measurements": np.arange(6.0)[:, None],
        "observation": np.ones(1),
    }
    places = np.linspace(0.0, 9.0, 3 * wide).reshape(wide, 3).tolist()
    localization = {
        "state_coordinates": places,
        "measurement_coordinates": [places[0]],
        "radius": 2.0,
    }
    params = {"options": {"localization": localization}, "seed": 1}
    kind, body = encode_body(arrays, params)
    headers = {"Content-Type": kind}
    with (
        serving(tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        now = http.post("/v1/analyses", content=body, headers=headers)
        assert now.status_code == 200, now.text
        later = http.post("/v1/analyses", content=body, headers=headers | ASYNC)
        job = later.json()["jobID"]
        assert ended(http, job)["status"] == "successful"
        result = http.get(f"/v1/jobs/{job}/results").json()
        assert result["analysis_samples"] == now.json()["analysis_samples"]
