"""One-shot analyses."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from service.schemas.base import Incoming, Outgoing, Seed, array_schema
from service.schemas.options import Options

ARRAYS = ("forecast_states", "simulated_measurements", "observation")

States = Annotated[
    Any, array_schema("Forecast states `[N][dx]`, one row per member.", rows=True)
]
Simulated = Annotated[
    Any,
    array_schema(
        "Measurements simulated from these states, `[N][dy]`, in the same order. They "
        "are taken to contain measurement noise unless `measurement_error` is given.",
        rows=True,
    ),
]
Observation = Annotated[
    Any,
    array_schema(
        "The observation `[dy]`; null means not observed this time.",
        rows=False,
        missing=True,
    ),
]
Samples = Annotated[Any, array_schema("Analysis samples `[n_samples][dx]`.", rows=True)]


class AnalysisParams(Incoming):
    """What comes with the arrays of an analysis."""

    options: Options | None = None
    seed: Seed | None = None


EXAMPLE: dict[str, Any] = {
    "forecast_states": [[0.9, 1.2], [1.4, 0.7], [2.1, 0.3], [0.2, 1.6], [1.1, 1.0]],
    "simulated_measurements": [[1.0], [1.3], [2.2], [0.1], [1.2]],
    "observation": [1.5],
}


class AnalysisRequest(AnalysisParams):
    """An analysis in JSON."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**EXAMPLE, "seed": 1}]})

    forecast_states: States
    simulated_measurements: Simulated
    observation: Observation


class AnalysisAnswer(Outgoing):
    """Analysis samples and the facts about them."""

    analysis_samples: Samples
    diagnostics: dict[str, Any] = Field(
        description="Effective sample size, the chosen model, innovation, spread, "
        "seed, warnings with advice, and more."
    )
