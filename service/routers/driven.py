"""Cycles whose members the service has computed, by registered models."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from service.limits import while_connected
from service.media.bodies import ArrayBody
from service.operators import Operators
from service.routers.analyses import check_ensemble
from service.routers.parameters import bad_parameter
from service.schemas.analyses import ARRAYS
from service.schemas.cycles import CycleParams
from service.sessions import CycleResult, SessionInputError
from service.sessions.driving import Driven
from service.sizes import check_options_limits


def read_driven(
    request: Request,
    tenant: str,
    session_id: str,
    k: int,
    body: ArrayBody,
    params: CycleParams,
) -> Driven:
    """A cycle of which models compute the forecast, the measurements, or both."""
    state = request.app.state
    _check(params, body.arrays, state.operators)
    options = params.options.chosen() if params.options else {}
    check_options_limits(options, state.settings)
    states_name, _, observation_name = ARRAYS
    (observation,) = body.require(observation_name)
    states = body.arrays.get(states_name)
    if states is not None:
        if states.ndim != 2:
            got = f"shape {states.shape}"
            raise SessionInputError(
                states_name,
                got=got,
                wanted="shape (N, state_dim)",
                remedy="Send a row for every member, even of one number.",
                code="shape",
            )
        check_ensemble(state.settings, states, states[:, :0])
    return Driven(
        *(tenant, session_id, k, observation.reshape(-1), options),
        measurement_model=params.measurement_model or "",
        forecast_model=params.forecast_model,
        forecast_states=states,
    )


async def put_driven(request: Request, driven: Driven) -> CycleResult:
    """Have its members computed and assimilate it, while the client waits."""
    state = request.app.state
    operators: Operators = state.operators
    return await while_connected(
        request, lambda: state.sessions.driving.put(driven, operators)
    )


def _check(params: CycleParams, arrays: dict[str, Any], operators: Operators) -> None:
    """Refuse names that are not registered, and what does not go with models."""
    states, simulated, _ = ARRAYS
    for place in ("forecast_model", "measurement_model"):
        name = getattr(params, place)
        if name is not None and name not in operators.names:
            there = ", ".join(operators.names) or "none"
            raise bad_parameter(
                f"/{place}",
                f"got {name!r}, wanted a model that the operator of this service has "
                f"registered: {there}",
            )
    if params.measurement_model is None:
        raise bad_parameter("/measurement_model", "wanted with forecast_model")
    if params.forecast_model is None and states not in arrays:
        raise bad_parameter("/forecast_model", f"wanted this or {states}")
    if params.forecast_model is not None and states in arrays:
        raise bad_parameter(f"/{states}", "wanted only without forecast_model")
    if simulated in arrays:
        raise bad_parameter(f"/{simulated}", "wanted only without measurement_model")
    if params.coupling:
        raise bad_parameter("/coupling", "wanted only without models")
