"""``ccdm settings``: what holds here, and no secrets."""

from __future__ import annotations

import re

import pytest

from service.cli.settings import reference
from tests.cli.conftest import Ccdm


def test_the_command_shows_what_holds_and_no_secrets(ccdm: Ccdm) -> None:
    shown = ccdm(
        "settings",
        CCDM_MAX_QUEUED="7",
        CCDM_API_KEYS="tenant:hunter2",
        CCDM_STORE_URL="redis://me:hunter2@host/0",
    ).stdout
    assert re.search(r"CCDM_MAX_QUEUED\s+7\b", shown)
    assert re.search(r"CCDM_API_KEYS\s+set\b", shown)
    assert "hunter2" not in shown and "redis://me:***@host/0" in shown
    assert ccdm("settings", "--markdown").stdout == reference()
    wrong = ccdm("settings", code=2, CCDM_MAX_QUEUED="many")
    assert "CCDM_MAX_QUEUED" in wrong.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{bad", r"wanted JSON"),
        ('{"a b": {"url": "http://127.0.0.1:1"}}', r"'a b': string should match"),
        ('{"tank": {"url": "tank"}}', r"'tank', 'url': .*wanted http://"),
    ],
)
def test_models_that_cannot_be_are_told_in_one_line(
    ccdm: Ccdm, given: str, told: str
) -> None:
    for command in ("settings", "serve"):
        wrong = ccdm(command, code=2, CCDM_UMBRIDGE_MODELS=given).stderr
        assert "CCDM_UMBRIDGE_MODELS" in wrong and "Traceback" not in wrong
        assert re.search(told, " ".join(wrong.split())), wrong
