"""Work in independent parts, and who does them.

::

    prepare    what all parts need, once: ``common``
    do         work(common, part), in any order, anywhere, again if it was lost
    gather     the results in the order of the parts

``work`` is a pure function of a module; ``common`` and the parts are arrays and plain
records, so that all of it can be sent to another process or machine. Parts are cut by
rules that look only at the problem, never at who does them: the bytes of an analysis
do not depend on the number of workers, nor on their kind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

# How often lost parts are handed in, the first time included, before that is an error.
ATTEMPTS = 4

C = TypeVar("C")
P = TypeVar("P")
R = TypeVar("R")

# Told after every part: the stage of the analysis, parts done, parts in all.
Progress = Callable[[str, int, int], None]


class Crew(Protocol):
    """Whoever does the parts of one stage of an analysis."""

    def __call__(
        self,
        stage: str,
        work: Callable[[C, P], R],
        common: C,
        parts: Iterable[P],
        total: int,
    ) -> Iterator[R]:
        """Results of ``work(common, part)``, in the order of the parts.

        Args:
            stage: what the parts are of, in a word.
            work: pure, of a module.
            common: what all parts need.
            parts: taken as they are needed, so that they need not exist together.
            total: how many there are.
        """
        ...


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True, slots=True)
class InTurn:
    """One part after the other, here."""

    progress: Progress = _silent

    def __call__(
        self,
        stage: str,
        work: Callable[[C, P], R],
        common: C,
        parts: Iterable[P],
        total: int,
    ) -> Iterator[R]:
        """See :class:`Crew`."""
        for done, part in enumerate(parts, start=1):
            result = work(common, part)
            self.progress(stage, done, total)
            yield result


@dataclass(frozen=True, slots=True)
class Through:
    """The parts through an executor: threads, processes, or a cluster's.

    Attributes:
        executor: of :mod:`concurrent.futures`, or shaped like one.
        at_once: parts handed in and not yet fetched; what bounds the memory.
        share: makes of ``common`` what is handed in with each part; a cluster sends
            it to its workers once and hands in a reference.
        progress: told after every part.
        lost: what a part ends with when the copy of ``common`` was lost with those
            who held it: it is shared again, and the part done again.
        fetch: waits for the result of a part; a cluster's looks meanwhile whether
            there is still somebody to wait for.
        bring: told of each part whose turn is near, where results lie elsewhere until
            they are asked for.
        near: how many that is, the next one included.
    """

    executor: Executor
    at_once: int
    share: Callable[[Any], Any] | None = None
    progress: Progress = _silent
    lost: tuple[type[BaseException], ...] = ()
    fetch: Callable[[Future[Any]], Any] = Future.result
    bring: Callable[[Future[Any]], None] | None = None
    near: int = 1

    def __call__(
        self,
        stage: str,
        work: Callable[[C, P], R],
        common: C,
        parts: Iterable[P],
        total: int,
    ) -> Iterator[R]:
        """See :class:`Crew`."""
        shared = self._shared(common)
        waiting = iter(parts)
        running: deque[tuple[P, Future[R]]] = deque()
        done, attempts = 0, ATTEMPTS
        try:
            while True:
                for part in islice(waiting, self.at_once - len(running)):
                    running.append((part, self.executor.submit(work, shared, part)))
                if not running:
                    return
                if self.bring is not None:
                    for _, future in islice(running, self.near):
                        self.bring(future)
                try:
                    result = self.fetch(running[0][1])
                except self.lost:
                    attempts -= 1
                    if not attempts:
                        raise
                    shared = self._shared(common)
                    running = self._again(work, shared, running)
                    continue
                running.popleft()
                done += 1
                self.progress(stage, done, total)
                yield result
        finally:
            for _, left in running:
                left.cancel()

    def _shared(self, common: C) -> Any:
        return common if self.share is None else self.share(common)

    def _again(
        self,
        work: Callable[[Any, P], R],
        shared: Any,
        running: Iterable[tuple[P, Future[R]]],
    ) -> deque[tuple[P, Future[R]]]:
        """All parts that are not done, handed in anew."""
        line: deque[tuple[P, Future[R]]] = deque()
        for part, future in running:
            if future.cancelled() or future.cancel() or not future.done():
                future = self.executor.submit(work, shared, part)
            line.append((part, future))
        return line
