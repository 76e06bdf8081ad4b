"""Session files: the same from every store, whole or refused, and never believed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.portable import PortableError, import_session, opened, write_session
from service.sessions import Session, SessionNotFound, Sessions, SessionSpec
from service.sessions.gathering import Observed
from service.stores import Store
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock, change

Entries = dict[str, bytes]
Edit = Callable[[Entries], Any]


@pytest.fixture
async def session(store: Store, clock: Clock) -> Session:
    """A session with an initial ensemble and four cycles."""
    sessions = Sessions(store, SmallAnalysis(), clock, keep_inputs=2)
    spec = SessionSpec(
        state_dim=3,
        measurement_dim=2,
        seed=2**53 - 1,
        keep_analyses=3,
        initial_ensemble=forecast(0)[0],
        metadata={"ключ": "one \U0001d11e letter", "x": [1.5, None, {}]},
        ttl_seconds=500.25,
    )
    made = await sessions.create("t", spec)
    for k in range(1, 5):
        await sessions.put_cycle("t", made.id, k, *forecast(k))
    return await sessions.get("t", made.id)


async def written(store: Store, sid: str, path: Path) -> bytes:
    """A session as a file."""
    with path.open("w+b") as file:
        await write_session(store, "t", sid, file)
    return path.read_bytes()


@pytest.fixture
async def path(store: Store, session: Session, tmp_path: Path) -> Path:
    """That session in a file, and no more in the store."""
    path = tmp_path / "s.zip"
    await written(store, session.id, path)
    await store.delete("t", session.id)
    return path


async def test_what_comes_back_is_what_was_there(
    store: Store, session: Session, path: Path, clock: Clock, tmp_path: Path
) -> None:
    before = path.read_bytes()
    with opened(path) as file:
        assert file.session == session
        await import_session(store, "t", file, clock.now)
    sessions = Sessions(store, SmallAnalysis(), clock, keep_inputs=2)
    assert await sessions.get("t", session.id) == session
    again = await sessions.put_cycle("t", session.id, 4, *forecast(4))
    assert again.replayed
    assert await written(store, session.id, tmp_path / "again.zip") == before
    after = await sessions.put_cycle("t", session.id, 5, *forecast(5))
    assert not after.replayed
    # Under another tenant it is another session.
    with opened(path) as file:
        await import_session(store, "u", file, clock.now)
    assert (await sessions.get("u", session.id)).cycle == 4
    assert (await sessions.get("t", session.id)).cycle == 5


async def test_a_session_that_has_expired_meanwhile_begins_to_live_anew(
    store: Store, session: Session, path: Path, clock: Clock
) -> None:
    clock.advance(3 * 86_400)
    with opened(path) as file:
        await import_session(store, "t", file, clock.now)
    loaded = await store.load("t", session.id)
    assert loaded.expires_at == clock.now + session.ttl_seconds


async def test_an_expiry_is_no_further_away_than_the_lifetime(
    store: Store, session: Session, path: Path, clock: Clock
) -> None:
    far = manifest(lambda m: m["session"].update(expires_at=9e10))
    rewritten(path, far)
    with opened(path) as file:
        await import_session(store, "t", file, clock.now)
    loaded = await store.load("t", session.id)
    assert loaded.expires_at == clock.now + session.ttl_seconds


async def test_a_live_session_stays(
    store: Store, session: Session, clock: Clock, tmp_path: Path
) -> None:
    await written(store, session.id, tmp_path / "s.zip")
    with (
        opened(tmp_path / "s.zip") as file,
        pytest.raises(PortableError, match="delete it first"),
    ):
        await import_session(store, "t", file, clock.now)
    assert (await store.load("t", session.id)).version == session.version


async def test_one_state_is_written_however_busy_the_session_is(
    store: Store, session: Session, clock: Clock, tmp_path: Path
) -> None:
    sessions = Sessions(store, SmallAnalysis(), clock, keep_inputs=2)
    names = store.names
    changed = 0

    async def late(tenant: str, sid: str) -> Any:
        # Between reading the head and reading the rest, another cycle happens.
        nonlocal changed
        if changed < 2:
            changed += 1
            k = (await sessions.get("t", sid)).cycle + 1
            await sessions.put_cycle("t", sid, k, *forecast(k))
        return await names(tenant, sid)

    store.names = late  # type: ignore[method-assign]
    await written(store, session.id, tmp_path / "s.zip")
    with opened(tmp_path / "s.zip") as file:
        assert file.session.cycle == 6
        assert len(list(file.records())) == 6
    changed = -100
    with pytest.raises(PortableError, match="changes while"):
        await written(store, session.id, tmp_path / "s.zip")


async def test_names_without_a_place_are_not_written(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    blobs = {"../../etc/passwd": b"1"}
    await store.commit("t", "s", change(0, expires_at=clock.now + 9, blobs=blobs))
    with pytest.raises(PortableError, match="no place"):
        await written(store, "s", tmp_path / "s.zip")


def rewritten(path: Path, edit: Edit, kind: int = zipfile.ZIP_STORED) -> None:
    """The file with other entries, its table of contents as it was."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    edit(entries)
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def manifest(change: Callable[[dict[str, Any]], Any]) -> Edit:
    """An edit of the manifest."""

    def edit(entries: Entries) -> None:
        content = json.loads(entries["manifest.json"])
        change(content)
        entries["manifest.json"] = json.dumps(content).encode()

    return edit


