"""What a measurement says about its state, and the noise on it, taken apart.

Simulated measurements are ``y_i = f(x_i) + eps_i`` with ``R = cov(eps)``. Knowing the
two parts serves twice. Covariances of ``f(x_i)`` carry less sampling error than those
of ``y_i``, and so does the gain ``C_xf (C_ff + R)^-1``. And kernels that move with
``f(x_i)`` (:mod:`.joint`) do not carry the noise twice, as kernels around ``y_i`` do.

Where the caller gave ``measurement_error`` the parts are known. Otherwise the pairs
tell them, by regressing measurements on states:

:func:`regressed`
    on all states, with five members per state variable or more; where a straight line
    is not the whole story, on their squares and products too.
:func:`sparse`
    on the few states that each measurement depends on, found one after the other.
    A state must reduce the leave-one-out error by more than the best of d unrelated
    ones is expected to, ``2 log(d) / N`` (risk inflation: Foster and George 1994); one
    measurement in ten still finds a state by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine import columns, regression
from ccdm_engine.blocks import blocks
from ccdm_engine.pairs import Pairs
from ccdm_engine.scaling import has_footing

Array = npt.NDArray[np.float64]

# Noise below this share of a measurement's variance is no noise.
LEAST_SHARE = 1e-6
# A curved fit must leave less than this share of the error of a straight one.
MARGIN = 0.9
# A measurement that depends on more states than this is left as it is.
FEW = 8
# Products of more states than this are not looked at for curvature.
MOST_CURVED = 18
ROUNDING = 1e-8
# Shrinkage among measurements never vanishes: their matrix must stay invertible.
LARGEST_FACTOR = 0.9999
# State columns that are searched at a time.
BLOCK = 2048


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise-free measurements and the noise on them.

    Attributes:
        fitted: ``f(x_i)``, ``(N, dy)``.
        errors: ``R``, ``(dy, dy)``, or its diagonal alone, ``(dy,)``, where errors are
            not correlated; zero for a measurement left as it is.
        curved: whether ``f`` is seen to be nonlinear.
        slopes: ``E``, ``(k, dy)``, where ``f`` was learned: its covariance with a
            state of variance 1 that has nothing to do with it errs by
            ``E^T E / (N - 1)``; ``None`` where ``f`` is given, whose own covariance
            stands there then.
    """

    fitted: Array
    errors: Array
    curved: bool = False
    slopes: Array | None = None

    @classmethod
    def none(cls, simulated: Array) -> Noise:
        """Measurements left as they are."""
        return cls(simulated, np.zeros(simulated.shape[1]))

    @property
    def variance(self) -> Array:
        """The diagonal of ``R``, ``(dy,)``."""
        return self.errors if self.errors.ndim == 1 else np.diag(self.errors)

    @property
    def covariance(self) -> Array:
        """``R`` in full, ``(dy, dy)``."""
        return np.diag(self.errors) if self.errors.ndim == 1 else self.errors


def apart(pairs: Pairs) -> Noise:
    """The parts by whatever tells them: the caller, all states, or a few.

    As they are needed to widen the ensemble: ``f`` has the slopes of least squares,
    for with smaller ones the gain would overshoot in the widened ensemble.
    """
    return (
        known(pairs)
        or regressed(pairs, credible=False)
        or sparse(pairs.states, pairs.simulated)
    )


def known(pairs: Pairs) -> Noise | None:
    """The parts that the caller's ``measurement_error`` tells; ``None`` without."""
    if pairs.noise is None or pairs.error is None:
        return None
    if np.any(pairs.error**2 <= LEAST_SHARE * np.var(pairs.simulated, axis=0)):
        return None
    fitted = pairs.simulated - pairs.noise
    curved = _is_curved(standardized(pairs.states), fitted)
    return Noise(fitted, pairs.error**2, curved)


def regressed(pairs: Pairs, *, credible: bool = True) -> Noise | None:
    """The parts as a regression on all states tells them.

    ``None`` with fewer than five members per state variable, or per measurement where
    chance is to be taken off, and where the simulated measurements are exact functions
    of the states.

    Args:
        pairs: with noisy simulated measurements.
        credible: take off ``f`` what chance alone would tell.
    """
    members = pairs.states.shape[0]
    if not has_footing(*pairs.states.shape):
        return None
    if credible and not has_footing(*pairs.simulated.shape):
        return None  # with as many measurements as members chance explains everything
    terms = standardized(pairs.states)
    curved = _is_curved(terms, pairs.simulated)
    if curved:
        terms = np.hstack([terms, _products(terms)])
    gaps = pairs.simulated - columns.mean(pairs.simulated)
    signal, left, slopes = _told(terms, gaps, credible=credible)
    variance = columns.variance(gaps)
    if np.any(left < LEAST_SHARE * variance):
        return None
    errors = gaps - signal
    fitted = pairs.simulated - errors
    if not has_footing(members, variance.size):
        return Noise(fitted, left, curved, slopes)
    covariance = errors.T @ errors
    scale = np.sqrt(left / np.diag(covariance))
    return Noise(fitted, covariance * np.outer(scale, scale), curved, slopes)


