"""Jobs from Python: submitted here, waited for there."""

from __future__ import annotations

import pytest

from service.client import (
    AsyncClient,
    AsyncJob,
    Client,
    CycleResult,
    GoneError,
    InvalidInputError,
    Job,
    TimedOutError,
)
from tests.client.pairs import DIMS, FIXED, pairs
from tests.service_http.heavy import HEAVY
from tests.support.servers import Server


def test_a_job_comes_to_what_the_call_comes_to(client: Client, server: Server) -> None:
    waited = client.analyse(*pairs(), options=FIXED, seed=3)
    job = client.submit(*pairs(), options=FIXED, seed=3)
    # Any process may take it up.
    with Client(server.url) as another:
        result = another.job(job.id).wait(timeout=60)
    assert result.samples.tobytes() == waited.samples.tobytes()
    assert result.diagnostics == waited.diagnostics
    assert job.refresh().status == "successful" and job.status.progress == 100
    assert job.id in [each.id for each in client.jobs()]
    job.dismiss()
    job.dismiss()
    with pytest.raises(GoneError):
        job.wait()


def test_a_cycle_as_a_job(client: Client) -> None:
    session = client.create_session(**DIMS, seed=1)
    job = session.submit(*pairs(), options=FIXED)
    assert isinstance(job, Job)
    result = job.wait(timeout=60)
    assert isinstance(result, CycleResult) and result.cycle == 1
    assert session.refresh().cycle == 1
    again = session.submit(*pairs(), options=FIXED, number=1)
    assert isinstance(again, CycleResult) and again.replayed
    assert again.samples.tobytes() == session.analysis().tobytes()


def test_a_failure_is_raised_where_it_is_waited_for(client: Client) -> None:
    states, simulated, observation = pairs()
    job = client.submit(states, simulated[1:], observation)
    with pytest.raises(InvalidInputError, match="simulated_measurements"):
        job.wait(timeout=60)


def test_patience_ends_and_the_job_goes_on(client: Client, server: Server) -> None:
    from service.client.jobs import job_status
    from service.client.messages import Request
    from service.client.wire import read_json

    headers = {"Content-Type": HEAVY[0], "Prefer": "respond-async"}
    request = Request("POST", "/v1/analyses", headers=headers, body=HEAVY[1])
    job = Job(client, job_status(read_json(client._exchange(request))))
    with pytest.raises(TimedOutError, match="it goes on"):
        job.wait(timeout=0.3)
    assert not job.refresh().ended
    job.dismiss()
    assert job.refresh().status == "dismissed"


async def test_the_awaiting_client_does_the_same(server: Server) -> None:
    async with AsyncClient(server.url) as client:
        job = await client.submit(*pairs(), options=FIXED, seed=3)
        result = await (await client.job(job.id)).wait(timeout=60)
        waited = await client.analyse(*pairs(), options=FIXED, seed=3)
        assert result.samples.tobytes() == waited.samples.tobytes()
        assert job.id in [each.id async for each in client.jobs()]
        session = await client.create_session(**DIMS, seed=1)
        cycle = await session.submit(*pairs(), options=FIXED)
        assert isinstance(cycle, AsyncJob)
        assert isinstance(await cycle.wait(timeout=60), CycleResult)
        assert (await cycle.refresh()).ended
        await cycle.dismiss()