def swapped(entries: Entries) -> None:
    """Two analyses change places."""
    one, two = "analysis/3.npy", "analysis/4.npy"
    entries[one], entries[two] = entries[two], entries[one]


def escaped(entries: Entries) -> None:
    """A name that leads out."""
    entries["../../../../tmp/evil.npy"] = entries["analysis/4.npy"]


def deep(entries: Entries) -> None:
    """JSON that is nested without end."""
    entries["manifest.json"] = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


HOSTILE: list[tuple[Edit, str]] = [
    (swapped, "digest differs"),
    (escaped, "is no part of a session"),
    (deep, "cannot be read"),
    (lambda e: e.pop("analysis/4.npy"), "differ"),
    (lambda e: e.pop("manifest.json"), "no manifest.json"),
    (lambda e: e.pop("records.jsonl"), "no records.jsonl"),
    (lambda e: e.update({"manifest.json": b"[1]"}), "JSON object"),
    (lambda e: e.update({"manifest.json": b"{"}), "cannot be read"),
    (lambda e: e.update({"session.json": b"{}"}), "digest differs"),
    (lambda e: e.update({"records.jsonl": e["records.jsonl"][:-9]}), "cannot be read"),
    (lambda e: e.update({"records.jsonl": e["records.jsonl"] * 2}), "twice"),
    (manifest(lambda m: m.update(format="other")), "not a session file"),
    (manifest(lambda m: m.update(format_version=2)), "format version 2"),
    (manifest(lambda m: m.update(entries=[])), "cannot be read"),
    (manifest(lambda m: m["session"].update(id="../x")), "proper name"),
    (manifest(lambda m: m["session"].update(version=-1)), "version"),
    (manifest(lambda m: m["session"].update(version=1.5)), "version"),
    (manifest(lambda m: m["session"].update(version=0)), "got 0, wanted a whole"),
    (manifest(lambda m: m["session"].update(version=2**63)), "version: got 92233"),
    (manifest(lambda m: m["session"].update(arrivals=2**70)), "arrivals: got 11805"),
    (manifest(lambda m: m["session"].update(expires_at="soon")), "expiry"),
    (manifest(lambda m: m["session"].update(expires_at=True)), "expiry"),
    (manifest(lambda m: m["session"].update(expires_at=-1)), "expiry"),
    (manifest(lambda m: m["session"].update(expires_at=1e300)), "expiry"),
]


@pytest.mark.parametrize(("edit", "words"), HOSTILE)
async def test_a_file_that_was_tampered_with_is_refused(
    store: Store, session: Session, path: Path, clock: Clock, edit: Edit, words: str
) -> None:
    rewritten(path, edit)
    with pytest.raises(PortableError, match=words), opened(path) as file:
        await import_session(store, "u", file, clock.now)
    with pytest.raises(SessionNotFound):
        await store.load("u", session.id)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
async def test_nothing_is_inflated(path: Path, kind: int) -> None:
    rewritten(path, lambda e: e.update({"session.json": bytes(10**7)}), kind)
    assert path.stat().st_size < 10**5
    with pytest.raises(PortableError, match="compressed"), opened(path):
        pass


