"""Kernels on state and measurement together.

The paper's kernels are products, one in x and one in y. Here each member carries a
kernel that moves along with its measurement, once the measurements are taken apart into
``f(x_i)`` and noise (:mod:`.noise`)::

    x ~ N(x_i, h^2 V),    y | x ~ N(f(x_i) + H^T (x - x_i), R)

``V`` is the covariance of the states near the observation and ``H`` the slope of ``f``
there. Conditioning on ``y*`` is exact, and leaves a mixture of equal kernels again::

    S = h^2 H^T V H + R              K = h^2 V H S^-1
    w_i  ~  N(y*; f_i, S)            c_i = x_i + K (y* - f_i)
    covariance  h^2 (V - h^2 V H S^-1 H^T V)

One bandwidth leads from the particle filter (h = 0) to the Kalman filter (h = 1): what
the kernels are wide the Kalman gain does, what the members are apart the weights do. In
whitened coordinates centres are drawn towards the mean by ``(I - h^2 V)^1/2`` (West
1993 for ``V = I``), so that kernels and centres together keep the covariance of the
ensemble. This is the ensemble Gaussian mixture filter (Anderson and Anderson 1999;
Stordal et al. 2011; Popov and Zanetti 2022), with ``f`` and ``R`` learned from the
pairs; ``V`` near the observation keeps members far from it, which will weigh nothing,
from widening the kernels of those that will.

Cost, once per analysis: ``O(N (dx + dy)^2)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine import columns
from ccdm_engine.bandwidth import silverman
from ccdm_engine.candidate import Candidate
from ccdm_engine.neighbourhood import FARTHEST, Neighbourhood
from ccdm_engine.noise import Noise
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import Frame, fit_frame, symmetric_roots

Array = npt.NDArray[np.float64]

# Shares of the normal reference bandwidth, which is too wide for clouds that are not
# normal (Silverman 1986, section 3.4.2).
SHARES = (0.4, 0.8)
# Costs beyond this share of a variance are not believed.
MOST = 0.5


class Shape(NamedTuple):
    """What kernels of any bandwidth have in common.

    Attributes:
        whole: the frame in which all members are white.
        z: the states there, ``(N, dx)``.
        covariance: ``V``, ``(dx, dx)``.
        slopes: ``H``, ``(dx, dy)``.
        erring: ``E`` of :attr:`.Noise.slopes`, ``(k, dy)``.
    """

    whole: Frame
    z: Array
    covariance: Array
    slopes: Array
    erring: Array


def fit_shape(pairs: Pairs, parts: Noise) -> Shape:
    """The shape of the kernels.

    Args:
        pairs: with members enough to know their covariance.
        parts: the measurements taken apart.
    """
    whole = fit_frame(pairs.states, "whiten")
    z = whole.into(pairs.states)
    gaps = parts.fitted - columns.mean(parts.fitted)
    root = _inverse_root(gaps.T @ gaps / (z.shape[0] - 1) + parts.covariance)
    covariance, slopes = _near(z, parts.fitted, pairs.observation, gaps, root)
    own = gaps / (z.shape[0] - 1) ** 0.5
    erring = own if parts.slopes is None else parts.slopes
    return Shape(whole, z, covariance, slopes, erring)


def bandwidths(
    pairs: Pairs, parts: Noise, options: AnalysisOptions, of: Shape
) -> tuple[float, ...]:
    """``h`` as fixed, or some to choose from; at most 1.

    The fewer members the weights leave, the wider their kernels have to be, and wider
    kernels leave more. With ``1 / sum w_i^2`` a power of ``h`` between what two
    bandwidths leave, ``h = share * silverman(1 / sum w_i^2)`` has one solution.

    Args:
        pairs: with members enough to know their covariance.
        parts: the measurements taken apart.
        options: what is fixed and what is ``"auto"``.
        of: the shape of the kernels.
    """
    wanted, (members, dimension) = options.state_bandwidth, pairs.states.shape
    if not isinstance(wanted, str):
        return (min(float(wanted), 1.0),)
    reference = silverman(members, dimension)
    shares = (1.0,) if wanted == "silverman" else SHARES
    ends = np.array([shares[0] * reference, 1.0])
    left = np.log(_effective(pairs, parts, options, tuple(ends), of))
    power = float((left[1] - left[0]) / -np.log(ends[0]))
    order = 1.0 / (dimension + 4)
    found = []
    for share in shares:
        one = np.log(share * silverman(1.0, dimension))  # of one effective member
        h = float(np.exp((one - order * left[1]) / (1.0 + order * max(power, 0.0))))
        found.append(min(max(h, share * reference), 1.0))
    return tuple(found)


def candidate(
    pairs: Pairs,
    parts: Noise,
    near: Neighbourhood,
    options: AnalysisOptions,
    h: float,
) -> Candidate:
    """The model with joint kernels of bandwidth ``h``, see :func:`candidates`."""
    shape = fit_shape(pairs, parts)
    return candidates(pairs, parts, near, options, (h,), shape)[0]


def candidates(
    pairs: Pairs,
    parts: Noise,
    near: Neighbourhood,
    options: AnalysisOptions,
    widths: Sequence[float],
    of: Shape,
) -> list[Candidate]:
    """The models with joint kernels, computed together.

    Args:
        pairs: with members enough to know their covariance.
        parts: the measurements taken apart.
        near: the ``pairs`` kernels, which know the held-out members.
        options: whether centres are drawn together.
        widths: the bandwidths ``h``.
        of: the shape of the kernels.
    """
    whole, z, shape, slopes, erring = of
    pulled, fitted, root = _around(parts, options, widths, of)
    h = np.array(widths)[:, None, None]
    loads = h * shape @ slopes @ root
    turned = root.swapaxes(1, 2)
    gain = (h * loads @ turned).swapaxes(1, 2)  # of whitened states, transposed
    inner, inverse = symmetric_roots(shape - loads @ loads.swapaxes(1, 2))
    residuals = whole.out_of(pulled - fitted @ gain)
    own = whole.out_of(z - pairs.simulated @ gain)
    units = h * root
    places = fitted @ units, pairs.simulated @ units, pairs.observation @ units
    roots = inner if whole.root is None else inner @ whole.root
    inverses = inverse if whole.inverse_root is None else whole.inverse_root @ inverse
    alike, drawn = np.zeros((z.shape[0], 1)), options.shrink is not False
    found = []
    for k, width in enumerate(widths):
        kernels = near.around(*(place[k] for place in places))
        weights = np.exp(kernels.weights(width).given_observation)
        left = pairs.observation - weights @ fitted[k]
        target = whole.out_of(pairs.observation @ gain[k]) - whole.origin
        moved = Regression("linear", residuals[k], target, alike, own=own[k])
        origin = columns.mean(residuals[k])
        frame = Frame(origin, whole.deviation, roots[k], inverses[k], "whiten")
        widening = 1.0, 1.0
        if options.unbiases:
            errors = width * erring @ root[k]
            widening = _widening(weights, errors, width * left @ root[k])
        found.append(Candidate(moved, frame, kernels, width, width, drawn, widening))
    return found


def _around(
    parts: Noise, options: AnalysisOptions, widths: Sequence[float], of: Shape
) -> tuple[Array, Array, Array]:
    """For B bandwidths, centres in whitened coordinates, ``(B, N, dx)`` or ``(N, dx)``.

    And ``f`` there, ``(B, N, dy)``, and roots of ``S^-1``, ``(B, dy, dy)``.
    """
    square = np.array([h**2 for h in widths])[:, None, None]
    pulled = of.z
    if options.shrink is not False:
        pulled = of.z @ _root(np.eye(of.z.shape[1]) - square * of.covariance)
    own = (square * of.slopes).swapaxes(1, 2) @ of.covariance @ of.slopes
    fitted = parts.fitted + (pulled - of.z) @ of.slopes
    if fitted.ndim == 2:
        fitted = np.broadcast_to(fitted, (len(widths), *fitted.shape))
    return pulled, fitted, _inverse_root(own + parts.covariance)


def _effective(
    pairs: Pairs,
    parts: Noise,
    options: AnalysisOptions,
    widths: Sequence[float],
    of: Shape,
) -> list[float]:
    """``1 / sum w_i^2`` given the observation, of each bandwidth."""
    _, fitted, root = _around(parts, options, widths, of)
    far = np.sum(((fitted - pairs.observation) @ root) ** 2, axis=2)
    weights = np.exp(-0.5 * (far - far.min(axis=1, keepdims=True)))
    return [float(np.sum(each) ** 2 / np.sum(each**2)) for each in weights]


def _widening(weights: Array, erring: Array, left: Array) -> tuple[float, float]:
    """What learning from few members costs: factors for the centres, and for all.

    Along a state of variance 1 of which nothing is to be learned the mean is moved all
    the same, and variance taken away. By weights, of what the centres have of it, as
    in any sample of weighted draws, and by 1 / N at least, for it is drawn anew::

        1 + q   and   1 - q,           q = sum w_i^2

    By the gain, since covariances err, with E of :attr:`.Noise.slopes` and d what the
    weights leave of the innovation::

        1 + h^4 |E S^-1 d|^2 / (N - 1)   and   1 - h^2 tr E S^-1 E^T / (N - 1)

    From cycle to cycle both add up where the dynamics lets no error grow, until the
    ensemble is far too sure of itself there.

    Args:
        weights: of the kernels, ``(N,)``.
        erring: ``h E S^-1/2``, ``(k, dy)``.
        left: ``h S^-1/2 d``, ``(dy,)``.
    """
    freedom = weights.size - 1
    few = min(float(weights @ weights), MOST)
    far = np.clip(left, -FARTHEST, FARTHEST)
    moved = min(float(np.sum((erring @ far) ** 2)) / freedom, MOST)
    taken = min(float(np.sum(erring**2)) / freedom, MOST)
    return ((1 + few) / (1 - few)) ** 0.5, ((1 + moved) / (1 - taken)) ** 0.5


def _near(
    z: Array, fitted: Array, observation: Array, gaps: Array, root: Array
) -> tuple[Array, Array]:
    """Covariance of the states near the observation, and slopes of ``f`` there.

    Members weigh ``N(y*; f_i, C_ff + R)``, as by the widest kernel there is. What too
    few of them cannot tell is filled in from the whole ensemble, whose covariance is
    never exceeded.

    Args:
        z: whitened states, ``(N, dx)``.
        fitted: ``f_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        gaps: ``f_i`` from their mean, ``(N, dy)``.
        root: of ``(C_ff + R)^-1``, ``(dy, dy)``.

    Returns:
        ``V``, ``(dx, dx)``, and ``H``, ``(dx, dy)``, in whitened coordinates.
    """
    members, dimension = z.shape
    freedom = members - 1
    far = np.clip((fitted - observation) @ root, -FARTHEST, FARTHEST)
    square = np.sum(far**2, axis=1)
    weights = np.exp(-0.5 * (square - square.min()))
    weights /= weights.sum()
    effective = 1.0 / float(np.sum(weights**2))
    trust = effective / (effective + dimension + 1)
    unbiased = max(1.0 - 1.0 / effective, 1.0 / members)
    dz, df = z - weights @ z, fitted - weights @ fitted
    shares = (dz * weights[:, None]).T / unbiased
    square = trust * shares @ dz + (1.0 - trust) * np.eye(dimension)
    cross = trust * shares @ df + (1.0 - trust) * z.T @ gaps / freedom
    values, vectors = np.linalg.eigh(square)
    shape = (vectors * np.minimum(values, 1.0)) @ vectors.T
    return shape, np.linalg.solve(square, cross)


def _root(matrix: Array) -> Array:
    """Symmetric square roots of positive semidefinite matrices, ``(..., d, d)``."""
    values, vectors = np.linalg.eigh(matrix)
    roots = np.sqrt(np.maximum(values, 0.0))[..., None, :]
    return np.asarray((vectors * roots) @ vectors.swapaxes(-1, -2))


def _inverse_root(covariance: Array) -> Array:
    """``W`` with ``W W^T`` the inverse, of measurements in whatever units.

    Several, ``(..., dy, dy)``.
    """
    deviation = np.sqrt(np.einsum("...ii->...i", covariance))[..., None]
    correlation = covariance / (deviation * deviation.swapaxes(-1, -2))
    return np.asarray(symmetric_roots(correlation)[1] / deviation)
