"""From an address to a store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.stores import StoreUnavailable, default_store_url, open_store
from service.stores.sqlite import SqliteStore


def test_an_absolute_and_a_relative_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = open_store("sqlite:////some/where/a%20b.sqlite")
    relative = open_store("sqlite:///below/here.sqlite")
    assert isinstance(absolute, SqliteStore)
    assert isinstance(relative, SqliteStore)
    assert absolute.path == Path("/some/where/a b.sqlite")
    assert relative.path == tmp_path / "below/here.sqlite"


def test_the_default_is_a_file_in_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "da ta"))
    store = open_store(default_store_url())
    assert isinstance(store, SqliteStore)
    if sys.platform == "linux":
        assert store.path == tmp_path / "da ta/ccdm/sessions.sqlite"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sessions.sqlite",
        "postgres://host/db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/file",
        "sqlite:///:memory:",
        "sqlite:///file?mode=ro",
    ],
)
def test_other_addresses_are_refused_with_a_word_on_what_fits(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///|SQLite"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis:/127.0.0.1", "redis://host:6379/0"),
        ("redis:/u:secret@127.0.0.1:6379/0", "redis://host:6379/0"),
        ("redis:127.0.0.1", "redis://host"),
        ("rediss:/a/0", "rediss://host"),
        ("unix:/run/redis.sock", "unix:///path"),
    ],
)
def test_an_address_with_a_slash_too_few_does_not_lead_to_localhost(
    url: str, wanted: str
) -> None:
    with pytest.raises(ValueError, match=f"two slashes .*{wanted}") as error:
        open_store(url)
    assert "secret" not in str(error.value)


async def test_a_folder_is_no_file_of_sessions(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="it is a folder, wanted a file"):
        await open_store(f"sqlite:///{tmp_path}").open()


async def test_a_new_file_and_its_folder_belong_to_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "s.sqlite"
    store = open_store(f"sqlite:///{path}")
    await store.open()
    try:
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
        for beside in path.parent.glob("s.sqlite-*"):
            assert beside.stat().st_mode & 0o077 == 0
    finally:
        await store.close()


def test_the_embedded_store_does_not_import_redis() -> None:
    code = (
        "import sys; from service.stores import open_store; "
        "open_store('sqlite:///x'); sys.exit('redis' in sys.modules)"
    )
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]))
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, timeout=60, check=False
    )
    assert done.returncode == 0
