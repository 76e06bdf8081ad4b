"""Many clients that cycle without a pause while something is done to the service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from reliability.ledger import DIMS, OPTIONS, READING, Account, Row, audit
from service.client import (
    Client,
    ClientError,
    CycleConflictError,
    GoneError,
    NotFoundError,
    Retry,
    RetryPolicy,
    ServiceError,
    Session,
    SessionInfo,
    UnavailableError,
)

PATIENT = RetryPolicy(give_up_after=10, first_delay=0.05, longest_delay=0.5)
_LONGEST = 180.0


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes:
        clients: sessions that cycle at the same time.
        cycles: acknowledged by each before, between and after the faults.
        rounds: how often the fault happens.
        members: of each forecast. From about 1500 on, analyses run in processes of
            their own.
    """

    clients: int
    cycles: int
    rounds: int
    members: int = 12


SHORT = Scale(clients=3, cycles=2, rounds=1)
LONG = Scale(clients=6, cycles=5, rounds=2)


class Storm:
    """Clients in threads, each with a session of its own.

    Args:
        urls: where they go, one after the other.
        scale: how many they are.
        timeout: seconds that they wait for an answer.
        api_key: with which they come.
        roaming: each goes to another address for every cycle, with one session.
    """

    def __init__(
        self,
        urls: Sequence[str],
        scale: Scale,
        *,
        timeout: float = 30.0,
        api_key: str | None = None,
        roaming: bool = False,
    ) -> None:
        self.accounts = [Account(n, scale.members) for n in range(scale.clients)]
        self._urls = list(urls)
        self._scale = scale
        self._timeout = timeout
        self._api_key = api_key
        self._roaming = roaming
        self._done = threading.Event()
        self._broken: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, args=(account,), daemon=True)
            for account in self.accounts
        ]

    def begin(self) -> None:
        """Start all clients and wait until each has had some cycles."""
        for thread in self._threads:
            thread.start()
        self.progress()

    def progress(self, cycles: int | None = None) -> None:
        """Wait until every client has had more cycles acknowledged."""
        wanted = {
            account.number: len(account.acknowledged) + (cycles or self._scale.cycles)
            for account in self.accounts
        }
        end = time.monotonic() + _LONGEST
        while time.monotonic() < end and not self._broken:
            have = {a.number: len(a.acknowledged) for a in self.accounts}
            if all(have[number] >= want for number, want in wanted.items()):
                return
            time.sleep(0.01)
        if self._broken:
            raise self._broken[0]
        raise TimeoutError(f"the clients do not get on: {self.accounts[0].errors}")

    def end(self) -> None:
        """Let every client finish the call it is in."""
        self._done.set()
        for thread in self._threads:
            thread.join(_LONGEST)
        if self._broken:
            raise self._broken[0]

    def _work(self, account: Account) -> None:
        def again(_: Retry) -> None:
            account.repeats += 1

        first = account.number % len(self._urls)
        urls = self._urls[first:] + self._urls[:first]
        try:
            # With time enough: what is disturbed are cycles.
            with Client(urls[0], retry=READING, api_key=self._api_key) as client:
                info = self._created(client, account)
            with ExitStack() as stack:
                sessions = []
                for url in urls if self._roaming else urls[:1]:
                    client = Client(
                        url,
                        retry=PATIENT,
                        on_retry=again,
                        timeout=self._timeout,
                        api_key=self._api_key,
                    )
                    sessions.append(Session(stack.enter_context(client), info))
                while not self._done.is_set():
                    self._cycle(sessions[account.calls % len(sessions)], account)
        except BaseException as error:
            self._broken.append(error)

    def _created(self, client: Client, account: Account) -> SessionInfo:
        fields = {**DIMS, "options": OPTIONS, "keep_analyses": 1000}
        while True:
            try:
                session = client.create_session(**fields, seed=account.number)
                break
            except UnavailableError:
                # A creation is not repeated by the client itself. One that was made
                # after all is a session that nobody uses.
                self._done.wait(1.0)
        account.session_id, account.seed = session.id, account.number
        return session.info

    def _cycle(self, session: Session, account: Account) -> None:
        """One cycle; after an error the same again, as the documentation says."""
        cycle = len(account.acknowledged) + 1
        if cycle > account.asked:
            account.asked, account.unsure = cycle, False
        repeats = account.repeats
        account.calls += 1
        try:
            result = session.cycle(*account.forecast(cycle), number=cycle)
        except (CycleConflictError, GoneError, NotFoundError) as error:
            # The only writer of a session has no one to be in conflict with, nor to
            # delete it, and it is in use.
            raise AssertionError(f"cycle {cycle}: {error}") from error
        except ClientError as error:
            status = error.status if isinstance(error, ServiceError) else ""
            name = f"{status} {getattr(error, 'slug', type(error).__name__)}".strip()
            account.errors[name] = account.errors.get(name, 0) + 1
            account.refused += 1
            account.unsure |= status != 507 or account.repeats > repeats
            self._done.wait(0.05)
            return
        # After nothing but "full" there is nothing that could have been stored before.
        account.unsure |= account.repeats > repeats
        account.changed += result.replayed and not account.unsure
        account.acknowledged[cycle] = result.samples.tobytes()


def storm(
    row: Row,
    urls: Sequence[str],
    scale: Scale,
    disturb: Callable[[], int],
    *,
    check_at: str | None = None,
    timeout: float = 30.0,
    api_key: str | None = None,
    roaming: bool = False,
) -> Row:
    """Clients cycle, the fault happens ``rounds`` times, all is held to account.

    Args:
        row: the fault's, to be filled.
        urls: where the clients go.
        scale: how many clients, cycles and faults.
        disturb: the fault, and its end; how often it was seen to take effect.
        check_at: where to look afterwards, if not at the first of ``urls``.
        timeout: seconds that clients wait for an answer.
        api_key: with which they come.
        roaming: whether each goes to all of ``urls`` with one session.
    """
    began = time.monotonic()
    clients = Storm(urls, scale, timeout=timeout, api_key=api_key, roaming=roaming)
    clients.begin()
    try:
        for _ in range(scale.rounds):
            row.struck += disturb()
            clients.progress()
    finally:
        clients.end()
    row.seconds = round(time.monotonic() - began, 2)
    return audit(row, clients.accounts, check_at or urls[0], api_key)
