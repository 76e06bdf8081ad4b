"""Input that means harm costs its sender, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reliability import attacks
from reliability.hostile import Hostile, run_hostile

CHOSEN = (
    attacks.npy_bombs,
    attacks.npy_headers,
    attacks.zip_bombs,
    attacks.lying_lengths,
    attacks.slow_heads,
    attacks.tiny_parts,
    attacks.deep_json,
    attacks.long_strings,
    attacks.long_numbers,
    attacks.huge_shapes,
    attacks.header_floods,
    attacks.duplicate_headers,
    attacks.path_tricks,
    attacks.slow_readers,
)
# "Made" must not be among the answers to an attack, and nothing may stay open.
NEVER = {-1, 201}


@pytest.mark.slow
def test_memory_is_bounded_and_everybody_else_is_served(tmp_path: Path) -> None:
    rows = run_hostile(tmp_path, 1, CHOSEN, seconds=1.0)
    assert len(rows) == len(CHOSEN)
    for row in rows:
        assert row.withstood, row
        assert not NEVER & row.answers.keys(), row


def test_what_was_not_withstood_is_seen() -> None:
    good = Hostile("", {422: 3, 503: 1, 0: 1}, 100.0, 100.0, 200.0, others=3)
    assert good.withstood
    for bad in (
        replace(good, service_mb=400.0),
        replace(good, worker_mb=2000.0),
        replace(good, failed=1),
        replace(good, others=0),
        replace(good, answers={500: 1}),
    ):
        assert not bad.withstood
