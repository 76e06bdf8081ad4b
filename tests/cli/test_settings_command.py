"""``ccdm settings``: what holds here, and no secrets."""

from __future__ import annotations

import re

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
