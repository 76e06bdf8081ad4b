"""Checks and screens of the triple ``(x_i, y_i, y*)``.

What comes in is any array-like; what goes on is float64, finite, and only the
members and measurements that can take part. Every decision is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine.columns import extent
from ccdm_engine.errors import (
    DtypeError,
    NonFiniteError,
    OptionsError,
    ShapeError,
    TooFewMembersError,
)

Array = npt.NDArray[np.float64]
Exponents = npt.NDArray[np.int32]

# Differences of larger numbers overflow.
LARGEST_VALUE = 1e300

ASSIMILATED, MISSING, CONSTANT = "assimilated", "missing", "constant"

A_ROW_EACH = (
    "Send a row for every member, even of one number: [[1.0], [1.3]] and so on."
)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Ensemble pairs and the observation, checked and ready.

    Attributes:
        states: ``x_i``, ``(N, dx)``, the members used.
        simulated: ``y_i``, ``(N, dy)``, the measurements assimilated.
        observation: ``y*``, ``(dy,)``.
        used: index of each used member in the caller's ensemble, ``(N,)``.
        columns: index of each assimilated measurement in the caller's, ``(dy,)``.
        state_columns: index of each state variable in the caller's, ``(dx,)``.
        failed: which members were left out and why.
        status: one code per measurement of the caller.
        n_members: size of the caller's ensemble.
        noise: the part of ``simulated`` that :func:`perturb` added, ``(N, dy)``;
            ``None`` where the simulated measurements came with their noise.
        error: its standard deviations, ``(dy,)``.
        state_exponents, measurement_exponents: powers of two by which the columns
            were divided (:mod:`.normalization`), ``(dx,)`` and ``(dy,)``; ``None`` in
            the caller's units.
    """

    states: Array
    simulated: Array
    observation: Array
    used: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    state_columns: npt.NDArray[np.intp]
    failed: tuple[dict[str, Any], ...]
    status: tuple[str, ...]
    n_members: int
    noise: Array | None = None
    error: Array | None = None
    state_exponents: Exponents | None = None
    measurement_exponents: Exponents | None = None

    @property
    def triple(self) -> tuple[Array, Array, Array]:
        """``x_i``, ``y_i`` and ``y*``."""
        return self.states, self.simulated, self.observation

    def of(self, members: npt.NDArray[np.intp]) -> Pairs:
        """Some of the members alone."""
        return replace(
            self,
            states=self.states[members],
            simulated=self.simulated[members],
            used=self.used[members],
            noise=None if self.noise is None else self.noise[members],
        )


def screen(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    *,
    failed_members: str = "error",
) -> Pairs:
    """Check the arrays, set missing measurements and failed members aside.

    Args:
        forecast_states: ``(N, dx)``.
        simulated_measurements: ``(N, dy)``; ``dy`` may be 0.
        observation: ``(dy,)``, ``(1, dy)`` or ``(dy, 1)``; NaN means not observed.
        failed_members: ``"error"``, ``"drop"`` or ``"refill"``.

    Returns:
        The pairs that take part.

    Raises:
        ShapeError: axes or sizes that disagree.
        DtypeError: values that are not real numbers.
        NonFiniteError: NaN or infinity where a number is needed.
        TooFewMembersError: fewer than two usable members.
    """
    states = real_array("forecast_states", forecast_states)
    simulated = real_array("simulated_measurements", simulated_measurements)
    observed = _observation(real_array("observation", observation))
    _require_matching(states, simulated, observed)
    _require_members(states.shape[0], "forecast_states")

    columns = np.flatnonzero(~np.isnan(observed))
    _require_finite("observation", np.where(np.isnan(observed), 0.0, observed))
    simulated = simulated[:, columns]
    good, failed = _working_members(states, simulated, columns, failed_members)
    used = np.flatnonzero(good)
    if not good.all():
        _require_members(used.size, "forecast_states", usable=True)
        states, simulated = states[used], simulated[used]
    status = np.full(observed.size, MISSING, dtype=object)
    status[columns] = ASSIMILATED
    return Pairs(
        states=np.ascontiguousarray(states),
        simulated=np.ascontiguousarray(simulated),
        observation=observed[columns],
        used=used,
        columns=columns,
        state_columns=np.arange(states.shape[1]),
        failed=failed,
        status=tuple(status),
        n_members=good.size,
    )


