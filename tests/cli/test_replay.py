"""``ccdm replay`` makes a stored analysis again and compares every byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from service.cli.app import app
from service.cli.output import CommandError
from service.compute import Compute
from service.sessions import Sessions, SessionSpec
from service.sessions.documents import cycle_record, pack_cycle
from service.settings import Settings
from service.stores import Store
from service.stores.codec import pack_array
from tests.support.analyses import forecast
from tests.support.stores import Clock, change, opened

LOCALIZED = {
    "localization": {
        "state_coordinates": [[float(i)] for i in range(80)],
        "measurement_coordinates": [[0.0], [40]],
        "radius": 9,
    },
    "measurement_bandwidth": "inf",
}
Replay = Callable[..., tuple[int, Any]]


@pytest.fixture
def replay(store_url: str) -> Replay:
    """Run the command, and read what it says."""

    def run(*words: str | Path, code: int = 0, store: bool = True) -> Any:
        line = ["replay", *map(str, words), *(["--store", store_url] if store else [])]
        result = CliRunner().invoke(app, [*line, "--json"])
        error = result.exception
        if isinstance(error, CommandError):
            assert error.code == code, error
            return str(error)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return run


def on(url: str, work: Callable[[Store, Sessions], Any]) -> Any:
    """Work on a store, with the real engine."""

    async def run() -> Any:
        async with opened(url, Clock()) as store:
            compute = Compute(Settings())
            return await work(store, Sessions(store, compute.analyse, keep_inputs=2))

    return asyncio.run(run())


async def cycled(store: Store, sessions: Sessions) -> str:
    """A session of three cycles, with a missing entry in the last."""
    spec = SessionSpec(state_dim=3, measurement_dim=2, seed=5, keep_analyses=10)
    session = await sessions.create("default", spec)
    for k in range(1, 4):
        states, simulated, observation = forecast(k, members=30)
        observation[0] = np.nan if k == 3 else observation[0]
        await sessions.put_cycle(
            *("default", session.id, k, states, simulated, observation),
            options={"sampler": "ode", "measurement_bandwidth": 0.5},
        )
    return session.id


def test_what_is_kept_is_made_again_byte_for_byte(
    replay: Replay, store_url: str, tmp_path: Path
) -> None:
    sid = on(store_url, cycled)
    for words in ((sid,), (sid, "--cycle", "2")):
        told = replay(*words)
        assert told["identical"]
        assert told["compared"] == "the stored samples"
        assert told["differences"] == []
    CliRunner().invoke(
        app,
        ["sessions", "export", sid, "-o", f"{tmp_path}/s.zip", "--store", store_url],
    )
    told = replay(tmp_path / "s.zip", "--cycle", "3", store=False)
    assert (told["identical"], told["cycle"], told["session"]) == (True, 3, sid)
    assert "no cycle 4" in replay(
        tmp_path / "s.zip", "--cycle", "4", code=1, store=False
    )


def test_what_is_not_kept_can_be_supplied(
    replay: Replay, store_url: str, tmp_path: Path
) -> None:
    sid = on(store_url, cycled)
    missing = replay(sid, "--cycle", "1", code=1)
    assert "forecast of cycle 1 is not kept" in missing
    assert "belongs to cycle 2" in missing
    names = ("x.npy", "y.npy", "o.npy")
    for name, array in zip(names, forecast(1, members=30), strict=True):
        np.save(tmp_path / name, array)
    files = [tmp_path / name for name in names]
    assert replay(sid, *files, "--cycle", "1")["identical"]
    np.save(files[1], forecast(2, members=30)[1])
    refused = replay(sid, *files, "--cycle", "1", code=1)
    assert "simulated_measurements is not what this cycle was made of" in refused


def test_what_was_made_elsewhere_is_said(replay: Replay, store_url: str) -> None:
    async def altered(store: Store, sessions: Sessions) -> str:
        """A cycle whose samples and surroundings were others."""
        sid = await cycled(store, sessions)
        cycle = await sessions.cycle("default", sid, 3)
        manifest = cycle.diagnostics["manifest"]
        manifest["versions"]["numpy"] = "1.0"
        manifest["platform"]["machine"] = "pdp11"
        manifest["engine"] = "0" * 64
        loaded = await store.load("default", sid)
        samples = (await sessions.analysis("default", sid, 3)).copy()
        samples[4, 1] += 0.25
        await store.commit(
            *("default", sid),
            change(
                loaded.version,
                loaded.meta,
                expires_at=loaded.expires_at,
                records={cycle_record(3): pack_cycle(cycle)},
                blobs={"analysis/3": pack_array(samples)},
            ),
        )
        return sid

    sid = on(store_url, altered)
    told = replay(sid, code=1)
    assert not told["identical"]
    assert told["largest_difference"] == pytest.approx(0.25)
    found = {line.partition(":")[0] for line in told["differences"]}
    assert found == {"versions.numpy", "platform.machine", "engine"}
    result = CliRunner().invoke(app, ["replay", sid, "--store", store_url])
    assert result.exit_code == 1
    assert "platform.machine: pdp11 ->" in result.stdout
    assert "largest difference 0.25" in result.stdout


def test_long_options_come_from_the_session_while_they_are_the_same(
    replay: Replay, store_url: str
) -> None:
    async def localized(store: Store, sessions: Sessions) -> str:
        spec = SessionSpec(state_dim=80, measurement_dim=2, options=LOCALIZED, seed=1)
        session = await sessions.create("default", spec)
        arrays = forecast(1, members=20, dx=80)
        await sessions.put_cycle("default", session.id, 1, *arrays)
        return session.id

    sid = on(store_url, localized)
    assert replay(sid)["identical"]

    async def moved(store: Store, sessions: Sessions) -> None:
        places = [[float(i) + 0.5] for i in range(80)]
        await sessions.update(
            "default", sid, options={"localization": {"state_coordinates": places}}
        )

    on(store_url, moved)
    assert "'state_coordinates' has changed" in replay(sid, code=1)


def test_samples_that_are_no_longer_kept_are_compared_by_digest(
    replay: Replay, store_url: str
) -> None:
    async def short(store: Store, sessions: Sessions) -> str:
        spec = SessionSpec(state_dim=3, measurement_dim=2, seed=5, keep_analyses=1)
        session = await sessions.create("default", spec)
        for k in (1, 2):
            arrays = forecast(k, members=30)
            await sessions.put_cycle("default", session.id, k, *arrays)
        return session.id

    told = replay(on(store_url, short), "--cycle", "1")
    assert (told["identical"], told["compared"]) == (True, "the digest of the samples")


def test_nobody_and_nothing_are_told_apart(replay: Replay, store_url: str) -> None:
    sid = on(store_url, cycled)
    assert "no session 'nobody'" in replay("nobody", code=1)
    assert "there is no cycle 9" in replay(sid, "--cycle", "9", code=1)
    assert "No such file" in replay("none.zip", code=2, store=False)
