"""The languages that call the program curl outlast a service that is killed.

Each runs by its ``run.sh`` against a real service, as in ``test_languages.py``.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from service.client import Client
from tests.examples.test_languages import EXAMPLES, NOT_RUN, SCORE, run
from tests.support.missing import NEEDS
from tests.support.servers import Server, serving

BY_CURL = ("fortran", "octave", "shell")
AWAY = 2.0
PATIENCE = 60.0

Done = subprocess.CompletedProcess[str]


def skip_if_not_run(language: str, done: Done) -> None:
    if done.returncode == NOT_RUN:
        reason = done.stdout.strip().splitlines()[-1].removeprefix("not run: ")
        pytest.skip(f"{NEEDS}{language}: {reason}")


def wait_for_cycle(url: str, wanted: int, running: Future[Done]) -> int:
    """Until the one session has finished this cycle; the cycle it has finished."""
    end = time.monotonic() + PATIENCE
    with Client(url) as client:
        while time.monotonic() < end and not running.done():
            for session in client.sessions():
                if session.cycle >= wanted:
                    return session.cycle
            time.sleep(0.02)
    raise AssertionError("the example came to no such cycle")


@pytest.mark.slow
@pytest.mark.parametrize("language", BY_CURL)
def test_it_outlasts_a_killed_service(language: str, tmp_path: Path) -> None:
    """Killed in the middle of the run, and away for two seconds: the same score."""
    script = EXAMPLES / language / "run.sh"
    files = tmp_path / "files"
    files.mkdir()
    with serving(tmp_path) as server, ThreadPoolExecutor(1) as pool:
        undisturbed = run(script, server.url, files)
        skip_if_not_run(language, undisturbed)
        assert undisturbed.returncode == 0, undisturbed.stderr
        running = pool.submit(run, script, server.url, files)
        assert wait_for_cycle(server.url, 20, running) < 220
        restart(server)
        disturbed = running.result()
    assert disturbed.returncode == 0, disturbed.stdout + disturbed.stderr
    scores = re.findall(SCORE, undisturbed.stdout)
    assert scores
    assert re.findall(SCORE, disturbed.stdout) == scores
    assert not list(files.iterdir())


def restart(server: Server) -> None:
    """At the same address, which is free for a while in between."""
    port = server.url.rpartition(":")[2]
    server.kill()
    time.sleep(AWAY)
    server.start("--port", port)


@pytest.fixture(scope="module")
def unanswered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """All at once where nothing listens: each asks for half a minute."""
    folder = tmp_path_factory.mktemp("unanswered")
    with socket.socket() as held, ThreadPoolExecutor(len(BY_CURL)) as pool:
        # Bound without listening, so that nobody else takes the port meanwhile.
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        begun = {
            language: pool.submit(run, EXAMPLES / language / "run.sh", url, folder)
            for language in BY_CURL
        }
        return {language: future.result() for language, future in begun.items()}


@pytest.mark.slow
@pytest.mark.parametrize("language", BY_CURL)
def test_it_says_that_no_answer_came(
    language: str, unanswered: dict[str, Done]
) -> None:
    done = unanswered[language]
    skip_if_not_run(language, done)
    assert done.returncode == 1
    assert "score" not in done.stdout
    assert "POST /v1/sessions: no answer from http://127.0.0.1:" in done.stderr
    for noise in ("Backtrace", "No such file", "invalid stream"):
        assert noise not in done.stdout + done.stderr
