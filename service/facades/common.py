"""What façades share: the analysis, and errors in the neighbour's shape."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.compute import AnalysisResult
from service.limits import while_connected
from service.observability import record
from service.problem_types import TYPES
from service.problems import RULES, Rule
from service.remedies import advised, together
from service.routers.analyses import check_ensemble
from service.routers.parameters import read_params
from service.schemas.analyses import AnalysisParams
from service.sizes import check_options_limits

Array = npt.NDArray[np.float64]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_KINDS = tuple(rule.exception for rule in RULES)
# What the application has its own handlers for, and a client that has left.
_OTHERS = (HTTPException, RequestValidationError, ClientDisconnect)


class ToldError(Exception):
    """An error of the request that only the façade's protocol has.

    Attributes:
        kind: the neighbour's name for it.
        message: what was got, what was wanted.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


class Route(APIRoute):
    """A route whose errors are told in the neighbour's shape; see ``shape``."""

    def shape(self, status: int, kind: str, message: str) -> Response:
        """An error as the neighbour's clients know it.

        Args:
            status: of HTTP.
            kind: the slug of a problem, or a name of the neighbour's.
            message: for a person.
        """
        raise NotImplementedError

    def get_route_handler(self) -> Handler:
        """The handler of this route, with its errors reshaped."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except ToldError as error:
                return self.shape(400, error.kind, error.message)
            except _KINDS as error:
                return self._reshaped(request, error)
            except _OTHERS:
                raise
            except Exception:
                return self._broken(request)

        return handler

    def _broken(self, request: Request) -> Response:
        """Our own fault: the log has all of it, the caller what it may know."""
        kind = TYPES["internal"]
        state = request.scope.setdefault("state", {})
        state["problem"] = "internal"
        logger = request.app.state.logger
        logger.exception("failure", request_id=state.get("request_id"))
        return self.shape(kind.status, "internal", kind.title)

    def _reshaped(self, request: Request, error: Exception) -> Response:
        rule = _rule(error)
        kind = TYPES[rule.slug]
        request.scope.setdefault("state", {})["problem"] = rule.slug
        message = getattr(error, "detail", "") or str(error)
        remedy = together(advised(getattr(error, "errors", ())), "")
        if remedy and remedy not in message:
            message = f"{message.rstrip('.')}. {remedy}"
        response = self.shape(kind.status, rule.slug, message)
        response.headers.update(rule.headers(error))
        return response


def _rule(error: Exception) -> Rule:
    """The rule of the nearest class that has one."""
    rules = {rule.exception: rule for rule in RULES}
    return next(rules[kind] for kind in type(error).__mro__ if kind in rules)


async def analyse(
    request: Request,
    arrays: tuple[Array, Array, Array],
    params: dict[str, Any],
) -> AnalysisResult:
    """One analysis, within the limits of ``POST /v1/analyses``.

    Args:
        request: whose client may leave.
        arrays: ``(N, dx)``, ``(N, dy)`` and ``(dy,)``.
        params: ``options`` and ``seed``, as there.
    """
    state = request.app.state
    chosen = await read_params(AnalysisParams, params)
    options = chosen.options.chosen() if chosen.options else {}
    check_ensemble(state.settings, arrays[0], arrays[1])
    check_options_limits(options, state.settings)
    result: AnalysisResult = await while_connected(
        request,
        lambda: state.compute.analyse(*arrays, options, chosen.seed, manifest=False),
    )
    record("queue", result.queue_seconds)
    record("compute", result.compute_seconds)
    record("engine", result.engine_seconds)
    return result
