"""Many clients put the same cycle at the same moment; exactly one result each round.

Half of the rounds all clients send the same body: one result, the others its replay,
all with the same bytes. In the other half every client sends a body of its own: one
result, the others 409.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import httpx

from reliability.ledger import DIMS, OPTIONS, Account
from service.client import calls
from service.client.messages import Request

PATIENCE = 120.0


@dataclass
class Races:
    """Figures of all rounds.

    Attributes:
        store: kind of store; ``services``: how many shared it.
        clients, rounds: how many raced, how often.
        requests: sent; ``results``: answered 201; ``replays``: 200; ``conflicts``: 409.
        others: answered otherwise; ``broken``: connections that broke, after which the
            client sent the same again.
        not_one: rounds with another number of results than one.
        different: rounds whose answers, or what was kept, had other bytes.
        seconds: how long all of it took.
    """

    store: str
    services: int
    clients: int
    rounds: int
    requests: int = 0
    results: int = 0
    replays: int = 0
    conflicts: int = 0
    others: int = 0
    broken: int = 0
    not_one: int = 0
    different: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """For JSON and CSV."""
        return asdict(self)


async def race(urls: Sequence[str], store: str, clients: int, rounds: int) -> Races:
    """Run all rounds against services that share a store.

    Args:
        urls: of the services; clients are spread over them.
        store: its kind, for the table.
        clients: how many put at once.
        rounds: how often.
    """
    figures = Races(store, len(urls), clients, rounds)
    limits = httpx.Limits(max_connections=clients)
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client:
        fields = {**DIMS, "options": OPTIONS, "keep_analyses": 2, "seed": 1}
        made = await client.post(f"{urls[0]}/v1/sessions", json=fields)
        session = made.raise_for_status().json()["id"]
        for cycle in range(1, rounds + 1):
            await _round(client, urls, session, cycle, figures)
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


async def _round(
    client: httpx.AsyncClient,
    urls: Sequence[str],
    session: str,
    cycle: int,
    figures: Races,
) -> None:
    alike = cycle % 2 == 0
    broken = figures.broken
    requests = [
        (urls[writer % len(urls)], _put(session, cycle, 0 if alike else writer))
        for writer in range(figures.clients)
    ]
    answers = await asyncio.gather(
        *(_send(client, url, request, figures) for url, request in requests)
    )
    codes = [answer.status_code for answer in answers]
    figures.requests += len(codes)
    figures.results += codes.count(201)
    figures.replays += codes.count(200)
    figures.conflicts += codes.count(409)
    expected = {201, 200} if alike else {201, 409}
    figures.others += sum(code not in expected for code in codes)
    # An answer 201 that was lost comes again as 200, to the one that lost it.
    found = codes.count(201) + (codes.count(201) == 0 and figures.broken > broken)
    figures.not_one += found != 1
    samples = {_samples(answer) for answer in answers if answer.status_code < 300}
    for url in urls:
        kept = await client.get(f"{url}/v1/sessions/{session}/cycles/{cycle}/analysis")
        samples.add(_samples(kept))
    figures.different += len(samples) != 1


def _put(session: str, cycle: int, writer: int) -> Request:
    arrays = Account(1000 + writer).forecast(cycle)
    return next(calls.cycle(session, cycle, *arrays))


async def _send(
    client: httpx.AsyncClient, url: str, put: Request, figures: Races
) -> httpx.Response:
    """Again when turned away or cut off, as the documented client does."""
    while True:
        try:
            answer = await client.put(
                url + put.path, content=put.body, headers=dict(put.headers)
            )
        except httpx.TransportError:
            figures.broken += 1
        else:
            if answer.status_code not in (429, 503):
                return answer
        await asyncio.sleep(0.2)


def _samples(answer: httpx.Response) -> str:
    return str(answer.raise_for_status().json()["analysis_samples"])