def _told(terms: Array, gaps: Array, *, credible: bool) -> tuple[Array, Array, Array]:
    """What the terms tell about the measurements, beyond chance, and the rest.

    Least squares in canonical coordinates (Hotelling 1936), where each direction of
    the measurements has a correlation ``r`` of its own. Its share of explained
    variance is adjusted for the number of terms (Wherry 1931), and multiplied by
    ``1 - (o_c / o)^2``, with ``o = r^2 / (1 - r^2)`` and ``o_c`` the same at the edge
    of what unrelated normal variables reach (Wachter 1980)::

        r_c^2 = (sqrt(a (1 - b)) + sqrt(b (1 - a)))^2,   a = p / n, b = q / n

    Without it an ensemble that is narrow beside the noise would be moved, and made
    narrower, by correlations that mean nothing.

    Args:
        terms: of the regression, centred or not, ``(N, p)``.
        gaps: measurements from their mean, ``(N, dy)``.
        credible: or with all that least squares tells as the signal.

    Returns:
        The signal, ``(N, dy)``, the variance of the noise, ``(dy,)``, and
        :attr:`Noise.slopes`. A canonical correlation with what is unrelated errs by
        ``1 / n``, and a signal that was made of ``r`` has the slope ``1 / r`` of it.
    """
    freedom = gaps.shape[0] - 1
    u, _, _ = _orthogonal(terms - columns.mean(terms))
    v, values, turn = _orthogonal(gaps)
    a, r, b = np.linalg.svd(u.T @ v, full_matrices=False)
    square = np.minimum(r**2, 1.0)
    p, q = min(u.shape[1] / freedom, 1.0), min(v.shape[1] / freedom, 1.0)
    edge = min((np.sqrt(p * (1 - q)) + np.sqrt(q * (1 - p))) ** 2, 1.0 - ROUNDING)
    rest = (1.0 - square) / max(1.0 - p, 1.0 / freedom)
    odds, chance = square / np.maximum(1.0 - square, 1e-300), edge / (1.0 - edge)
    share = np.maximum(1.0 - (chance / np.maximum(odds, chance)) ** 2, 0.0)
    adjusted = np.maximum(1.0 - rest, 0.0)
    share = share * adjusted if credible else adjusted
    loads = (b * values) @ turn
    signal = (u @ a * (np.sqrt(share) if credible else r)) @ loads
    whole = columns.total(gaps**2) / freedom
    taken = np.minimum(share / np.maximum(square, ROUNDING), 1.0)
    slopes = loads * np.sqrt(taken / freedom)[:, None]
    return signal, np.maximum(whole - share @ loads**2 / freedom, 0.0), slopes


def _orthogonal(gaps: Array) -> tuple[Array, Array, Array]:
    """Singular value decomposition without what is rounding."""
    scale = np.sqrt(columns.mean(gaps**2))
    scale = np.where(scale > 0, scale, 1.0)
    u, values, turn = np.linalg.svd(gaps / scale, full_matrices=False)
    kept = values > ROUNDING * values[0]
    return u[:, kept], values[kept], turn[kept] * scale


