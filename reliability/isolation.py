"""Two tenants that know each other's ids: nothing of one reaches the other.

Every operation that the description has is asked twice by a tenant: for a session or
job of the other tenant, and for one that never was, with the same method, headers and
body. The two answers have to be the same byte for byte, but for the id that was asked
for and what names the request.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from reliability.ledger import DIMS, OPTIONS, Account
from service.client import Client, GoneError, Session, calls

KEYS = {"alice": "a" * 32, "bob": "b" * 32}
SETTINGS = {"API_KEYS": ",".join(f"{name}:{key}" for name, key in KEYS.items())}
PATIENCE = 60.0
_SESSION, _JOB = "{session_id}", "{job_id}"
_UNLIKE = ("x-request-id", "server-timing", "date")
_REQUEST = re.compile(rb'"request_id":"[^"]*"')
_QUERIES = {
    "analysis": [{"members": "0:2"}, {"wait": "1"}],
    "cycles": [{"after": "1"}],
    "events": [{"last_event_id": "0.0"}],
    "results": [{"wait": "1"}],
}
# Characters of ids, as the service makes them.
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass
class Isolation:
    """Figures of one store.

    Attributes:
        store: kind of store.
        operations: of the description, with a session or a job in their path.
        pairs: requests made twice; ``different``: pairs whose answers differed.
        leaks: answers that held a mark, an id or a number of the other tenant.
        changed: tenants whose sessions and jobs were not as before in the end.
        foreign_ms, unknown_ms: median time of an answer about a session of the other
            tenant, and about one that never was.
        first: the first difference, in words.
        seconds: how long all of it took.
    """

    store: str
    operations: int = 0
    pairs: int = 0
    different: int = 0
    leaks: int = 0
    changed: int = 0
    foreign_ms: float = 0.0
    unknown_ms: float = 0.0
    first: str = ""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass
class Victim:
    """One tenant's sessions and jobs, and what must not be seen of them."""

    tenant: str
    sessions: list[Session]
    gone: str
    jobs: Jobs
    mark: str
    before: list[dict[str, Any]] = field(default_factory=list)

    def ids(self) -> list[str]:
        """Of sessions that live, and of one that was deleted."""
        return [*(session.id for session in self.sessions), self.gone]

    def named(self, template: str) -> list[str]:
        """What may stand in a path."""
        return self.ids() if _SESSION in template else self.jobs.ids

    def views(self) -> list[dict[str, Any]]:
        """The sessions as their owner sees them, but for when they expire."""
        found: list[dict[str, Any]] = []
        for session in self.sessions:
            try:
                view = session.refresh()
            except GoneError:
                found.append({})
            else:
                found.append({"version": view.version, "cycle": view.cycle})
        return [*found, *self.jobs.views()]


