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

import orjson

from reliability.ledger import DIMS, OPTIONS, Account
from reliability.racer import Racer, encoded
from service.client import calls
from service.client.messages import Request


@dataclass
class Races:
    """Figures of all rounds.

    Attributes:
        store: kind of store; ``services``: how many shared it.
        clients, rounds: how many raced, how often.
        requests: sent; ``results``: answered 201; ``replays``: 200; ``conflicts``: 409.
        others: answered otherwise; ``broken``: connections that broke, ``turned``:
            answers 429 and 503, after which the client sent the same again.
        late: rounds without a 201, as the one whose it was had to ask again for it.
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
    turned: int = 0
    late: int = 0
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
    fields = {**DIMS, "options": OPTIONS, "keep_analyses": 2, "seed": 1}
    racers = [Racer(urls[number % len(urls)]) for number in range(clients)]
    began = time.monotonic()
    try:
        made = await racers[0].send(encoded(next(calls.create_session(fields))))
        session = orjson.loads(made.body)["id"]
        for cycle in range(1, rounds + 1):
            await _round(racers, len(urls), session, cycle, figures)
    finally:
        for racer in racers:
            racer.close()
    figures.broken = sum(racer.broken for racer in racers)
    figures.turned = sum(racer.turned for racer in racers)
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


async def _round(
    racers: Sequence[Racer],
    services: int,
    session: str,
    cycle: int,
    figures: Races,
) -> None:
    alike = cycle % 2 == 0
    before = [racer.unsure for racer in racers]
    bodies = [
        _put(session, cycle, writer) for writer in range(1 if alike else len(racers))
    ]
    answers = await asyncio.gather(
        *(
            racer.send(bodies[number % len(bodies)])
            for number, racer in enumerate(racers)
        )
    )
    codes = [answer.status for answer in answers]
    figures.requests += len(codes)
    figures.results += codes.count(201)
    figures.replays += codes.count(200)
    figures.conflicts += codes.count(409)
    unsure = [racer.unsure > n for racer, n in zip(racers, before, strict=True)]
    late = made_late(codes, unsure, alike=alike)
    expected = {201, 200} if alike else {201, 409} | ({200} if late else set())
    figures.others += sum(code not in expected for code in codes)
    figures.late += late
    figures.not_one += not late and codes.count(201) != 1
    samples = {answer.samples for answer in answers if answer.status < 300}
    for racer in racers[:services]:
        samples.add((await racer.send(_kept(session, cycle))).samples)
    figures.different += len(samples) != 1


def made_late(codes: Sequence[int], unsure: Sequence[bool], *, alike: bool) -> bool:
    """Whether the one result of a round was told as 200, to the one that it was of.

    An answer 201 that was lost, or told as 503 since the store's was, comes again as
    200 to the one that sent the same again.

    Args:
        codes: what each racer was answered in the end.
        unsure: whether it had to ask again without knowing if the first was done.
        alike: whether all sent the same, and so all but one are told 200 anyway.
    """
    if 201 in codes:
        return False
    told = [again for code, again in zip(codes, unsure, strict=True) if code == 200]
    return any(told) if alike else told == [True]


def _put(session: str, cycle: int, writer: int) -> bytes:
    arrays = Account(1000 + writer).forecast(cycle)
    return encoded(next(calls.cycle(session, cycle, *arrays)))


def _kept(session: str, cycle: int) -> bytes:
    path = f"/v1/sessions/{session}/cycles/{cycle}/analysis"
    return encoded(Request("GET", path))
