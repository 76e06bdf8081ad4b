"""Files of stored analyses: whatever is wrong with them is told, and none is harmed."""

from __future__ import annotations

import asyncio
import math
import os
import re
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ccdm_engine import blockwise
from service.compute import estimates
from service.errors import InvalidParametersError
from service.media.errors import InvalidArrayError
from service.stored.beneath import Beneath
from service.stored.sources import open_source
from service.stored.targets import Target, beside
from tests.support.servers import in_process

MEMBERS, DIMENSION, MEASURED = 12, 300, 4
JSON = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    rng = np.random.default_rng(4)
    states = rng.standard_normal((MEMBERS, DIMENSION)).cumsum(axis=1)
    np.save(folder / "states.npy", states)
    np.save(folder / "simulated.npy", states[:, ::75] + 0.1)
    np.save(folder / "places.npy", np.arange(float(DIMENSION)))
    return folder


def reference(path: str, **more: str) -> JSON:
    return {"location": "runs", "path": path, **more}


def request(**changes: Any) -> JSON:
    return {
        "forecast_states": reference("states.npy"),
        "simulated_measurements": reference("simulated.npy"),
        "observation": [0.0] * MEASURED,
        "localization": {
            "state_coordinates": reference("places.npy"),
            "measurement_coordinates": [0.0, 75.0, 150.0, 225.0],
            "radius": 20.0,
        },
        "result": reference("out.npy"),
        "seed": 3,
    } | changes


async def ask(folder: Path, body: JSON, **settings: Any) -> httpx.Response:
    locations = (f"runs+write={folder}",)
    async with in_process(folder.parent, locations=locations, **settings) as client:
        return await client.post("/v1/stored-analyses", json=body)


def refused(answer: httpx.Response, pointer: str, words: str) -> None:
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer, answer.text
    assert words in error["message"], answer.text


def left(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.suffix == ".part"]


def at(file: Path) -> Beneath:
    return Beneath(file.parent, (file.name,))


def target(file: Path, *, overwrite: bool = True) -> Target:
    place = at(file)
    return Target(place, beside(place), 2, overwrite=overwrite)


def test_two_analyses_to_one_path_leave_the_result_of_one(tmp_path: Path) -> None:
    file = tmp_path / "out.npy"
    with target(file) as first:
        first.put(slice(0, 1), np.full((3, 1), 1.0))
        with target(file) as second:
            second.put(slice(0, 2), np.full((3, 2), 2.0))
        assert np.array_equal(np.load(file), np.full((3, 2), 2.0))
        first.put(slice(1, 2), np.full((3, 1), 1.0))
    assert np.array_equal(np.load(file), np.full((3, 2), 1.0))
    assert os.listdir(tmp_path) == ["out.npy"]


def test_a_result_that_has_gone_is_no_success(tmp_path: Path) -> None:
    file = tmp_path / "out.npy"
    side = beside(at(file))
    with (
        pytest.raises(InvalidParametersError, match="No such file"),
        Target(at(file), side, 2) as lost,
    ):
        lost.put(slice(0, 2), np.zeros((3, 2)))
        side.path.unlink()


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "out.npy"
    with (
        pytest.raises(InvalidParametersError, match="overwrite"),
        target(file, overwrite=False) as late,
    ):
        late.put(slice(0, 2), np.zeros((3, 2)))
        file.write_bytes(b"of another")
    assert file.read_bytes() == b"of another"
    assert os.listdir(tmp_path) == ["out.npy"]


def test_a_folder_in_the_place_of_the_result_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "out.npy"
    with (
        pytest.raises(InvalidParametersError, match="wanted a place"),
        target(file) as wrong,
    ):
        wrong.put(slice(0, 2), np.zeros((3, 2)))
        file.mkdir()
    assert os.listdir(tmp_path) == ["out.npy"]


@pytest.mark.parametrize("variable", [None, "heat", "ocean/heat"])
async def test_an_existing_result_is_replaced_only_on_request(
    variable: str | None, folder: Path
) -> None:
    if variable:
        pytest.importorskip("h5py")
    result = reference("out.nc", variable=variable) if variable else None
    changes = {"result": result} if result else {}
    assert (await ask(folder, request(**changes))).status_code == 200
    refused(await ask(folder, request(**changes)), "/result/path", "overwrite")
    again = await ask(folder, request(overwrite=True, **changes))
    assert again.status_code == 200
    assert left(folder) == []


