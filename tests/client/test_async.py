"""The awaiting client sends what the waiting one sends, and many at a time."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import pydoc
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_type_hints

import numpy as np
import pytest

from service.client import (
    AnalysisResult,
    AsyncClient,
    AsyncJob,
    AsyncSession,
    AsyncStoredJob,
    Client,
    CycleConflictError,
    CycleResult,
    Job,
    RetryPolicy,
    Session,
    StoredJob,
    StoredResult,
    UnavailableError,
)
from service.client.connection import ClientCalls
from service.media.npy import encode_npy
from tests.client.pairs import DIMS, FIXED, pairs
from tests.support.client_servers import Recorder, answer, normal, running
from tests.support.servers import Server

VIEW = (
    b'{"id": "s", "cycle": 3, "version": 1, "state_dim": 2, "measurement_dim": 2,'
    b' "members": 12, "seed": 1}'
)
RESULT = b'{"cycle": 4, "analysis_samples": [[1.0, 2.0]], "diagnostics": {}}'
SAMPLES = encode_npy(np.ones((1, 2)))
STORED = b'{"result": {"shape": [1, 2], "sha256": "0"}, "diagnostics": {}}'
JOB = (
    b'{"jobID": "j", "processID": "stored-analysis", "status": "accepted",'
    b' "progress": 0, "message": "", "attempt": 0, "started": null, "finished": null,'
    b' "created": "2026-01-01T00:00:00Z"}'
)
FILES: dict[str, Any] = {
    "forecast_states": {"location": "runs", "path": "x.npy"},
    "simulated_measurements": np.ones((2, 1)),
    "observation": [0.5],
    "localization": {"state_coordinates": [1.0], "measurement_coordinates": [2.0]},
    "result": {"location": "runs", "path": "out.npy"},
}
RECORD = b'{"cycle": 4, "diagnostics": {}}'
HISTORY = b'{"current_cycle": 4, "cycles": [{"cycle": 4, "diagnostics": {}}]}'
SESSIONS = b'{"sessions": [' + VIEW + b'], "next": null}'

# Each with the answers it needs, so that both clients go all the way.
CALLS: dict[str, tuple[list[bytes], Callable[[Any, Any], Any]]] = {
    "analyse": ([RESULT], lambda c, s: c.analyse(*pairs(), options=FIXED, seed=1)),
    "create": (
        [VIEW],
        lambda c, s: c.create_session(**DIMS, seed=4, metadata={"a": 1}),
    ),
    "create with ensemble": (
        [VIEW],
        lambda c, s: c.create_session(**DIMS, initial_ensemble=pairs()[0]),
    ),
    "session": ([VIEW], lambda c, s: c.session("s")),
    "ready": ([b"{}"], lambda c, s: c.ready()),
    "cycle": ([RESULT], lambda c, s: s.cycle(*pairs(), options={"n_samples": 1})),
    "numbered cycle": ([RESULT], lambda c, s: s.cycle(*pairs(), number=9)),
    "diagnostics": ([RECORD], lambda c, s: s.diagnostics()),
    "history": ([HISTORY], lambda c, s: s.history()),
    "refresh": ([VIEW], lambda c, s: s.refresh()),
    "analyse stored": ([STORED], lambda c, s: c.analyse_stored(**FILES)),
    "submit stored": ([JOB], lambda c, s: c.submit_stored(**FILES, overwrite=True)),
    "drive": (
        [RESULT, SAMPLES],
        lambda c, s: s.drive([0.1], measurement_model="gauge", forecast_model="tank"),
    ),
    "submit drive": (
        [RESULT],
        lambda c, s: s.submit_drive(
            [0.1], measurement_model="gauge", forecast_states=pairs()[0]
        ),
    ),
    "submit cycle": ([RESULT], lambda c, s: s.submit(*pairs())),
    "update": ([VIEW], lambda c, s: s.update(ttl_seconds=9, expected_version=1)),
    "delete": ([b"{}"], lambda c, s: s.delete()),
}


def exchanged(answers: list[bytes], use: Callable[[str], None]) -> list[bytes]:
    """The requests that came of using a recorder, made comparable."""
    server = Recorder([answer(200, VIEW), *(answer(200, body) for body in answers)])
    with running(server):
        use(server.url)
    return [normal(request) for request in server.requests]


@pytest.mark.parametrize("name", CALLS)
def test_both_clients_send_the_same_bytes(name: str) -> None:
    answers, call = CALLS[name]

    def waiting(url: str) -> None:
        with Client(url, api_key="k") as client:
            call(client, client.session("s"))

    def awaiting(url: str) -> None:
        async def go() -> None:
            async with AsyncClient(url, api_key="k") as client:
                await call(client, await client.session("s"))

        asyncio.run(go())

    sent = exchanged(answers, waiting)
    assert len(sent) == 1 + len(answers)
    assert b"authorization: bearer k" in sent[1].lower()
    assert exchanged(answers, awaiting) == sent


def promised(kind: type) -> dict[str, Any]:
    """Public methods and properties with their parameters, inherited ones too."""
    return {
        name: [
            (each.name, each.kind, each.default, plain(each.annotation))
            for each in inspect.signature(value).parameters.values()
        ]
        if inspect.isfunction(value)
        else type(value)
        for name, value in inspect.getmembers(kind)
        if not name.startswith("_")
    }


def plain(annotation: Any) -> str:
    """An annotation without the words in which the clients have to differ."""
    return str(annotation).replace("Async", "").replace("Later", "")


def awaited(kind: type, name: str) -> tuple[str, str]:
    """What a method comes to, and whether that has to be awaited."""
    value = getattr(kind, name)
    comes_to = plain(inspect.signature(value).return_annotation)
    how = "awaited" if inspect.iscoroutinefunction(value) else "at once"
    return comes_to, how


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Client, AsyncClient),
        (Session, AsyncSession),
        (Job, AsyncJob),
        (StoredJob, AsyncStoredJob),
    ],
)
def test_both_clients_promise_the_same(one: type, other: type) -> None:
    assert promised(one) == promised(other)
    methods = [name for name in promised(one) if callable(getattr(one, name))]
    assert len(methods) > 2
    for name in methods:
        assert awaited(one, name)[0] == awaited(other, name)[0], name
        # Nothing but an iterator, and what asks nobody, comes without being awaited.
        comes_to, how = awaited(other, name)
        free = comes_to.startswith("Iterator") or name == "labelled"
        assert how == ("at once" if free else "awaited"), name


async def test_a_session_runs_on_an_event_loop(server: Server) -> None:
    async with AsyncClient(server.url) as client:
        session = await client.create_session(**DIMS, options=FIXED, seed=1)
        result = await session.cycle(*pairs())
        assert (await session.analysis()).tobytes() == result.samples.tobytes()
        assert session.id in {info.id async for info in client.sessions()}
        with pytest.raises(CycleConflictError) as caught:
            await session.cycle(*pairs(1), number=1)
        assert caught.value.current_cycle == 1
        assert (await session.refresh()).cycle == 1
        await session.delete()


async def test_many_analyses_at_a_time_are_each_their_own(server: Server) -> None:
    async with AsyncClient(server.url, connections=4) as client:
        work: list[Awaitable[Any]] = [
            client.analyse(*pairs(k), options=FIXED, seed=k) for k in range(12)
        ]
        together = await asyncio.gather(*work)
        for k in (0, 5, 11):
            alone = await client.analyse(*pairs(k), options=FIXED, seed=k)
            assert together[k].samples.tobytes() == alone.samples.tobytes()


async def test_waiting_for_a_busy_service_leaves_the_loop_free() -> None:
    busy = b'{"type": "/problems/too-busy", "status": 503}'
    server = Recorder([answer(503, busy, Retry_After="0.3"), answer(200, RESULT)])
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    with running(server):
        ticking = asyncio.create_task(tick())
        async with AsyncClient(server.url) as client:
            assert (await client.analyse(*pairs())).samples.tolist() == [[1.0, 2.0]]
        ticking.cancel()
        # Thirty fit in; a loop that was held has a handful.
        assert ticks >= 10
        impatient = RetryPolicy(give_up_after=0)
        refusing = Recorder([answer(429, busy)])
        with running(refusing):
            async with AsyncClient(refusing.url, retry=impatient) as client:
                with pytest.raises(UnavailableError):
                    await client.analyse(*pairs())


CLASSES = [Client, AsyncClient, Session, AsyncSession, Job, AsyncJob, StoredJob]


@pytest.mark.parametrize("kind", CLASSES)
def test_methods_are_those_of_their_class(kind: type) -> None:
    """Found by help, by tools that read types, and by who pickles them."""
    own = {k: v for k, v in vars(kind).items() if hasattr(v, "__wrapped__")}
    assert own.keys() > {"ready"} or own.keys() > {"refresh"}
    for name, method in own.items():
        assert method.__qualname__ == f"{kind.__qualname__}.{name}"
        assert method.__module__ == kind.__module__
        assert pickle.loads(pickle.dumps(method)) is method
        assert not isinstance(get_type_hints(method)["return"], TypeVar)


@pytest.mark.parametrize(
    ("method", "result"),
    [
        (Client.session, Session),
        (Client.job, Job | StoredJob),
        (Job.wait, AnalysisResult),
        (StoredJob.wait, StoredResult),
        (AsyncClient.create_session, AsyncSession),
        (AsyncClient.submit, AsyncJob),
        (Session.submit, Job | CycleResult),
        (AsyncSession.submit, AsyncJob | CycleResult),
        (Client.analyse, AnalysisResult),
    ],
)
def test_what_a_method_comes_to_is_the_class_it_gives(
    method: Callable[..., Any], result: Any
) -> None:
    assert get_type_hints(method)["return"] == result
    told = re.sub(r"[\w.]+\.", "", getattr(result, "__name__", str(result)))
    assert inspect.signature(method).return_annotation == told
    assert f"-> '{told}'" in pydoc.plain(pydoc.render_doc(method))


def test_calls_that_nobody_carries_out_can_be_looked_at() -> None:
    shared = inspect.getattr_static(ClientCalls, "analyse")
    assert ClientCalls.analyse is shared
    assert "does not keep" in str(ClientCalls.analyse.__doc__)


def test_a_class_of_ones_own_inherits_the_methods() -> None:
    class Mine(Client):
        def ready(self) -> dict[str, Any]:
            return {"mine": super().ready}

    assert Mine.analyse is Client.analyse
    mine = Mine("http://127.0.0.1:9")
    assert mine.ready()["mine"].__func__ is Client.ready
    mine.close()
