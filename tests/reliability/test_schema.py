"""The service answers as its description says; the long run has 20 000 cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reliability.processes import ServiceProcess
from reliability.schema import SETTINGS, run_schema
from service.media.bodies import encode_body
from tests.support.servers import in_process


@pytest.mark.slow
def test_no_answer_differs_from_the_description(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path, settings=SETTINGS) as service:
        found = run_schema(
            service.url, tmp_path, cases=1, examples=12, phases="fuzzing,stateful"
        )
        log = service.log.read_text()
    assert found.cases >= 150
    assert found.failures == 0, "\n".join(found.told)
    assert '"status": 500' not in log


async def test_a_single_number_is_no_ensemble(tmp_path: Path) -> None:
    fields = {"state_dim": 2, "measurement_dim": 1}
    kind, body = encode_body({"initial_ensemble": np.float64(2.0)}, fields)
    async with in_process(tmp_path) as client:
        answer = await client.post(
            "/v1/sessions", content=body, headers={"Content-Type": kind}
        )
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == "/initial_ensemble"