def sparse(states: Array, simulated: Array) -> Noise:
    """Each measurement as a linear function of few states, and noise.

    A measurement that depends on no state to speak of, or on more than a few, is left
    as it is. Cost: ``O(N dx dy)`` per state found.

    Args:
        states: ``x_i``, ``(N, dx)``.
        simulated: ``y_i``, ``(N, dy)``.
    """
    z = standardized(states)
    members = simulated.shape[0]
    mean = simulated.mean(axis=0)
    gaps = simulated - mean
    candidates = max(z.shape[1], 2)
    needed = 1.0 - min(2.0 * np.log(candidates) / members, 0.9)
    residual, basis = gaps.copy(), list[Array]()
    keep = np.full(gaps.shape, 1.0 - 1.0 / members)
    error = _squares(gaps / keep) / members
    open_ = np.arange(gaps.shape[1])
    found = np.zeros(gaps.shape[1], dtype=np.intp)
    while open_.size and len(basis) <= min(FEW, members // 5):
        direction = _next_direction(z, residual, basis, open_)
        along = np.einsum("ij,ij->j", direction, gaps[:, open_])
        left = residual[:, open_] - direction * along
        kept = np.maximum(keep[:, open_] - direction**2, 1.0 / members)
        held_out = _squares(left / kept) / members
        better = (held_out < needed * error[open_]) & direction.any(axis=0)
        open_ = open_[better]
        residual[:, open_], keep[:, open_] = left[:, better], kept[:, better]
        error[open_] = held_out[better]
        found[open_] += 1
        layer = np.zeros_like(gaps)
        layer[:, open_] = direction[:, better]
        basis.append(layer)
    found[open_] = 0  # still open: not sparse
    taken = found > 0
    fitted = np.where(taken, gaps - residual, gaps)
    freedom = np.maximum(members - 1 - found, 1)
    variance = np.where(taken, _squares(residual) / freedom, 0.0)
    variance[variance < LEAST_SHARE * _squares(gaps) / members] = 0.0
    return Noise(fitted + mean, _covariance(gaps - fitted, variance))


def _covariance(errors: Array, variance: Array) -> Array:
    """Covariance of the noise with these variances, correlations shrunk, (dy, dy)."""
    noisy = variance > 0
    unit = np.zeros_like(errors)
    unit[:, noisy] = errors[:, noisy] / np.sqrt(_squares(errors[:, noisy]))
    correlation = unit.T @ unit
    correlation *= common_shrinkage(correlation, errors.shape[0])
    np.fill_diagonal(correlation, 1.0)
    deviations = np.sqrt(variance)
    return np.asarray(correlation * np.outer(deviations, deviations))


def _next_direction(
    z: Array,
    residual: Array,
    basis: Sequence[Array],
    open_: npt.NDArray[np.intp],
) -> Array:
    """The state most correlated with each open residual, less what is explained.

    Returns:
        Unit vectors, zero where nothing new is left, ``(N, len(open_))``.
    """
    strongest, new = _strongest(z, residual[:, open_])
    length = np.sqrt(_squares(new))
    for layer in basis:
        known_part = layer[:, open_]
        new = new - known_part * np.einsum("ij,ij->j", known_part, new)
    left = np.sqrt(_squares(new))
    fresh = (left > 1e-6 * length) & (strongest > 0.0)
    return np.asarray(np.where(fresh, new / np.where(fresh, left, 1.0), 0.0))


def _strongest(z: Array, residual: Array) -> tuple[Array, Array]:
    """The state most correlated with each residual: how much, and its values.

    Args:
        z: standardized states, ``(N, dx)``.
        residual: ``(N, m)``.

    Returns:
        ``(m,)``, and ``(N, m)``.
    """
    count = residual.shape[1]
    strongest, best = np.full(count, -1.0), np.zeros(count, dtype=np.intp)
    for block in blocks(z.shape[1], BLOCK):
        strength = np.abs(z[:, block].T @ residual)
        place = np.argmax(strength, axis=0)
        value = strength[place, np.arange(count)]
        best = np.where(value > strongest, place + block.start, best)
        strongest = np.maximum(value, strongest)
    return strongest, z[:, best]


def _squares(values: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->j", values, values))


def common_shrinkage(correlation: Array, members: int) -> Array:
    """One factor for all off-diagonal correlations, 0 to 1, as an array.

    It keeps the matrix positive definite (Schaefer and Strimmer 2005):
    ``1 - sum var(r) / sum r^2`` with the large-sample variance ``(1 - r^2)^2 / N``.
    """
    square = np.minimum(correlation**2, 1.0)
    np.fill_diagonal(square, 0.0)
    total = float(np.sum(square))
    others = square.size - square.shape[0]
    chance = float(np.sum((1.0 - square) ** 2)) - square.shape[0]
    chance = chance / max(members - 2, 1) if others else 0.0
    factor = min(max(1.0 - chance / total, 0.0), LARGEST_FACTOR) if total else 0.0
    return np.full_like(correlation, factor)


def standardized(states: Array) -> Array:
    """Columns of mean 0 and spread 1; constant ones, which are rounding, of 0."""
    gaps = states - columns.mean(states)
    low, high = columns.extent(states)
    gaps[:, low == high] = 0.0
    members = gaps.shape[0]
    spread = np.sqrt(np.einsum("ij,ij->j", gaps, gaps) / members)
    gaps /= np.where(spread > 0, spread, 1.0)
    return np.asarray(gaps)


def _is_curved(states: Array, simulated: Array) -> bool:
    """Whether a quadratic fit leaves clearly less than the linear one's errors.

    Args:
        states: standardized, ``(N, dx)``.
        simulated: ``y_i``, ``(N, dy)``.
    """
    members, dimension = states.shape
    terms = dimension * (dimension + 3) // 2
    if dimension > MOST_CURVED or not has_footing(members, terms):
        return False
    richer = np.hstack([states, _products(states)])
    straight, curved = (
        columns.variance(
            regression.linear(simulated, given, given[0]).held_out_residuals
        )
        for given in (states, richer)
    )
    told = straight > LEAST_SHARE * columns.variance(simulated)
    return bool(np.any(told & (curved < MARGIN * straight)))


def _products(states: Array) -> Array:
    """Squares and products of the states, but for those that are constant."""
    first, second = np.triu_indices(states.shape[1])
    products = states[:, first] * states[:, second]
    # The square of a variable of two values may be.
    low, high = columns.extent(products)
    return np.asarray(products[:, high - low > ROUNDING])
