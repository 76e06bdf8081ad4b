"""What a caller may choose, with a default for everything.

Symbols: ``h_x`` state bandwidth, ``h_y`` measurement bandwidth, ``h_max`` the noise
scale at which the probability-flow ODE starts, ``K`` the linear preconditioner.

Bandwidths are in units of the coordinates the kernels live in: multiples of the
ensemble's own spread when ``scaling`` is on, and the caller's units with
``scaling="none"``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal, get_args

from ccdm_engine.errors import OptionsError
from ccdm_engine.localization import Localization

Sampler = Literal["ode", "rk45", "sde", "exact"]
Schedule = Literal["ve", "vp"]
Scaling = Literal["auto", "none", "standardize", "whiten"]
Preconditioner = Literal["auto", "none", "linear", "shrunk", "kernel"]
# Bandwidths and factors beyond these can only be mistakes, and their squares overflow.
SMALLEST, LARGEST = 1e-100, 1e100
# What adaptive inflation may have learned.
LEAST_INFLATION, MOST_INFLATION = 0.5, 1e2
# An adaptive step cannot be more accurate than the arithmetic.
SMALLEST_RTOL = 1e-13

FailedMembers = Literal["error", "drop", "refill"]


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """Options of one analysis. The defaults need no tuning.

    Where the chosen update only moves the members (``"shift"`` in the diagnostics),
    nothing is sampled, and ``sampler``, ``schedule``, ``steps`` and latents have
    nothing to act on; fix ``measurement_bandwidth`` to a finite number to sample.

    Attributes:
        n_samples: number of analysis samples; ``None`` gives one per member.
        sampler: ``"ode"`` exponential multistep of second order (default), ``"rk45"``
            the paper's adaptive Runge-Kutta, ``"sde"`` the reverse diffusion,
            ``"exact"`` direct draws from the mixture. All four have the same law.
        schedule: spacing of the noise levels, variance exploding or preserving.
        steps: denoiser evaluations; ``None`` lets each sampler use its own number.
            ``rk45`` is adaptive and ignores it; ``exact`` needs none.
        scaling: coordinates in which distances are measured.
        preconditioner: regression of states on measurements that is taken out before
            the kernels are applied: ``"linear"`` plain least squares (the Kalman
            gain), ``"shrunk"`` with shrunk correlations, ``"kernel"`` kernel ridge
            on top of the linear one (cubic cost in the members), ``"auto"`` joint
            kernels where there are members enough for narrow ones, 23 for one state
            variable, 41 for three, 139 for six (:mod:`.joint`), else none, linear or
            shrunk, chosen by held-out likelihood.
        state_bandwidth: ``h_x > 0``, ``"auto"`` or ``"silverman"``; of joint kernels
            at most 1.
        measurement_bandwidth: ``h_y > 0``, ``"auto"``; ``inf`` gives every member
            the same weight, which with a preconditioner is the stochastic EnKF.
        max_bandwidth: ``h_max > h_x``, or ``"auto"``.
        shrink: shrink kernel centres so that the kernels do not add variance
            (West 1993), in units of the spread that the bandwidth is in;
            ``"auto"`` chooses by held-out likelihood.
        inflation: factor on the analysis deviations from their mean; 1 is exact.
            ``"adaptive"`` widens the forecast instead, by a factor that follows the
            innovations from cycle to cycle.
        learned_inflation: where ``"adaptive"`` goes on from, 0.5 to 100: the
            ``forecast_inflation`` in the diagnostics of the cycle before.
        rescue: widen the forecast, this once, where the innovations are larger than
            chance shows once in a thousand cycles: the ensemble has lost the truth, or
            the observation is wrong, and the diagnostics say so. ``"auto"`` does so
            where the engine chooses preconditioner and measurement bandwidth.
        relaxation_to_spread: share of the forecast's spread that is restored in each
            variable (RTPS), 0 to 1.
        relaxation_to_perturbations: share of each member's forecast deviation that is
            restored (RTPP), 0 to 1; where members are not moved but sampled anew,
            their spread is restored instead.
        unbiased: divide the residuals of the regression by ``sqrt(1 - leverage)``, or
            what stands in its place for shrunk and tapered gains: in the sample it was
            fitted to they are too small by that. ``"auto"`` does so where the engine
            chooses the preconditioner; plain least squares, and with it the stochastic
            EnKF, does not.
        localization: coordinates and radius. By default each state is then updated by
            the measurements near it, a local ensemble transform with the noise told by
            the pairs; with a ``preconditioner`` or ``measurement_bandwidth`` that is
            not ``"auto"`` sample correlations are tapered by distance instead.
        measurement_error: standard deviation(s) of the measurement error, scalar or
            ``(dy,)``. Give it when the simulated measurements are noise-free; the
            engine then perturbs them. Leave it out when they already contain noise.
        failed_members: what to do with members holding NaN or infinity:
            ``"error"`` refuse, ``"drop"`` go on with the others, ``"refill"`` go on
            and still return one sample per original member.
        center: measure from the ensemble mean (numerically safer, same law).
        rtol, atol: tolerances of ``rk45``.
        moment_matched: start the ODE from the Gaussian that has the noised mixture's
            mean and covariance; ``False`` starts from ``N(0, h_max^2 I)``.

    Raises:
        OptionsError: for a value outside its domain.
    """

    n_samples: int | None = None
    sampler: Sampler = "ode"
    schedule: Schedule = "ve"
    steps: int | None = None
    scaling: Scaling = "auto"
    preconditioner: Preconditioner = "auto"
    state_bandwidth: float | Literal["auto", "silverman"] = "auto"
    measurement_bandwidth: float | Literal["auto"] = "auto"
    max_bandwidth: float | Literal["auto"] = "auto"
    shrink: bool | Literal["auto"] = "auto"
    inflation: float | Literal["adaptive"] = 1.0
    learned_inflation: float = 1.0
    rescue: bool | Literal["auto"] = "auto"
    relaxation_to_spread: float = 0.0
    relaxation_to_perturbations: float = 0.0
    unbiased: bool | Literal["auto"] = "auto"
    localization: Localization | None = None
    measurement_error: float | Sequence[float] | None = None
    failed_members: FailedMembers = "error"
    center: bool = True
    rtol: float = 1e-5
    atol: float = 1e-5
    moment_matched: bool = True

    def __post_init__(self) -> None:
        """Check every field; nothing invalid gets past construction."""
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        if str(self.measurement_bandwidth) == "inf":
            object.__setattr__(self, "measurement_bandwidth", math.inf)
        if isinstance(self.localization, dict):
            places = Localization.from_dict(self.localization)
            object.__setattr__(self, "localization", places)
        _count("n_samples", self.n_samples)
        _count("steps", self.steps)
        _choice("sampler", self.sampler, get_args(Sampler))
        _choice("schedule", self.schedule, get_args(Schedule))
        _choice("scaling", self.scaling, get_args(Scaling))
        _choice("preconditioner", self.preconditioner, get_args(Preconditioner))
        _choice("failed_members", self.failed_members, get_args(FailedMembers))
        _bandwidth("state_bandwidth", self.state_bandwidth, ("auto", "silverman"))
        _bandwidth(
            "measurement_bandwidth",
            self.measurement_bandwidth,
            ("auto",),
            infinite=True,
        )
        _bandwidth("max_bandwidth", self.max_bandwidth, ("auto",))
        _flag("shrink", self.shrink, words=("auto",))
        _flag("center", self.center)
        _flag("moment_matched", self.moment_matched)
        if self.inflation != "adaptive":
            _positive("inflation", self.inflation, words=("adaptive",))
        _learned(self.learned_inflation)
        _flag("rescue", self.rescue, words=("auto",))
        _share("relaxation_to_spread", self.relaxation_to_spread)
        _share("relaxation_to_perturbations", self.relaxation_to_perturbations)
        _flag("unbiased", self.unbiased, words=("auto",))
        _positive("rtol", self.rtol, least=SMALLEST_RTOL)
        _positive("atol", self.atol)
        _localization(self.localization, self.preconditioner)
        _ordered(self.state_bandwidth, self.max_bandwidth)
        if self.shrink is True and self.scaling == "none":
            raise OptionsError(
                "shrink",
                got="True with scaling='none'",
                wanted="another scaling: shrinkage is in units of the spread",
            )
        object.__setattr__(
            self, "measurement_error", _standard_deviations(self.measurement_error)
        )

    @classmethod
    def paper(
        cls,
        *,
        state_bandwidth: float,
        measurement_bandwidth: float,
        max_bandwidth: float,
        **changes: Any,
    ) -> AnalysisOptions:
        """The configuration of Binder, Dasgupta and Oberai (2026), exactly.

        No scaling, ensemble centred on its mean, no preconditioner, no shrinkage;
        ``s(t) = h_x + t (h_max - h_x)`` with t from 1 to 0, start
        ``N(0, h_max^2 I)``, adaptive RK45 with ``rtol = atol = 1e-5``.

        Args:
            state_bandwidth: ``h_x``, in units of the states.
            measurement_bandwidth: ``h_y``, in units of the measurements.
            max_bandwidth: ``h_max``, in units of the states.
            changes: other fields to set differently.
        """
        settings: dict[str, Any] = {
            "sampler": "rk45",
            "schedule": "ve",
            "scaling": "none",
            "preconditioner": "none",
            "shrink": False,
            "center": True,
            "moment_matched": False,
            "rtol": 1e-5,
            "atol": 1e-5,
            "state_bandwidth": state_bandwidth,
            "measurement_bandwidth": measurement_bandwidth,
            "max_bandwidth": max_bandwidth,
        }
        return cls(**(settings | changes))

    @property
    def rescues(self) -> bool:
        """Whether a lost ensemble is widened."""
        if self.rescue != "auto":
            return bool(self.rescue)
        return self.preconditioner == self.measurement_bandwidth == "auto"

    @property
    def unbiases(self) -> bool:
        """Whether residuals of a regression are divided by ``sqrt(1 - leverage)``."""
        if self.unbiased != "auto":
            return bool(self.unbiased)
        return self.preconditioner == "auto"

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON values (an infinite bandwidth becomes ``"inf"``)."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.localization is not None:
            values["localization"] = self.localization.to_dict()
        if isinstance(self.measurement_error, tuple):
            values["measurement_error"] = list(self.measurement_error)
        return {
            name: "inf" if value == math.inf else value
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AnalysisOptions:
        """The inverse of :meth:`to_dict`; unknown names are refused.

        Raises:
            OptionsError: for an unknown name or a value outside its domain.
        """
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                near = get_close_matches(str(name), sorted(known), 1)
                raise OptionsError(
                    name,
                    got="an unknown option",
                    wanted="one of " + ", ".join(sorted(known)),
                    remedy=f"Perhaps {near[0]} was meant."
                    if near
                    else "Correct the name, or leave it out.",
                )
        return cls(**values)


def _plain(value: Any) -> Any:
    """A NumPy scalar as the Python number it stands for."""
    return value.item() if getattr(value, "shape", None) == () else value


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _count(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionsError(name, got=repr(value), wanted="a positive integer or None")


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise OptionsError(
            name, got=repr(value), wanted="one of " + ", ".join(map(repr, choices))
        )


def _flag(name: str, value: object, words: tuple[str, ...] = ()) -> None:
    if isinstance(value, bool) or (isinstance(value, str) and value in words):
        return
    wanted = ", ".join(["True", "False", *map(repr, words)])
    raise OptionsError(name, got=repr(value), wanted=f"one of {wanted}")


def _bandwidth(
    name: str, value: object, words: tuple[str, ...], *, infinite: bool = False
) -> None:
    if isinstance(value, str) and value in words:
        return
    if _is_number(value) and SMALLEST <= value <= LARGEST:  # type: ignore[operator]
        return
    if infinite and value == math.inf:
        return
    limit = f"a positive number from {SMALLEST:g} to {LARGEST:g}"
    limit += ", inf" if infinite else ""
    wanted = " or ".join([limit, *map(repr, words)])
    raise OptionsError(name, got=_short(value), wanted=wanted)


def _positive(
    name: str,
    value: object,
    least: float = SMALLEST,
    words: tuple[str, ...] = (),
) -> None:
    if not _is_number(value) or not least <= value <= LARGEST:  # type: ignore[operator]
        limit = f"a positive number from {least:g} to {LARGEST:g}"
        raise OptionsError(
            name,
            got=_short(value),
            wanted=" or ".join([limit, *map(repr, words)]),
        )


def _learned(value: object) -> None:
    if not _is_number(value) or not LEAST_INFLATION <= value <= MOST_INFLATION:  # type: ignore[operator]
        raise OptionsError(
            "learned_inflation",
            got=_short(value),
            wanted=f"a number from {LEAST_INFLATION:g} to {MOST_INFLATION:g}",
        )


def _share(name: str, value: object) -> None:
    if not _is_number(value) or not 0 <= value <= 1:  # type: ignore[operator]
        raise OptionsError(name, got=_short(value), wanted="a number from 0 to 1")


def _localization(value: object, preconditioner: str) -> None:
    if value is None:
        return
    if not isinstance(value, Localization):
        raise OptionsError(
            "localization",
            got=type(value).__name__,
            wanted="a Localization or None",
        )
    if preconditioner not in ("auto", "linear"):
        raise OptionsError(
            "localization",
            got=f"a localization with preconditioner={preconditioner!r}",
            wanted="preconditioner 'auto' or 'linear', whose gain it tapers",
        )


def _ordered(smallest: object, largest: object) -> None:
    if _is_number(smallest) and _is_number(largest) and largest <= smallest:  # type: ignore[operator]
        raise OptionsError(
            "max_bandwidth",
            got=repr(largest),
            wanted=f"more than state_bandwidth = {smallest!r}",
        )


def _standard_deviations(value: Any) -> float | tuple[float, ...] | None:
    if value is None:
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    several = isinstance(value, (list, tuple))
    items = list(value) if several else [value]
    for place, item in enumerate(items):
        if not _is_number(item) or not 0 <= item <= LARGEST:
            raise OptionsError(
                "measurement_error",
                got=_short(item),
                wanted=f"standard deviations, each a number from 0 to {LARGEST:g}",
                index=(place,) if several else None,
            )
    return tuple(map(float, items)) if several else float(items[0])