async def test_a_worker_that_is_killed_leaves_nothing_beside(folder: Path) -> None:
    dimension = 20 * blockwise.PART
    rng = np.random.default_rng(5)
    np.save(folder / "states.npy", rng.standard_normal((MEMBERS, dimension)))
    np.save(folder / "places.npy", np.arange(float(dimension)))
    asked = asyncio.create_task(ask(folder, request()))
    while not left(folder):
        assert not asked.done()
        await asyncio.sleep(0.005)
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked
    assert asked.cancelled()
    assert left(folder) == []
    assert not (folder / "out.npy").exists()


@pytest.mark.parametrize(
    "path", ["y" * 252 + ".npy", "loop.npy", "loop/out.npy", "folder.npy"]
)
async def test_a_result_that_cannot_be_is_told_before_the_work(
    path: str, folder: Path
) -> None:
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "loop.npy").symlink_to(folder / "loop.npy")
    (folder / "folder.npy").mkdir()
    answer = await ask(folder, request(result=reference(path)))
    refused(answer, "/result/path", "")
    read = await ask(folder, request(forecast_states=reference(path)))
    refused(read, "/forecast_states/path", "")


@pytest.mark.parametrize(
    "name", ["sample", "state", "sample/x", "/", ".", "..", "a/../b", "a\0", "", "a//b"]
)
async def test_names_that_hdf5_does_not_take_are_refused(
    name: str, folder: Path
) -> None:
    pytest.importorskip("h5py")
    answer = await ask(folder, request(result=reference("out.nc", variable=name)))
    refused(answer, "/result/variable", "analysis_samples")


async def test_an_npy_file_has_no_variable_to_choose(folder: Path) -> None:
    for name, given in (
        ("result", reference("out.npy", variable="x")),
        ("forecast_states", reference("states.npy", variable="x")),
    ):
        answer = await ask(folder, request(**{name: given}))
        refused(answer, f"/{name}/variable", "leave it out")


@pytest.mark.parametrize("name", ["/", ".", "..", "a\0", "", "x/.", "x" * 3000])
async def test_variables_that_are_not_there_are_refused(
    name: str, folder: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "run.h5", "w") as file:
        file["x"] = np.zeros((MEMBERS, DIMENSION))
    given = reference("run.h5", variable=name)
    answer = await ask(folder, request(forecast_states=given))
    refused(answer, "/forecast_states", "variable" if name.isprintable() else "")


@pytest.mark.parametrize("kind", ["text fill", "no space"])
def test_variables_without_numbers_are_refused(kind: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "run.h5", "w") as file:
        if kind == "text fill":
            file["x"] = np.zeros((2, 3))
            file["x"].attrs["_FillValue"] = "none"
        else:
            file["x"] = h5py.Empty("f8")
    with pytest.raises(InvalidArrayError, match=r"_FillValue|no values"):
        open_source(at(tmp_path / "run.h5"), "x", "/forecast_states")


def head(shape: str) -> bytes:
    words = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\0" + len(words).to_bytes(2, "little") + words


@pytest.mark.parametrize(
    "content",
    [
        head("(-10, 200)"),
        head("(True, 200)"),
        head("(0, 1" + "0" * 30 + ")"),
        head("(" * 500 + ")" * 500),
        head("[" * 150 + "]" * 150),
        b"\x93NUMPY\x02\0" + (2**31).to_bytes(4, "little") + b"{}",
        b"\x93NUMPY\x01\0",
        b"",
    ],
    ids=["negative", "bool", "huge", "deep", "nested", "long head", "cut", "empty"],
)
def test_heads_that_no_array_has_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content + bytes(2**14))
    with pytest.raises(InvalidArrayError) as caught:
        open_source(at(tmp_path / "x.npy"), None, "/forecast_states")
    (error,) = caught.value.errors
    assert error.pointer == "/forecast_states"
    assert "wanted" in error.message
    assert str(tmp_path) not in error.message


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    side = Beneath(tmp_path, ("away", "out.part"))
    wrong = Target(at(tmp_path / "out.npy"), side, 2)
    with (
        pytest.raises(InvalidParametersError, match="ccdm check"),
        wrong,
    ):
        wrong.put(slice(0, 2), np.zeros((3, 2)))


