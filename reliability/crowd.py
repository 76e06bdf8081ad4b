"""Clients without a pause, in a process of their own: ``python -m reliability.crowd``.

Prints, as JSON, how often each status came and how long answers took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

import httpx

from reliability.ledger import DIMS, OPTIONS, Account
from service.client import calls
from service.client.messages import Request

PATIENCE = 120.0
# Cycles of a session before it is deleted and another begun.
CYCLES = 100
MEMBERS = 60


class Crowd:
    """What all clients together have seen."""

    def __init__(self, url: str, seconds: float) -> None:
        self.url = url
        self.end = time.monotonic() + seconds
        self.statuses: Counter[str] = Counter()
        self.milliseconds: list[float] = []
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self.http = httpx.AsyncClient(timeout=PATIENCE, limits=limits)

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return time.monotonic() > self.end

    async def send(self, request: Request) -> httpx.Response | None:
        """Until it is answered with anything but "come back later"."""
        while True:
            began = time.perf_counter()
            try:
                answer = await self.http.request(
                    request.method,
                    self.url + request.path,
                    headers=dict(request.headers),
                    content=request.body,
                )
            except httpx.HTTPError as error:
                self.statuses[type(error).__name__] += 1
                return None
            self.statuses[str(answer.status_code)] += 1
            if answer.status_code not in (429, 503):
                self.milliseconds.append(1000 * (time.perf_counter() - began))
                return answer
            if self.over:
                return None
            await asyncio.sleep(min(2.0, float(answer.headers["retry-after"])))

    async def client(self, number: int) -> None:
        """Every second one cycles a session, the others analyse without one."""
        account = Account(number, MEMBERS)
        while not self.over:
            if number % 2:
                arrays = account.forecast(1)
                await self.send(next(calls.analyse(*arrays, options=OPTIONS, seed=1)))
            else:
                await self.session(account)

    async def session(self, account: Account) -> None:
        """One session from its creation to its deletion."""
        fields = {**DIMS, "options": OPTIONS, "keep_analyses": 2}
        made = await self.send(next(calls.create_session(fields)))
        if made is None or made.status_code != 201:
            return
        sid = made.json()["id"]
        for cycle in range(1, CYCLES + 1):
            await self.send(next(calls.cycle(sid, cycle, *account.forecast(cycle))))
            if self.over:
                return
        await self.send(next(calls.delete_session(sid)))

    async def run(self, clients: int) -> dict[str, object]:
        """All of them until the end."""
        async with self.http:
            await asyncio.gather(*(self.client(n) for n in range(clients)))
        return {"statuses": self.statuses, "milliseconds": self.milliseconds}


if __name__ == "__main__":
    address, crowd_size, duration = sys.argv[1:]
    seen = asyncio.run(Crowd(address, float(duration)).run(int(crowd_size)))
    json.dump(seen, sys.stdout)
