"""Files that change, or are swapped, while a stored analysis is about them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccdm_engine import blockwise
from service.compute.stored import run_stored
from service.errors import InvalidParametersError
from service.media.errors import InvalidArrayError
from service.schemas.stored import StoredAnalysisRequest
from service.settings import Settings
from service.stored import sources
from service.stored.beneath import Beneath
from service.stored.jobs import StoredJob
from service.stored.requests import prepared
from service.stored.sources import open_source
from service.stored.targets import Target, beside
from tests.jobs.conftest import ASYNC
from tests.scale.test_stored_files import (
    DIMENSION,
    MEMBERS,
    ask,
    folder,
    left,
    reference,
    refused,
    request,
)
from tests.support.servers import in_process

__all__ = ["folder"]
WAYS = [{}, ASYNC]
STATES = "/forecast_states"


def job_of(folder: Path, **changes: Any) -> StoredJob:
    settings = Settings(store_url="unused", locations=(f"runs+write={folder}",))
    params = StoredAnalysisRequest.model_validate(request(**changes))
    return prepared(params, settings)


@pytest.mark.parametrize("headers", WAYS, ids=["waited", "job"])
@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("states.npy", STATES),
        ("link.npy", STATES),
        ("twin.npy", STATES),
        ("simulated.npy", "/simulated_measurements"),
        ("places.npy", "/localization/state_coordinates"),
    ],
)
async def test_no_result_is_in_the_place_of_what_it_is_made_from(
    name: str, pointer: str, headers: Any, folder: Path
) -> None:
    """A job that was killed before it was told would analyse its own result."""
    (folder / "link.npy").symlink_to("states.npy")
    (folder / "twin.npy").hardlink_to(folder / "states.npy")
    before = (folder / name).read_bytes()
    body = request(result=reference(name), overwrite=True)
    locations = (f"runs+write={folder}",)
    async with in_process(folder.parent, locations=locations) as client:
        answer = await client.post("/v1/stored-analyses", json=body, headers=headers)
        assert (await client.get("/v1/jobs")).json()["jobs"] == []
    refused(answer, "/result/path", f"got the file of {pointer}, wanted another")
    assert (folder / name).read_bytes() == before


def replaced(file: Path) -> None:
    """As whoever writes carefully does."""
    new = file.with_name("new.tmp")
    new.write_bytes(file.read_bytes())
    new.replace(file)


def touched(file: Path) -> None:
    """In place, and to the same length."""
    with file.open("r+b") as opened:
        opened.seek(-8, os.SEEK_END)
        opened.write(bytes(8))
    later = file.stat().st_mtime_ns + 1
    os.utime(file, ns=(later, later))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def with_states(folder: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    """States of three blocks, in a file of some kind."""
    dimension = 3 * blockwise.PART
    states = np.random.default_rng(2).standard_normal((MEMBERS, dimension))
    np.save(folder / "places.npy", np.arange(float(dimension)))
    if kind == "npy":
        np.save(folder / "states.npy", states)
        return folder / "states.npy", {}
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "run.h5", "w") as file:
        file["x"] = states
    changes = {"forecast_states": reference("run.h5", variable="x")}
    return folder / "run.h5", changes


@pytest.mark.parametrize("change", [replaced, touched, cut])
@pytest.mark.parametrize("kind", ["npy", "h5"])
@pytest.mark.parametrize("when", [1, 5])
def test_states_that_change_while_they_are_read_are_refused(
    kind: str,
    change: Callable[[Path], None],
    when: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a block of the survey, and after one of the update."""
    file, changes = with_states(folder, kind)
    job = job_of(folder, **changes)
    read, reads = type(job.states).read, []

    def then_changes(self: Any, columns: slice) -> Any:
        found = read(self, columns)
        reads.append(columns)
        if len(reads) == when:
            change(file)
        return found

    monkeypatch.setattr(type(job.states), "read", then_changes)
    with pytest.raises(InvalidArrayError, match="while it was read") as caught:
        run_stored(job)
    assert [error.pointer for error in caught.value.errors] == [STATES]
    assert not (folder / "out.npy").exists()
    assert left(folder) == []


