"""Calls about members that come one by one or of models, and about waiting.

Generators of requests, as in :mod:`service.client.calls`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from service.client import wire
from service.client.calls import analysis, at, given, json_request, number_of, upload
from service.client.errors import CycleNotFoundError, MembersMissingError
from service.client.messages import Request, Steps
from service.client.results import (
    CycleResult,
    MemberList,
    cycle_result,
    member_list,
)
from service.media.types import JSON, NPY

# Seconds that one request waits: shorter than what proxies put up with, as a rule.
WAIT_SECONDS = 20.0
# Between requests to a service that does not wait for as long as it is asked to.
PAUSE_SECONDS = 1.0


def put_member(
    session: str,
    number: int,
    member: int,
    forecast_state: npt.ArrayLike,
    simulated_measurement: wire.Observation,
) -> Steps[bool]:
    """``PUT .../cycles/{k}/members/{i}``; whether it was there before."""
    arrays = {
        "forecast_state": forecast_state,
        "simulated_measurement": simulated_measurement,
    }
    path = f"{_members(session, number)}/{number_of(member, 'member')}"
    reply = yield upload("PUT", path, arrays, {})
    wire.read_nothing(reply)
    return reply.headers.get("ccdm-replayed", "").lower() == "true"


def members(session: str, number: int) -> Steps[MemberList]:
    """``GET .../cycles/{k}/members``."""
    reply = yield Request("GET", _members(session, number), headers={"Accept": JSON})
    return member_list(wire.read_json(reply))


def take_back(session: str, number: int, member: int) -> Steps[None]:
    """``DELETE .../cycles/{k}/members/{i}``; one that is not there is as wanted."""
    path = f"{_members(session, number)}/{number_of(member, 'member')}"
    reply = yield Request("DELETE", path)
    if reply.status != 404 or b"member-not-found" not in reply.body:
        wire.read_nothing(reply)


def gather(
    session: str,
    number: int,
    observation: wire.Observation,
    options: Any,
    coupling: Mapping[str, Any] | None,
    timeout: float,
) -> Steps[CycleResult]:
    """``PUT .../cycles/{k}`` with only the observation, until enough have arrived."""
    values = wire.numbers("observation", observation)
    content = {
        "observation": wire.with_nulls(values),
        **given(
            options=None if options is None else wire.options_dict(options),
            coupling=coupling,
        ),
    }
    path = f"{at(session)}/cycles/{number_of(number)}"
    headers = {"Prefer": "return=minimal"}
    request = json_request("PUT", path, content, headers)
    patience = _Patience(request, timeout)
    while True:
        reply = yield patience.next()
        try:
            wire.read_nothing(reply)
        except MembersMissingError:
            if patience.spent:
                raise
            continue
        samples = yield from analysis(session, number)
        return cycle_result(reply, samples)


def drive(
    session: str,
    number: int,
    observation: wire.Observation,
    measurement_model: str,
    forecast_model: str | None,
    forecast_states: npt.ArrayLike | None,
    options: Any,
) -> Steps[CycleResult]:
    """``PUT .../cycles/{k}`` with the names of models, then its samples."""
    arrays: dict[str, wire.Observation] = {"observation": observation}
    if forecast_states is not None:
        arrays["forecast_states"] = forecast_states
    params = given(
        measurement_model=measurement_model,
        forecast_model=forecast_model,
        options=None if options is None else wire.options_dict(options),
    )
    path = f"{at(session)}/cycles/{number_of(number)}"
    request = upload("PUT", path, arrays, params)
    reply = yield replace(
        request, headers={**request.headers, "Prefer": "return=minimal"}
    )
    wire.read_nothing(reply)
    samples = yield from analysis(session, number)
    return cycle_result(reply, samples)


def wait_for_analysis(session: str, number: int, timeout: float) -> Steps[wire.Array]:
    """``GET .../cycles/{k}/analysis?wait=...`` until it is there."""
    path = f"{at(session)}/cycles/{number_of(number)}/analysis"
    request = Request("GET", path, headers={"Accept": NPY})
    patience = _Patience(request, timeout)
    while True:
        reply = yield patience.next()
        try:
            return wire.read_npy(reply)
        except CycleNotFoundError:
            if patience.spent:
                raise


class _Patience:
    """One request, sent again and again until the time is over."""

    def __init__(self, request: Request, timeout: float) -> None:
        self._request = request
        self._end = time.monotonic() + timeout
        self._sent_at = 0.0
        self._waits = 0.0
        self.spent = False

    def next(self) -> Request:
        """The request, waiting for as long as is left and one request may."""
        now = time.monotonic()
        left = max(self._end - now, 0.0)
        hasty = now - self._sent_at < min(self._waits, PAUSE_SECONDS) / 2
        delay = min(left, PAUSE_SECONDS) if hasty else 0.0
        self.spent = not left
        self._sent_at, self._waits = now + delay, min(left, WAIT_SECONDS)
        query = {"wait": f"{self._waits:.3f}"} if left else {}
        return replace(self._request, query=query, delay=delay)


def _members(session: str, number: int) -> str:
    return f"{at(session)}/cycles/{number_of(number)}/members"
