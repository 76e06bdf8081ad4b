"""The breaker opens, probes and closes."""

from __future__ import annotations

import pytest

from service.stores.breaker import Breaker, BreakerOpen
from tests.support.stores import Clock


class NoAnswerError(Exception):
    """Counts as a failure."""


def call(breaker: Breaker, error: Exception | None = None) -> None:
    with breaker.guard((NoAnswerError,)):
        if error is not None:
            raise error


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(NoAnswerError):
            call(breaker, NoAnswerError())


def test_it_opens_after_failures_in_a_row(clock: Clock) -> None:
    breaker = Breaker(3, 1.0, clock)
    fail(breaker, 2)
    call(breaker)
    fail(breaker, 3)
    with pytest.raises(BreakerOpen):
        call(breaker)


def test_an_error_that_is_an_answer_does_not_count(clock: Clock) -> None:
    breaker = Breaker(3, 1.0, clock)
    fail(breaker, 2)
    with pytest.raises(KeyError):
        call(breaker, KeyError())
    fail(breaker, 2)
    assert not breaker.is_open


def test_one_probe_at_a_time_closes_it(clock: Clock) -> None:
    breaker = Breaker(3, 1.0, clock)
    fail(breaker, 3)
    clock.advance(0.9)
    with pytest.raises(BreakerOpen):
        call(breaker)
    clock.advance(0.2)
    with breaker.guard((NoAnswerError,)), pytest.raises(BreakerOpen):
        call(breaker)
    call(breaker)
    assert not breaker.is_open


def test_a_failed_probe_opens_it_again(clock: Clock) -> None:
    breaker = Breaker(3, 1.0, clock)
    fail(breaker, 3)
    clock.advance(1.1)
    fail(breaker, 1)
    with pytest.raises(BreakerOpen) as refused:
        call(breaker)
    assert 0 < refused.value.wait <= 1.0