class Jobs:
    """Jobs of a tenant: one that ended, and one that was deleted."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"X-API-Key": key}, timeout=PATIENCE
        )
        self.ids = [self._submitted(), self._submitted()]
        self._http.delete(f"/v1/jobs/{self.ids[1]}").raise_for_status()

    def _submitted(self) -> str:
        asked = next(calls.analyse(*Account(8).forecast(1), options=OPTIONS, seed=1))
        headers = {**asked.headers, "Prefer": "respond-async"}
        answer = self._http.post(asked.path, content=asked.body, headers=headers)
        found: str = answer.raise_for_status().json()["jobID"]
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            view = self._http.get(f"/v1/jobs/{found}").raise_for_status().json()
            if view["status"] == "successful":
                return found
            time.sleep(0.05)
        raise TimeoutError(f"job {found} does not end")

    def views(self) -> list[dict[str, Any]]:
        """The jobs as their owner sees them."""
        answers = [self._http.get(f"/v1/jobs/{name}") for name in self.ids]
        return [
            {"answer": item.status_code, "status": item.json().get("status")}
            for item in answers
        ]

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


def run_isolation(url: str, store: str, rounds: int, seed: int = 1) -> Isolation:
    """Let each of two tenants at the other's sessions.

    Args:
        url: of a service with the keys of :data:`SETTINGS`.
        store: its kind, for the table.
        rounds: how often every operation is tried on every session.
        seed: of what is drawn.
    """
    figures = Isolation(store)
    began = time.monotonic()
    draw = random.Random(seed)
    owners = [Client(url, api_key=key) for key in KEYS.values()]
    victims = [
        _furnished(client, tenant, Jobs(url, KEYS[tenant]), draw)
        for client, tenant in zip(owners, KEYS, strict=True)
    ]
    for victim, intruder in ((victims[0], "bob"), (victims[1], "alice")):
        headers = {"X-API-Key": KEYS[intruder]}
        with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE) as http:
            _intrude(http, victim, figures, rounds, draw)
            _list(http, victim, figures)
            _time(http, victim, figures, 20 * rounds)
        figures.changed += victim.views() != victim.before
    for client, victim in zip(owners, victims, strict=True):
        client.close()
        victim.jobs.close()
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


def _furnished(client: Client, tenant: str, jobs: Jobs, draw: random.Random) -> Victim:
    mark = f"secret{draw.getrandbits(64)}"
    made = [
        client.create_session(**DIMS, options=OPTIONS, metadata={"mark": mark})
        for _ in range(3)
    ]
    account = Account(7)
    for session in made[:2]:
        for cycle in (1, 2):
            session.cycle(*account.forecast(cycle))
    made[2].delete()
    victim = Victim(tenant, made[:2], made[2].id, jobs, mark)
    victim.before = victim.views()
    return victim


def _intrude(
    client: httpx.Client,
    victim: Victim,
    figures: Isolation,
    rounds: int,
    draw: random.Random,
) -> None:
    document = client.get("/openapi.json").json()
    operations = list(_operations(document))
    figures.operations = len(operations)
    for _ in range(rounds):
        for method, template in operations:
            for sid in victim.named(template):
                variant = _variant(method, template, draw)
                unknown = "".join(draw.choices(_LETTERS, k=len(sid)))
                answers = [
                    _asked(client, method, template, name, variant, victim)
                    for name in (sid, unknown)
                ]
                figures.pairs += 1
                figures.leaks += any(leaked for _, leaked in answers)
                if answers[0][0] != answers[1][0]:
                    figures.different += 1
                    said = f"{method} {template} {variant}: {answers}"
                    figures.first = figures.first or said[:2000]


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """All of a session or job; deletion last, as it would hide what others find."""
    found = [
        (method.upper(), template)
        for template, item in document["paths"].items()
        for method in item
        if _SESSION in template or _JOB in template
    ]
    yield from sorted(found, key=lambda operation: operation[0] == "DELETE")


def _variant(method: str, template: str, draw: random.Random) -> dict[str, Any]:
    """Headers, query, body and other parts of the path of one request."""
    headers: dict[str, str] = {}
    for name, choices in (
        ("Accept", ["text/csv", "application/x-npy", "text/event-stream", "image/png"]),
        ("If-Match", ["*", '"1"', '"3"', "nonsense"]),
        ("If-None-Match", ["*", '"3"']),
        ("Prefer", ["return=minimal", "respond-async"]),
        ("Last-Event-ID", ["0", "1", "x"]),
        ("Ccdm-Timeout", ["10"]),
    ):
        if draw.random() < 0.15:
            headers[name] = draw.choice(choices)
    queries = _QUERIES.get(template.rpartition("/")[2], [])
    query = draw.choice([{}, {}, {"unread": "1"}, *queries])
    body, kind = b"", ""
    if method in ("PUT", "PATCH", "POST"):
        body, kind = draw.choice(_bodies(method, template))
        headers["Content-Type"] = kind
    place = {"k": draw.choice(["1", "2", "2", "3", "3", "0", "9", "x"])}
    place["i"] = draw.choice(["0", "1", "11", "99"])
    return {"headers": headers, "params": query, "content": body, "place": place}


def _bodies(method: str, template: str) -> list[tuple[bytes, str]]:
    if method == "PATCH":
        change = json.dumps({"metadata": {"x": 1}}).encode()
        return [(change, "application/merge-patch+json"), (b"{", "application/json")]
    put = next(calls.cycle("any", 3, *Account(7).forecast(3)))
    whole = (put.body or b"", put.headers["Content-Type"])
    states, simulated, observation = Account(7).forecast(3)
    one = {"forecast_state": states[0].tolist(), "state": states[0].tolist()}
    one["simulated_measurement"] = simulated[0].tolist()
    only = {"observation": observation.tolist()}
    described = [json.dumps(body).encode() for body in (one, only, {"a": 1})]
    return [whole, *((body, "application/json") for body in described)]


def _asked(
    client: httpx.Client,
    method: str,
    template: str,
    sid: str,
    variant: dict[str, Any],
    victim: Victim,
) -> tuple[bytes, bool]:
    """An answer without what names the request, and whether it tells too much."""
    path = template.replace(_SESSION, sid).replace(_JOB, sid)
    for name, value in variant["place"].items():
        path = path.replace(f"{{{name}}}", value)
    rest = {key: value for key, value in variant.items() if key != "place"}
    with client.stream(method, path, **rest) as answer:
        # A stream of events would not end: one that begins is told by its status.
        long = answer.headers.get("content-type", "").startswith("text/event")
        content = b"" if long else answer.read()
    head = [(k, v) for k, v in answer.headers.items() if k.lower() not in _UNLIKE]
    whole = f"{answer.status_code} {sorted(head)}\n".encode() + content
    every = [*victim.ids(), *victim.jobs.ids]
    others = [name for name in every if name != sid]
    leaked = any(item.encode() in whole for item in [victim.mark, *others])
    return _REQUEST.sub(b"", whole).replace(sid.encode(), b"ID"), leaked


def _list(client: httpx.Client, victim: Victim, figures: Isolation) -> None:
    """Pages of the own list, from places that the other's ids name."""
    for sid in [*victim.ids(), ""]:
        lists = ("/v1/sessions", "/v1/jobs", "/readyz")
        for path in (f"/v1/sessions?after={sid}&limit=1000", *lists):
            text = client.get(path.replace("after=&", "")).text
            tell = [victim.mark, *victim.ids(), *victim.jobs.ids]
            asked = sid if sid in path else None
            figures.leaks += any(item in text for item in tell if item != asked)


def _time(client: httpx.Client, victim: Victim, figures: Isolation, times: int) -> None:
    """Median time of answers about sessions that are there and that are not."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    unknown = "0" * len(victim.gone)
    for _ in range(times):
        for foreign in (True, False):
            name = victim.sessions[0].id if foreign else unknown
            began = time.perf_counter()
            client.get(f"/v1/sessions/{name}")
            taken[foreign].append(1000 * (time.perf_counter() - began))
    figures.foreign_ms = round(statistics.median(taken[True]), 3)
    figures.unknown_ms = round(statistics.median(taken[False]), 3)