def test_a_long_head_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    file.write_bytes(b"\x93NUMPY\x02\0" + (2**31).to_bytes(4, "little"))
    os.truncate(file, 2**32)
    with pytest.raises(InvalidArrayError, match="wanted at most 65536"):
        open_source(at(file), None, "/forecast_states")


@pytest.mark.parametrize("name", ["out.npy", "out.h5"])
def test_a_full_place_is_told_and_left_clean(name: str, tmp_path: Path) -> None:
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    file = tmp_path / name
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with (
            pytest.raises(InvalidParametersError, match="has room"),
            Target(at(file), beside(at(file)), 2**12) as full,
        ):
            full.put(slice(0, 2**11), np.zeros((8, 2**11)))
            # What the system says of a file that may not be written any further.
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, hard))
            full.put(slice(2**11, 2**12), np.zeros((8, 2**11)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def sparse(file: Path, shape: tuple[int, ...]) -> None:
    """An npy file that promises much and takes no room."""
    file.write_bytes(head(str(shape)))
    os.truncate(file, file.stat().st_size + 8 * math.prod(shape))


@pytest.mark.parametrize(
    ("name", "shape", "limit"),
    [
        ("simulated_measurements", (MEMBERS, 10**10), "max_measurement_dim"),
        ("simulated_measurements", (10**10, MEASURED), "max_members"),
        ("state_coordinates", (DIMENSION, 10**8), "max_memory_bytes"),
        ("measurement_coordinates", (MEASURED, 10**9), "max_memory_bytes"),
        ("observation", (10**11,), None),
        ("state_coordinates", (10**11,), None),
        ("measurement_coordinates", (10**11, 2), None),
    ],
)
async def test_what_is_too_large_is_not_read(
    name: str, shape: tuple[int, ...], limit: str | None, folder: Path
) -> None:
    sparse(folder / "large.npy", shape)
    body = request()
    inside = body["localization"] if name.endswith("coordinates") else body
    inside[name] = reference("large.npy")
    answer = await ask(folder, body)
    if limit is None:
        pointer = f"/localization/{name}" if inside is not body else f"/{name}"
        refused(answer, pointer, f"got shape {shape}")
    else:
        assert answer.status_code == 413, answer.text
        assert answer.json()["limit_name"] == limit


async def test_an_analysis_that_needs_too_much_memory_is_not_begun(
    folder: Path,
) -> None:
    answer = await ask(folder, request(), max_memory_bytes=64 * 2**20)
    assert answer.status_code == 413, answer.text
    assert answer.json()["limit_name"] == "max_memory_bytes"
    assert not (folder / "out.npy").exists()


def test_memory_is_that_of_a_few_parts() -> None:
    simulated = np.zeros((100, 1000))

    def needed(dimension: int) -> int:
        places = np.broadcast_to(0.0, (dimension,))
        local = {"state_coordinates": places, "radius": 1.0}
        local["measurement_coordinates"] = np.arange(1000.0)
        return estimates.estimated_stored_bytes(
            (100, dimension), simulated, {"localization": local}
        )

    # A hundred members of ten million variables would be 8 GB.
    assert needed(10**7) < 2**31
    assert needed(10**9) > 2**33


@pytest.mark.parametrize(
    ("content", "kind", "advice"),
    [
        (b"CDF\x01" + bytes(60), "a NetCDF-3 (classic) file", "nccopy -k nc4"),
        (b"CDF\x05" + bytes(60), "a NetCDF-3 (classic) file", "nccopy -k nc4"),
        (b"1.5,2.5\n", "plain text, such as CSV", "Write NetCDF-4 or HDF5"),
        (b"", "empty", "Write NetCDF-4 or HDF5"),
    ],
)
def test_a_file_of_another_format_is_told_by_its_name(
    content: bytes, kind: str, advice: str, tmp_path: Path
) -> None:
    (tmp_path / "states.nc").write_bytes(content)
    with pytest.raises(InvalidArrayError, match=re.escape(f"it is {kind}")) as caught:
        open_source(Beneath(tmp_path, ("states.nc",)), "x", "/forecast_states")
    assert advice in caught.value.errors[0].remedy