def perturb(
    pairs: Pairs,
    measurement_error: float | Sequence[float] | None,
    rng: np.random.Generator,
) -> Pairs:
    """Add the declared measurement error to noise-free simulated measurements.

    Args:
        pairs: with noise-free ``simulated``.
        measurement_error: standard deviation, scalar or one per measurement of the
            caller, in units of the measurements; ``None`` leaves all as it is.
        rng: source of the perturbations.

    Raises:
        OptionsError: when the number of standard deviations does not fit.
    """
    if measurement_error is None:
        return pairs
    deviations = error_deviations(pairs, measurement_error)
    # Drawn for every member and measurement of the caller, then selected: the draw
    # of one member does not depend on which others failed or were not observed.
    noise = rng.standard_normal((pairs.n_members, len(pairs.status)))
    noise = deviations * noise[np.ix_(pairs.used, pairs.columns)]
    return replace(
        pairs, simulated=pairs.simulated + noise, noise=noise, error=deviations
    )


def error_deviations(pairs: Pairs, measurement_error: float | Sequence[float]) -> Array:
    """Standard deviations of the assimilated measurements' errors, ``(dy,)``.

    Raises:
        OptionsError: when their number is neither 1 nor the caller's ``dy``.
    """
    deviations = np.atleast_1d(np.asarray(measurement_error, dtype=np.float64))
    if deviations.size == 1:
        return np.full(pairs.columns.size, deviations[0])
    if deviations.size != len(pairs.status):
        only = len(pairs.status) == 1
        raise OptionsError(
            "measurement_error",
            got=f"{deviations.size} values",
            wanted="1" if only else f"1 or {len(pairs.status)}, one per measurement",
            remedy="Give one standard deviation for all measurements"
            + ("." if only else ", or one for each of them."),
        )
    return deviations[pairs.columns]


def without_constants(pairs: Pairs) -> Pairs:
    """Leave out measurements that all members agree on: they carry no information."""
    low, high = extent(pairs.simulated)
    varied = high - low > 0
    if varied.all():
        return pairs
    status = list(pairs.status)
    for column in pairs.columns[~varied]:
        status[column] = CONSTANT
    return replace(
        pairs,
        simulated=np.ascontiguousarray(pairs.simulated[:, varied]),
        observation=pairs.observation[varied],
        columns=pairs.columns[varied],
        status=tuple(status),
        noise=None if pairs.noise is None else pairs.noise[:, varied],
        error=None if pairs.error is None else pairs.error[varied],
    )


def real_array(name: str, values: npt.ArrayLike) -> Array:
    """The values as float64; what is masked is missing, NaN.

    Raises:
        ShapeError: for ragged nested lists.
        DtypeError: for anything but integers and floating-point numbers.
    """
    try:
        if np.ma.isMaskedArray(values):
            values = np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
        array = np.asarray(values)
    except ValueError:
        raise ShapeError(
            name,
            got="rows of different lengths",
            wanted="a rectangular array of numbers",
            remedy="Give every row the same variables.",
        ) from None
    if array.size == 0 and array.dtype.kind in "fiuO":
        return array.astype(np.float64)
    if array.dtype.kind not in "fiu":
        raise DtypeError(
            name,
            got=f"dtype {array.dtype}",
            wanted="real numbers (integers or floating point)",
            remedy="Numbers in text or in objects are not guessed at: convert them.",
        )
    return array.astype(np.float64, copy=False)


