"""Options of an analysis, mirrored from the engine's dataclass.

A mirror and not an import, so that clients need no engine; a test holds the two
together, names and defaults. The engine has the last word on values.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from service.schemas.base import Incoming

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Deviation = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
# The first wrong element is enough: pydantic would note millions of them one by one.
FIRST_WRONG: Any = Field(fail_fast=True)
Numbers = Annotated[list[float], FIRST_WRONG]
Deviations = Annotated[list[Deviation], FIRST_WRONG]
Periods = Annotated[list[Positive], FIRST_WRONG]
# More axes than any space here has; a list of lists has no other bound.
MOST_AXES = 16
Place = Annotated[list[float], Field(fail_fast=True, max_length=MOST_AXES)]
Places = Numbers | Annotated[list[Place], FIRST_WRONG]


class LocalizationOptions(Incoming):
    """Taper correlations with distance (Gaspari and Cohn 1999)."""

    state_coordinates: Places = Field(
        description="One place per state variable: `[dx]` or `[dx][k]`."
    )
    measurement_coordinates: Places = Field(
        description="One place per measurement, in the same units."
    )
    radius: Positive = Field(
        description="Half-width of the taper; nothing is left beyond twice of it."
    )
    period: Positive | Periods | None = Field(
        None, description="Length of a periodic domain, one or one per axis."
    )


class Options(Incoming):
    """Options of one analysis. The defaults need no tuning."""

    n_samples: Count | None = Field(
        None, description="Analysis samples; one per member when null."
    )
    sampler: Literal["ode", "rk45", "sde", "exact"] = Field(
        "ode",
        description="`ode` exponential multistep of second order, `rk45` adaptive "
        "Runge-Kutta as in the paper, `sde` reverse diffusion, `exact` direct draws. "
        "All have the same law.",
    )
    schedule: Literal["ve", "vp"] = Field(
        "ve", description="Noise schedule: variance exploding or preserving."
    )
    steps: Count | None = Field(
        None, description="Denoiser evaluations; each sampler knows its own when null."
    )
    scaling: Literal["auto", "none", "standardize", "whiten"] = Field(
        "auto", description="Coordinates in which distances are measured."
    )
    preconditioner: Literal["auto", "none", "linear", "shrunk", "kernel"] = Field(
        "auto",
        description="Regression of states on measurements taken out before the kernels "
        "are applied; `linear` is the Kalman gain.",
    )
    state_bandwidth: Positive | Literal["auto", "silverman"] = Field(
        "auto", description="Kernel bandwidth of the states."
    )
    measurement_bandwidth: Positive | Literal["auto", "inf"] = Field(
        "auto",
        description="Kernel bandwidth of the measurements; `inf` weighs all members "
        "alike, which with a preconditioner is the stochastic EnKF.",
    )
    max_bandwidth: Positive | Literal["auto"] = Field(
        "auto", description="Noise scale at which the flow starts."
    )
    shrink: bool | Literal["auto"] = Field(
        "auto", description="Shrink kernel centres so that kernels add no variance."
    )
    inflation: Positive | Literal["adaptive"] = Field(
        1.0,
        description="Factor on the analysis deviations; 1 changes nothing. `adaptive` "
        "widens the forecast by a factor that follows the innovations from cycle to "
        "cycle; a session remembers it.",
    )
    learned_inflation: Positive = Field(
        1.0,
        description="Where `adaptive` goes on from, 0.5 to 100: `forecast_inflation` "
        "in the diagnostics of the cycle before. Sessions fill it in.",
    )
    rescue: bool | Literal["auto"] = Field(
        "auto",
        description="Widen the forecast, this once, where the innovations are larger "
        "than chance shows once in a thousand cycles; `auto` does so where the engine "
        "chooses preconditioner and measurement bandwidth.",
    )
    relaxation_to_spread: Share = Field(
        0.0, description="Share of the forecast's spread that is restored (RTPS)."
    )
    relaxation_to_perturbations: Share = Field(
        0.0,
        description="Share of each member's forecast deviation that is restored "
        "(RTPP); of the spread where members are sampled anew.",
    )
    unbiased: bool | Literal["auto"] = Field(
        "auto",
        description="Divide the residuals of the regression by `sqrt(1 - leverage)`; "
        "`auto` does so where the engine chooses the preconditioner.",
    )
    localization: LocalizationOptions | None = Field(
        None,
        description="Where states and measurements live: each state is updated by the "
        "measurements near it; with another `preconditioner` or "
        "`measurement_bandwidth` than `auto`, correlations are tapered.",
    )
    measurement_error: Deviation | Deviations | None = Field(
        None,
        description="Standard deviation(s) of the measurement error. Give it when the "
        "simulated measurements are noise-free; leave it out when they already "
        "contain noise.",
    )
    failed_members: Literal["error", "drop", "refill"] = Field(
        "error", description="What to do with members that hold null or NaN."
    )
    center: bool = Field(True, description="Measure from the ensemble mean.")
    rtol: Positive = Field(1e-5, description="Relative tolerance of `rk45`.")
    atol: Positive = Field(1e-5, description="Absolute tolerance of `rk45`.")
    moment_matched: bool = Field(
        True, description="Start from the Gaussian with the mixture's moments."
    )

    def chosen(self) -> dict[str, Any]:
        """What was asked for, as the engine's ``from_dict`` takes it."""
        return self.model_dump(exclude_unset=True)