@pytest.mark.parametrize("change", [replaced, touched, cut])
def test_a_change_after_the_last_block_is_seen_before_there_is_a_result(
    change: Callable[[Path], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = with_states(folder, "npy")
    put = Target.put

    def then_changes(self: Target, columns: slice, samples: Any) -> None:
        put(self, columns, samples)
        if columns.stop == 3 * blockwise.PART:
            change(file)

    monkeypatch.setattr(Target, "put", then_changes)
    with pytest.raises(InvalidArrayError, match="while it was read"):
        run_stored(job_of(folder))
    assert not (folder / "out.npy").exists()


def test_a_change_in_the_middle_of_a_block_is_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(folder)
    fill, rows = sources._fill, []

    def then_changes(file: Any, array: Any) -> None:
        fill(file, array)
        rows.append(array)
        if len(rows) == 2:
            touched(folder / "states.npy")

    monkeypatch.setattr(sources, "_fill", then_changes)
    with pytest.raises(InvalidArrayError, match="while it was read"):
        job.states.read(slice(0, DIMENSION))


async def test_the_answer_tells_which_files_were_read(folder: Path) -> None:
    answer = await ask(folder, request())
    assert answer.status_code == 200, answer.text
    inputs = answer.json()["inputs"]
    names = {
        STATES: "states.npy",
        "/simulated_measurements": "simulated.npy",
        "/localization/state_coordinates": "places.npy",
    }
    assert inputs.keys() == names.keys()
    for pointer, name in names.items():
        facts = (folder / name).stat()
        assert inputs[pointer]["bytes"] == facts.st_size
        assert inputs[pointer]["modified"].replace(".", "") == str(facts.st_mtime_ns)


@pytest.mark.parametrize("swapped", ["file", "folder", "pipe"])
def test_what_is_swapped_for_a_link_after_the_look_is_not_followed(
    swapped: str, tmp_path: Path
) -> None:
    """The look is over where this begins: what follows is the use."""
    root, away = tmp_path / "runs", tmp_path / "away"
    for place in (root / "day", away):
        place.mkdir(parents=True)
        np.save(place / "x.npy", np.zeros((2, 3)))
    given = Beneath(root, ("day", "x.npy"))
    source = open_source(given, None, STATES)
    if swapped == "folder":
        (root / "day").rename(root / "old")
        (root / "day").symlink_to(away)
    else:
        (root / "day" / "x.npy").unlink()
        if swapped == "file":
            (root / "day" / "x.npy").symlink_to(away / "x.npy")
        else:
            os.mkfifo(root / "day" / "x.npy")
    for use in (source.whole, lambda: open_source(given, None, STATES)):
        with pytest.raises(InvalidArrayError):
            use()


@pytest.mark.parametrize("name", ["x.npy", "x.h5"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_no_result_is_written_through_a_link_put_in_the_way(
    name: str, when: str, tmp_path: Path
) -> None:
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    root, away = tmp_path / "runs", tmp_path / "away"
    (root / "day").mkdir(parents=True)
    away.mkdir()
    (away / name).write_bytes(b"somebody's")
    file = Beneath(root, ("day", name))
    target = Target(file, beside(file), 4, overwrite=True)

    def swap() -> None:
        (root / "day").rename(root / "old")
        (root / "day").symlink_to(away)

    with pytest.raises(InvalidParametersError, match="wanted a place"), target:
        if when == "before":
            swap()
        target.put(slice(0, 2), np.zeros((3, 2)))
        if when == "meanwhile":
            swap()
    assert [file.name for file in away.iterdir()] == [name]
    assert (away / name).read_bytes() == b"somebody's"


async def test_links_within_a_location_are_followed(folder: Path) -> None:
    (folder / "latest.npy").symlink_to("states.npy")
    (folder / "here").symlink_to(".")
    for path in ("latest.npy", "here/states.npy"):
        body = request(forecast_states=reference(path), overwrite=True)
        assert (await ask(folder, body)).status_code == 200


@pytest.mark.parametrize("name", ["x\0", "x\0y", "\0x", "x/\0"])
def test_a_variable_is_not_cut_at_a_null(name: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["x"] = np.zeros((2, 3))
    with pytest.raises(InvalidArrayError, match="null in its name"):
        open_source(Beneath(tmp_path, ("run.h5",)), name, STATES)


@pytest.mark.parametrize("name", ["simulated_measurements", "forecast_states"])
async def test_chunks_larger_than_memory_are_not_unpacked(
    name: str, folder: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    file_of = {"forecast_states": "states.npy"}.get(name, "simulated.npy")
    like = np.load(folder / file_of)
    with h5py.File(folder / "bomb.h5", "w") as file:
        # Only what is written takes room: nothing is, here.
        file.create_dataset(
            "v",
            shape=like.shape,
            maxshape=(None, None),
            chunks=(4000, 60000),
            dtype="f8",
            compression="gzip",
        )
    body = request(**{name: reference("bomb.h5", variable="v")})
    answer = await ask(folder, body)
    assert answer.status_code == 413, answer.text
    assert answer.json()["limit_name"] == "max_memory_bytes"
    assert f"/{name}" in answer.json()["detail"]


def packed(file: Path, content: bytes, **more: Any) -> None:
    """One chunk of 2 by 3 numbers, with other bytes packed in it."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(file, "w") as opened:
        array = opened.create_dataset(
            "v", shape=(2, 3), chunks=(2, 3), dtype="f8", compression="gzip", **more
        )
        array.id.write_direct_chunk((0, 0), content)


@pytest.mark.parametrize(
    "content",
    [zlib.compress(bytes(2**22)), zlib.compress(bytes(53)), bytes(5000)],
    ids=["bomb", "more by one", "long"],
)
def test_chunks_that_hold_more_than_they_say_are_refused(
    content: bytes, tmp_path: Path
) -> None:
    """HDF5 would unpack them first: a thousand times their bytes."""
    packed(tmp_path / "run.h5", content)
    source = open_source(Beneath(tmp_path, ("run.h5",)), "v", STATES)
    with pytest.raises(InvalidArrayError, match="one of its chunks"):
        source.check()


def test_chunks_are_looked_through_before_any_is_read(folder: Path) -> None:
    packed(folder / "run.h5", zlib.compress(bytes(2**22)))
    given = Beneath(folder, ("run.h5",))
    job = replace(job_of(folder), states=open_source(given, "v", STATES))
    with pytest.raises(InvalidArrayError, match="holds more than it says"):
        job.read()


@pytest.mark.parametrize("more", [{}, {"shuffle": True}, {"fletcher32": True}])
def test_chunks_that_are_packed_well_are_read(
    more: dict[str, Any], tmp_path: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    values = np.random.default_rng(1).standard_normal((50, 70))
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file.create_dataset("v", data=values, chunks=(7, 9), compression=9, **more)
    source = open_source(Beneath(tmp_path, ("run.h5",)), "v", STATES)
    source.check()
    assert np.array_equal(source.whole(), values)


@pytest.mark.parametrize("how", ["lzf", "scaleoffset"])
def test_other_packings_are_refused_at_sight(how: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    more = {"compression": "lzf"} if how == "lzf" else {"scaleoffset": 2}
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file.create_dataset("v", data=np.ones((4, 4)), **more)
    with pytest.raises(InvalidArrayError, match="other than gzip"):
        open_source(Beneath(tmp_path, ("run.h5",)), "v", STATES)
