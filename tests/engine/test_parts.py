"""Whoever does the parts of an analysis, the bytes are the same."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

from ccdm_engine import assimilate, batches
from ccdm_engine.parts import Crew, Through
from ccdm_engine.samplers import SAMPLERS

KERNELS = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 1.0,
    "shrink": False,
}


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        yield pool


def analysed(crew: Crew | None, **changes: Any) -> tuple[bytes, dict[str, Any]]:
    rng = np.random.default_rng(2)
    states = rng.standard_normal((900, 3))
    simulated = states[:, :1] + 0.5 * rng.standard_normal((900, 1))
    options = {**KERNELS, "n_samples": 12_000, "steps": 4, **changes}
    found = assimilate(
        states, simulated, np.array([0.3]), options=options, seed=5, crew=crew
    )
    return found.samples.tobytes(), found.diagnostics.to_dict()


@pytest.mark.parametrize("sampler", ["ode", "sde", "rk45", "exact"])
def test_processes_give_the_bytes_of_one_after_the_other(
    processes: ProcessPoolExecutor, sampler: str
) -> None:
    counted: list[tuple[str, int, int]] = []
    crew = Through(processes, 2, progress=lambda *done: counted.append(done))
    changes = {"sampler": sampler, "n_samples": 12_000 if sampler != "rk45" else 600}
    assert analysed(crew, **changes) == analysed(None, **changes)
    if sampler in ("ode", "sde"):
        assert counted == [("sampling", done, 4) for done in (1, 2, 3, 4)]


def test_parts_are_whole_batches_of_what_the_problem_says() -> None:
    for members in (2, 100, 4096, 20_000, 10**6):
        for total in (1, 2000, 10**6):
            rows = batches.batch_rows(total, members)
            assert batches.part_rows(total, members, rows) % rows == 0


@pytest.mark.parametrize("members", [2, 100, 280, 1000, 7710, 20_000])
def test_batches_are_even_and_in_whole_sixteens(members: int) -> None:
    """So that no product has a remainder, few rows are there for nothing, and logits
    stay in cache."""
    fewest, most = batches.BATCH_ROWS
    for total in (1, 17, 50, 64, 250, 1000, 1001, 10_000):
        rows = batches.batch_rows(total, members)
        count = -(-total // rows)
        assert rows <= most
        assert rows * members <= batches.BATCH_LOGITS or rows <= fewest
        assert count * rows <= batches.MOST_FILLED * total + count
        if total >= 100:
            assert rows % batches.ROW_MULTIPLE == 0
    assert batches.batch_rows(1, members) == 1


@pytest.mark.parametrize(
    ("total", "share"),
    [(2000, 0.25), (4000, 0.06), (4000, 0.25), (10_000, 0.06), (10_000, 0.25)]
    + [(total, share) for total in (2000, 4000, 10_000) for share in (0.8, 1.0)],
)
def test_two_workers_have_nearly_equal_shares(total: int, share: float) -> None:
    """So that the second is worth 1.7 times, whatever members are left."""
    members = int(share * total)
    rows = batches.part_rows(total, members, batches.batch_rows(total, members))
    busy = [0, 0]
    for begin in range(0, total, rows):
        busy[busy.index(min(busy))] += min(rows, total - begin)
    assert total / max(busy) > 1.75


@pytest.mark.parametrize("count", [1, 15, 16, 17, 32, 33, 47])
def test_batches_hold_every_point_in_its_place(count: int) -> None:
    points = np.random.default_rng(2).standard_normal((count, 3))
    batched = batches._batched(points, 16)
    assert batched.shape == (-(-count // 16), 16, 3)
    assert batched.swapaxes(1, 2).flags.c_contiguous
    # What the last is filled up with is nothing that a product would choke on.
    assert (batched.reshape(-1, 3)[count - 1 :] == points[-1]).all()
    back = np.full_like(points, np.nan)
    batches._unbatch(batched, back)
    assert np.array_equal(back, points)


@pytest.mark.parametrize(("total", "members"), [(1000, 268), (2000, 120)])
def test_what_takes_less_time_than_to_share_it_is_one_part(
    total: int, members: int
) -> None:
    batch = batches.batch_rows(total, members)
    assert batches.part_rows(total, members, batch) >= total


@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_a_finer_cut_gives_the_same_bytes(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of what is drawn on the way, for each batch from a stream of its own."""
    whole = analysed(None, sampler=sampler)
    monkeypatch.setattr(batches, "PARTS", 40)
    assert analysed(None, sampler=sampler) == whole
    monkeypatch.setattr(batches, "PART_LOGITS", (2**40, 2**40))
    assert analysed(None, sampler=sampler) == whole


def test_no_two_batches_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, plain = [], batches.stream
    monkeypatch.setattr(batches, "stream", lambda *key: keys.append(key) or plain(*key))
    monkeypatch.setattr(batches, "PARTS", 40)
    analysed(None, sampler="sde")
    assert len(keys) == len(set(keys)) == -(-12_000 // batches.batch_rows(12_000, 900))


def test_steps_are_taken_by_several_batches_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For the same bytes as each by itself, and far fewer calls of the sampler."""
    calls, ode = [], SAMPLERS["ode"]
    watched = {
        **SAMPLERS,
        "ode": lambda task: calls.append(len(task.start)) or ode(task),
    }
    monkeypatch.setattr(batches, "SAMPLERS", watched)
    together, some = analysed(None), len(calls)
    monkeypatch.setattr(batches, "STEP_NUMBERS", 1)
    calls.clear()
    assert analysed(None) == together
    assert some <= 4 < len(calls)


def double(common: int, part: int) -> int:
    if part < 0:
        raise ValueError("no such part")
    return common * part


class Counting:
    """An executor that notes how much was handed in and not yet fetched."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.most = 0

    def submit(self, work: Callable[..., Any], /, *given: Any) -> Future[Any]:
        future: Future[Any] = Future()
        open_ = sum(not done.done() for done, _ in self.waiting)
        self.most = max(self.most, open_ + 1)
        self.waiting.append((future, lambda: work(*given)))
        if open_ + 1 >= 3:
            self.run()
        return future

    def run(self) -> None:
        for future, call in reversed(self.waiting):  # the last one ends first
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except ValueError as error:
                    future.set_exception(error)
        self.waiting.clear()


def test_results_come_in_order_and_few_parts_are_out_at_a_time() -> None:
    parts = iter(range(9))
    counting = Counting()
    crew = Through(counting, 3)  # type: ignore[arg-type]
    taken = crew("doubling", double, 2, parts, 9)
    assert [next(taken) for _ in range(3)] == [0, 2, 4]
    assert counting.most == 3
    assert next(parts) < 9, "parts are taken only as they are needed"


def test_a_part_that_fails_ends_the_others(processes: ProcessPoolExecutor) -> None:
    crew = Through(processes, 2)
    with pytest.raises(ValueError, match="no such part"):
        list(crew("doubling", double, 2, iter([1, -1, 3, 4, 5, 6]), 6))
    # And they can be asked again. (A pool that is shut down while all that it has left
    # is cancelled waits for ever, in Python 3.11 at least.)
    assert list(crew("doubling", double, 2, iter([1, 2]), 2)) == [2, 4]
