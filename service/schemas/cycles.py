"""Cycles of a session."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from service.schemas.analyses import EXAMPLE, Observation, Samples, Simulated, States
from service.schemas.base import Incoming, ModelName, Outgoing
from service.schemas.coupling import CouplingParams
from service.schemas.options import Options


class CycleParams(Incoming):
    """What comes with the arrays of a cycle."""

    options: Options | None = Field(
        None, description="Laid over the session's options, for this cycle alone."
    )
    coupling: CouplingParams | None = Field(
        None,
        description="Laid over the session's, for this cycle alone; only without "
        "`forecast_states`.",
    )
    forecast_model: ModelName | None = Field(
        None,
        description="A model that the operator has registered: it takes every member "
        "of the last analysis on, in place of `forecast_states`.",
    )
    measurement_model: ModelName | None = Field(
        None,
        description="Likewise: it simulates the measurements of every forecast, in "
        "place of `simulated_measurements`.",
    )

    @property
    def driven(self) -> bool:
        """Whether models compute the members."""
        return (self.forecast_model or self.measurement_model) is not None


class CycleRequest(CycleParams):
    """A cycle in JSON; without forecast and measurements where members came before, or
    where models compute them.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    forecast_states: States = None
    simulated_measurements: Simulated = None
    observation: Observation


class CycleAnswer(Outgoing):
    """The result of a cycle; without samples where `Prefer: return=minimal` came."""

    cycle: int
    analysis_samples: Samples = None
    diagnostics: dict[str, Any]


class CycleView(Outgoing):
    """What is known of a finished cycle, samples apart."""

    cycle: int
    created_at: datetime
    seed: int
    n_samples: int
    options: dict[str, Any] = Field(description="This cycle's own.")
    timings: dict[str, float] = Field(
        description="Seconds it took: `queue`, `compute`; empty where not noted."
    )
    diagnostics: dict[str, Any]


class CycleList(Outgoing):
    """One page of cycles, in order."""

    current_cycle: int
    cycles: list[CycleView]


class AnalysisDownload(Outgoing):
    """Samples of one cycle, all or some."""

    cycle: int
    members: list[int] = Field(description="`[start, stop]` of the rows that came.")
    states: list[int] | None = Field(
        None,
        description="`[start, stop, step]` of the variables that came, where only "
        "some were asked for.",
    )
    analysis_samples: Samples