def _observation(values: Array) -> Array:
    if values.ndim == 2 and 1 in values.shape:
        return values.reshape(-1)
    if values.ndim != 1:
        remedy = (
            "Send a list, even of one number: [1.5]."
            if values.ndim == 0
            else "Send one number for each column of simulated_measurements."
        )
        raise ShapeError(
            "observation",
            got=f"shape {values.shape}",
            wanted="shape (dy,)",
            remedy=remedy,
        )
    return values


def _require_matching(states: Array, simulated: Array, observed: Array) -> None:
    if states.ndim != 2 or states.shape[1] == 0:
        raise ShapeError(
            "forecast_states",
            got=f"shape {states.shape}",
            wanted="shape (N, dx), one row per member, dx >= 1",
            remedy=A_ROW_EACH,
        )
    if simulated.ndim != 2:
        raise ShapeError(
            "simulated_measurements",
            got=f"shape {simulated.shape}",
            wanted="shape (N, dy), one row per member",
            remedy=A_ROW_EACH,
        )
    if simulated.shape[0] != states.shape[0]:
        raise ShapeError(
            "simulated_measurements",
            got=f"{simulated.shape[0]} rows",
            wanted=f"{states.shape[0]}, one per row of forecast_states",
            remedy=_rows(states, simulated),
        )
    if simulated.shape[1] != observed.size:
        raise ShapeError(
            "observation",
            got=f"{observed.size} values",
            wanted=f"{simulated.shape[1]}, one per column of simulated_measurements",
            remedy="Send one number for each column of simulated_measurements; NaN "
            "(null in JSON) for what was not observed.",
        )


def _rows(states: Array, simulated: Array) -> str:
    """What to do about numbers of rows that differ."""
    if states.shape[1] == simulated.shape[0]:
        return (
            "Members are columns here: send one member a row, the transpose. "
            "Column-major arrays of shape (dx, N) are byte for byte our (N, dx)."
        )
    return "Send one simulated measurement for every member; NaN for one that crashed."


def _require_members(count: int, name: str, *, usable: bool = False) -> None:
    if count < 2:
        kind = "usable members" if usable else "members"
        raise TooFewMembersError(
            name,
            got=f"{count} {kind}",
            wanted="at least 2",
            remedy="One member carries no information on uncertainty: send an "
            "ensemble; a hundred members are a good beginning.",
        )


def _usable(values: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(values) <= LARGEST_VALUE)


def _require_finite(name: str, values: Array) -> None:
    bad = ~_usable(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        remedies = {"observation": "Mark what was not observed with NaN (JSON null)."}
        raise NonFiniteError(
            name,
            got=str(values[first]),
            wanted=f"a finite number, at most {LARGEST_VALUE:g} in size",
            remedy=remedies.get(
                name, "Set failed_members to 'drop' or 'refill' to go on without it."
            ),
            index=first,
        )


def _working_members(
    states: Array,
    simulated: Array,
    columns: npt.NDArray[np.intp],
    policy: str,
) -> tuple[npt.NDArray[np.bool_], tuple[dict[str, Any], ...]]:
    whole = np.asarray(_usable(states).all(axis=1))
    measured = _usable(simulated).all(axis=1)
    good = np.asarray(whole & measured)
    if good.all():
        return good, ()
    if policy == "error":
        _require_finite("forecast_states", states)
        # Report the position in the caller's array, unobserved columns included.
        member, column = (int(i) for i in np.argwhere(~_usable(simulated))[0])
        raise NonFiniteError(
            "simulated_measurements",
            got=str(simulated[member, column]),
            wanted=f"a finite number, at most {LARGEST_VALUE:g} in size",
            remedy="Set failed_members to 'drop' or 'refill' to go on without it.",
            index=(member, int(columns[column])),
        )
    failed = tuple(
        {
            "member": int(i),
            "reason": "non-finite "
            + ("simulated measurement" if whole[i] else "forecast state"),
        }
        for i in np.flatnonzero(~good)
    )
    return good, failed
