"""Fifty clients put the same cycle; the long run has 1000 rounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from reliability.parts import stored
from reliability.processes import ServiceProcess
from reliability.races import made_late, race

ROUNDS = 2


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "redis"])
async def test_exactly_one_result_each_round(store: str, tmp_path: Path) -> None:
    with stored(store, tmp_path) as url:
        first, second = ServiceProcess(tmp_path, url), ServiceProcess(tmp_path, url)
        with first, second:
            found = await race([first.url, second.url], store, 50, ROUNDS)
    assert (found.requests, found.results) == (50 * ROUNDS, ROUNDS)
    assert found.replays == found.conflicts == 49 * ROUNDS // 2
    assert (found.others, found.not_one, found.different) == (0, 0, 0)


def test_a_201_that_came_as_200_is_of_the_one_that_asked_again() -> None:
    mine, other = [True, False, False], [False, True, False]
    assert made_late([200, 409, 409], mine, alike=False)
    assert made_late([200, 200, 200], mine, alike=True)
    # Somebody else had to ask again: that explains nothing.
    assert not made_late([200, 409, 409], other, alike=False)
    assert not made_late([200, 200, 409], mine, alike=False)
    assert not made_late([200, 200, 200], [False] * 3, alike=True)
    assert not made_late([201, 200, 200], mine, alike=True)
