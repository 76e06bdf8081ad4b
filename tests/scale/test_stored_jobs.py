"""Stored analyses as jobs: the same answer and file, whoever is killed meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.schemas.stored import StoredAnalysisRequest
from service.settings import Settings
from service.stored.requests import kept, prepared
from service.stored.targets import SPARE_SECONDS, Attempt, beside, sweep
from tests.jobs.conftest import ASYNC, ended
from tests.scale.test_stored_files import at, folder, left, refused, request
from tests.support.servers import PATIENCE, Server, serving

__all__ = ["folder"]
HERE = "/v1/stored-analyses"


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Server]:
    locations = f"runs+write={folder}"
    settings = {"LOCATIONS": locations, "JOB_LEASE_SECONDS": "1"}
    with serving(tmp_path, **settings) as server:
        yield server


def client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=PATIENCE)


def submitted(http: httpx.Client, **changes: Any) -> str:
    answer = http.post(HERE, json=request(**changes), headers=ASYNC)
    assert answer.status_code == 202, answer.text
    assert answer.json()["processID"] == "stored-analysis"
    return str(answer.json()["jobID"])


def test_a_job_gives_the_answer_and_the_file(server: Server, folder: Path) -> None:
    other = {"location": "runs", "path": "other.npy"}
    with client(server) as http:
        waited = http.post(HERE, json=request(result=other)).json()
        job = submitted(http)
        assert ended(http, job)["status"] == "successful"
        found = http.get(f"/v1/jobs/{job}/results")
        assert found.json()["result"].pop("path") == "out.npy"
        assert waited["result"].pop("path") == "other.npy"
        expected = {**waited, "result": {**waited["result"], "path": "out.npy"}}
        assert found.json() == expected
        wrong = http.get(f"/v1/jobs/{job}/results", headers={"Accept": "text/csv"})
        assert wrong.status_code == 406
    one, two = ((folder / name).read_bytes() for name in ("out.npy", "other.npy"))
    assert one == two
    assert left(folder) == []


def test_what_is_wrong_at_sight_is_told_at_once(server: Server, folder: Path) -> None:
    (folder / "out.npy").write_bytes(b"somebody's")
    with client(server) as http:
        refused(
            http.post(HERE, json=request(), headers=ASYNC), "/result/path", "overwrite"
        )
        assert http.get("/v1/jobs").json()["jobs"] == []


def test_a_file_that_came_before_the_job_ran_fails_it(
    folder: Path, tmp_path: Path
) -> None:
    settings = {"LOCATIONS": f"runs+write={folder}", "JOB_WORKERS": "0"}
    server = Server(tmp_path, **settings).start()
    with client(server) as http:
        job = submitted(http)
    server.stop()
    (folder / "out.npy").write_bytes(b"somebody's")
    server = Server(tmp_path, LOCATIONS=settings["LOCATIONS"]).start()
    try:
        with client(server) as http:
            assert ended(http, job)["status"] == "failed"
            refused(http.get(f"/v1/jobs/{job}/results"), "/result/path", "overwrite")
    finally:
        server.stop()
    assert (folder / "out.npy").read_bytes() == b"somebody's"


@pytest.mark.parametrize("name", ["out.npy", "out.h5"])
def test_one_that_was_killed_after_its_file_was_whole_ends_well(
    name: str, folder: Path
) -> None:
    """The file was there when the worker died, and nobody had been told."""
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    from service.compute.stored import run_stored

    settings = Settings(store_url="unused", locations=(f"runs+write={folder}",))
    of = request(result={"location": "runs", "path": name})
    asked, numbers = kept(StoredAnalysisRequest.model_validate(of))
    assert asked["observation"] == []
    params = StoredAnalysisRequest.model_validate(asked)
    results = []
    for number in (1, 2):
        job = prepared(params, settings, numbers, Attempt("a-job", number))
        results.append((run_stored(job).digest, (folder / name).read_bytes()))
    assert results[0] == results[1]
    assert left(folder) == []


def wide(folder: Path, dimension: int = 60_000) -> dict[str, Any]:
    """What is asked for instead, so that it takes a while."""
    rng = np.random.default_rng(1)
    states = rng.standard_normal((40, dimension)).cumsum(axis=1)
    np.save(folder / "wide.npy", states)
    np.save(folder / "grid.npy", np.arange(float(dimension)))
    step = dimension // 4
    return {
        "forecast_states": {"location": "runs", "path": "wide.npy"},
        "simulated_measurements": (states[:, ::step] + 0.1).tolist(),
        "localization": {
            "state_coordinates": {"location": "runs", "path": "grid.npy"},
            "measurement_coordinates": [float(i * step) for i in range(4)],
            "radius": 7000.0,
        },
    }


def wait_until_begun(folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not left(folder):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_service_killed_in_the_middle_leaves_one_file(
    folder: Path, tmp_path: Path
) -> None:
    """Also where what it had begun goes on for a while without it."""
    changes = wide(folder)
    settings = {"LOCATIONS": f"runs+write={folder}", "JOB_LEASE_SECONDS": "2"}
    server = Server(tmp_path, **settings).start()
    twin = {"location": "runs", "path": "twin.npy"}
    with client(server) as http:
        alike = submitted(http, **changes, result=twin)
        assert ended(http, alike)["status"] == "successful"
        waited = http.get(f"/v1/jobs/{alike}/results").json()
        job = submitted(http, **changes)
        wait_until_begun(folder)
    server.kill()
    assert left(folder) != []
    assert not (folder / "out.npy").exists()
    server = Server(tmp_path, **settings).start()
    try:
        with client(server) as http:
            done = ended(http, job)
            assert (done["status"], done["attempt"]) == ("successful", 2)
            found = http.get(f"/v1/jobs/{job}/results").json()
            assert found["result"]["sha256"] == waited["result"]["sha256"]
    finally:
        server.stop()
    assert (folder / "out.npy").read_bytes() == (folder / "twin.npy").read_bytes()
    assert left(folder) == [], "its job took away what the first attempt had begun"


def test_dismissing_ends_the_work_and_takes_away_what_it_wrote(
    folder: Path, tmp_path: Path
) -> None:
    changes = wide(folder, 400_000)
    settings = {"LOCATIONS": f"runs+write={folder}", "MAX_RUNNING": "1"}
    with serving(tmp_path, **settings) as server, client(server) as http:
        job = submitted(http, **changes)
        wait_until_begun(folder)
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "running"
        assert http.delete(f"/v1/jobs/{job}").json()["status"] == "dismissed"
        assert http.get(f"/v1/jobs/{job}/results").status_code == 410
        # Whoever comes next has the turn, of which there is one.
        other = {"location": "runs", "path": "other.npy"}
        assert http.post(HERE, json=request(result=other)).status_code == 200
    assert left(folder) == []
    assert not (folder / "out.npy").exists()


def test_an_attempt_takes_away_what_those_before_it_left(folder: Path) -> None:
    settings = Settings(store_url="unused", locations=(f"runs+write={folder}",))
    params = StoredAnalysisRequest.model_validate(request())
    sides = [
        prepared(params, settings, {}, Attempt(job, number)).side.path
        for job, number in (("one", 1), ("one", 2), ("two", 1))
    ]
    for side in sides:
        side.write_bytes(b"half")
    third = prepared(params, settings, {}, Attempt("one", 3))
    assert left(folder) == [sides[2].name], "of its own job alone"
    assert third.side.path not in sides


def test_what_a_killed_service_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    old, fresh, foreign = (beside(at(tmp_path / "out.npy")).path for _ in range(3))
    foreign = foreign.with_name(".ccdm-mine.part")
    linked = beside(at(tmp_path / "out.npy")).path
    for file in (old, fresh, foreign):
        file.write_bytes(b"half")
    linked.symlink_to(foreign)
    before = time.time() - 60.0 - SPARE_SECONDS - 5.0
    for file in (old, foreign, linked):
        os.utime(file, (before, before), follow_symlinks=False)
    sweep(tmp_path, 60.0)
    assert set(tmp_path.iterdir()) == {fresh, foreign, linked}
    sweep(tmp_path / "nowhere", 60.0)


def test_it_is_swept_before_the_next_result_in_that_folder(
    folder: Path, tmp_path: Path
) -> None:
    old = beside(at(folder / "out.npy")).path
    old.write_bytes(b"half")
    os.utime(old, (1.0, 1.0))
    settings = Settings(store_url="unused", locations=(f"runs+write={folder}",))
    prepared(StoredAnalysisRequest.model_validate(request()), settings)
    assert not old.exists()


def test_one_that_ends_meanwhile_does_not_end_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (beside(at(tmp_path / "out.npy")).path for _ in range(4)):
        file.write_bytes(b"half")
        os.utime(file, (1.0, 1.0))
    look = os.scandir

    def then_one_goes(folder: Path) -> Any:
        with look(folder) as entries:
            found = list(entries)
        Path(found[0].path).unlink()
        return nullcontext(found)

    monkeypatch.setattr(os, "scandir", then_one_goes)
    sweep(tmp_path, 60.0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_looked_through_once_an_hour(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(store_url="unused", locations=(f"runs+write={folder}",))
    params = StoredAnalysisRequest.model_validate(request())
    looks: list[Path] = []
    look = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda place: (looks.append(Path(place)), look(place))[1]
    )
    for _ in range(3):
        prepared(params, settings)
    assert looks == [folder]
    now = time.monotonic() + 3601.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    prepared(params, settings)
    assert looks == [folder, folder]
