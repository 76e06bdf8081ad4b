"""Calls about analyses of files that the service reads and writes itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.client import calls, jobs, wire
from service.client.errors import UsageError
from service.client.jobs import JobStatus
from service.client.messages import Request, Steps
from service.client.results import StoredResult, stored_result

PATH = "/v1/stored-analyses"
# What may be a reference to a file, or the numbers themselves.
_NUMBERS = ("simulated_measurements", "observation")
_PLACES = ("state_coordinates", "measurement_coordinates")


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """What is asked of files; see ``Client.analyse_stored``."""

    forecast_states: Mapping[str, str]
    simulated_measurements: Any
    observation: Any
    localization: Mapping[str, Any]
    result: Mapping[str, str]
    overwrite: bool = False
    options: Any = None
    seed: int | None = None

    def message(self) -> Request:
        """``POST /v1/stored-analyses``.

        Once more does harm where the first result is in the way of the second.

        Raises:
            UsageError: for what is neither a reference nor numbers.
        """
        if not isinstance(self.localization, Mapping):
            got = type(self.localization).__name__
            raise UsageError(f"localization: got {got}, wanted a dict")
        options = None if self.options is None else wire.options_dict(self.options)
        values = calls.given(
            forecast_states=self.forecast_states,
            **{name: _given(name, getattr(self, name)) for name in _NUMBERS},
            localization={
                name: _given(name, value) if name in _PLACES else value
                for name, value in self.localization.items()
            },
            result=self.result,
            overwrite=self.overwrite,
            options=options,
            seed=self.seed,
        )
        return calls.json_request("POST", PATH, values, repeatable=self.overwrite)


def analyse(asked: StoredRequest) -> Steps[StoredResult]:
    """Wait until the file is whole."""
    return stored_result((yield asked.message()))


def submit(asked: StoredRequest) -> Steps[JobStatus]:
    """The same with ``Prefer: respond-async``."""
    request = asked.message()
    headers = {**request.headers, **jobs.ASYNC}
    # Twice would be two jobs.
    reply = yield replace(request, headers=headers, repeatable=False)
    return jobs.job_status(wire.read_json(reply))


def _given(name: str, value: Any) -> Any:
    return value if isinstance(value, Mapping) else wire.numbers(name, value)