async def test_lengths_are_not_believed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # In the table at the end: one entry claims the length of the whole file.
    at = content.rindex(b"PK\x01\x02")
    for field in (20, 24):
        content[at + field : at + field + 4] = len(content).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(PortableError), opened(path):
        pass


async def test_places_are_not_believed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # Where the table begins: a later place moves all entries before the file.
    at = content.rindex(b"PK\x05\x06") + 16
    begin = int.from_bytes(content[at : at + 4], "little") + 1000
    content[at : at + 4] = begin.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(PortableError, match="nowhere"), opened(path):
        pass


async def test_every_cut_and_every_flip_is_noticed(
    path: Path, tmp_path: Path, session: Session
) -> None:
    whole = path.read_bytes()
    noticed = 0
    for at in range(0, len(whole), 97):
        flipped = bytearray(whole)
        flipped[at] ^= 0x10
        for damaged in (whole[:at], bytes(flipped)):
            path.write_bytes(damaged)
            try:
                with opened(path) as file:
                    records = dict(file.records())
                    blobs = {name: file.blob(name) for name in file.blobs}
            except PortableError:
                noticed += 1
            else:
                # A flip in what nobody reads, such as the time of an entry.
                assert file.session == session
                assert len(records) == 4
                assert len(blobs) == 3 + 6
    assert noticed > len(whole) / 97 * 1.8


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    for content in (b"", b"PK\x05\x06" + bytes(18), b"hello" * 1000):
        path.write_bytes(content)
        with pytest.raises(PortableError), opened(path):
            pass
    with pytest.raises(OSError), opened(tmp_path / "none"):
        pass


async def test_a_document_of_the_wrong_kinds_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(entries["session.json"])
    for name, value in (
        *(("cycle", "4"), ("cycle", 10**12), ("options", []), ("x", 1)),
        *(("ttl_seconds", True), ("ttl_seconds", 1e300), ("created_at", False)),
        *(("updated_at", 1e12), ("members", "6"), ("coupling", [])),
    ):
        made = json.dumps({**document, name: value}).encode()
        changed = {**entries, "session.json": made}
        _with_digests(path, changed)
        with pytest.raises(PortableError), opened(path):
            pass


async def test_records_of_members_and_cycles_are_read_before_they_are_believed(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    sessions = Sessions(store, SmallAnalysis(), clock)
    spec = SessionSpec(state_dim=3, measurement_dim=2, seed=1)
    sid = (await sessions.create("t", spec)).id
    states, simulated, observation = forecast(1)
    for i, (state, value) in enumerate(zip(states, simulated, strict=True)):
        await sessions.members.put("t", sid, 1, i, state, value)
    await sessions.gathering.put(Observed("t", sid, 1, observation, {}, {}, 0.0))
    path = tmp_path / "s.zip"
    await written(store, sid, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    lines = [json.loads(line) for line in entries["records.jsonl"].splitlines()]
    record = {line["name"]: line["document"] for line in lines}
    member = record["members/1"]["members"][0]

    def members(**values: object) -> dict[str, Any]:
        return {"members/1": {"expected": 6, "members": [{**member, **values}]}}

    def cycle(**values: object) -> dict[str, Any]:
        return {"cycle/1": {**record["cycle/1"], **values}}

    with opened(path) as file:
        assert len(list(file.records())) == 2
    for edit in (
        *(members(x=1), members(index=-1), members(index="0"), members(mark=None)),
        *(members(failed=0), members(staged_at=True), members(arrival=1.0)),
        *({"members/1": {}}, {"members/1": {"expected": 6, "members": [1]}}),
        *(cycle(cycle=2), cycle(seed="1"), cycle(created_at=True), cycle(digest=1)),
        *(cycle(diagnostics=[]), cycle(options=None), cycle(x=1)),
    ):
        changed = [
            json.dumps({"name": name, "document": document})
            for name, document in {**record, **edit}.items()
        ]
        text = "".join(line + "\n" for line in changed).encode()
        _with_digests(path, {**entries, "records.jsonl": text})
        with pytest.raises(PortableError), opened(path) as file:
            await import_session(store, "u", file, clock.now)


def _with_digests(path: Path, entries: Entries) -> None:
    contents = json.loads(entries["manifest.json"])
    for name, told in contents["entries"].items():
        told["sha256"] = hashlib.sha256(entries[name]).hexdigest()
    entries["manifest.json"] = json.dumps(contents).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
