"""``ccdm sessions``: what an operator does with a store, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import stat
import subprocess
import sys
import termios
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from service.cli.app import app
from service.cli.output import CommandError
from service.sessions import Session, SessionGone, Sessions, SessionSpec
from service.stores import open_store
from tests.cli.conftest import PATIENCE, Ccdm, surroundings
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.redis import RedisServer

Here = Callable[..., "Said"]


def begun(url: str, count: int = 1, *, cycles: int = 3) -> list[Session]:
    """Sessions with a few cycles, in a store."""

    async def work() -> list[Session]:
        store = open_store(url)
        await store.open()
        sessions = Sessions(store, SmallAnalysis(), keep_inputs=1)
        made = []
        for number in range(count):
            spec = SessionSpec(
                state_dim=3,
                measurement_dim=2,
                seed=number,
                keep_analyses=2,
                metadata={"name": "süd [bold]"},
            )
            session = await sessions.create("default", spec)
            for k in range(1, cycles + 1):
                await sessions.put_cycle("default", session.id, k, *forecast(k))
            made.append(await sessions.get("default", session.id))
        await store.close()
        return made

    return asyncio.run(work())


@dataclass
class Said:
    """What a command has said."""

    stdout: str
    stderr: str


@pytest.fixture
def ccdm_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run ``ccdm`` in this process, which is quicker than one of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path, code: int = 0) -> Said:
        result = CliRunner().invoke(app, [str(word) for word in words])
        error = result.exception
        found = error.code if isinstance(error, CommandError) else result.exit_code
        assert found == code, result.output + str(error)
        return Said(result.stdout, str(error or ""))

    return run


def test_sessions_are_listed_and_shown(
    ccdm: Ccdm, ccdm_here: Here, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite"
    first, second = begun(url, 2)
    said = ccdm_here("sessions", "list", "--store", url).stdout
    assert first.id in said
    assert second.id in said
    assert "2 sessions of tenant default" in said
    listed = json.loads(ccdm("sessions", "list", "--json", CCDM_STORE_URL=url).stdout)
    assert [(item["id"], item["cycle"]) for item in listed] == [
        (first.id, 3),
        (second.id, 3),
    ]
    said = ccdm_here("sessions", "show", first.id, "--store", url).stdout
    assert "süd [bold]" in said
    shown = json.loads(
        ccdm_here("sessions", "show", first.id, "--json", "--store", url).stdout
    )
    assert shown["last_cycle"]["cycle"] == 3
    assert shown["inputs_from"] == 3
    none = ccdm_here("sessions", "list", "--json", "--store", url, "--tenant", "other")
    assert json.loads(none.stdout) == []


HEADINGS = ["session", "cycle", "members", "dx", "dy", "updated", "expires in"]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (120, []),
        (80, ["updated"]),
        (60, ["updated", "dy"]),
        (20, ["updated", "dy", "dx", "members", "expires in"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_but_whole_ones(
    ccdm: Ccdm, tmp_path: Path, width: int, left_out: list[str]
) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite"
    (session,) = begun(url, 1)
    said = on_terminal(width, "sessions", "list", "--store", url, home=tmp_path)
    heading, row, *rest = said.splitlines()
    assert re.split(r" {2,}", heading.strip()) == [
        name for name in HEADINGS if name not in left_out
    ]
    assert row.split()[:2] == [session.id, "3"]
    assert "…" not in said
    assert rest[0] == (
        f"no room for {', '.join(left_out)}: use --json"
        if left_out
        else f"1 session of tenant default, {rest[0].split(', ')[1]}"
    )
    piped = ccdm("sessions", "list", "--store", url, COLUMNS="80").stdout
    assert re.split(r" {2,}", piped.splitlines()[0].strip()) == HEADINGS


def on_terminal(width: int, *words: str, home: Path) -> str:
    """What a command writes on a terminal of so many columns, without its styles."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    env = surroundings(home) | {"TERM": "xterm"}
    del env["COLUMNS"]
    command = [sys.executable, "-m", "service.cli", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, env=env) as process:
        os.close(theirs)
        with open(ours, encoding="utf-8", errors="replace") as said:
            text = ""
            # A terminal that nobody writes to any more answers with an error.
            with contextlib.suppress(OSError):
                while part := said.readline():
                    text += part
        assert process.wait(PATIENCE) == 0, text
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_what_is_not_there_is_said_in_a_sentence(
    ccdm_here: Here, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite"
    missing = ccdm_here("sessions", "list", "--store", url, code=1)
    assert "there is no store" in missing.stderr
    assert "four one from the root" in missing.stderr
    assert not (tmp_path / "s.sqlite").exists(), "looking makes no file"
    begun(url, 1)
    for words in (("show", "nobody"), ("export", "nobody"), ("delete", "-y", "nobody")):
        said = ccdm_here("sessions", *words, "--store", url, code=1)
        assert "no session 'nobody'" in said.stderr
    assert list(tmp_path.glob("*.zip")) == []
    assert (
        "no name of a tenant"
        in ccdm_here(
            "sessions", "list", "--store", url, "--tenant", "a/b", code=2
        ).stderr
    )
    down = ccdm_here("sessions", "list", "--store", "redis://127.0.0.1:1/0", code=1)
    assert "not available" in down.stderr
    assert "redis" in ccdm_here("sessions", "list", "--store", "ftp://x", code=2).stderr
    for words in (("export",), ("export", "x", "--all")):
        assert "--all" in ccdm_here("sessions", *words, "--store", url, code=2).stderr


def test_deleting_asks_unless_told(ccdm_here: Here, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite"
    (session,) = begun(url)
    assert (
        "--yes"
        in ccdm_here("sessions", "delete", session.id, "--store", url, code=2).stderr
    )
    ccdm_here("sessions", "delete", "--yes", session.id, "--store", url)
    gone = ccdm_here("sessions", "show", session.id, "--store", url, code=1)
    assert "was deleted" in gone.stderr


@pytest.mark.slow
def test_a_move_to_redis_and_back_changes_no_bit(
    ccdm_here: Here, tmp_path: Path, redis_server: RedisServer
) -> None:
    here, back = (f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("here", "back"))
    with redis_server.client() as client:
        client.flushall()
    made = begun(here, 2)
    for folder, source, target in (
        ("one", here, redis_server.url),
        ("two", redis_server.url, back),
        ("three", back, None),
    ):
        (tmp_path / folder).mkdir()
        ccdm_here("sessions", "export", "--all", "-o", folder, "--store", source)
        files = sorted((tmp_path / folder).iterdir())
        assert [file.name for file in files] == [f"{s.id}.ccdm.zip" for s in made]
        assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
        if target is not None:
            ccdm_here("sessions", "import", *files, "--store", target)
    for session in made:
        name = f"{session.id}.ccdm.zip"
        kept = [(tmp_path / f / name).read_bytes() for f in ("one", "two", "three")]
        assert kept[0] == kept[1] == kept[2]
    # A session that lives there stays, and the next cycle goes on where it stands.
    again = ccdm_here("sessions", "import", files[0], "--store", back, code=1)
    assert "delete it first" in again.stderr
    asyncio.run(_goes_on(back, made[0]))


async def _goes_on(url: str, before: Session) -> None:
    store = open_store(url)
    await store.open()
    sessions = Sessions(store, SmallAnalysis(), keep_inputs=1)
    assert await sessions.get("default", before.id) == before
    repeated = await sessions.put_cycle("default", before.id, 3, *forecast(3))
    assert repeated.replayed
    fresh = await sessions.put_cycle("default", before.id, 4, *forecast(4))
    assert not fresh.replayed
    await sessions.delete("default", before.id)
    with pytest.raises(SessionGone):
        await sessions.get("default", before.id)
    await store.close()


def test_a_file_is_read_by_numpy_alone(ccdm_here: Here, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite"
    (session,) = begun(url)
    ccdm_here("sessions", "export", session.id, "-o", "mine.zip", "--store", url)
    with np.load(tmp_path / "mine.zip") as arrays:
        found = {name for name in arrays if not name.startswith(("m", "r", "session"))}
        assert found == {
            "analysis/2",
            "analysis/3",
            "forecast_states/3",
            "simulated_measurements/3",
            "observation/3",
        }
        np.testing.assert_array_equal(arrays["forecast_states/3"], forecast(3)[0])
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        lines = archive.read("records.jsonl").decode().splitlines()
        assert [json.loads(line)["name"] for line in lines] == [
            f"cycle/{k}" for k in (1, 2, 3)
        ]


def test_damaged_files_are_refused_and_leave_no_trace(
    ccdm_here: Here, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite"
    (session,) = begun(url)
    ccdm_here("sessions", "export", session.id, "-o", "mine.zip", "--store", url)
    whole = (tmp_path / "mine.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-100])
    target = f"sqlite:///{tmp_path}/t.sqlite"
    said = ccdm_here("sessions", "import", "cut.zip", "--store", target, code=1)
    assert "cut.zip: not a session file" in said.stderr
    gone = ccdm_here("sessions", "import", "none.zip", "--store", target, code=2)
    assert "none.zip: No such file" in gone.stderr
    assert (
        json.loads(ccdm_here("sessions", "list", "--json", "--store", target).stdout)
        == []
    )
