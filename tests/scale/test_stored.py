"""Analyses of files in registered folders: the same update, and no way out of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from ccdm_engine import AnalysisOptions, Localization, assimilate, blockwise
from service.schemas.stored import StoredAnalysisRequest
from service.settings import Settings
from service.stored.beneath import Beneath
from service.stored.sources import open_source
from tests.support.servers import PATIENCE, ROOT, Server, in_process, serving

Array = npt.NDArray[np.float64]
MEMBERS, DIMENSION = 12, 2 * blockwise.PART + 77


def fields() -> dict[str, Array]:
    """Smooth fields on a line, measured here and there with noise."""
    rng = np.random.default_rng(8)
    place = np.linspace(0.0, 1.0, DIMENSION)
    shapes = np.sin(np.pi * np.arange(1, 9)[:, None] * place)
    states = rng.standard_normal((MEMBERS + 1, 8)) @ shapes
    states += 0.05 * rng.standard_normal(states.shape)
    where = np.arange(200, DIMENSION, 900)
    measured = states[:, where] + 0.1 * rng.standard_normal((MEMBERS + 1, where.size))
    return {
        "states": states[1:],
        "simulated": measured[1:],
        "observation": measured[0],
        "places": place,
        "measured": place[where],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, array in fields().items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "fortran.npy", np.asfortranarray(fields()["states"]))
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def server(
    folder: Path, results: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    locations = f"runs={folder},results+write={results}"
    with serving(tmp_path_factory.mktemp("server"), LOCATIONS=locations) as server:
        yield server


def reference(path: str, location: str = "runs", **more: str) -> dict[str, str]:
    return {"location": location, "path": path, **more}


def request(**changes: Any) -> dict[str, Any]:
    return {
        "forecast_states": reference("states.npy"),
        "simulated_measurements": reference("simulated.npy"),
        "observation": fields()["observation"].tolist(),
        "localization": {
            "state_coordinates": reference("places.npy"),
            "measurement_coordinates": reference("measured.npy"),
            "radius": 0.02,
        },
        "result": reference("out.npy", "results"),
        "seed": 3,
        "overwrite": True,
    } | changes


def ask(server: Server, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/stored-analyses", json=body, timeout=PATIENCE)


def expected() -> Array:
    of = fields()
    local = Localization(of["places"], of["measured"], 0.02)
    return assimilate(
        *(of[name] for name in ("states", "simulated", "observation")),
        options=AnalysisOptions(localization=local),
        seed=3,
    ).samples


def test_a_file_gives_the_bytes_of_the_same_arrays_in_memory(
    server: Server, results: Path
) -> None:
    wanted = expected()
    for name in ("states.npy", "fortran.npy"):
        answer = ask(server, request(forecast_states=reference(name)))
        assert answer.status_code == 200, answer.text
        found = np.load(results / "out.npy")
        assert found.tobytes() == wanted.tobytes()
        told = answer.json()
        assert told["result"]["shape"] == [MEMBERS, DIMENSION]
        assert told["diagnostics"]["model"]["preconditioner"] == "localized"
    assert [file.name for file in results.iterdir()] == ["out.npy"], "nothing is left"


def test_netcdf_and_hdf5_are_read_and_written(
    server: Server, folder: Path, results: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "run.nc", "w") as file:
        file.create_dataset(
            "ocean/heat", data=fields()["states"], chunks=(4, 1000), compression="gzip"
        )
    answer = ask(
        server,
        request(
            forecast_states=reference("run.nc", variable="ocean/heat"),
            result=reference("out.nc", "results", variable="heat"),
        ),
    )
    assert answer.status_code == 200, answer.text
    with h5py.File(results / "out.nc") as file:
        assert file["heat"][:].tobytes() == expected().tobytes()
    (results / "out.nc").unlink()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../secret.npy", "path"),
        ("/etc/secret.npy", "path"),
        ("a/../../secret.npy", "path"),
        (".hidden.npy", "path"),
        ("states.txt", "path"),
        ("states.npy\0", "path"),
        ("states.npy/", "path"),
        ("states.npy/.", "path"),
        ("", "path"),
        ("x" * 2000 + ".npy", "path"),
        ("link.npy", "not-found"),
        ("away/secret.npy", "not-found"),
        ("missing.npy", "not-found"),
        ("folder.npy", "not-found"),
    ],
)
async def test_no_path_leads_out_of_the_folder(
    path: str, code: str, folder: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "secret.npy", np.zeros((2, 2)))
    for link, to in (("link.npy", tmp_path / "secret.npy"), ("away", tmp_path)):
        (folder / link).unlink(missing_ok=True)
        os.symlink(to, folder / link)
    (folder / "folder.npy").mkdir(exist_ok=True)
    async with in_process(tmp_path, locations=(f"runs={folder}",)) as client:
        body = request(forecast_states=reference(path))
        answer = await client.post("/v1/stored-analyses", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/forecast_states/path"
    assert error["code"] == code
    assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("kind", ["link", "virtual", "packed", "text", "group"])
def test_a_file_that_points_elsewhere_is_refused(kind: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.zeros((2, 3))
    with h5py.File(tmp_path / "run.h5", "w") as file:
        if kind == "link":
            file["x"] = h5py.ExternalLink("other.h5", "x")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape=(2, 3), dtype="f8")
            layout[:] = h5py.VirtualSource("other.h5", "x", shape=(2, 3))
            file.create_virtual_dataset("x", layout)
        elif kind == "packed":
            file.create_dataset("x", data=np.zeros((2, 3))).attrs["scale_factor"] = 0.1
        elif kind == "text":
            file["x"] = b"text"
        else:
            file.create_group("x")
    with pytest.raises(Exception, match=r"variable|other files|packed|dtype"):
        open_source(Beneath(tmp_path, ("run.h5",)), "x", "/forecast_states")


def test_what_a_head_promises_is_held_against_the_file(tmp_path: Path) -> None:
    file = tmp_path / "long.npy"
    np.save(file, np.zeros((4, 4)))
    content = file.read_bytes().replace(b"(4, 4)", b"(4,9999999999)"[:6])
    file.write_bytes(content.replace(b"(4,999", b"(4, 9)"))
    with pytest.raises(Exception, match="shorter than its head"):
        open_source(Beneath(tmp_path, (file.name,)), None, "/forecast_states")
    np.save(file, np.array([None]), allow_pickle=True)
    with pytest.raises(Exception, match="dtype object"):
        open_source(Beneath(tmp_path, (file.name,)), None, "/forecast_states")


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"result": reference("out.npy")}, 422, "/result/location"),
        ({"forecast_states": reference("a.npy", "other")}, 422, "location"),
        ({"forecast_states": "http://elsewhere/x.npy"}, 422, "/forecast_states"),
        ({"options": {"scaling": "none"}}, 422, "/options"),
        ({"observation": [1.0]}, 422, "/observation"),
    ],
)
def test_what_does_not_fit_is_told_where(
    server: Server, changes: dict[str, Any], status: int, pointer: str
) -> None:
    answer = ask(server, request(**changes))
    assert answer.status_code == status, answer.text
    assert pointer in json.dumps(answer.json()["errors"])


@pytest.mark.parametrize("wrong", ["runs", "Runs=/x", "runs=x", "a=/x,a=/y", "a+r=/x"])
def test_locations_are_checked_when_the_service_starts(wrong: str) -> None:
    with pytest.raises(ValidationError, match="wanted name=/folder"):
        Settings(store_url="x", locations=wrong)  # type: ignore[arg-type]


def test_the_request_in_the_documentation_is_one() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text()
    (block,) = re.findall(r"(?ms)^```json\n(.*?)^```$", page)
    asked = StoredAnalysisRequest.model_validate(json.loads(block))
    assert asked.localization.radius == 2.0
